"""The record of a completed request, the source of its access log entry and its metrics."""

from __future__ import annotations

from typing import NamedTuple

from deals_api.request_context import RequestContext


class RequestRecord(NamedTuple):
    """``time`` is a Unix timestamp; ``sent`` is the size of the response body in bytes."""

    time: float
    client: str
    method: str
    path: str
    endpoint: str
    status: int
    sent: int
    seconds: float
    context: RequestContext
