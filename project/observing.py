"""What is told of each request: its id and its times in the answer, a line in the log, the metrics.

The outermost middleware. It is on the way of every ready answer, so it does little, and that once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from deals_api import access, notes
from deals_api.notes import Notes
from project import logs, metrics

Handler = Callable[[HttpRequest], HttpResponseBase]

#: Asked every few seconds by machines, and worth a line only when they fail.
_PROBES: Final = ("live", "ready", "metrics")
#: Characters of a path or an address in the log.
_MOST_CHARACTERS: Final = 200


def observed(respond: Handler) -> Handler:
    if settings.TRACES:
        from project.tracing import traced

        respond = traced(respond)
    tell = _teller()

    def answer(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        its = notes.begin(request.META)
        response = respond(request)
        if response.streaming and "Content-Length" not in response.headers:
            seconds = time.perf_counter() - began
            stream: Any = response
            stream.streaming_content = _Told(
                stream.streaming_content,
                lambda sent: tell(request, response, its, sent, time.perf_counter() - began),
            )
        else:
            seconds = time.perf_counter() - began
            tell(request, response, its, _length(request, response), seconds)
        _label(response, its, seconds)
        return response

    return answer


def _label(response: HttpResponseBase, its: Notes, seconds: float) -> None:
    cached = f"cache;desc={its.cache}, " if its.cache else ""
    database = f'db;dur={its.database_seconds * 1000:.1f};desc="{its.statements} statements", ' if its.statements else ""
    response.headers["X-Request-ID"] = its.request_id
    response.headers["Server-Timing"] = f"{cached}{database}total;dur={seconds * 1000:.1f}"


def _length(request: HttpRequest, response: Any) -> int:
    if request.method == "HEAD":
        return 0
    return int(response.headers["Content-Length"]) if response.streaming else len(response.content)


class _Told:
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


def endpoint_of(request: HttpRequest) -> str:
    """The name of the route; one for all of the admin, and one for all files of pages."""
    match = request.resolver_match
    if match is not None:
        return "admin" if match.namespaces else match.url_name or "other"
    return "static" if request.path_info.startswith(settings.STATIC_URL) else "other"


def _teller() -> Callable[[HttpRequest, HttpResponseBase, Notes, int, float], None]:
    line = logs.requests() if settings.LOG_REQUESTS else None
    counted = settings.METRICS

    def tell(request: HttpRequest, response: HttpResponseBase, its: Notes, sent: int, seconds: float) -> None:
        endpoint, status = endpoint_of(request), response.status_code
        method = request.method or ""
        if counted:
            metrics.count(endpoint, method, status, seconds, its)
        if line is None or (endpoint in _PROBES and status < 400):
            return
        say = line.info if status < 500 else line.error
        say(
            "request",
            request_id=its.request_id,
            client=access.client_of(request.META)[:_MOST_CHARACTERS],
            method=method[:_MOST_CHARACTERS],
            path=request.path[:_MOST_CHARACTERS],
            status=status,
            bytes=sent,
            ms=round(seconds * 1000, 2),
            endpoint=endpoint,
            operation=its.operation,
            cost=its.cost,
            sql=its.statements,
            cache="304" if status == 304 else its.cache or "-",
            code=its.code,
        )

    return tell
