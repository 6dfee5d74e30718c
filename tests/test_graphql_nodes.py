"""``nodes(ids:)``: several objects by their ids, in one statement for each type and upload."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from deals_api.global_ids import write_row_id
from deals_api.models import Customer, Deal, Gem, Purchase, Upload
from deals_api.snapshots.retention import apply_retention
from tests.builders import deal, load, many
from tests.graphql import (
    PATH,
    code,
    count_row_queries,
    data,
    error,
    execute_query,
    id_of,
    row_global_id,
)

pytestmark = pytest.mark.django_db

NODES = """query ($ids: [ID!]!) {
    nodes(ids: $ids) {
        __typename id
        ... on Customer {username deals(first: 1) {totalCount nodes {total}}}
        ... on Gem {name}
        ... on Purchase {dealCount}
        ... on Deal {rowNumber quantity}
        ... on Upload {fileName}
    }
}"""


def rows_of(upload: Upload, model: Any) -> list[Any]:
    return list(model.objects.for_upload(upload).order_by("pk"))


def test_nodes_are_in_the_order_of_the_ids() -> None:
    upload = load(deal("ann", "ruby"), deal("bob", "opal"), name="a.csv")
    ids = [row_global_id(row) for model in (Deal, Customer, Gem, Purchase) for row in rows_of(upload, model)]
    ids.insert(3, id_of(upload))
    for order in (ids, ids[::-1], [*ids[2:5], *ids[2:5]]):
        assert [node["id"] for node in data(NODES, ids=order)["nodes"]] == order
    deals = data(NODES, ids=ids[:2])["nodes"]
    assert [(node["__typename"], node["rowNumber"], node["quantity"]) for node in deals] == [
        ("Deal", 1, 1),
        ("Deal", 2, 1),
    ]
    assert data(NODES, ids=[])["nodes"] == []
    assert data(NODES, ids=ids[0])["nodes"] == deals[:1]  # GraphQL coerces a single value to a list


def test_unknown_ids_are_null(limits: Any) -> None:
    limits(keep_uploads=2)
    pruned, retained, current = load(deal("a")), load(deal("b")), load(deal("c"))
    old_ids = [row_global_id(rows_of(pruned, Customer)[0]), row_global_id(rows_of(retained, Customer)[0])]
    apply_retention(settings.DEALS_LIMITS)
    missing = write_row_id("Deal", current.pk * 2**32 + 9, current.snapshot)
    foreign = write_row_id("Deal", rows_of(current, Deal)[0].pk, retained.snapshot)
    ids = [missing, foreign, *old_ids, id_of(Upload()), id_of(pruned)]
    found = data(NODES, ids=ids)["nodes"]
    assert [node and node["id"] for node in found] == [None, None, None, old_ids[1], None, id_of(pruned)]


def test_each_malformed_id_is_null_with_an_error_like_in_node() -> None:
    upload = load(deal())
    malformed = ["", "x", write_row_id("Upload", 1, upload.snapshot)]
    response = execute_query(NODES, ids=[malformed[0], id_of(upload), *malformed[1:], id_of(Upload())])
    assert [node and node["id"] for node in response["data"]["nodes"]] == [None, id_of(upload), None, None, None]
    assert [(reported["path"], reported["message"], reported["extensions"]) for reported in response["errors"]] == [
        (["nodes", index], "Invalid id.", {"code": "bad_input"}) for index in (0, 2, 3)
    ]
    for invalid in malformed:
        single = execute_query("query ($id: ID!) {node(id: $id) {id}}", id=invalid)
        (reported,) = single["errors"]
        assert single["data"] == {"node": None}
        assert (reported["path"], reported["message"]) == (["node"], "Invalid id.")


def test_nodes_take_one_statement_for_each_type_and_upload() -> None:
    uploads = [load(*many(7, [f"{name}{number}" for number in range(7)])) for name in "ab"]
    deals = [row_global_id(row) for upload in uploads for row in rows_of(upload, Deal)]
    customers = [row_global_id(row) for upload in uploads for row in rows_of(upload, Customer)]
    only_ids = "query ($ids: [ID!]!) {nodes(ids: $ids) {id}}"
    assert count_row_queries(only_ids, ids=deals[:7]) == count_row_queries(only_ids, ids=deals[:1]) == 1
    assert count_row_queries(only_ids, ids=deals + customers) == 4
    relation = "query ($ids: [ID!]!) {nodes(ids: $ids) {... on Deal {customer {username}}}}"
    assert count_row_queries(relation, ids=deals) == count_row_queries(relation, ids=[deals[0], deals[-1]]) == 4


def test_lists_below_nodes_belong_to_the_upload_of_each_node() -> None:
    """The cursors and the filter of a nested list depend on the upload."""
    uploads = [load(deal("ann", "ruby", total)) for total in ("1", "2")]
    ids = [row_global_id(rows_of(upload, Customer)[0]) for upload in uploads]
    query = """query ($ids: [ID!]!, $after: String) {
        nodes(ids: $ids) {
            ... on Customer {
                deals(filter: {gem: {eq: "ruby"}}, after: $after) {totalCount nodes {total} edges {cursor}}
            }
        }
    }"""
    lists = [node["deals"] for node in data(query, ids=ids)["nodes"]]
    assert [(page["totalCount"], page["nodes"]) for page in lists] == [(1, [{"total": "1"}]), (1, [{"total": "2"}])]
    assert code(query, ids=ids, after=lists[0]["edges"][0]["cursor"]) == "cursor_outdated"


def test_number_of_ids_is_limited_and_priced(limits: Any) -> None:
    upload = load(*many(12))
    ids = [row_global_id(row) for row in rows_of(upload, Deal)]
    limits(max_list_argument=12)

    def cost(query: str, **variables: Any) -> int:
        requested: int = execute_query(query, **variables)["extensions"]["cost"]["requested"]
        return requested

    one, twelve = (cost(NODES, ids=ids[:count]) for count in (1, 12))
    assert twelve - one >= 11 * 2  # at least two nodes of the cost for each object with its fields
    literal = NODES.replace("query ($ids: [ID!]!) ", "").replace(
        "$ids", "[" + ", ".join(f'"{id_}"' for id_ in ids) + "]"
    )
    default = NODES.replace("$ids: [ID!]!", "$ids: [ID!]! = [" + ", ".join(f'"{id_}"' for id_ in ids) + "]")
    assert cost(literal) == cost(default) == twelve
    assert error(NODES, ids=[*ids, ids[0]])["message"] == "A list has more than 12 values."


def test_nodes_of_the_current_upload_are_cached() -> None:
    uploads = [load(deal(name)) for name in "ab"]
    for upload, is_cached in zip(uploads, (False, True), strict=True):
        parameters = {"query": f'{{nodes(ids: ["{row_global_id(rows_of(upload, Gem)[0])}"]) {{id}}}}'}
        assert ("ETag" in Client().get(PATH, parameters)) == is_cached
