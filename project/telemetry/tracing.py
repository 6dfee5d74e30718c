"""OpenTelemetry traces: one span for each request, and a child span for each SQL statement.

Imported only if tracing is configured. The endpoint, the sampler and the service name are configured by
OpenTelemetry's own environment variables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib.admindocs.views import simplify_regex
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
    """Start the exporter; call it in each worker, because its thread does not survive a fork."""
    named = Resource({SERVICE_NAME: "deals"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=Resource.create(named.attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    connection_created.connect(_trace_statements)


def trace_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: a span for the request, a child of the span in its ``traceparent`` header."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        carried = {name: request.META[f"HTTP_{name.upper()}"] for name in ("traceparent", "tracestate")
                   if f"HTTP_{name.upper()}" in request.META}  # fmt: skip
        method = request.method or ""
        with _tracer.start_as_current_span(method, propagate.extract(carried), trace.SpanKind.SERVER) as span:
            response = get_response(request)
            _describe(span, request, response)
            return response

    return middleware


def _describe(span: trace.Span, request: HttpRequest, response: HttpResponseBase) -> None:
    context, match = request_context.get_request_context(), request.resolver_match
    if match is not None and match.url_name:
        span.update_name(f"{request.method} {match.url_name}")
        span.set_attribute("http.route", path_template(match.route))
    attributes: dict[str, Any] = {
        "http.request.method": request.method,
        "http.response.status_code": response.status_code,
        "url.path": request.path,
        "enduser.id": context.user,
        "deals.request_id": context.request_id,
        "deals.cache": context.cache,
        "deals.sql": context.query_count,
        "graphql.operation.name": context.operation,
        "deals.cost": context.cost,
        "error.type": context.error_code,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value not in (None, "")})
    if response.status_code >= 500:
        span.set_status(trace.StatusCode.ERROR)


def path_template(route: str) -> str:
    """Return the path that a route matches, with named parameters; no value of a parameter is in it."""
    return simplify_regex(route).replace("\\", "")


def _trace_statements(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _trace_statement not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _trace_statement)


def _trace_statement(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Record the statement without its parameters, which are data."""
    if not trace.get_current_span().is_recording():
        return run(sql, params, many, context)
    with _tracer.start_as_current_span(sql.split(None, 1)[0], kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes({"db.system.name": context["connection"].vendor, "db.query.text": sql[:2000]})
        return run(sql, params, many, context)
