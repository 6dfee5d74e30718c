"""What is worth telling of the request that a thread serves: for its line in the log, the metrics and its trace.

Whoever knows something writes it down here. Knows no face, and judges nothing.
"""

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
    """Of one request."""

    __slots__ = (
        "answered", "cache", "code", "cost", "database_seconds", "operation", "request_id", "rows", "statements",
        "upload", "user",
    )  # fmt: skip

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        #: What is done from then on, such as tidying up, is no part of it.
        self.answered = False
        #: The name of a GraphQL operation, as the client wrote it.
        self.operation = ""
        #: What a GraphQL operation took of ``MAX_NODES``.
        self.cost: int | None = None
        #: ``hit`` or ``miss``; empty where no cache was asked.
        self.cache = ""
        #: The code of the refusal that the client was told; of several the last.
        self.code = ""
        self.statements = 0
        self.database_seconds = 0.0
        #: The outcome of an upload, and the number of deals that it stored.
        self.upload: UploadOutcome | Literal[""] = ""
        self.rows = 0
        #: The holder of the token that was checked for the request.
        self.user = ""


class _Local(threading.local):
    notes = RequestContext("")


_local = _Local()


def start_request(headers: Mapping[str, Any]) -> RequestContext:
    """A new page for the request that this thread begins to serve."""
    given = headers.get("HTTP_X_REQUEST_ID")
    its_own = given is not None and _REQUEST_ID.fullmatch(given) is not None
    _local.notes = RequestContext(given if its_own else secrets.token_hex(8))  # type: ignore[arg-type]
    return _local.notes


def get_request_context() -> RequestContext:
    """The notes of the request that this thread serves; outside of any, a page that nobody reads."""
    return _local.notes


# Statements


def install_query_counter(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """For Django's ``connection_created``: from now on, each statement of the connection is noted.

    First in the row, because whoever watches a connection for a while takes the last one away again.
    """
    if _count_query not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _count_query)


def _count_query(run: Callable[..., Any], *statement: Any) -> Any:
    began = time.perf_counter()
    try:
        return run(*statement)
    finally:
        notes = _local.notes
        if not notes.answered:
            notes.statements += 1
            notes.database_seconds += time.perf_counter() - began
