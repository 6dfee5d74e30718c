"""What is told of each request: its id and its times in the answer, a line in the log, the metrics.

The outermost middleware. It is on the way of every ready answer, so a request only leaves what is to be told of
it; a thread of each process writes and counts that ten times a second, many at once, for a fifth of the time.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from deals_api import request_context
from deals_api.request_context import RequestContext
from deals_api.security.throttling import client_ip
from project.telemetry import logs, metrics

Handler = Callable[[HttpRequest], HttpResponseBase]

#: Asked every few seconds by machines, and worth a line only when they fail.
_PROBES: Final = ("live", "ready", "metrics")
#: Characters of a path, a method or an address in the log.
_MAX_CHARACTERS: Final = 200
_FLUSH_SECONDS: Final = 0.1
#: Requests that wait to be told while nobody takes the log; then the oldest are left out. The service goes on.
_MAX_QUEUED: Final = 20_000


class RequestRecord(NamedTuple):
    """What there is to tell of one request, as it was answered."""

    at: float
    client: str
    method: str
    path: str
    endpoint: str
    status: int
    sent: int
    seconds: float
    its: RequestContext


def request_telemetry(respond: Handler) -> Callable[[HttpRequest], Any]:
    if settings.TRACES:
        from project.telemetry.tracing import trace_requests

        respond = trace_requests(respond)

    def answer(request: HttpRequest) -> Any:
        began = time.perf_counter()
        its = request_context.start_request(request.META)
        response: Any = respond(request)
        seconds = time.perf_counter() - began
        headers = response.headers
        headers["X-Request-ID"] = its.request_id
        headers["Server-Timing"] = _server_timing(its, seconds)
        if not response.streaming:
            sent = 0 if request.method == "HEAD" else len(response.content)
            _enqueue(request, response.status_code, sent, seconds, its)
        elif (length := headers.get("Content-Length")) is not None:
            _enqueue(request, response.status_code, int(length), seconds, its)
        else:
            response.streaming_content = _CountedStream(
                response.streaming_content,
                lambda sent: _enqueue(request, response.status_code, sent, time.perf_counter() - began, its),
            )
        return response

    return answer


def _server_timing(its: RequestContext, seconds: float) -> str:
    total = f"total;dur={seconds * 1000:.1f}"
    if its.statements:
        total = f'db;dur={its.database_seconds * 1000:.1f};desc="statements: {its.statements}", {total}'
    return f"cache;desc={its.cache}, {total}" if its.cache else total


class _CountedStream:
    """The pieces of a stream, and at its end, however that comes about, how many bytes were sent."""

    def __init__(self, pieces: Any, tell: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._tell: Callable[[int], None] | None = tell
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            self._sent += len(piece)

    def close(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(self._sent)


def endpoint_name(request: HttpRequest) -> str:
    """The name of the route; one for all of the admin, and one for all files of pages."""
    match = request.resolver_match
    if match is not None:
        return "admin" if match.namespaces else match.url_name or "other"
    return "static" if request.path_info.startswith(settings.STATIC_URL) else "other"


# What is left to be told


class TelemetryQueue:
    def __init__(self) -> None:
        self._told: deque[RequestRecord] = deque(maxlen=_MAX_QUEUED)
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    def add(self, told: RequestRecord) -> None:
        self._told.append(told)
        if self._thread is None:
            self._begin()

    def _begin(self) -> None:
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="observing", daemon=True)
                self._thread.start()
                atexit.register(self.tell)

    def _go_on(self) -> None:
        while True:
            time.sleep(_FLUSH_SECONDS)
            with contextlib.suppress(OSError):  # nobody reads the log any more; what is counted goes on
                self.tell()

    def tell(self) -> None:
        """All that waits."""
        with self._guard:
            telemetry_queue = [self._told.popleft() for _ in range(len(self._told))]
            if telemetry_queue and settings.METRICS:
                metrics.count(telemetry_queue)
            if telemetry_queue and settings.LOG_REQUESTS:
                logs.write_access_log(
                    [
                        _access_log_entry(one)
                        for one in telemetry_queue
                        if one.status >= 400 or one.endpoint not in _PROBES
                    ]
                )


telemetry_queue: Final = TelemetryQueue()


def _enqueue(request: HttpRequest, status: int, sent: int, seconds: float, its: RequestContext) -> None:
    its.answered = True
    client, method = client_ip(request.META), request.method or ""
    telemetry_queue.add(
        RequestRecord(time.time(), client, method, request.path, endpoint_name(request), status, sent, seconds, its)
    )


def _access_log_entry(told: RequestRecord) -> dict[str, Any]:
    its = told.its
    return {
        "time": told.at,
        "level": "info" if told.status < 500 else "error",
        "event": "request",
        "request_id": its.request_id,
        "client": told.client[:_MAX_CHARACTERS],
        "user": its.user,
        "method": told.method[:_MAX_CHARACTERS],
        "path": told.path[:_MAX_CHARACTERS],
        "endpoint": told.endpoint,
        "operation": its.operation,
        "status": told.status,
        "code": its.code,
        "bytes": told.sent,
        "ms": round(told.seconds * 1000, 2),
        "cache": "304" if told.status == 304 else its.cache or "-",
        "sql": its.statements,
        "cost": its.cost,
    }
