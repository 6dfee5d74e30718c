"""Prometheus: what the service counts, over all of its processes.

Every label has few values, whatever clients write: of the names of GraphQL operations those of the ready queries
are told apart, and the first others that a process meets.
"""

from __future__ import annotations

import re
from collections import Counter as Counts
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from deals_api.errors import TokenRequired
from deals_api.formats import dump_json
from deals_api.rest.exception_handler import error_body, error_headers
from deals_api.security.permissions import require_read_permission
from graphql_schema.http.graphiql import ready_queries

if TYPE_CHECKING:
    from project.telemetry.middleware import RequestRecord

#: Names of GraphQL operations, beside those of the ready queries, that one process tells apart.
MAX_OPERATIONS: Final = 50
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
_MAX_LABELS: Final = len(_operations) + MAX_OPERATIONS


def count(requests: Iterable[RequestRecord]) -> None:
    """These were answered."""
    alike: Counts[tuple[str, ...]] = Counts()
    for told in requests:
        its, operation = told.its, _known(told.its.operation)
        method = told.method if told.method in _METHODS else _OTHER
        alike[told.endpoint, method, operation, str(told.status), its.cache] += 1
        _timed(told.endpoint, operation).observe(told.seconds)
        if its.statements:
            _statements.labels(told.endpoint).inc(its.statements)
        if its.upload:
            _uploads.labels(its.upload).inc()
            _rows.inc(its.rows)
        if its.code:
            _refusals.labels(its.code).inc()
    for labels, number in alike.items():
        _requests.labels(*labels).inc(number)


#: Found once for each of its few values: finding one takes longer than counting.
@cache
def _timed(endpoint: str, operation: str) -> Histogram:
    return _seconds.labels(endpoint, operation)


def _known(operation: str) -> str:
    if operation in _operations:
        return operation
    if len(_operations) == _MAX_LABELS:
        return _OTHER
    _operations.add(operation)
    return operation


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For whoever may read the data; ``METRICS=0`` for nobody."""
    if not settings.METRICS:
        raise Http404
    try:
        require_read_permission(request.META)
    except TokenRequired as error:
        refused = dump_json(error_body(error.message, error.code))
        return HttpResponse(refused, "application/json", 401, headers=error_headers(error))
    counted = generate_latest(_of_all_processes())
    return HttpResponse(counted, CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _of_all_processes() -> CollectorRegistry:
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        return _registry  # nobody gave them a folder: this process is the only one
    return registry
