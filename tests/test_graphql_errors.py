"""GraphQL errors: messages, codes and logs; failures of the database."""

from __future__ import annotations

import base64
import json
import logging
import re
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

from deals_api.errors import INTERNAL_ERROR_MESSAGE, DatabaseBusy
from deals_api.global_ids import write_row_id
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots import current as current_snapshot
from tests import services
from tests.builders import csv_of, deal, load
from tests.graphql import PATH, data, error, execute_query, post
from tests.servers import NO_TLS, TIMEOUT, serving

pytestmark = pytest.mark.django_db

GEM_ID = write_row_id("Gem", 1, uuid.UUID(int=0))
NUMBERED_UPLOAD = base64.b64encode(b"Upload:5").decode()
MONEY_FILTER = "query ($f: MoneyFilter) {customers(filter: {spentMoney: $f}) {totalCount}}"
NODES = "{deals {nodes {customer {username} gem {name}}}}"

#: A query, the code of its error and the beginning of the error message.
CLIENT_ERRORS = [
    ("", "graphql_unreadable", "query is missing: a string"),
    ("{", "graphql_unreadable", "Syntax Error: Expected Name, found <EOF>."),
    ('{customer(username: "\\ud800") {id}}', "graphql_unreadable", "Syntax Error: Invalid Unicode escape sequence"),
    ("{nothing}", "graphql_invalid", 'Cannot query field "nothing" on type "Query".'),
    ("{deals}", "graphql_invalid", 'Field "deals" of type "DealConnection" must have a selection of subfields.'),
    ("query ($a: Int!) {topClients(limit: $a) {username}}", "graphql_invalid", 'Variable "$a"'),
    ('{topClients(limit: "5") {username}}', "graphql_invalid", "Int cannot represent non-integer value"),
    ("{deals(orderBy: NAME) {totalCount}}", "graphql_invalid", 'Value "NAME" does not exist in "DealOrder" enum.'),
    ("{deals(filter: {nothing: 1}) {totalCount}}", "graphql_invalid", 'Expected value of type "DealFilter" not to'),
    ("{deals(first: 101) {totalCount}}", "limit_exceeded", "first may be 0 to 100, not 101."),
    ("{topClients(limit: 0) {username}}", "limit_exceeded", "limit may be 1 to 100, not 0."),
    ("{deals(first: 1, last: 1) {totalCount}}", "bad_input", "Use either first or last, not both."),
    ('{deals(after: "x") {totalCount}}', "bad_input", "Invalid cursor"),
    ('{node(id: "x") {id}}', "bad_input", "Invalid id."),
    (f'{{upload(id: "{GEM_ID}") {{id}}}}', "bad_input", "Expected the id of an Upload, not of a Gem."),
    ("{dealStats(orderBy: GEM_ASC) {nodes {total}}}", "bad_input", "The groups can be ordered by gem only if"),
    (f'{{deals(upload: "{NUMBERED_UPLOAD}") {{totalCount}}}}', "bad_input", "Invalid id."),
]  # fmt: skip


@pytest.mark.parametrize(("query", "code", "message"), CLIENT_ERRORS)
def test_client_error_is_reported_and_not_logged(
    query: str, code: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    load(deal())
    reported = post(query).json()["errors"][0]
    assert reported["message"].startswith(message)
    assert reported["extensions"] == {"code": code}
    assert [record for record in caplog.records if record.name != "django.request"] == []


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        ("query ($f: Int!) {deals(first: $f) {totalCount}}", {"f": None}, "not to be null."),
        ("query ($f: Int!) {deals(first: $f) {totalCount}}", {"f": True}, "non-integer value: true"),
        ("query ($f: DealFilter) {deals(filter: $f) {totalCount}}", {"f": [None, False]}, "found: [null, false]."),
        ("{customer(username: null) {id}}", {}, "not to be null."),
        ("{None}", {}, 'Cannot query field "None" on type "Query".'),
        ('{deals(filter: {total: {eq: "None"}}) {totalCount}}', {}, 'such as "612" or "100.50", not "None".'),
        (MONEY_FILTER, {"f": "True"}, 'found: "True".'),
        (MONEY_FILTER, {"f": "it's \"\0"}, r"""found: "it's \"\u0000"."""),
    ],
)
def test_error_messages_write_values_as_json_does(query: str, variables: dict[str, Any], message: str) -> None:
    """``None``, ``True`` and ``False`` in texts of the request are unchanged."""
    load(deal())
    assert error(query, **variables)["message"].endswith(message)


def test_error_has_a_path_and_a_location() -> None:
    load(deal())
    reported = error('{customers {nodes {username deals(after: "x") {totalCount}}}}')
    assert reported["path"] == ["customers", "nodes", 0, "deals"]
    assert reported["locations"] == [{"line": 1, "column": 29}]


def test_error_of_one_field_keeps_the_other_fields() -> None:
    load(deal())
    response = execute_query('{customer(username: "ann") {deals(after: "x") {totalCount}} topClients {username}}')
    assert response["data"] == {"customer": None, "topClients": [{"username": "ann"}]}
    assert [reported["path"] for reported in response["errors"]] == [["customer", "deals"]]


