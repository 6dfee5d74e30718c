"""Prometheus metrics, aggregated over all processes of the service.

The number of label values is bounded: operation names are label values only for the example queries and for the first
``MAX_OPERATIONS`` other names of each process.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from django.conf import settings
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from deals_api.errors import TokenRequired
from deals_api.rest.exception_handler import plain_response
from deals_api.security.permissions import require_read_permission
from deals_api.snapshots.replica_monitor import ReplicaStatus
from deals_api.snapshots.replicas import statuses
from graphql_schema.http.graphiql import example_queries
from project.telemetry.record import RequestRecord

log = logging.getLogger(__name__)

#: Maximum number of operation names in the labels of one process, besides those of the example queries.
MAX_OPERATIONS: Final = 50
_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))
_OTHER: Final = "other"

_registry = CollectorRegistry()
_requests: Final = Counter(
    "deals_requests", "Number of requests.", ["endpoint", "method", "operation", "status", "cache"], registry=_registry
)
_request_seconds: Final = Histogram(
    "deals_request_seconds", "Duration of requests in seconds.", ["endpoint", "operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60), registry=_registry,
)  # fmt: skip
_statements: Final = Counter("deals_sql_statements", "Number of SQL statements.", ["endpoint"], registry=_registry)
_uploads: Final = Counter("deals_uploads", "Number of uploaded files that were read.", ["outcome"], registry=_registry)
_rows: Final = Counter("deals_rows", "Number of stored deals.", registry=_registry)
_errors: Final = Counter("deals_refusals", "Number of requests with an error.", ["code"], registry=_registry)
_snapshot_reads: Final = Counter(
    "deals_snapshot_reads", "Number of reads of snapshots while there are replicas.", ["database", "result"],
    registry=_registry,
)  # fmt: skip


class ReplicaCollector(Collector):
    """The status of the replicas at the time of a scrape."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("deals_replica_up", "Whether the replica responds.", labels=["replica"])
        yield GaugeMetricFamily("deals_replica_lag_bytes", "WAL that is not replayed yet.", labels=["replica"])
        yield GaugeMetricFamily(
            "deals_replica_lag_seconds", "Upper bound of the lag behind the primary.", labels=["replica"]
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up, lag_bytes, lag_seconds = self.describe()
        for status in _replica_statuses():
            up.add_metric([status.name], status.is_available)
            for family, value in ((lag_bytes, status.lag_bytes), (lag_seconds, status.lag_seconds)):
                if value is not None:
                    family.add_metric([status.name], value)
        yield from (up, lag_bytes, lag_seconds)


def _replica_statuses() -> list[ReplicaStatus]:
    try:
        return statuses()
    except Error as error:  # of the primary; the other metrics do not need it
        log.warning("The lag of the replicas is unknown: %s", error)
        return []


_replica_registry: Final = CollectorRegistry()
_replica_registry.register(ReplicaCollector())

_operations: Final = {
    "", "IntrospectionQuery",
    *(name for example in example_queries() for name in re.findall(r"^query (\w+)", example["query"], re.MULTILINE)),
}  # fmt: skip
_MAX_LABELS: Final = len(_operations) + MAX_OPERATIONS


def count_request(record: RequestRecord) -> None:
    """Update all metrics for a completed request."""
    context, operation = record.context, _operation_label(record.context.operation)
    method = record.method if record.method in _METHODS else _OTHER
    _request_counter(record.endpoint, method, operation, record.status, context.cache).inc()
    _duration(record.endpoint, operation).observe(record.seconds)
    if context.query_count:
        _statements.labels(record.endpoint).inc(context.query_count)
    if context.upload_outcome:
        _uploads.labels(context.upload_outcome).inc()
        _rows.inc(context.stored_deals)
    if context.error_code:
        _errors.labels(context.error_code).inc()
    for database, result in context.snapshot_reads:
        _snapshot_reads.labels(database, result).inc()


# Cached, because the lookup of the labels takes longer than counting.


@cache
def _request_counter(endpoint: str, method: str, operation: str, status: int, cache: str) -> Counter:
    return _requests.labels(endpoint, method, operation, str(status), cache)


@cache
def _duration(endpoint: str, operation: str) -> Histogram:
    return _request_seconds.labels(endpoint, operation)


def _operation_label(operation: str) -> str:
    if operation in _operations:
        return operation
    if len(_operations) >= _MAX_LABELS:  # Concurrent threads may exceed it.
        return _OTHER
    _operations.add(operation)
    return operation


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics to clients with read permission; 404 with ``METRICS=0``."""
    if not settings.METRICS:
        raise Http404
    try:
        require_read_permission(request.META)
    except TokenRequired as error:
        return plain_response(error)
    text = generate_latest(_all_processes())
    if settings.REPLICAS:
        text += generate_latest(_replica_registry)
    return HttpResponse(text, CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _all_processes() -> CollectorRegistry:
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:
        return _registry  # PROMETHEUS_MULTIPROC_DIR is not set; this is the only process.
    return registry
