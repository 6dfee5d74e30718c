"""Caching of GraphQL responses, and consistency: all values of a response are from the same upload."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache as backend
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deals_api.caching import local as local_cache
from deals_api.errors import UnreadableUpload
from deals_api.global_ids import write_row_id
from deals_api.ingest.rejections import Rejection, record_rejection
from deals_api.models import Deal, Upload
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots import current as current_snapshot
from deals_api.snapshots.retention import apply_retention
from graphql_schema.schema import DealsSchema
from tests.builders import deal, load
from tests.graphql import PATH, code, data, execute_query, id_of, post, row_global_id
from tests.threads import call_and_close_connection

pytestmark = pytest.mark.django_db

TOTALS = "{deals {nodes {total}}}"


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that records each document that the schema executes."""
    documents: list[str] = []
    execute = DealsSchema.execute_sync

    def record(self: DealsSchema, query: str, *args: Any, **kwargs: Any) -> Any:
        documents.append(query)
        return execute(self, query, *args, **kwargs)

    monkeypatch.setattr(DealsSchema, "execute_sync", record)
    return documents


def get(query: str, **headers: str) -> Any:
    return Client().get(PATH, {"query": query}, headers=headers)


# Cacheable responses


def test_repeated_query_is_not_executed_again(executed: list[str]) -> None:
    load(deal())
    first = post(TOTALS)
    current_snapshot.current_upload.invalidate()
    with CaptureQueriesContext(connection) as captured:
        second = post(TOTALS)
    assert (second.content, second["ETag"]) == (first.content, first["ETag"])
    assert (len(executed), len(captured)) == (1, 1)


def test_equivalent_requests_share_one_response(executed: list[str]) -> None:
    load(deal())
    query = "query A($a: Int, $b: [String!]) {deals(first: $a, filter: {gem: {in: $b}}) {totalCount}}"
    bodies = [
        '{"query": %s, "variables": {"a": 1, "b": ["x"]}}',
        '{"variables": {"b": ["x"], "a": 1}, "query": %s}',
        '{"extensions": {}, "operationName": null, "query":%s,"variables":{"b":["\\u0078"],"a":1}}',
    ]
    etags = {Client().post(PATH, body % json.dumps(query), content_type="application/json")["ETag"] for body in bodies}
    get_response = Client().get(PATH, {"query": query, "variables": '{"b": ["x"], "a": 1}'})
    assert etags == {get_response["ETag"]}
    assert len(executed) == 1


def test_different_requests_have_different_responses(executed: list[str]) -> None:
    load(deal())
    query = "query A($a: Int) {deals(first: $a) {nodes {id}}} query B($a: Int) {gems(first: $a) {nodes {id}}}"
    variants: list[dict[str, Any]] = [
        {"operationName": "A"}, {"operationName": "B"}, {"operationName": "A", "variables": {"a": 1}},
        {"operationName": "A", "variables": {"a": 2}}, {"operationName": "A", "variables": {"a": None}},
    ]  # fmt: skip
    etags = {post(query, **variant)["ETag"] for variant in variants} | {post(query + " ", **variants[0])["ETag"]}
    for media_type in ("application/json", "application/graphql-response+json"):
        headers = {"Accept": media_type}
        params = {"query": query, "operationName": "A"}
        etags.add(Client().get(PATH, params, headers=headers)["ETag"])
    assert len(etags) == len(executed) == 7


@pytest.mark.parametrize("body", [{"query": "{deals {nodes {id}}}"}, {"query": " {deals {nodes {id}}}"}], ids=repr)
def test_limits_that_affect_a_response_are_part_of_the_cache_key(body: dict[str, str], limits: Any) -> None:
    load(*[deal()] * 30)
    etags = []
    for size in (20, 5, 20):
        limits(page_size=size)
        response = Client().post(PATH, json.dumps(body), content_type="application/json")
        assert len(response.json()["data"]["deals"]["nodes"]) == size
        etags.append(response["ETag"])
        conditional = Client().get(PATH, body, headers={"If-None-Match": etags[0]})
        assert conditional.status_code == (304 if size == 20 else 200)
    assert etags[0] == etags[2] != etags[1]


