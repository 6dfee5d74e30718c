"""Query counts of relations with one parent and with seven: no relation has the N+1 problem."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from django.db import connection

from tests.builders import deal, load, many
from tests.graphql import count_row_queries, data, execute_query

pytestmark = pytest.mark.django_db

#: Eight customers and eight gems; each customer bought four gems, one of them twice.
ROWS = [
    deal(f"c{customer}", f"g{(customer + step) % 8}", str(1 + customer + step), "1", f"2020-01-0{1 + step} 00:00:00")
    for customer, step in product(range(8), (0, 1, 3, 5, 0))
]

SINGLE_RELATIONS = {
    "customers(%s) {nodes {deals {nodes {id}}}}": 2,
    "customers(%s) {nodes {purchases {nodes {id}}}}": 2,
    "customers(%s) {nodes {gems {nodes {id}}}}": 2,
    "gems(%s) {nodes {buyers {nodes {id}}}}": 2,
    "gems(%s) {nodes {purchases {nodes {id}}}}": 2,
    "gems(%s) {nodes {deals {nodes {id}}}}": 2,
    "deals(%s) {nodes {customer {id}}}": 2,
    "deals(%s) {nodes {gem {id}}}": 2,
    "deals(%s) {edges {node {customer {id} gem {id}}}}": 3,
    "customers(%s) {nodes {purchases {nodes {customer {id}}}}}": 3,
    "gems(%s) {nodes {purchases {nodes {gem {id}}}}}": 3,
    "topClients(%s) {customer {id}}": 1 + 1,
    "dealStats(%s, by: [CUSTOMER]) {nodes {customer {id}}}": 2,
    "dealStats(%s, by: [GEM]) {nodes {gem {id}}}": 2,
    "dealStats(%s, by: [CUSTOMER, GEM]) {nodes {customer {id} gem {id}}}": 3,
    "dealStats(%s, by: [CUSTOMER, DAY]) {nodes {customer {id}}}": 2 + 1,
}
NESTED_RELATIONS = {
    "customers(%s) {nodes {deals(first: 3) {nodes {gem {buyers(first: 3) {nodes {username}}}}}}}": 4,
    "gems(%s) {nodes {buyers(first: 3) {nodes {purchases(first: 3) {nodes {gem {name}}}}}}}": 4,
    "customers(%s) {nodes {gems(first: 3) {nodes {deals(first: 3) {nodes {customer {username}}}}}}}": 4,
    "deals(%s) {nodes {customer {gems(first: 3) {nodes {purchases(first: 3) {nodes {id}}}}}}}": 4,
    "topClients(%s) {customer {deals(first: 3) {nodes {gem {purchases(first: 3) {nodes {id}}}}}}}": 1 + 4,
    "dealStats(%s, by: [GEM]) {nodes {gem {buyers(first: 3) {nodes {deals(first: 3) {nodes {id}}}}}}}": 4,
}
ALIASES = {
    "customers(%s) {nodes {a: deals(first: 1) {nodes {id}} b: deals(last: 2) {nodes {id}}}}": 3,
    'customers(%s) {nodes {a: deals(filter: {gem: {eq: "g1"}}) {nodes {id}} '
    'b: deals(filter: {gem: {eq: "g2"}}) {nodes {id}}}}': 3,
    "deals(%s) {nodes {a: customer {id} b: customer {username}}}": 2,
    "deals(%s) {nodes {a: customer {gems {nodes {id}}} b: customer {gems(last: 1) {nodes {id}}}}}": 4,
    "customers(%s) {nodes {...CustomerDeals ... on Customer {deals(first: 1) {totalCount}}}}": 2,
    "customers(%s) {nodes {purchases(first: 2) {nodes {customer {...CustomerDeals}}} ...CustomerDeals}}": 5,
}
TOTAL_COUNTS = {
    "customers(%s) {nodes {deals {totalCount} gems {totalCount} purchases {totalCount}}}": 1,
    "gems(%s) {nodes {buyers {totalCount} purchases {totalCount}}}": 1,
    'customers(%s) {nodes {deals(filter: {gem: {contains: "1"}}) {totalCount}}}': 2,
    'customers(%s) {nodes {deals(filter: {gem: {eq: "g1"}}) {totalCount nodes {id}}}}': 3,
    "gems(%s) {nodes {deals {totalCount}}}": 1,
    'gems(%s) {nodes {deals(filter: {customer: {eq: "c1"}}) {totalCount nodes {id}}}}': 3,
    'customers(%s) {nodes {a: deals(filter: {gem: {eq: "g1"}}) {totalCount} '
    "b: deals(filter: {total: {gte: 5}}) {totalCount}}}": 3,
}
EMPTY_LISTS = {
    'customers(%s) {nodes {deals(filter: {gem: {eq: "x"}}) {totalCount nodes {gem {id} customer {id}}}}}': 3,
    'customers(%s, filter: {username: {eq: "x"}}) {nodes {deals {nodes {gem {id}}}}}': 1,
    'deals(%s, filter: {gem: {eq: "x"}}) {nodes {customer {id}}}': 1,
    "customers(%s) {nodes {deals(first: 0) {nodes {gem {id}}}}}": 2,
}
FRAGMENT = "fragment CustomerDeals on Customer {deals(first: 1) {nodes {id}}}"


@pytest.mark.parametrize(
    ("field", "expected_count"),
    {**SINGLE_RELATIONS, **NESTED_RELATIONS, **ALIASES, **TOTAL_COUNTS, **EMPTY_LISTS}.items(),
    ids=str,
)
def test_query_count_is_the_same_for_one_and_seven_parents(field: str, expected_count: int) -> None:
    load(*ROWS)
    size = "limit" if field.startswith(("topClients", "dealStats")) else "first"
    for rows in (1, 7):
        query = "{" + field % f"{size}: {rows}" + "}" + (FRAGMENT if "CustomerDeals" in field else "")
        assert count_row_queries(query) == expected_count, rows


def test_nested_page_info_takes_one_additional_query() -> None:
    load(*ROWS)
    customer = data("{customers(first: 1) {nodes {deals(first: 2) {pageInfo {endCursor}}}}}")["customers"]["nodes"][0]
    query = """query ($rows: Int, $after: String) {
        customers(first: $rows) {nodes {deals(after: $after) {nodes {id} pageInfo {hasNextPage hasPreviousPage}}}}
    }"""
    for rows in (1, 7):
        assert count_row_queries(query, rows=rows, after=customer["deals"]["pageInfo"]["endCursor"]) == 3


def test_aliased_fields_return_the_same_as_separate_queries() -> None:
    load(*ROWS)
    fields = [
        "deals(first: 1) {nodes {id}}",
        "deals(first: 3) {nodes {id}}",
        "deals(last: 1) {nodes {id}}",
        "deals(orderBy: TOTAL_ASC, first: 2) {nodes {id} totalCount}",
        'deals(filter: {gem: {eq: "g1"}}) {nodes {id} totalCount}',
        'deals(filter: {gem: {eq: "g4"}}) {nodes {id} totalCount}',
        "gems(first: 1) {nodes {name}}",
        "gems(last: 1) {nodes {name}}",
    ]
    separate = [data(f"{{customers {{nodes {{field: {field}}}}}}}")["customers"]["nodes"] for field in fields]
    combined = data(
        f"{{customers {{nodes {{{' '.join(f'f{number}: {field}' for number, field in enumerate(fields))}}}}}}}"
    )
    for number, expected in enumerate(separate):
        assert [{"field": node[f"f{number}"]} for node in combined["customers"]["nodes"]] == expected, fields[number]


def test_fragment_spread_in_several_places_returns_the_same_rows() -> None:
    load(*ROWS)
    fragment = "fragment F on Customer {username deals(first: 2) {nodes {id}} deals(first: 2) {totalCount}}"
    customers_by_name = {
        node["username"]: node for node in data("{customers {nodes {...F}}}" + fragment)["customers"]["nodes"]
    }
    result = data(
        """{
            poor: customers(orderBy: SPENT_MONEY_ASC, first: 2) {
                nodes {...F} repeated: nodes {...F} edges {node {...F}}
            }
            rich: customers(first: 3) {nodes {...F gems(first: 2) {nodes {buyers {nodes {...F}}}}}}
            topClients(limit: 2) {customer {...F}}
        }"""
        + fragment
    )
    found = list(find_customers(result))
    assert len(found) > 30
    for customer in found:
        assert {name: customer[name] for name in ("username", "deals")} == customers_by_name[customer["username"]]


def find_customers(value: Any) -> Any:
    if isinstance(value, list):
        for child in value:
            yield from find_customers(child)
    elif isinstance(value, dict):
        if "username" in value:
            yield value
        for child in value.values():
            yield from find_customers(child)


def cost(query: str) -> int:
    requested: int = execute_query(query)["extensions"]["cost"]["requested"]
    return requested


def test_lists_of_rows_outside_the_page_are_not_read() -> None:
    """Compare the reported cost, which includes the deals that the database reads."""
    query = "{customers(first: 1, orderBy: USERNAME_ASC) {nodes {deals(first: 1) {nodes {id}}}}}"
    load(*many(800, ["ann"]))
    cost_of_one_customer = cost(query)
    load(*many(2400, ["ann", "bob", "cid"]))
    assert cost(query) == cost_of_one_customer


def test_list_shared_by_several_rows_is_read_once() -> None:
    """All customers bought the same gem, so its list of buyers is read once for all of them."""
    query = "{customers(first: %s) {nodes {gems(first: 1) {nodes {buyers(first: 1) {nodes {id}}}}}}}"
    costs = {}
    for buyers in (3, 800):
        load(*many(buyers, [f"c{number}" for number in range(buyers)]))
        costs[buyers] = [cost(query % rows) for rows in (1, 3)]
    growth_with_one, growth_with_three = (large - small for small, large in zip(*costs.values(), strict=True))
    assert growth_with_three == growth_with_one > 0


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.parametrize("relation", ["customers(first: 3) {nodes {gems", "gems(first: 3) {nodes {buyers"])
def test_related_rows_are_found_through_an_index(relation: str) -> None:
    """SQLite reads the tables of a join in the fastest order only if it is an inner join."""
    load(*many(500))
    scans: list[str] = []

    def explain(execute: Any, sql: str, params: Any, *arguments: Any) -> Any:
        if "deals_api_purchase" in sql:
            plan = execute(f"EXPLAIN QUERY PLAN {sql}", params, *arguments).fetchall()
            scans.extend(step for *_, step in plan if step.startswith("SCAN deals_api_"))
        return execute(sql, params, *arguments)

    with connection.execute_wrapper(explain):
        data(f"{{{relation}(first: 2, orderBy: DEAL_COUNT_DESC) {{totalCount nodes {{id}}}}}}}}}}")
    assert scans == []


@pytest.mark.usefixtures("sqlite_only")
def test_deals_of_gems_are_searched_in_one_upload_only() -> None:
    """Without a range of ids, the database would scan the deals of all retained uploads."""
    load(*many(50))
    steps: list[str] = []

    def explain(execute: Any, sql: str, params: Any, *arguments: Any) -> Any:
        if 'FROM "deals_api_deal"' in sql:
            plan = execute(f"EXPLAIN QUERY PLAN {sql}", params, *arguments).fetchall()
            steps.extend(step for *_, step in plan if "deals_api_deal" in step)
        return execute(sql, params, *arguments)

    with connection.execute_wrapper(explain):
        data("{gems {nodes {deals {nodes {id}} counted: deals(filter: {total: {gte: 0}}) {totalCount}}}}")
    assert [step.endswith("USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)") for step in steps] == [True, True]
