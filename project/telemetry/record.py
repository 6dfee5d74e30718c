"""Record of one answered request, from which the access log and the metrics are written."""

from __future__ import annotations

from typing import NamedTuple

from deals_api.request_context import RequestContext


class RequestRecord(NamedTuple):
    """Telemetry of one request. ``at`` is a Unix timestamp, ``sent`` is in bytes."""

    at: float
    client: str
    method: str
    path: str
    endpoint: str
    status: int
    sent: int
    seconds: float
    context: RequestContext
