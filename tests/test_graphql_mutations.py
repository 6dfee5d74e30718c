"""``query`` in the results of mutations: what it reads, and its limits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from deals_api.models import Upload
from tests.builders import deal, load
from tests.graphql import clear_caches, data, execute_query, id_of, post

pytestmark = pytest.mark.django_db

TOTAL = "query {deals {nodes {total}} currentUpload {id}}"
ACTIVATE = (
    "activateUpload(id: %s) {... on UploadActivated {" + TOTAL + "} ... on UploadNotRetained {code " + TOTAL + "}}"
)


def activate(upload: Upload) -> str:
    return ACTIVATE % f'"{id_of(upload)}"'


def state(upload: Upload, total: str) -> Any:
    return {"query": {"deals": {"nodes": [{"total": total}]}, "currentUpload": {"id": id_of(upload)}}}


def test_query_reads_the_state_after_the_mutation() -> None:
    old, new = load(deal(total="1")), load(deal(total="2"))
    assert data(f"mutation {{{activate(old)}}}")["activateUpload"] == state(old, "1")
    assert data(f"mutation {{a: {activate(new)} b: {activate(old)}}}") == {"a": state(new, "2"), "b": state(old, "1")}


def test_query_after_a_failed_mutation_reads_the_unchanged_state() -> None:
    upload = load(deal(total="1"))
    result = data(f"mutation {{{activate(Upload())}}}")["activateUpload"]
    assert result == {"code": "upload_not_retained", **state(upload, "1")}


def test_rejected_mutation_keeps_the_results_of_the_others() -> None:
    old, _ = load(deal(total="1")), load(deal(total="2"))
    response = execute_query(f'mutation {{a: activateUpload(id: "x") {{__typename}} b: {activate(old)}}}')
    assert [problem["path"] for problem in response["errors"]] == [["a"]]
    assert response["data"] == {"a": None, "b": state(old, "1")}


def test_query_after_a_mutation_is_not_cached() -> None:
    old, _ = load(deal(total="1")), load(deal(total="2"))
    response = post(f"mutation {{{activate(old)}}}")
    assert (response["Cache-Control"], "ETag" in response) == ("no-store", False)
    rows = {"deals": {"nodes": [{"total": "1"}]}}
    assert Client().get("/graphql/", {"query": "{deals {nodes {total}}}"}).json()["data"] == rows


def test_query_after_a_mutation_has_the_cost_of_the_query() -> None:
    load(deal())
    upload = load(deal(total="2"))
    query = "deals(first: 50) {totalCount nodes {id total customer {username}}}"
    mutation = f'mutation {{activateUpload(id: "{id_of(upload)}") {{... on UploadActivated {{query {{%s}}}}}}}}'

    def cost(document: str) -> int:
        clear_caches()
        requested: int = execute_query(document)["extensions"]["cost"]["requested"]
        return requested

    added = cost(mutation % query) - cost(mutation % "__typename")
    assert abs(added - (cost(f"{{{query}}}") - cost("{__typename}"))) <= 2


def test_query_after_a_mutation_has_the_limits_of_a_query(limits: Any) -> None:
    upload = load(deal())
    roots = "query {a: gems {totalCount} b: gems {totalCount}}"
    mutation = f'activateUpload(id: "{id_of(upload)}") {{... on UploadActivated {{%s}}}}'
    limits(max_root_fields=3)
    data(f"mutation {{{mutation % roots}}}")
    limits(max_root_fields=2)
    (problem,) = execute_query(f"mutation {{{mutation % roots}}}")["errors"]
    assert problem["message"] == "The document has more than 2 root fields."
    limits(max_sql_queries=1)
    relation = "query {deals {nodes {customer {gems {nodes {id}}}}}}"
    (problem,) = execute_query(f"mutation {{{mutation % relation}}}")["errors"]
    assert problem["message"] == "The operation takes more than 1 statements."


#: A statement that takes a second or more.
SLOW = {
    "sqlite": "WITH RECURSIVE n AS (SELECT 1 AS i UNION SELECT i + 1 FROM n WHERE i < 300000000) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}
#: A statement that takes longer than the limit of the test, but ends.
SLOWER_THAN_THE_LIMIT = {
    "sqlite": SLOW["sqlite"].replace("300000000", "1500000"),
    "postgresql": "SELECT pg_sleep(1.2)",
}


@contextlib.contextmanager
def slow(statements: dict[str, str], table: str) -> Iterator[None]:
    """Execute a slow statement before each statement that reads this table."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if f'FROM "deals_api_{table}"' in sql:
            execute(statements[connection.vendor], None, many, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield


@pytest.mark.django_db(transaction=True)
def test_time_limit_applies_to_the_query_and_not_to_the_mutation(limits: Any) -> None:
    upload = load(deal(total="1"))
    limits(max_query_seconds=1)
    with slow(SLOWER_THAN_THE_LIMIT, "currentupload"):
        assert data(f"mutation {{{activate(upload)}}}")["activateUpload"] == state(upload, "1")
    with slow(SLOW, "deal"):
        response = execute_query(f"mutation {{{activate(upload)}}}")
    (problem,) = response["errors"]
    assert problem["message"] == "The database needs more than 1 s for the operation."
    assert response["data"]["activateUpload"]["query"] == {"deals": None, "currentUpload": {"id": id_of(upload)}}


@pytest.mark.django_db(transaction=True)
def test_rows_read_before_a_second_mutation_are_validated() -> None:
    """The first result has rows of an upload that is pruned while the operation runs."""
    first, second = load(deal(total="1")), load(deal(total="2"))
    pruned: list[Upload] = []

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        rows = execute(sql, params, many, context)
        if 'FROM "deals_api_deal"' in sql and not pruned:
            pruned.append(first)
            Upload.objects.filter(pk=first.pk).update(state=Upload.State.PRUNED)
        return rows

    with connection.execute_wrapper(wrap):
        response = post(f"mutation {{a: {activate(first)} b: {activate(second)}}}")
    assert (response.status_code, pruned) == (503, [first])
