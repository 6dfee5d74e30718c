"""Uploads as versions of the data: the fields of ``Upload`` that read its rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from deals_api.models import Upload
from deals_api.snapshots.retention import apply_retention
from tests.builders import deal, load, many
from tests.graphql import clear_caches, data, execute_query, id_of

pytestmark = pytest.mark.django_db

#: The fields with their selections; ``%s`` is an argument of ``Query``, or nothing.
FIELDS = [
    "topClients(limit: 2 %s) {username spentMoney gems customer {id deals {nodes {id}}}}",
    "customers(orderBy: USERNAME_DESC, first: 2 %s) {totalCount edges {cursor node {id gems {nodes {name}}}}}",
    'gems(filter: {name: {contains: "b"}} %s) {totalCount nodes {id name buyers {nodes {username}}}}',
    'deals(last: 3, filter: {customer: {in: ["ann", "bob"]}} %s) {totalCount nodes {id total gem {id name}}}',
    "dealStats(by: [CUSTOMER, DAY], orderBy: CUSTOMER_ASC %s) {nodes {total day minTotal customer {id username}}}",
    'customer(username: "ann" %s) {id spentMoney purchases {nodes {id total}}}',
    'gem(name: "ruby" %s) {id buyers {nodes {id username}}}',
]


def load_versions() -> list[Upload]:
    """Load three files with equal names and different values."""
    return [
        load(
            *(
                deal(customer, gem, str(version * (row + 1)), date=f"2020-01-0{version + row} 00:00:00")
                for row, (customer, gem) in enumerate([("ann", "ruby"), ("bob", "ruby"), ("ann", "beryl")])
            )
        )
        for version in (1, 2, 3)
    ]


def without_arguments(field: str) -> str:
    return (field % "").replace("( )", "")


@pytest.mark.parametrize("field", FIELDS, ids=[field.split("(")[0] for field in FIELDS])
def test_fields_of_an_upload_equal_those_of_the_query_with_its_id(field: str) -> None:
    uploads = load_versions()
    of_history = data(f"{{uploads(first: 3) {{nodes {{{without_arguments(field)}}}}}}}")["uploads"]["nodes"]
    of_query = [data(f"query ($id: ID) {{{field % 'upload: $id'}}}", id=id_of(upload)) for upload in uploads[::-1]]
    assert of_history == of_query
    assert len({str(values) for values in of_query}) == 3
    assert data(f"{{currentUpload {{{without_arguments(field)}}}}}")["currentUpload"] == of_query[0]


def test_upload_without_rows_has_only_the_fields_of_its_history(limits: Any) -> None:
    limits(keep_uploads=2)
    load_versions()
    apply_retention(settings.DEALS_LIMITS)
    Upload.objects.create(file_name="rejected", sha256="0" * 64, size=1, state=Upload.State.REFUSED)
    for field in map(without_arguments, FIELDS):
        name = field.split("(")[0]
        response = execute_query(f"{{uploads(first: 4) {{nodes {{fileName {field}}}}}}}")
        rejected, *retained, pruned = response["data"]["uploads"]["nodes"]
        assert rejected == {"fileName": "rejected", name: None}
        assert pruned == {"fileName": "deals.csv", name: None}
        assert all(node[name] for node in retained)
        assert [(error["path"][2:], error["extensions"]) for error in response["errors"]] == [
            ([position, name], {"code": "upload_not_retained"}) for position in (0, 3)
        ]


def test_activated_upload_can_be_read_in_the_same_mutation() -> None:
    first, second, _ = load_versions()
    selection = "{... on UploadActivated {upload {isCurrent deals(first: 1) {nodes {total customer {id username}}}}}}"
    mutation = (
        f"mutation ($a: ID!, $b: ID!) {{a: activateUpload(id: $a) {selection} b: activateUpload(id: $b) {selection}}}"
    )
    activated = data(mutation, a=id_of(first), b=id_of(second))
    totals = {alias: result["upload"]["deals"]["nodes"][0]["total"] for alias, result in activated.items()}
    assert totals == {"a": "1", "b": "2"}


# Cost


def cost(query: str) -> int:
    """Return the cost of an operation that is computed, rejected or not."""
    clear_caches()
    requested: int = execute_query(query)["extensions"]["cost"]["requested"]
    return requested


def test_fields_of_the_history_cost_as_much_as_the_page_of_uploads_is_long() -> None:
    load(*many(3))
    costs = [
        cost(f"{{uploads(first: {size}) {{nodes {{deals(first: 100) {{nodes {{id}}}}}}}}}}") for size in (1, 10, 100)
    ]
    assert costs[1] - costs[0] > 9 * 100
    assert costs[2] - costs[1] > 90 * 100
    assert costs[2] > settings.DEALS_LIMITS.max_nodes


def test_each_upload_of_the_history_is_read_by_its_own_statements(limits: Any) -> None:
    load_versions()
    query = "{uploads {nodes {deals {nodes {id}} gems {nodes {id}}}}}"
    limits(max_sql_queries=7)
    data(query)
    limits(max_sql_queries=6)
    response = execute_query(query)
    assert [error["message"] for error in response["errors"]] == ["The operation takes more than 6 statements."]


def test_rows_read_by_a_mutation_are_limited(limits: Any) -> None:
    upload = load(*many(3))
    query = "mutation ($id: ID!) {activateUpload(id: $id) {... on UploadActivated {upload {deals {nodes {id}}}}}}"
    data(query, id=id_of(upload))
    limits(max_sql_queries=0)
    response = execute_query(query, id=id_of(upload))
    assert [error["message"] for error in response["errors"]] == ["The operation takes more than 0 statements."]
    assert response["data"] == {"activateUpload": {"upload": {"deals": None}}}
