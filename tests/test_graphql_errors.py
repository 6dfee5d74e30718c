"""What a client is told of an error, what is logged of it, and a database that does not answer."""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from deals_api.global_ids import write_row_id
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots import current as current_snapshot
from tests import services
from tests.builders import csv_of, deal, load
from tests.graphql import PATH, ask, data, error, post
from tests.servers import TIMEOUT, serving

pytestmark = pytest.mark.django_db

ROW = write_row_id("Gem", 1, uuid.UUID(int=0))
NUMBERED_UPLOAD = base64.b64encode(b"Upload:5").decode()
NODES = "{deals {nodes {customer {username} gem {name}}}}"

#: What is asked, and the code and the beginning of the sentence that it earns.
MISTAKES = [
    ("", "graphql_unreadable", "query is missing: a string"),
    ("{", "graphql_unreadable", "Syntax Error: Expected Name, found <EOF>."),
    ('{customer(username: "\\ud800") {id}}', "graphql_unreadable", "Syntax Error: Invalid Unicode escape sequence"),
    ("{nothing}", "graphql_invalid", "Cannot query field 'nothing' on type 'Query'."),
    ("{deals}", "graphql_invalid", "Field 'deals' of type 'DealConnection!' must have a selection of subfields."),
    ("query ($a: Int!) {topClients(limit: $a) {username}}", "graphql_invalid", "Variable '$a'"),
    ('{topClients(limit: "5") {username}}', "graphql_invalid", "Int cannot represent non-integer value"),
    ("{deals(orderBy: NAME) {totalCount}}", "graphql_invalid", "Value 'NAME' does not exist in 'DealOrder' enum."),
    ("{deals(filter: {nothing: 1}) {totalCount}}", "graphql_invalid", "Expected value of type 'DealFilter' not to"),
    ("{deals(first: 101) {totalCount}}", "limit_exceeded", "first may be 0 to 100, not 101."),
    ("{topClients(limit: 0) {username}}", "limit_exceeded", "limit may be 1 to 100, not 0."),
    ("{deals(first: 1, last: 1) {totalCount}}", "bad_input", "Ask for the first rows or for the last ones, not"),
    ('{deals(after: "x") {totalCount}}', "bad_input", "Invalid cursor"),
    ('{node(id: "x") {id}}', "bad_input", "Invalid id."),
    (f'{{upload(id: "{ROW}") {{id}}}}', "bad_input", "Expected the id of an Upload, not of a Gem."),
    ("{dealStats(orderBy: GEM_ASC) {total}}", "bad_input", "The groups can be ordered by gem only if"),
    (f'{{deals(upload: "{NUMBERED_UPLOAD}") {{totalCount}}}}', "bad_input", "Invalid id."),
]  # fmt: skip