@pytest.mark.parametrize(
    "rejected",
    [
        'topClients(upload: "x") {username}',
        "topClients(limit: 101) {username}",
        'customers(after: "x") {totalCount}',
        "gems(first: 101) {totalCount}",
        'deals(before: "x") {totalCount}',
        "dealStats(orderBy: GEM_ASC) {totalCount}",
        'uploads(after: "x") {totalCount}',
        'upload(id: "x") {id}',
        'node(id: "x") {id}',
        'customer(username: "ann", upload: "x") {id}',
        'gem(name: "ruby", upload: "x") {id}',
    ],
)
def test_rejected_root_field_keeps_the_other_root_fields(rejected: str) -> None:
    load(deal())
    response = execute_query(f"{{before: topClients {{username}} {rejected} after: gems {{totalCount}}}}")
    (problem,) = response["errors"]
    assert len(problem["path"]) == 1
    kept = {"before": [{"username": "ann"}], "after": {"totalCount": 1}}
    assert response["data"] == {**kept, problem["path"][0]: None}


def test_response_has_at_most_five_errors() -> None:
    load(deal())
    invalid = 'customer(username: "ann") {deals(after: "x") {totalCount}}'
    response = execute_query("{" + " ".join(f"a{number}: {invalid}" for number in range(9)) + "}")
    assert len(response["errors"]) == 5
    assert list(response["data"].values()) == [None] * 9


@pytest.fixture
def _broken_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the top-clients report fail."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(top_clients_report, "top_clients", fail)


@pytest.mark.usefixtures("_broken_report")
def test_internal_error_is_masked_and_logged_once_with_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    load(deal())
    body = json.dumps({"query": "{topClients {username}}"})
    response = Client().post(PATH, body, content_type="application/json", headers={"X-Request-ID": "abc-1.2"})
    assert response.json()["data"] == {"topClients": None}
    (reported,) = response.json()["errors"]
    assert reported["message"] == INTERNAL_ERROR_MESSAGE
    assert reported["extensions"] == {"code": "internal_error", "requestId": "abc-1.2"}
    assert b"secret" not in response.content
    (record,) = caplog.records
    assert (record.levelno, "abc-1.2" in record.getMessage()) == (logging.ERROR, True)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


@pytest.mark.usefixtures("_broken_report")
def test_request_without_a_valid_id_gets_a_new_one() -> None:
    load(deal())
    body = json.dumps({"query": "{topClients {username}}"})
    request_ids = set()
    for headers in ({}, {}, {"X-Request-ID": "a b"}, {"X-Request-ID": "x" * 65}, {"X-Request-ID": "\n"}):
        response = Client().post(PATH, body, content_type="application/json", headers=headers)
        request_ids.add(response.json()["errors"][0]["extensions"]["requestId"])
    assert len(request_ids) == 5
    assert all(len(request_id) == 16 and request_id.isalnum() for request_id in request_ids)


# Failures of the database


def assert_database_busy(response: Any) -> None:
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    (reported,) = response.json()["errors"]
    assert reported["extensions"] == {"code": "database_busy"}
    assert reported["message"] == DatabaseBusy().message


@contextmanager
def failing(table: str, failure: Exception) -> Iterator[None]:
    """Make statements that read this table fail."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.search(rf'(FROM|JOIN) "deals_api_{table}"', sql):
            raise failure
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield


@pytest.mark.parametrize("failure", [OperationalError("gone"), InterfaceError("gone")], ids=repr)
@pytest.mark.parametrize("table", ["currentupload", "deal", "gem", "upload"])
def test_failing_database_is_a_503_for_every_table(table: str, failure: Exception) -> None:
    load(deal())
    current_snapshot.current_upload.invalidate()
    with failing(table, failure):
        assert_database_busy(post(NODES))
        assert table not in ("currentupload", "upload") or Client().get("/api/top-clients/").status_code == 503
    assert data(NODES)["deals"]["nodes"] == [{"customer": {"username": "ann"}, "gem": {"name": "ruby"}}]


@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.django_db(transaction=True)
def test_lost_connection_is_a_503_and_is_replaced() -> None:
    load(deal())
    terminated: list[str] = []

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "deals_api_gem"' in sql and not terminated:
            terminated.append(sql)
            terminate_backend(connection.connection.get_backend_pid())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        assert_database_busy(post(NODES))
    assert terminated
    assert data(NODES)["deals"]["nodes"] == [{"customer": {"username": "ann"}, "gem": {"name": "ruby"}}]


def terminate_backend(pid: int) -> None:
    """Close a connection on the side of the database, as an administrator can."""
    entry = connection.settings_dict
    with (
        psycopg2.connect(
            host=entry["HOST"], port=entry["PORT"], user=entry["USER"], password=entry["PASSWORD"], dbname=entry["NAME"]
        ) as admin,
        admin.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    admin.close()


def test_stopped_database_is_a_503_until_it_starts_again(tmp_path: Path) -> None:
    with services.postgres() as (postgres, url), serving(tmp_path, DATABASE_URL=url) as server:

        def send(query: str) -> httpx.Response:
            return httpx.post(server.url + PATH, json={"query": query}, timeout=TIMEOUT, verify=NO_TLS)

        server.upload(csv_of(deal()))
        first = send(NODES)
        assert first.status_code == 200
        postgres.stop()
        for _ in range(3):
            assert_database_busy(send("{gems {totalCount}}"))
            assert_database_busy(send(NODES))
        assert server.get("/health/live").status_code == 200
        postgres.start()
        deadline = time.monotonic() + TIMEOUT
        while send(NODES).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert send(NODES).content == first.content
        assert "Traceback" not in server.log.read_text()