def test_cached_page_is_rejected_after_the_limit_is_lowered(limits: Any) -> None:
    load(*[deal()] * 3)
    assert "errors" not in execute_query("{deals(first: 100) {totalCount}}")
    limits(max_page_size=10)
    assert code("{deals(first: 100) {totalCount}}") == "limit_exceeded"


def test_upload_replaces_cached_responses(executed: list[str]) -> None:
    for total in ("1", "2", "3"):
        load(deal(total=total))
        for _ in range(2):
            assert data(TOTALS) == {"deals": {"nodes": [{"total": total}]}}
    assert len(executed) == 3


def test_etag_matches_while_the_upload_is_current(executed: list[str]) -> None:
    load(deal(total="1"))
    etag = get(TOTALS)["ETag"]
    backend.clear()
    local_cache.local_responses.clear()
    conditional = get(TOTALS, **{"If-None-Match": etag})
    assert (conditional.status_code, conditional.content, conditional["ETag"]) == (304, b"", etag)
    assert len(executed) == 1
    load(deal(total="2"))
    after = get(TOTALS, **{"If-None-Match": etag})
    assert (after.status_code, after.json()["data"]["deals"]["nodes"]) == (200, [{"total": "2"}])
    assert after["Cache-Control"] == "no-cache"


def test_post_response_has_an_etag_and_is_never_304() -> None:
    load(deal())
    etag = post(TOTALS)["ETag"]
    body = json.dumps({"query": TOTALS})
    conditional = Client().post(PATH, body, content_type="application/json", headers={"If-None-Match": etag})
    assert (conditional.status_code, conditional["ETag"]) == (200, etag)


@pytest.mark.parametrize(
    "query",
    ["{currentUpload {id dealCount isCurrent}}", "{topClients {username}}", "{dealStats(by: [DAY]) {nodes {total}}}",
     "{__typename}", "{__schema {types {name}}}", "{upload(id: %(current)s) {dealCount}}",
     "{deals(upload: %(current)s) {totalCount}}", "{node(id: %(current)s) {id}}",
     "{node(id: %(row)s) {... on Deal {total}}}", "{currentUpload {deals {nodes {id}}}}",
     "{upload(id: %(current)s) {topClients {username}}}"],
)  # fmt: skip
def test_response_from_the_current_upload_is_cached(query: str, executed: list[str]) -> None:
    load(deal("old"))
    current = load(deal("new"))
    ids = {"current": id_of(current), "row": row_global_id(Deal.objects.for_upload(current).get())}
    document = query % {name: json.dumps(global_id) for name, global_id in ids.items()}
    assert execute_query(document) == execute_query(document)
    assert len(executed) == 1


# Uncacheable responses


def execute_twice_uncached(query: str, executed: list[str], **variables: Any) -> Any:
    """Send a query twice, check that neither response is cached, and return the second body."""
    count_before = len(executed)
    post(query, variables)
    second = post(query, variables)
    assert len(executed) == count_before + 2, query
    assert second["Cache-Control"] == "no-store"
    assert "ETag" not in second
    return second.json()


def test_responses_with_errors_are_never_cached(executed: list[str]) -> None:
    load(deal())
    for query in (
        "{",
        "{nothing}",
        "{deals(first: 101) {totalCount}}",
        '{deals(after: "x") {totalCount}}',
        '{customer(username: "ann") {deals(after: "x") {totalCount}} topClients {username}}',
        "query ($x: Int!) {deals(first: $x) {totalCount}}",
    ):
        assert "errors" in execute_twice_uncached(query, executed)