@pytest.mark.parametrize(("query", "code", "sentence"), MISTAKES)
def test_a_clients_mistake_is_told_plainly_and_not_logged(
    query: str, code: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    load(deal())
    told = post(query).json()["errors"][0]
    assert told["message"].startswith(sentence)
    assert told["extensions"] == {"code": code}
    assert [record for record in caplog.records if record.name != "django.request"] == []


def test_an_error_says_where_it_is() -> None:
    load(deal())
    told = error('{customers {nodes {username deals(after: "x") {totalCount}}}}')
    assert told["path"] == ["customers", "nodes", 0, "deals"]
    assert told["locations"] == [{"line": 1, "column": 29}]


def test_an_error_leaves_the_rest_of_the_answer() -> None:
    load(deal())
    answer = ask('{customer(username: "ann") {deals(after: "x") {totalCount}} topClients {username}}')
    assert answer["data"] == {"customer": None, "topClients": [{"username": "ann"}]}
    assert [told["path"] for told in answer["errors"]] == [["customer", "deals"]]


def test_no_more_than_five_errors_are_told() -> None:
    load(deal())
    wrong = 'customer(username: "ann") {deals(after: "x") {totalCount}}'
    answer = ask("{" + " ".join(f"a{number}: {wrong}" for number in range(9)) + "}")
    assert len(answer["errors"]) == 5
    assert list(answer["data"].values()) == [None] * 9


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a fault in the service."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(top_clients_report, "top_clients", fail)


@pytest.mark.usefixtures("broken")
def test_a_fault_of_ours_is_masked_and_logged_once_under_the_requests_id(caplog: pytest.LogCaptureFixture) -> None:
    load(deal())
    body = json.dumps({"query": "{topClients {username}}"})
    answer = Client().post(PATH, body, content_type="application/json", headers={"X-Request-ID": "abc-1.2"})
    assert answer.json()["data"] is None
    (told,) = answer.json()["errors"]
    assert told["message"] == "Something went wrong on our side; it has been logged."
    assert told["extensions"] == {"code": "internal_error", "requestId": "abc-1.2"}
    assert b"secret" not in answer.content
    (record,) = caplog.records
    assert (record.levelno, "abc-1.2" in record.getMessage()) == (logging.ERROR, True)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


@pytest.mark.usefixtures("broken")
def test_a_request_without_a_good_id_is_given_one() -> None:
    load(deal())
    body = json.dumps({"query": "{topClients {username}}"})
    given = set()
    for headers in ({}, {}, {"X-Request-ID": "a b"}, {"X-Request-ID": "x" * 65}, {"X-Request-ID": "\n"}):
        answer = Client().post(PATH, body, content_type="application/json", headers=headers)
        given.add(answer.json()["errors"][0]["extensions"]["requestId"])
    assert len(given) == 5
    assert all(len(one) == 16 and one.isalnum() for one in given)


# A database in trouble


def must_be_told_to_wait(answer: Any) -> None:
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    (told,) = answer.json()["errors"]
    assert told["extensions"] == {"code": "database_busy"}
    assert told["message"] == "The database does not answer just now; try again in a moment."


@contextmanager
def failing(where: str, failure: Exception) -> Iterator[None]:
    """Statements that read this table fail."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if f'FROM "deals_api_{where}"' in sql:
            raise failure
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield


@pytest.mark.parametrize("failure", [OperationalError("gone"), InterfaceError("gone")], ids=repr)
@pytest.mark.parametrize("where", ["currentupload", "deal", "gem", "upload"])
def test_a_database_that_fails_anywhere_is_a_503(where: str, failure: Exception) -> None:
    load(deal())
    current_snapshot.current_upload.invalidate()
    with failing(where, failure):
        must_be_told_to_wait(post(NODES))
        assert where not in ("currentupload", "upload") or Client().get("/api/top-clients/").status_code == 503
    assert data(NODES)["deals"]["nodes"] == [{"customer": {"username": "ann"}, "gem": {"name": "ruby"}}]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_breaks_in_the_middle_is_a_503_and_the_next_request_has_a_new_one(on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("needs PostgreSQL")
    load(deal())
    begun: list[str] = []

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "deals_api_gem"' in sql and not begun:
            begun.append(sql)
            end_connection(connection.connection.get_backend_pid())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        must_be_told_to_wait(post(NODES))
    assert begun
    assert data(NODES)["deals"]["nodes"] == [{"customer": {"username": "ann"}, "gem": {"name": "ruby"}}]


def end_connection(pid: int) -> None:
    """As an operator does it, or a restart of the database."""
    entry = connection.settings_dict
    with (
        psycopg2.connect(
            host=entry["HOST"], port=entry["PORT"], user=entry["USER"], password=entry["PASSWORD"], dbname=entry["NAME"]
        ) as other,
        other.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()


def test_a_database_that_is_stopped_is_a_503_until_it_is_started_again(tmp_path: Path) -> None:
    with services.postgres() as (postgres, url), serving(tmp_path, DATABASE_URL=url) as server:

        def asked(query: str) -> httpx.Response:
            return httpx.post(server.url + PATH, json={"query": query}, timeout=TIMEOUT)

        server.upload(csv_of(deal()))
        known = asked(NODES)
        assert known.status_code == 200
        postgres.stop()
        for _ in range(3):
            must_be_told_to_wait(asked("{gems {totalCount}}"))
            must_be_told_to_wait(asked(NODES))
        assert server.get("/health/live").status_code == 200
        postgres.start()
        deadline = time.monotonic() + TIMEOUT
        while asked(NODES).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert asked(NODES).content == known.content
        assert "Traceback" not in server.log.read_text()
