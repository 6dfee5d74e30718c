"""Limits in bytes: of a response, during and after its execution, and of the cache of parsed documents."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from graphql import parse

from deals_api.models import SnapshotRow
from graphql_schema.execution import document_cache
from graphql_schema.execution.executor import BoundedExecutor
from graphql_schema.types import TopClient
from tests.builders import deal, load
from tests.graphql import PATH, execute_query, post

pytestmark = pytest.mark.django_db

MESSAGE = "The response is over 10,000 bytes; request less, or download an export."
EMOJI = "\N{GEM STONE}"


@pytest.fixture
def _limit_of_10_000_bytes(limits: Any) -> None:
    limits(max_response_bytes=10_000)


def load_names(name: str, customers: int = 5, gems: int = 5) -> None:
    load(*(deal(f"{name}{c}", f"{name}{g}") for c in range(customers) for g in range(gems)))


@pytest.mark.usefixtures("_limit_of_10_000_bytes")
@pytest.mark.parametrize(
    "query",
    ["{deals(first: 25) {nodes {customer {username} gem {name}}}}", "{topClients {a: gems b: gems c: gems}}",
     "{deals(first: 25) {nodes {%s: total}}}" % ("a" * 500)],
    ids=["strings", "lists of strings", "long aliases"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("media_type", "status"), [("application/json", 200), ("application/graphql-response+json", 400)]
)
def test_large_graphql_response_is_one_error_without_data(query: str, media_type: str, status: int) -> None:
    load_names(EMOJI * 60)
    response = Client().post(
        PATH, json.dumps({"query": query}), content_type="application/json", headers={"Accept": media_type}
    )
    assert response.status_code == status
    body = response.json()
    assert body["errors"] == [{"message": MESSAGE, "extensions": {"code": "limit_exceeded"}}]
    assert "data" not in body
    assert "ETag" not in response


@pytest.mark.usefixtures("_limit_of_10_000_bytes")
def test_json_punctuation_is_counted() -> None:
    load_names("x", 10, 10)
    fields = " ".join(f"a{number}: quantity" for number in range(25))
    assert execute_query(f"{{deals(first: 100) {{nodes {{{fields}}}}}}}")["errors"][0]["message"] == MESSAGE


@pytest.mark.usefixtures("_limit_of_10_000_bytes")
def test_response_within_the_limit_is_complete() -> None:
    load_names(EMOJI * 20)
    response = post("{deals(first: 25) {nodes {customer {username} gem {name}}}}")
    assert "errors" not in response.json()
    assert len(response.content) > 5_000


@pytest.mark.usefixtures("_limit_of_10_000_bytes")
def test_execution_stops_when_the_response_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    load_names(EMOJI * 200)
    objects = []
    execute_fields = BoundedExecutor.execute_fields

    def record(self: BoundedExecutor, *arguments: Any) -> Any:
        objects.append(1)
        return execute_fields(self, *arguments)

    monkeypatch.setattr(BoundedExecutor, "execute_fields", record)
    execute_query("{deals(first: 25) {nodes {customer {username} gem {name}}}}")
    assert len(objects) < 40  # the complete response has 77


@pytest.mark.usefixtures("_limit_of_10_000_bytes")
def test_large_rest_response_is_rejected_and_its_export_is_not() -> None:
    load_names(EMOJI * 200)
    response = Client().get("/api/top-clients/")
    assert response.status_code == 400
    assert response.json() == {"Status": "Error", "Desc": MESSAGE, "Code": "limit_exceeded"}
    exported = Client().get("/api/exports/top-clients.ndjson")
    assert exported.status_code == 200
    assert len(exported.getvalue()) > 20_000
    assert Client().get("/api/top-clients/?limit=1").status_code == 200


@pytest.mark.usefixtures("_limit_of_10_000_bytes")
@pytest.mark.parametrize(
    "send",
    [lambda: Client().get("/api/top-clients/"), lambda: post("{topClients {gems}}")],
    ids=["REST", "GraphQL"],
)
def test_names_over_the_limit_are_not_read(send: Callable[[], Any]) -> None:
    load_names("x" * 250, gems=10)
    with CaptureQueriesContext(connection) as captured:
        send()
    statements = [statement["sql"] for statement in captured]
    assert [sql for sql in statements if '"name"' in sql and "SUM(" not in sql] == []


def rows_in_memory() -> list[object]:
    return [row for row in gc.get_objects() if issubclass(type(row), SnapshotRow | TopClient)]


@pytest.mark.usefixtures("_limit_of_10_000_bytes")
@pytest.mark.parametrize("length", [20, 200], ids=["within the limit", "over the limit"])
def test_rows_of_an_operation_are_freed_without_the_garbage_collector(length: int) -> None:
    """The garbage collector runs after a number of allocations, and a few objects can hold megabytes of names."""
    load_names(EMOJI * length)
    fields = "customer {username} gem {name}"
    query = "{topClients {gems customer {username deals(first: 2) {nodes {%s}}}} deals(first: 9) {nodes {%s}}}"
    gc.collect()
    rows_of_other_tests = set(map(id, rows_in_memory()))
    gc.disable()
    try:
        rejected = "errors" in execute_query(query % (fields, fields))
        rows = [row for row in rows_in_memory() if id(row) not in rows_of_other_tests]
    finally:
        gc.enable()
    assert rejected == (length == 200)
    assert rows == []


# Parsed documents


@pytest.mark.parametrize(
    "query",
    ["{%s}" % ("a " * 998), "{%s}" % ("a:b " * 330), "{%s}" % ("a(b:1)" * 160), "{a}#" + EMOJI * 16_000,
     "{a}" + "#\n" * 30_000, "{a %s}" % ("@b " * 490), '{a(b:"%s")}' % ("x" * 60_000)],
    ids=["fields", "aliases", "arguments", "long comment", "comments", "directives", "string"],
)  # fmt: skip
def test_memory_of_a_document_is_not_underestimated(query: str) -> None:
    parse("{a}")
    tracemalloc.start()
    document = parse(query)
    measured, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert measured + len(query.encode("utf-32")) - 4 <= document_cache.memory_of(document) + 10_000


def test_documents_with_many_comments_stay_within_the_cache_limit() -> None:
    for number in range(30):
        execute_query("{__typename}" + "#\n" * 1_000 + f"#{number}")
    assert 1_000_000 < document_cache.documents.bytes <= document_cache.MAX_BYTES


def test_only_valid_documents_are_cached() -> None:
    load(deal())
    query, invalid = "query ($n: Int) {deals(first: $n) {totalCount}}", "{nothing}"
    document_cache.documents.clear()
    for number in (1, 2):
        assert "errors" not in execute_query(query, n=number)
        assert "errors" in execute_query(invalid)
    assert [key[0] for key in document_cache.documents._entries] == [query]  # type: ignore[index]


def test_cached_document_is_checked_against_changed_limits(limits: Any) -> None:
    load(deal())
    assert "errors" not in execute_query("{deals {totalCount}}")
    limits(max_query_depth=1)
    assert execute_query("{deals {totalCount}}")["errors"][0]["extensions"]["code"] == "limit_exceeded"
    limits(max_query_depth=12, max_query_tokens=3)
    assert execute_query("{deals {totalCount}}")["errors"][0]["extensions"]["code"] == "limit_exceeded"
