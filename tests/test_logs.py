"""Access log: one line of JSON for each request, with its request id; clients cannot inject lines."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import Client, override_settings
from pytest_django import Settings

from deals_api.reports import top_clients as top_clients_report
from project.telemetry import logs
from tests.builders import deal, load
from tests.servers import NO_TLS, TIMEOUT, Server, serving

pytestmark = pytest.mark.django_db
AccessLogReader = Callable[[], list[dict[str, Any]]]

FIELDS = {"time", "level", "event", "request_id", "client", "user", "method", "path", "endpoint", "operation", "status",
          "code", "bytes", "ms", "cache", "sql", "cost", "upload"}  # fmt: skip


@pytest.fixture
def read_access_log(capfdbinary: pytest.CaptureFixture[bytes], settings: Settings) -> AccessLogReader:
    """Return a function that returns the lines written since the previous call."""
    settings.LOG_REQUESTS = True
    capfdbinary.readouterr()

    def read() -> list[dict[str, Any]]:
        out = capfdbinary.readouterr().out
        assert out.isascii()
        assert not any(byte < 32 for byte in out if byte != 10)
        return [json.loads(line) for line in out.splitlines()]

    return read


def graphql(query: str, **params: Any) -> Any:
    return Client().post("/graphql/", {"query": query, **params}, content_type="application/json")


# Entries


def test_request_is_logged_as_one_complete_line(read_access_log: AccessLogReader) -> None:
    load(deal())
    read_access_log()
    response = Client().get("/api/top-clients/", headers={"X-Request-ID": "abc-1.2"})
    (line,) = read_access_log()
    assert line.keys() == FIELDS
    values = {name: line[name] for name in FIELDS - {"time", "ms", "sql"}}
    assert values == {
        "level": "info", "event": "request", "request_id": "abc-1.2", "client": "127.0.0.1", "user": "",
        "method": "GET",
        "path": "/api/top-clients/", "endpoint": "top-clients", "operation": "", "status": 200, "code": "",
        "bytes": len(response.content), "cache": "miss", "cost": None, "upload": "",
    }  # fmt: skip
    assert line["sql"] >= 2
    assert line["ms"] > 0


def test_line_contains_cache_status_operation_and_cost(read_access_log: AccessLogReader) -> None:
    load(deal())
    client, query = Client(), "query Mine { deals { totalCount } }"
    etag = client.get("/api/top-clients/")["ETag"]
    client.get("/api/top-clients/")
    client.get("/api/top-clients/", headers={"If-None-Match": etag})
    cost = graphql(query).json()["extensions"]["cost"]["requested"]
    graphql(query)
    client.get("/api/exports/deals.csv").getvalue()
    lines = read_access_log()
    assert [line["cache"] for line in lines] == ["miss", "hit", "304", "miss", "hit", "-"]
    assert [line["operation"] for line in lines] == ["", "", "", "Mine", "Mine", ""]
    assert [line["cost"] for line in lines[3:]] == [cost, None, None]


def test_streaming_response_is_logged_with_its_size_when_closed(read_access_log: AccessLogReader) -> None:
    load(*(deal() for _ in range(3)))
    read_access_log()
    response: Any = Client().get("/api/exports/deals.csv")
    assert read_access_log() == []
    content = response.getvalue()
    response.close()
    (line,) = read_access_log()
    assert (line["endpoint"], line["bytes"]) == ("deals-csv", len(content))


def test_queries_outside_requests_are_not_counted(read_access_log: AccessLogReader) -> None:
    Client().get("/nothing")
    load(deal())
    assert [line["sql"] for line in read_access_log()] == [0]


def test_rejected_request_is_logged_with_its_error_code(read_access_log: AccessLogReader) -> None:
    Client().get("/api/top-clients/?limit=x")
    graphql("{ nothing }")
    Client().get("/nothing/here")
    assert [(line["status"], line["code"]) for line in read_access_log()] == [
        (400, "invalid"), (200, "graphql_invalid"), (404, "not_found")
    ]  # fmt: skip


def test_probes_are_logged_only_if_they_fail(read_access_log: AccessLogReader) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        Client().get(path)
    assert read_access_log() == []
    Client().post("/health/live")
    assert [line["status"] for line in read_access_log()] == [405]


def test_disabled_access_log_writes_nothing(read_access_log: AccessLogReader) -> None:
    with override_settings(LOG_REQUESTS=False):
        Client().get("/api/top-clients/")
        assert read_access_log() == []


def test_query_text_is_not_logged(read_access_log: AccessLogReader) -> None:
    Client().get("/graphql/", {"query": '{ customer(username: "secret") { username } }'})
    graphql('{ customer(username: "secret") { username } }')
    assert "secret" not in json.dumps(read_access_log())


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\r\nb", "\x1b[31mred", "\x9b31m", "\u2028", "ж", "\x7f", "\x00", '"}\n{"event":"mine"', "x" * 100_000],
)
def test_client_input_cannot_inject_or_lengthen_lines(name: str, read_access_log: AccessLogReader) -> None:
    graphql("{ __typename }", operationName=name)
    Client().get("/" + name)
    with override_settings(PROXIES=1):
        Client().get("/nothing", headers={"X-Forwarded-For": name, "X-Request-ID": name})
    Client().generic(name, "/nothing")
    lines = read_access_log()
    assert len(lines) == 4
    assert all(line.keys() == FIELDS for line in lines)
    assert max(len(json.dumps(line)) for line in lines) < 4096


# Request id and timing


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 65, "\n", "ж", "a\x1b[0m", 'a"b'])
def test_invalid_request_id_is_replaced(request_id: str, read_access_log: AccessLogReader) -> None:
    response = Client().get("/api/top-clients/", headers={"X-Request-ID": request_id})
    (line,) = read_access_log()
    assert len(response["X-Request-ID"]) == 16
    assert line["request_id"] == response["X-Request-ID"]


@pytest.mark.parametrize("path", ["/api/top-clients/", "/nothing", "/graphql/", "/health/live", "/metrics", "/admin/"])
def test_every_response_has_a_request_id_and_server_timing(path: str) -> None:
    response = Client().get(path, headers={"X-Request-ID": "mine"})
    assert response["X-Request-ID"] == "mine"
    assert "total;dur=" in response["Server-Timing"]


def test_server_timing_reports_the_database_and_the_cache() -> None:
    load(deal())
    first, second = (Client().get("/api/top-clients/")["Server-Timing"] for _ in range(2))
    assert re.fullmatch(r'cache;desc=miss, db;dur=[0-9.]+;desc="statements: [0-9]+", total;dur=[0-9.]+', first)
    assert second.startswith("cache;desc=hit, ")


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("secret")


def test_error_has_one_request_id_in_response_log_and_traceback(
    monkeypatch: pytest.MonkeyPatch, read_access_log: AccessLogReader, caplog: pytest.LogCaptureFixture
) -> None:
    load(deal())
    read_access_log()
    monkeypatch.setattr(top_clients_report, "top_clients", fail)
    client = Client(raise_request_exception=False)
    response = client.get("/api/top-clients/", headers={"X-Request-ID": "mine-500"})
    (line,) = read_access_log()
    assert (response.status_code, response["X-Request-ID"]) == (500, "mine-500")
    assert (line["status"], line["level"], line["request_id"]) == (500, "error", "mine-500")
    traceback = json.loads(logs.formatter().format(caplog.records[-1]))
    assert traceback["request_id"] == "mine-500"
    assert traceback["exception"].endswith("RuntimeError: secret")


# Other log messages


def test_log_message_with_traceback_is_one_line_of_json() -> None:
    try:
        fail()
    except RuntimeError:
        record = logging.LogRecord("deals", logging.ERROR, "x.py", 1, "It\n\x1b[31m %s", ("ж",), sys.exc_info())
    text = logs.formatter().format(record)
    assert text.isprintable()
    assert text.isascii()
    event = json.loads(text)
    assert (event["level"], event["event"]) == ("error", "It\n\x1b[31m ж")
    assert event["exception"].endswith("RuntimeError: secret")


def test_log_message_has_the_fields_of_the_record_in_order() -> None:
    record = logging.LogRecord("deals_api.x", logging.WARNING, "x.py", 1, "%d rows", (3,), None)
    record.created, record.stack_info = 1_600_000_000.25, "Stack:\n  line"
    assert (
        logs.formatter()
        .format(record)
        .startswith(
            '{"time":"2020-09-13T12:26:40.250000Z","level":"warning","event":"3 rows","stack_info":"Stack:\\n  line",'
            '"logger":"deals_api.x"'
        )
    )


def test_log_message_after_a_request_does_not_have_its_id() -> None:
    Client().get("/nothing")
    record = logging.LogRecord("gunicorn.error", logging.WARNING, "x.py", 1, "Invalid request", (), None)
    assert "request_id" not in json.loads(logs.formatter().format(record))


@pytest.mark.parametrize("text", ["\ud800", "a\udc80b", "💎", "\U0010ffff", '"\\/\b', str(2**70), "NaN"])
def test_any_text_is_logged_as_ascii(text: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, text, (), None)
    logs.write_access_log({"time": 1_600_000_000.0, "path": text, "bytes": 2**70, "cost": None})
    message, entry = logs.formatter().format(record), capfdbinary.readouterr().out
    assert message.isascii()
    assert entry.isascii()
    assert json.loads(message)["event"] == text
    assert json.loads(entry) == {"time": "2020-09-13T12:26:40Z", "path": text, "bytes": 2**70, "cost": None}


# Standard output


def test_blocked_log_reader_does_not_block_requests(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.LOG_REQUESTS = True
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as output:
        monkeypatch.setattr(sys, "stdout", output)
        for _ in range(300):  # exceeds the buffer of a pipe
            assert Client().get("/nothing").status_code == 404
        assert not select.select((), (output,), (), 0)[1]


def test_closed_standard_output_does_not_fail_requests(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.LOG_REQUESTS = True
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert Client().get("/nothing").status_code == 404


# Threads and processes


@pytest.mark.database_independent
def test_lines_of_concurrent_processes_are_not_interleaved(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        send_concurrent_requests(server, 200)
        server.stop()
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) == 200
    assert len({line["request_id"] for line in requests}) == 200
    assert any("Booting worker" in line["event"] for line in lines)


def send_concurrent_requests(server: Server, count: int) -> None:
    with httpx.Client(timeout=TIMEOUT, verify=NO_TLS) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get(f"{server.url}/api/top-clients/"), range(count)))
