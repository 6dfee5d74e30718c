"""Request telemetry: request id and Server-Timing headers, access log and metrics.

This is the outermost middleware. It counts and logs each request in the thread of the request: batches in a separate
thread did not save CPU time (measured for cached responses in 8 threads).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from deals_api import request_context
from deals_api.request_context import RequestContext
from deals_api.security.throttling import client_ip
from project.telemetry import logs, metrics
from project.telemetry.record import RequestRecord

Handler = Callable[[HttpRequest], HttpResponseBase]

#: Endpoints that monitoring polls; only their failures are logged.
_PROBES: Final = ("live", "ready", "metrics")
#: Maximum length of a path, method or address in the access log.
_MAX_CHARACTERS: Final = 200


def request_telemetry(get_response: Handler) -> Callable[[HttpRequest], Any]:
    """Middleware: add the headers, count and log the request, and trace it if traces are enabled."""
    if settings.TRACES:
        from project.telemetry.tracing import trace_requests

        get_response = trace_requests(get_response)

    def middleware(request: HttpRequest) -> Any:
        started_at = time.perf_counter()
        context = request_context.start_request(request.META)
        response: Any = get_response(request)
        seconds = time.perf_counter() - started_at
        headers = response.headers
        headers["X-Request-ID"] = context.request_id
        headers["Server-Timing"] = _server_timing(context, seconds)
        if not response.streaming:
            sent = 0 if request.method == "HEAD" else len(response.content)
            _record(request, response.status_code, sent, seconds, context)
        elif (length := headers.get("Content-Length")) is not None:
            _record(request, response.status_code, int(length), seconds, context)
        else:
            response.streaming_content = _CountedStream(
                response.streaming_content,
                lambda sent: _record(request, response.status_code, sent, time.perf_counter() - started_at, context),
            )
        return response

    return middleware


def _server_timing(context: RequestContext, seconds: float) -> str:
    total = f"total;dur={seconds * 1000:.1f}"
    if context.query_count:
        total = f'db;dur={context.database_seconds * 1000:.1f};desc="statements: {context.query_count}", {total}'
    return f"cache;desc={context.cache}, {total}" if context.cache else total


class _CountedStream:
    """A response stream that calls ``on_close`` with the number of bytes sent when it is closed."""

    def __init__(self, chunks: Any, on_close: Callable[[int], None]) -> None:
        self._chunks = chunks
        self._on_close: Callable[[int], None] | None = on_close
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            yield chunk
            self._sent += len(chunk)

    def close(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close(self._sent)


def endpoint_name(request: HttpRequest) -> str:
    """Return the name of the route, ``admin`` for all admin pages, ``static`` for all static files, or ``other``."""
    match = request.resolver_match
    if match is not None:
        return "admin" if match.namespaces else match.url_name or "other"
    return "static" if request.path_info.startswith(settings.STATIC_URL) else "other"


def _record(request: HttpRequest, status: int, sent: int, seconds: float, context: RequestContext) -> None:
    """Count and log a completed request."""
    context.finished = True
    client, method = client_ip(request.META), request.method or ""
    record = RequestRecord(
        time.time(), client, method, request.path, endpoint_name(request), status, sent, seconds, context
    )
    if settings.METRICS:
        metrics.count_request(record)
    if settings.LOG_REQUESTS and (status >= 400 or record.endpoint not in _PROBES):
        logs.write_access_log(_access_log_entry(record))


def _access_log_entry(record: RequestRecord) -> dict[str, Any]:
    context = record.context
    return {
        "time": record.time,
        "level": "info" if record.status < 500 else "error",
        "event": "request",
        "request_id": context.request_id,
        "client": record.client[:_MAX_CHARACTERS],
        "user": context.user,
        "method": record.method[:_MAX_CHARACTERS],
        "path": record.path[:_MAX_CHARACTERS],
        "endpoint": record.endpoint,
        "operation": context.operation,
        "status": record.status,
        "code": context.error_code,
        "bytes": record.sent,
        "ms": round(record.seconds * 1000, 2),
        "cache": "304" if record.status == 304 else context.cache or "-",
        "sql": context.query_count,
        "cost": context.cost,
        "upload": context.upload_outcome,
    }
