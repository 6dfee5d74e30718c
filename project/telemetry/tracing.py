"""OpenTelemetry traces: one span for each request, and a child span for each SQL statement.

Imported only if traces are enabled. OpenTelemetry's environment variables configure the endpoint, the sampler and the
service name.
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
    """Start the exporter. Called in each worker, because a fork does not copy the exporter's thread."""
    named = Resource({SERVICE_NAME: "deals"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=Resource.create(named.attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    connection_created.connect(_trace_statements)


def trace_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: create a span for the request, as a child of the span in its ``traceparent`` header."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        headers = {name: request.headers[name] for name in ("traceparent", "tracestate") if name in request.headers}
        method = request.method or ""
        with _tracer.start_as_current_span(method, propagate.extract(headers), trace.SpanKind.SERVER) as span:
            response = get_response(request)
            _set_attributes(span, request, response)
            return response

    return middleware


def _set_attributes(span: trace.Span, request: HttpRequest, response: HttpResponseBase) -> None:
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
    """Return the path of a route with the names of its parameters instead of their values."""
    return simplify_regex(route).replace("\\", "")


def _trace_statements(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _trace_statement not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _trace_statement)


def _trace_statement(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Create a span for a statement. The parameters are not recorded, because they contain data."""
    if not trace.get_current_span().is_recording():
        return run(sql, params, many, context)
    with _tracer.start_as_current_span(sql.split(None, 1)[0], kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes({"db.system.name": context["connection"].vendor, "db.query.text": sql[:2000]})
        return run(sql, params, many, context)
