"""What is told of each request: one line of JSON, the same id everywhere, and nothing that a client could write."""

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
from tests.servers import TIMEOUT, Server, serving

pytestmark = pytest.mark.django_db
Told = Callable[[], list[dict[str, Any]]]

FIELDS = {"time", "level", "event", "request_id", "client", "user", "method", "path", "endpoint", "operation", "status",
          "code", "bytes", "ms", "cache", "sql", "cost"}  # fmt: skip


@pytest.fixture
def told(capfdbinary: pytest.CaptureFixture[bytes], settings: Settings) -> Told:
    """The lines that were written since the last time."""
    settings.LOG_REQUESTS = True
    capfdbinary.readouterr()

    def read() -> list[dict[str, Any]]:
        out = capfdbinary.readouterr().out
        assert out.isascii()
        assert not any(byte < 32 for byte in out if byte != 10)
        return [json.loads(line) for line in out.splitlines()]

    return read


def graphql(query: str, **more: Any) -> Any:
    return Client().post("/graphql/", {"query": query, **more}, content_type="application/json")


# One line


def test_a_request_is_one_line_that_says_what_it_took(told: Told) -> None:
    load(deal())
    told()
    answer = Client().get("/api/top-clients/", headers={"X-Request-ID": "abc-1.2"})
    (line,) = told()
    assert line.keys() == FIELDS
    said = {name: line[name] for name in FIELDS - {"time", "ms", "sql"}}
    assert said == {
        "level": "info", "event": "request", "request_id": "abc-1.2", "client": "127.0.0.1", "user": "",
        "method": "GET",
        "path": "/api/top-clients/", "endpoint": "top-clients", "operation": "", "status": 200, "code": "",
        "bytes": len(answer.content), "cache": "miss", "cost": None,
    }  # fmt: skip
    assert line["sql"] >= 2
    assert line["ms"] > 0


def test_a_line_says_whether_the_cache_had_the_answer(told: Told) -> None:
    load(deal())
    client, query = Client(), "query Mine { deals { totalCount } }"
    etag = client.get("/api/top-clients/")["ETag"]
    client.get("/api/top-clients/")
    client.get("/api/top-clients/", headers={"If-None-Match": etag})
    for _ in range(2):
        graphql(query)
    client.get("/api/exports/deals.csv").getvalue()
    lines = told()
    assert [line["cache"] for line in lines] == ["miss", "hit", "304", "miss", "hit", "-"]
    assert [line["operation"] for line in lines] == ["", "", "", "Mine", "Mine", ""]
    assert [line["cost"] for line in lines[3:]] == [2, None, None]


def test_a_stream_is_told_when_it_ends_with_the_bytes_that_were_sent(told: Told) -> None:
    load(*(deal() for _ in range(3)))
    told()
    answer: Any = Client().get("/api/exports/deals.csv")
    assert told() == []
    content = answer.getvalue()
    answer.close()
    (line,) = told()
    assert (line["endpoint"], line["bytes"]) == ("deals-csv", len(content))


def test_what_is_done_after_the_answer_is_no_part_of_it(told: Told) -> None:
    Client().get("/nothing")
    load(deal())
    assert [line["sql"] for line in told()] == [0]


def test_a_refusal_is_told_by_its_code(told: Told) -> None:
    Client().get("/api/top-clients/?limit=x")
    graphql("{ nothing }")
    Client().get("/nothing/here")
    assert [(line["status"], line["code"]) for line in told()] == [
        (400, "invalid"), (200, "graphql_invalid"), (404, "not_found")
    ]  # fmt: skip


def test_probes_are_told_when_they_fail(told: Told) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        Client().get(path)
    assert told() == []
    Client().post("/health/live")
    assert [line["status"] for line in told()] == [405]


def test_nothing_is_told_where_nobody_wants_it(told: Told) -> None:
    with override_settings(LOG_REQUESTS=False):
        Client().get("/api/top-clients/")
        assert told() == []


