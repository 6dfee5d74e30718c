"""Exports of filtered and sorted deals: the same rows as GraphQL, invalid parameters, and complete streams."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deals_api import db_vendor
from deals_api.reports import exports
from deals_api.reports.filter_json import parse_filter
from deals_api.reports.filters import DealFilter
from deals_api.reports.orders import DealOrder
from deals_api.snapshots.lease import SnapshotGone
from tests.builders import deal, load, many
from tests.graphql import clear_caches, data, id_of
from tests.test_exports import DEALS, chunks_of, download, file_name, get, objects_of, prune_all_but_the_newest, rows_of
from tests.test_filters import DEAL, Filters, Model
from tests.test_graphql_cost import SLOW
from tests.test_rest import error_of

pytestmark = pytest.mark.django_db

CSV, NDJSON = f"{DEALS}.csv", f"{DEALS}.ndjson"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS", 2)


def graphql_deals(conditions: Any, order: DealOrder) -> list[tuple[Any, ...]]:
    query = "query ($f: DealFilter, $order: DealOrder!) {deals(first: 100, filter: $f, orderBy: $order) {nodes {%s}}}"
    fields = "customer {username} gem {name} total quantity date"
    clear_caches()
    nodes = data(query % fields, f=conditions, order=order.name)["deals"]["nodes"]
    return [
        (node["customer"]["username"], node["gem"]["name"], Decimal(node["total"]), node["quantity"], node["date"])
        for node in nodes
    ]


def exported(client: Client, **parameters: Any) -> list[tuple[Any, ...]]:
    return [
        (row["customer"], row["item"], Decimal(row["total"]), row["quantity"], row["date"].replace("+00:00", "Z"))
        for row in objects_of(download(client, NDJSON, **parameters))
    ]


@pytest.mark.usefixtures("short_chunks")
@pytest.mark.parametrize("order", DealOrder)
def test_export_has_the_deals_of_graphql_in_every_order(client: Client, order: DealOrder, limits: Any) -> None:
    limits(max_nodes=10**6, max_sql_queries=10_000, max_filter_conditions=400)
    rng = random.Random(order.value)  # noqa: S311
    Model.random(rng).load()
    for _ in range(8):
        conditions = Filters(rng).filter(DEAL)
        expected = graphql_deals(conditions, order)
        assert exported(client, filter=json.dumps(conditions), orderBy=order.name) == expected, conditions
    assert exported(client, orderBy=order.name) == graphql_deals({}, order)


def test_filtered_csv_has_columns_and_neutral_names(client: Client) -> None:
    load(deal("=ann", "ruby", "1.50"), deal("bob", "opal", "2"))
    conditions = json.dumps({"total": {"lt": "2"}})
    assert rows_of(download(client, CSV, filter=conditions)) == [["'=ann", "ruby", "1.5", "1", "2020-01-02 03:04:05"]]
    assert rows_of(download(client, CSV, filter=conditions, raw=1))[0][0] == "=ann"
    nothing = json.dumps({"OR": []})
    assert download(client, CSV, filter=nothing, raw=1) == b"customer,item,total,quantity,date\r\n"
    assert download(client, NDJSON, filter=nothing) == b""


def test_file_name_states_that_deals_are_filtered(client: Client) -> None:
    load(deal("ann"), deal("bob"))
    names = [
        file_name(get(client, CSV, {"filter": conditions})) for conditions in ("{}", '{"customer": {"eq": "ann"}}')
    ]
    assert [name.startswith("deals-filtered-") for name in names] == [False, True]


def test_older_upload_is_filtered(client: Client) -> None:
    older = load(deal("ann"), deal("bob"))
    load(deal("ann"))
    found = exported(client, filter='{"customer": {"startsWith": "b"}}', upload=id_of(older))
    assert [row[0] for row in found] == ["bob"]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ("", "Expected a filter in JSON."),
        ("{", "Expected a filter in JSON."),
        ("[" * 100_000, "Expected a filter in JSON."),
        ('{"total": {"eq": NaN}}', "Expected a filter in JSON."),
        ('{"total": null, "total": null}', "The field 'total' occurs twice in one object."),
        ('{"date": {"gte": "2019-13-01T00:00:00Z"}}', "date.gte: Expected a date and time such as"),
        (r'{"gem": {"eq": "\ud800"}}', "Expected a filter in JSON."),
        ("null", "Expected a JSON object."),
        ("[]", "Expected a JSON object."),
        ('"ann"', "Expected a JSON object."),
        ('{"item": {}}', "Unknown field 'item'; expected customer, gem, total, quantity, date, AND, OR, NOT."),
        ('{"in_": {}}', "Unknown field 'in_'; expected customer, gem, total, quantity, date, AND, OR, NOT."),
        ('{"gem": "ruby"}', "gem: Expected an object."),
        ('{"gem": {"eq": 1}}', "gem.eq: Expected a string."),
        ('{"gem": {"starts_with": ""}}', "gem: Unknown field 'starts_with'; expected eq, in, contains, startsWith,"),
        ('{"gem": {"in": ["a", 1]}}', "gem.in[1]: Expected a string."),
        ('{"gem": {"in": ["a", null]}}', "gem.in: The list contains null."),
        ('{"total": {"eq": 1.5}}', 'total.eq: Expected an amount such as "612" or "100.50".'),
        ('{"quantity": {"eq": "1"}}', "quantity.eq: Expected a whole number of up to 64 bits."),
        ('{"quantity": {"eq": true}}', "quantity.eq: Expected a whole number of up to 64 bits."),
        ('{"date": {"gt": "2018"}}', 'date.gt: Expected a date and time such as "2018-12-14T08:29:52Z".'),
        ('{"date": {"gt": "2018-02-30T00:00:00Z"}}', "date.gt: "),
        ('{"OR": [{"AND": [{"NOT": {"gem": 1}}]}]}', "OR[0].AND[0].NOT.gem: Expected an object."),
    ],
)
def test_invalid_filter_is_rejected_with_its_place(client: Client, conditions: str, message: str) -> None:
    load(deal())
    body = error_of(client.get(NDJSON, {"filter": conditions}), 400)
    assert body["Desc"].startswith(f"filter: {message}")
    assert body["Code"] == "invalid"


def test_filter_is_limited_like_those_of_graphql(client: Client, limits: Any) -> None:
    load(deal())
    limits(max_query_depth=3, max_list_argument=2, max_string_length=3, max_filter_conditions=2)
    for conditions, message in {
        '{"OR": [{"gem": {"eq": "a"}}]}': "The filter has more than 3 levels.",
        '{"gem": {"in": ["a", "b", "c"]}}': "gem.in: The list has more than 2 values.",
        '{"gem": {"eq": "abcd"}}': "A string is over 3 characters.",
        '{"gem": {"eq": "a"}, "total": {"gt": 1, "lt": 2}}': "The filter has more than 2 conditions.",
    }.items():
        body = error_of(client.get(NDJSON, {"filter": conditions}), 400)
        assert (body["Code"], body["Desc"]) == ("limit_exceeded", message)
    assert exported(client, filter='{"gem": {"in": ["abc", "a"]}, "NOT": {"total": {"eq": 1}}}') == []


def test_single_value_is_a_list_as_in_graphql() -> None:
    assert parse_filter('{"OR": {"gem": {"in": "a"}}}', DealFilter) == parse_filter(
        '{"OR": [{"gem": {"in": ["a"]}}]}', DealFilter
    )


@pytest.mark.parametrize("order", ["", "file_asc", "TOTAL", "-total", "__class__"])
def test_invalid_order_is_rejected(client: Client, order: str) -> None:
    body = error_of(client.get(CSV, {"orderBy": order}), 400)
    assert body["Desc"].startswith("orderBy: Expected one of FILE_ASC, FILE_DESC, DATE_ASC")


def test_etag_depends_on_filter_and_order(client: Client) -> None:
    load(deal("ann"))
    parameters: list[dict[str, str]] = [
        {}, {"filter": "{}"}, {"filter": '{"total": {"gt": 1}}'}, {"orderBy": "DATE_ASC"}, {"orderBy": "DATE_DESC"}
    ]  # fmt: skip
    responses = [get(client, CSV, each) for each in parameters]
    etags = [response["ETag"] for response in responses]
    assert len(set(etags)) == len(parameters)
    for each, etag in zip(parameters, etags, strict=True):
        assert get(client, CSV, each, headers={"If-None-Match": etag}).status_code == 304


def test_deals_are_sorted_once_and_read_in_chunks(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    load(*many(10))
    monkeypatch.setattr(exports, "CHUNK_ROWS", 4)
    with CaptureQueriesContext(connection) as captured:
        assert len(exported(client, orderBy="GEM_DESC", filter='{"total": {"eq": 1}}')) == 10
    reads = [statement["sql"] for statement in captured if '"deals_api_deal"' in statement["sql"]]
    assert len(reads) == 1 + 3
    assert ["ORDER BY" in sql for sql in reads] == [True, False, False, False]


def test_pruned_filtered_export_is_aborted(client: Client, limits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS", 2)
    load(*many(5))
    with pytest.raises(BrokenPipeError) as aborted:
        list(chunks_of(client, f"{NDJSON}?orderBy=TOTAL_ASC", lambda: prune_all_but_the_newest(limits)))
    assert isinstance(aborted.value.__cause__, SnapshotGone)


def test_time_to_select_deals_is_limited(client: Client, limits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    load(deal())
    limits(max_export_seconds=1)

    def slowly(ordered: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(SLOW[connection.vendor])
        return db_vendor.read_pks(ordered)

    monkeypatch.setattr(exports, "read_pks", slowly)
    body = error_of(client.get(CSV, {"orderBy": "TOTAL_ASC"}), 400)
    assert (body["Code"], body["Desc"]) == (
        "limit_exceeded", "The database needs more than 1 s to select these deals."
    )  # fmt: skip
