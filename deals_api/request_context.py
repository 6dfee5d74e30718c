"""The context of the request that a thread serves: data for the access log, the metrics and the traces."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from django.db.backends.base.base import BaseDatabaseWrapper

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

UploadOutcome = Literal["loaded", "duplicate", "refused", "checked", "queued"]
#: ``incomplete``: the database lacked the snapshot.
SnapshotReadResult = Literal["complete", "incomplete", "failed"]


class RequestContext:
    """Telemetry data that other modules record while they serve one request."""

    __slots__ = (
        "cache",
        "cost",
        "database_seconds",
        "error_code",
        "finished",
        "operation",
        "query_count",
        "request_id",
        "snapshot_reads",
        "stored_deals",
        "upload_outcome",
        "user",
    )

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        #: True after the response is complete; later queries, such as those of retention, are not counted.
        self.finished = False
        #: The name of the GraphQL operation, as the client wrote it.
        self.operation = ""
        #: Cost of the GraphQL operation in nodes; see ``MAX_NODES``.
        self.cost: int | None = None
        #: ``hit`` or ``miss``; empty if no cache was used.
        self.cache = ""
        #: The code of the last error in the response.
        self.error_code = ""
        self.query_count = 0
        self.database_seconds = 0.0
        #: The database and the result of each read of a snapshot, if there are replicas.
        self.snapshot_reads: list[tuple[str, SnapshotReadResult]] = []
        self.upload_outcome: UploadOutcome | Literal[""] = ""
        self.stored_deals = 0
        #: The holder of the API token, or the username of the administrator.
        self.user = ""


class _Local(threading.local):
    context = RequestContext("")


_local = _Local()


def start_request(headers: Mapping[str, Any]) -> RequestContext:
    """Create the context of a request; its id is the client's X-Request-ID if that is valid."""
    request_id = headers.get("HTTP_X_REQUEST_ID")
    if request_id is None or not _REQUEST_ID.fullmatch(request_id):
        request_id = secrets.token_hex(8)
    _local.context = RequestContext(request_id)
    return _local.context


def get_request_context() -> RequestContext:
    """Return the context of the request that this thread serves; outside a request, a context that is never logged."""
    return _local.context


# Query counter


def install_query_counter(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Count the queries of a new connection; a receiver of Django's signal ``connection_created``.

    The wrapper is inserted first, because code that wraps a connection temporarily removes the last wrapper.
    """
    if _count_query not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _count_query)


def _count_query(execute: Callable[..., Any], *arguments: Any) -> Any:
    start = time.perf_counter()
    try:
        return execute(*arguments)
    finally:
        context = _local.context
        if not context.finished:
            context.query_count += 1
            context.database_seconds += time.perf_counter() - start