def test_responses_from_other_uploads_are_never_cached(executed: list[str]) -> None:
    old, _ = load(deal("old")), load(deal("new"))
    row = row_global_id(Deal.objects.for_upload(old).get())
    for query in (
        "{uploads {totalCount}}",
        "query ($id: ID!) {upload(id: $id) {dealCount}}",
        "query ($id: ID) {deals(upload: $id) {totalCount}}",
        "query ($id: ID) {topClients(upload: $id) {username}}",
        "query ($id: ID) {deals {totalCount} repeated: deals(upload: $id) {totalCount}}",
        "query ($id: ID!) {upload(id: $id) {deals {totalCount}}}",
    ):
        assert "errors" not in execute_twice_uncached(query, executed, id=id_of(old))
    assert execute_twice_uncached("query ($id: ID!) {node(id: $id) {id}}", executed, id=row)["data"]["node"] == {
        "id": row
    }


def test_missing_node_is_not_cached(executed: list[str]) -> None:
    """The rows of an upload exist, with ids, before the upload becomes readable."""
    first, second = load(deal("first")), load(deal(total="2"))
    node = "query ($id: ID!) {node(id: $id) {... on Deal {total}}}"
    row = row_global_id(Deal.objects.for_upload(second).get())
    current_snapshot.activate(first.snapshot)
    Upload.objects.filter(pk=second.pk).update(state=Upload.State.LOADING)
    assert execute_twice_uncached(node, executed, id=row)["data"] == {"node": None}
    Upload.objects.filter(pk=second.pk).update(state=Upload.State.LOADED)
    assert data(node, id=row) == {"node": {"total": "2"}}


def test_upload_history_is_never_cached() -> None:
    load(deal())
    uploads = "{uploads {nodes {state}}}"
    data(uploads)
    record_rejection(
        Upload.objects.create(file_name="f", sha256="0" * 64, size=1), Rejection.of(UnreadableUpload("Bad."))
    )
    assert data(uploads) == {"uploads": {"nodes": [{"state": "REFUSED"}, {"state": "LOADED"}]}}


# Single flight