def test_nothing_of_a_question_is_told(told: Told) -> None:
    Client().get("/graphql/", {"query": '{ customer(username: "secret") { username } }'})
    graphql('{ customer(username: "secret") { username } }')
    assert "secret" not in json.dumps(told())


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\r\nb", "\x1b[31mred", "\x9b31m", "\u2028", "ж", "\x7f", "\x00", '"}\n{"event":"mine"', "x" * 100_000],
)
def test_whatever_a_client_writes_stays_within_its_line(name: str, told: Told) -> None:
    graphql("{ __typename }", operationName=name)
    Client().get("/" + name)
    with override_settings(PROXIES=1):
        Client().get("/nothing", headers={"X-Forwarded-For": name, "X-Request-ID": name})
    Client().generic(name, "/nothing")
    lines = told()
    assert len(lines) == 4
    assert all(line.keys() == FIELDS for line in lines)
    assert max(len(json.dumps(line)) for line in lines) < 4096


# The id


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "\n", "ж", "a\x1b[0m", 'a"b'])
def test_an_id_that_is_not_well_formed_is_replaced(given: str, told: Told) -> None:
    answer = Client().get("/api/top-clients/", headers={"X-Request-ID": given})
    (line,) = told()
    assert len(answer["X-Request-ID"]) == 16
    assert line["request_id"] == answer["X-Request-ID"]


@pytest.mark.parametrize("path", ["/api/top-clients/", "/nothing", "/graphql/", "/health/live", "/metrics", "/admin/"])
def test_every_answer_has_its_requests_id_and_its_times(path: str) -> None:
    answer = Client().get(path, headers={"X-Request-ID": "mine"})
    assert answer["X-Request-ID"] == "mine"
    assert "total;dur=" in answer["Server-Timing"]


def test_the_times_say_what_the_database_and_the_cache_did() -> None:
    load(deal())
    first, again = (Client().get("/api/top-clients/")["Server-Timing"] for _ in range(2))
    assert re.fullmatch(r'cache;desc=miss, db;dur=[0-9.]+;desc="statements: [0-9]+", total;dur=[0-9.]+', first)
    assert again.startswith("cache;desc=hit, ")


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("secret")


def test_a_failure_has_one_id_in_the_answer_in_its_line_and_in_the_traceback(
    monkeypatch: pytest.MonkeyPatch, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    load(deal())
    told()
    monkeypatch.setattr(top_clients_report, "top_clients", fail)
    client = Client(raise_request_exception=False)
    answer = client.get("/api/top-clients/", headers={"X-Request-ID": "mine-500"})
    (line,) = told()
    assert (answer.status_code, answer["X-Request-ID"]) == (500, "mine-500")
    assert (line["status"], line["level"], line["request_id"]) == (500, "error", "mine-500")
    traceback = json.loads(logs.formatter().format(caplog.records[-1]))
    assert traceback["request_id"] == "mine-500"
    assert traceback["exception"].endswith("RuntimeError: secret")


# What is not about a request


def test_what_else_is_told_is_one_line_of_json_too() -> None:
    try:
        fail()
    except RuntimeError:
        record = logging.LogRecord("deals", logging.ERROR, "x.py", 1, "It\n\x1b[31m %s", ("ж",), sys.exc_info())
    text = logs.formatter().format(record)
    assert text.isprintable()
    assert text.isascii()
    told = json.loads(text)
    assert (told["level"], told["event"]) == ("error", "It\n\x1b[31m ж")
    assert told["exception"].endswith("RuntimeError: secret")


# Standard output


def test_blocked_log_reader_does_not_block_requests(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.LOG_REQUESTS = True
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as output:
        monkeypatch.setattr(sys, "stdout", output)
        for _ in range(300):  # more than a pipe holds
            assert Client().get("/nothing").status_code == 404
        assert not select.select((), (output,), (), 0)[1]


def test_closed_standard_output_does_not_fail_requests(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.LOG_REQUESTS = True
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert Client().get("/nothing").status_code == 404


# Lines of many threads and processes


def test_lines_of_all_processes_are_whole(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        ask_in_parallel(server, 200)
        server.stop()
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    asked = [line for line in lines if line["event"] == "request"]
    assert len(asked) == 200
    assert len({line["request_id"] for line in asked}) == 200
    assert any("Booting worker" in line["event"] for line in lines)


def ask_in_parallel(server: Server, times: int) -> None:
    with httpx.Client(timeout=TIMEOUT) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get(f"{server.url}/api/top-clients/"), range(times)))
