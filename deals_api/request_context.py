"""The context of the request that a thread serves: data for the access log, the metrics and the trace."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from django.db.backends.base.base import BaseDatabaseWrapper

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

UploadOutcome = Literal["loaded", "again", "refused"]


class RequestContext:
    """Telemetry data that other modules record while they serve one request."""

    __slots__ = (
        "answered", "cache", "code", "cost", "database_seconds", "operation", "request_id", "rows", "statements",
        "upload", "user",
    )  # fmt: skip

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        #: Set when the response is complete; later work, such as retention, is not counted.
        self.answered = False
        #: The name of a GraphQL operation, as the client wrote it.
        self.operation = ""
        #: Cost of a GraphQL operation, in nodes; see ``MAX_NODES``.
        self.cost: int | None = None
        #: ``hit`` or ``miss``; empty if no cache was used.
        self.cache = ""
        #: The code of the error in the response; the last one if there are several.
        self.code = ""
        self.statements = 0
        self.database_seconds = 0.0
        #: The outcome of an upload, and the number of deals that it stored.
        self.upload: UploadOutcome | Literal[""] = ""
        self.rows = 0
        #: The holder of the token that was checked for the request.
        self.user = ""


class _Local(threading.local):
    context = RequestContext("")


_local = _Local()


def start_request(headers: Mapping[str, Any]) -> RequestContext:
    """Begin the context of a request, with the client's X-Request-ID if it is valid."""
    given = headers.get("HTTP_X_REQUEST_ID")
    is_valid = given is not None and _REQUEST_ID.fullmatch(given) is not None
    _local.context = RequestContext(given if is_valid else secrets.token_hex(8))  # type: ignore[arg-type]
    return _local.context


def get_request_context() -> RequestContext:
    """Return the context of the request that this thread serves, or a throw-away one outside a request."""
    return _local.context


# Counting SQL statements


def install_query_counter(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Count the statements of a new connection; a receiver of Django's ``connection_created``.

    The wrapper is the first, because code that wraps a connection temporarily removes the last one.
    """
    if _count_query not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _count_query)


def _count_query(run: Callable[..., Any], *statement: Any) -> Any:
    began = time.perf_counter()
    try:
        return run(*statement)
    finally:
        context = _local.context
        if not context.answered:
            context.statements += 1
            context.database_seconds += time.perf_counter() - began
