"""OpenTelemetry: one span for each request, and one inside it for each statement to the database.

Imported only where traces are wanted. Where they are sent, how many, and under which name is said by
OpenTelemetry's own variables, which its library reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from deals_api import request_context

_tracer: Final = trace.get_tracer("deals")


def start() -> None:
    """In each worker, for the thread that sends spans does not live on in a fork."""
    named = Resource({SERVICE_NAME: "deals"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=Resource.create(named.attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    connection_created.connect(_trace_statements)


def trace_requests(respond: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: the span of a request, below the one that its ``traceparent`` names."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        carried = {name: request.META[f"HTTP_{name.upper()}"] for name in ("traceparent", "tracestate")
                   if f"HTTP_{name.upper()}" in request.META}  # fmt: skip
        method = request.method or ""
        with _tracer.start_as_current_span(method, propagate.extract(carried), trace.SpanKind.SERVER) as span:
            response = respond(request)
            _describe(span, request, response)
            return response

    return answer


def _describe(span: trace.Span, request: HttpRequest, response: HttpResponseBase) -> None:
    its, match = request_context.get_request_context(), request.resolver_match
    if match is not None and match.url_name:
        span.update_name(f"{request.method} {match.url_name}")
    told: dict[str, Any] = {
        "http.request.method": request.method,
        "http.response.status_code": response.status_code,
        "url.path": request.path,
        "enduser.id": its.user,
        "deals.request_id": its.request_id,
        "deals.cache": its.cache,
        "deals.sql": its.statements,
        "graphql.operation.name": its.operation,
        "deals.cost": its.cost,
        "error.type": its.code,
    }
    span.set_attributes({name: value for name, value in told.items() if value not in (None, "")})
    if response.status_code >= 500:
        span.set_status(trace.StatusCode.ERROR)


def _trace_statements(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _trace_statement not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _trace_statement)


def _trace_statement(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Without its parameters, which are data."""
    if not trace.get_current_span().is_recording():
        return run(sql, params, many, context)
    with _tracer.start_as_current_span(sql.split(None, 1)[0], kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes({"db.system.name": context["connection"].vendor, "db.query.text": sql[:2000]})
        return run(sql, params, many, context)
