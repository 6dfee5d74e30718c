"""With OpenTelemetry's variables set, what is asked can be followed to its statements; without them nothing is paid."""

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
from tests.servers import REAL_FILE, ROOT, TIMEOUT, serving

SECRET = "correct horse battery"  # noqa: S105
TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """An OTLP collector; yields its address, and what it has received."""
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


def attributes(one: Any) -> dict[str, Any]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in one.attributes}


def test_an_upload_and_a_question_are_followed_to_their_statements(tmp_path: Path) -> None:
    with collector() as (address, received):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "gems", "OTEL_TRACES_SAMPLER": "",
                     "API_TOKENS": f"ann:{SECRET}"}  # fmt: skip
        with serving(tmp_path, **variables) as server:
            sent = httpx.post(
                f"{server.url}/api/upload/",
                files={"deals": REAL_FILE.read_bytes()},
                headers={"Authorization": f"Bearer {SECRET}"},
                timeout=TIMEOUT,
            )
            assert sent.status_code == 200
            asked = httpx.post(
                f"{server.url}/graphql/",
                json={"query": "query Mine { deals { totalCount } }"},
                headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "mine"},
            )
            assert asked.status_code == 200
            assert server.stop() == 0
    spans = [span for group in received for scope in group.scope_spans for span in scope.spans]
    assert {attributes(group.resource)["service.name"] for group in received} == {"gems"}
    (upload,) = [span for span in spans if span.name == "POST upload"]
    (question,) = [span for span in spans if span.name == "POST graphql"]
    assert attributes(upload)["http.response.status_code"] == 200
    assert attributes(upload)["enduser.id"] == "ann"
    assert (attributes(upload)["http.route"], attributes(question)["http.route"]) == ("/api/upload/", "/graphql/")
    assert SECRET not in str(received)
    said = attributes(question)
    assert (said["graphql.operation.name"], said["deals.request_id"], said["deals.cache"]) == ("Mine", "mine", "miss")
    assert question.trace_id.hex() == TRACE
    for request in (upload, question):
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
def test_http_route_is_thepath_template(path: str, template: str) -> None:
    assert tracing.path_template(resolve(path).route) == template


def test_where_nobody_collects_the_service_goes_on_and_stops(tmp_path: Path) -> None:
    with serving(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1") as server:
        assert server.get().status_code == 200
        assert server.stop() == 0


def test_nothing_of_it_is_loaded_where_nobody_wants_traces() -> None:
    code = (
        "import project.wsgi, sys; from django.test import Client; Client().get('/health/live'); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk.trace', 'opentelemetry.exp'))])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[0] == "[]"