@pytest.mark.django_db(transaction=True)
def test_concurrent_equal_queries_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    load(deal())
    calls = []
    top_clients = top_clients_report.top_clients

    def slow(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        time.sleep(0.3)
        return top_clients(*args, **kwargs)

    monkeypatch.setattr(top_clients_report, "top_clients", slow)
    with ThreadPoolExecutor(4) as pool:
        responses = list(
            pool.map(lambda _: call_and_close_connection(lambda: data("{topClients {username}}")), range(4))
        )
    assert responses == [{"topClients": [{"username": "ann"}]}] * 4
    assert len(calls) == 1


# Mutations

ACTIVATE = "mutation ($id: ID!) {activateUpload(id: $id) {__typename ... on UploadActivated {upload {id isCurrent}}}}"


@pytest.fixture
def activated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that records each snapshot that is activated."""
    snapshots: list[Any] = []
    activate = current_snapshot.activate

    def record(snapshot: Any) -> Upload:
        snapshots.append(snapshot)
        return activate(snapshot)

    monkeypatch.setattr(current_snapshot, "activate", record)
    return snapshots


def test_activated_upload_is_read_immediately() -> None:
    old, new = load(deal(total="1")), load(deal(total="2"))
    for upload, total in ((old, "1"), (new, "2"), (old, "1"), (old, "1")):
        response = execute_query(ACTIVATE, id=id_of(upload))
        assert response["data"]["activateUpload"] == {
            "__typename": "UploadActivated",
            "upload": {"id": id_of(upload), "isCurrent": True},
        }
        assert response["extensions"]["upload"] == id_of(upload)
        assert data(TOTALS) == {"deals": {"nodes": [{"total": total}]}}
        assert Client().get("/api/top-clients/").json()["response"][0]["spent_money"] == int(total)


def test_activating_an_upload_without_rows_returns_a_problem(limits: Any) -> None:
    limits(keep_uploads=2)
    pruned, _, newest = load(deal("a")), load(deal("b")), load(deal("c"))
    apply_retention(settings.DEALS_LIMITS)
    rejected = Upload.objects.create(file_name="f", sha256="0" * 64, size=1)
    mutation = "mutation ($id: ID!) {activateUpload(id: $id) {... on Problem {code message}}}"
    for upload in (pruned, rejected, Upload()):
        assert data(mutation, id=id_of(upload))["activateUpload"] == {
            "code": "upload_not_retained",
            "message": "There is no such upload, or its rows are no longer retained.",
        }
    for invalid_id in ("x", write_row_id("Deal", 5, newest.snapshot)):
        assert code(mutation, id=invalid_id) == "bad_input"
    assert data("{currentUpload {id}}") == {"currentUpload": {"id": id_of(newest)}}


@pytest.mark.parametrize(
    "template",
    ["%s", " \n\t,,%s", "# query\n%s", "#\r%s", "\N{ZERO WIDTH NO-BREAK SPACE}%s", "query Q {deals {totalCount}}%s",
     '"text" %s', '"""mutation"""%s', "fragment F on Deal {id} %s"],
)  # fmt: skip
def test_mutation_is_executed_once_per_request(template: str, activated: list[Any], executed: list[str]) -> None:
    old = load(deal("old"))
    load(deal("new"))
    document = template % 'mutation M {activateUpload(id: "%s") {__typename}}' % id_of(old)
    if "fragment" in document:
        document += " query Q {deals {nodes {...F}}}"
    for requests in (1, 2):
        response = post(document, operationName="M")
        assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
        assert "ETag" not in response
        assert response.json()["data"] == {"activateUpload": {"__typename": "UploadActivated"}}
        assert len(activated) == len(executed) == requests


def test_query_in_a_document_with_a_mutation_changes_nothing(activated: list[Any]) -> None:
    old = load(deal("old"))
    load(deal("new"))
    document = f'query Q {{deals {{totalCount}}}} mutation M {{activateUpload(id: "{id_of(old)}") {{__typename}}}}'
    assert post(document, operationName="Q").json()["data"] == {"deals": {"totalCount": 1}}
    assert Client().get(PATH, {"query": document, "operationName": "Q"}).json()["data"] == {"deals": {"totalCount": 1}}
    rejected = Client().get(PATH, {"query": document, "operationName": "M"})
    assert (rejected.status_code, rejected["Allow"], activated) == (405, "POST", [])


@pytest.mark.parametrize(
    "query",
    ['{customer(username: "mutation") {dealCount}}', "{customer: deals {mutation: totalCount}}",
     "# mutation\n{deals {totalCount}}", "query mutation {deals {totalCount}}",
     "query ($mutation: Int) {deals(first: $mutation) {totalCount}}"],
)  # fmt: skip
def test_query_containing_the_word_mutation_is_executed(query: str) -> None:
    load(deal("mutation"))
    assert None not in data(query).values()
    assert get(query).json()["data"] == data(query)


# One response, one upload

EVERYTHING = """{
    topClients {username customer {username deals(first: 4) {nodes {total customer {username} gem {name}}}}}
    customers(first: 4) {totalCount nodes {username spentMoney gems {nodes {name buyers {nodes {username}}}}}}
    gems(first: 4) {totalCount nodes {name purchases(first: 4) {nodes {total customer {username} gem {name}}}}}
    deals {totalCount nodes {total customer {username} gem {name}}}
    dealStats(by: [CUSTOMER, GEM, YEAR]) {nodes {total customer {username} gem {name}}}
    currentUpload {fileName}
}"""


def deals_named(name: str) -> list[str]:
    """Return deals of two customers and two gems; ``name``, a number, is the total and part of all names."""
    return [deal(f"{name}-{customer}", f"{name}-{gem}", name) for customer in "ab" for gem in "xy"]


def uploads_in(response: Any) -> set[str]:
    """Return the names of the uploads from which the values of a response come; see ``deals_named``."""
    return set(re.findall(r"\b(10+[1-9])\b", json.dumps(response)))


@contextmanager
def run_before_statement(pattern: str, function: Callable[[], None], times: int = 1) -> Iterator[None]:
    """Call ``function`` in another thread before each of the next ``times`` statements that match the pattern."""
    remaining = [times]

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if remaining[0] and re.search(pattern, sql):
            remaining[0] -= 1
            thread = threading.Thread(target=call_and_close_connection, args=(function,))
            thread.start()
            thread.join()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield
    assert remaining == [0], "no statement matched"


def service_log_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if not record.name.startswith("django")]


def replace_uploads(*names: str) -> None:
    """Load a file for each name, then apply retention."""
    for name in names:
        load(*deals_named(name), name=name)
    apply_retention(settings.DEALS_LIMITS)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pattern", ['FROM "deals_api_purchase"', 'FROM "deals_api_gem"', "GROUP BY"])
def test_upload_between_two_fields_does_not_change_the_operation(pattern: str) -> None:
    replace_uploads("101")
    with run_before_statement(pattern, lambda: replace_uploads("1001")):
        assert uploads_in(data(EVERYTHING)) == {"101"}
    assert uploads_in(data(EVERYTHING)) == {"1001"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("comment", ["", "# no mutation\n"])
def test_query_is_repeated_if_its_upload_is_pruned(comment: str, limits: Any, caplog: pytest.LogCaptureFixture) -> None:
    limits(keep_uploads=2)
    replace_uploads("101")
    with run_before_statement('FROM "deals_api_gem"', lambda: replace_uploads("1001", "10001")):
        response = post(comment + EVERYTHING)
    if comment:  # The comment contains "mutation": a request that may be a mutation is not retried.
        assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (503, "database_busy")
    else:
        assert uploads_in(response.json()) == {"10001"}
    assert service_log_records(caplog) == []
    assert uploads_in(data(comment + EVERYTHING)) == {"10001"}


@pytest.mark.django_db(transaction=True)
def test_retained_upload_pruned_during_a_query_is_reported(limits: Any, caplog: pytest.LogCaptureFixture) -> None:
    limits(keep_uploads=2)
    old = load(*deals_named("101"))
    replace_uploads("1001")
    query = "query ($id: ID) {deals(upload: $id) {nodes {customer {username} gem {name}}}}"
    with run_before_statement('FROM "deals_api_gem"', lambda: replace_uploads("10001")):
        assert code(query, id=id_of(old)) == "upload_not_retained"
    node = "query ($id: ID!) {node(id: $id) {... on Deal {customer {username}}}}"
    row = row_global_id(Deal.objects.filter(customer__username="1001-a")[0])
    with run_before_statement('FROM "deals_api_customer"', lambda: replace_uploads("100001")):
        assert data(node, id=row) == {"node": None}
    assert service_log_records(caplog) == []


@pytest.mark.django_db(transaction=True)
def test_upload_of_the_history_pruned_during_a_query_is_reported(limits: Any) -> None:
    limits(keep_uploads=2)
    replace_uploads("101", "1001")
    oldest = "{uploads(last: 1) {nodes {fileName deals {nodes {customer {username} gem {name}}}}}}"
    with run_before_statement('FROM "deals_api_gem"', lambda: replace_uploads("10001")):
        response = execute_query(oldest)
    assert [reported["extensions"]["code"] for reported in response["errors"]] == ["upload_not_retained"]
    assert response["data"] == {"uploads": {"nodes": [{"fileName": "101", "deals": None}]}}


@pytest.mark.django_db(transaction=True)
def test_query_whose_uploads_are_pruned_three_times_gets_503(limits: Any) -> None:
    limits(keep_uploads=2)
    replace_uploads("101")
    names = iter(f"1{'0' * number}1" for number in range(2, 20))
    with run_before_statement('FROM "deals_api_gem"', lambda: replace_uploads(next(names), next(names)), times=3):
        response = post("{deals {nodes {gem {name}}}}")  # reads gems once in each attempt
    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert response.json()["errors"][0]["extensions"] == {"code": "database_busy"}
