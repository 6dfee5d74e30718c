"""Prometheus: what the service counts, over all of its processes.

Every label has few values, whatever clients write: of the names of GraphQL operations those of the ready queries
are told apart, and the first others that a process meets.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from deals_api import access
from deals_api.errors import TokenRequired
from deals_api.exception_handler import refuse
from deals_api.notes import Notes
from deals_api.serializers import exact_json
from graphql_schema.graphiql import ready_queries

#: Names of GraphQL operations, beside those of the ready queries, that one process tells apart.
MOST_OPERATIONS: Final = 50
_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))
_OTHER: Final = "other"

_registry = CollectorRegistry()
_requests: Final = Counter(
    "deals_requests", "Requests answered.", ["endpoint", "method", "operation", "status", "cache"], registry=_registry
)
_seconds: Final = Histogram(
    "deals_request_seconds", "From a whole request to a whole answer.", ["endpoint", "operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60), registry=_registry,
)  # fmt: skip
_statements: Final = Counter("deals_sql_statements", "Statements to the database.", ["endpoint"], registry=_registry)
_uploads: Final = Counter("deals_uploads", "Files that arrived whole.", ["outcome"], registry=_registry)
_rows: Final = Counter("deals_rows", "Deals stored.", registry=_registry)
_refusals: Final = Counter("deals_refusals", "Refusals, by the code that the client was told.", ["code"],
                           registry=_registry)  # fmt: skip

_operations: Final = {
    "", "IntrospectionQuery",
    *(name for one in ready_queries() for name in re.findall(r"^query (\w+)", one["query"], re.MULTILINE)),
}  # fmt: skip
_MOST: Final = len(_operations) + MOST_OPERATIONS
#: Found once for each row of labels, because finding them takes longer than counting.
_found: Final[dict[tuple[Any, ...], tuple[Any, Any]]] = {}


def count(endpoint: str, method: str, status: int, seconds: float, notes: Notes) -> None:
    """One request was answered."""
    operation = notes.operation
    if operation not in _operations:
        if len(_operations) < _MOST:
            _operations.add(operation)
        else:
            operation = _OTHER
    labels = (endpoint, method if method in _METHODS else _OTHER, operation, status, notes.cache)
    found = _found.get(labels)
    if found is None:
        found = _found[labels] = (_requests.labels(*labels), _seconds.labels(endpoint, operation))
    found[0].inc()
    found[1].observe(seconds)
    if notes.statements:
        _statements.labels(endpoint).inc(notes.statements)
    if notes.upload:
        _uploads.labels(notes.upload).inc()
        _rows.inc(notes.rows)
    if notes.code:
        _refusals.labels(notes.code).inc()


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For whoever may read the data; ``METRICS=0`` for nobody."""
    if not settings.METRICS:
        raise Http404
    try:
        access.must_be_allowed_to_read(request.META)
    except TokenRequired as error:
        refusal: Any = refuse(error)
        return HttpResponse(exact_json(refusal.data), "application/json", refusal.status_code, headers=refusal.headers)
    return HttpResponse(generate_latest(_of_all_processes()), CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _of_all_processes() -> CollectorRegistry:
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        return _registry  # nobody gave them a folder: this process is the only one
    return registry


# Where processes add up


def make_folder() -> str:
    """A folder of this process's own, in memory where there is such a place, for the workers to count in."""
    memory = "/dev/shm"  # noqa: S108
    place = memory if os.access(memory, os.W_OK) else tempfile.gettempdir()
    for left in Path(place).glob("deals-metrics-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():  # its master was killed
            remove_folder(str(left))
    return tempfile.mkdtemp(prefix=f"deals-metrics-{os.getpid()}-", dir=place)


def remove_folder(folder: str) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
