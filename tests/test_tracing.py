"""Traces: exported if OpenTelemetry's variables are set; otherwise the SDK is not imported."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.urls import resolve
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from project.telemetry import tracing
from tests.servers import NO_TLS, REAL_FILE, ROOT, TIMEOUT, serving

SECRET = "correct horse battery"  # noqa: S105
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """Run an OTLP collector; yield its URL and the list of resource spans that it receives."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            received.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def attributes(source: Any) -> dict[str, Any]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in source.attributes}


@pytest.mark.database_independent
def test_upload_and_query_are_traced_to_their_sql_statements(tmp_path: Path) -> None:
    with collector() as (url, received):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "gems", "OTEL_TRACES_SAMPLER": "",
                     "API_TOKENS": f"ann:{SECRET}"}  # fmt: skip
        with serving(tmp_path, **variables) as server:
            uploaded = httpx.post(
                f"{server.url}/api/upload/",
                files={"deals": REAL_FILE.read_bytes()},
                headers={"Authorization": f"Bearer {SECRET}"},
                timeout=TIMEOUT,
                verify=NO_TLS,
            )
            assert uploaded.status_code == 200
            queried = httpx.post(
                f"{server.url}/graphql/",
                json={"query": "query Mine { deals { totalCount } }"},
                headers={"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "X-Request-ID": "mine"},
                verify=NO_TLS,
            )
            assert queried.status_code == 200
            assert server.stop() == 0
    spans = [span for group in received for scope in group.scope_spans for span in scope.spans]
    assert {attributes(group.resource)["service.name"] for group in received} == {"gems"}
    (upload,) = [span for span in spans if span.name == "POST upload"]
    (query,) = [span for span in spans if span.name == "POST graphql"]
    assert attributes(upload)["http.response.status_code"] == 200
    assert attributes(upload)["enduser.id"] == "ann"
    assert (attributes(upload)["http.route"], attributes(query)["http.route"]) == ("/api/upload/", "/graphql/")
    assert SECRET not in str(received)
    keys = ("graphql.operation.name", "deals.request_id", "deals.cache")
    assert [attributes(query)[key] for key in keys] == ["Mine", "mine", "miss"]
    assert query.trace_id.hex() == TRACE_ID
    for request in (upload, query):
        statements = [span for span in spans if span.parent_span_id == request.span_id]
        assert len(statements) == attributes(request)["deals.sql"] >= 2
        assert all(attributes(span)["db.query.text"] for span in statements)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/api/top-clients", "/api/top-clients/"),
        ("/api/exports/deals.csv", "/api/exports/deals.csv"),
        ("/admin/deals_api/upload/7/change/", "/admin/deals_api/upload/<path:object_id>/change/"),
    ],
)
def test_http_route_is_the_path_template(path: str, template: str) -> None:
    assert tracing.path_template(resolve(path).route) == template


@pytest.mark.database_independent
def test_unreachable_collector_does_not_affect_the_service(tmp_path: Path) -> None:
    with serving(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1") as server:
        assert server.get().status_code == 200
        assert server.stop() == 0


@pytest.mark.database_independent
def test_sdk_is_not_imported_without_configured_traces() -> None:
    code = (
        "import project.wsgi, sys; from django.test import Client; Client().get('/health/live'); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk.trace', 'opentelemetry.exp'))])"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[0] == "[]"
