"""Limits of one operation: a document at a limit is executed, a document above it is rejected with a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from graphql import get_introspection_query, parse

from deals_api.db_vendor import StatementsTimedOut, StatementTimer
from deals_api.models import Upload
from graphql_schema.execution.cost import OPERATION_COST, STATEMENT_COST, CostBudget, document_cost
from tests.builders import deal, load, many
from tests.graphql import clear_caches, code, count_row_queries, data, error, execute_query, id_of, post

pytestmark = pytest.mark.django_db


def assert_rejected(query: str, message: str, **variables: Any) -> None:
    clear_caches()
    rejection = error(query, **variables)
    assert rejection["message"].startswith(message)
    assert rejection["extensions"] == {"code": "limit_exceeded"}


# Document metrics

#: For each limit: the unit in the error message, then documents with the value that reaches the limit.
DOCUMENTS: dict[str, tuple[str, list[tuple[int, str]]]] = {
    "max_query_depth": (
        "levels of fields",
        [
            (5, "{customers {nodes {deals {nodes {id}}}}}"),
            (5, "{customers {edges {node {deals {totalCount}}}} __schema {types {name}}}"),
            (5, "{customers {nodes {...A}}} fragment A on Customer {deals {... {nodes {id}}}}"),
        ],
    ),
    "max_query_fields": (
        "fields",
        [
            (4, "{customers {nodes {id username}}}"),
            (8, "{a: gems {...A} b: gems {...A}} fragment A on GemConnection {nodes {id name}}"),
        ],
    ),
    "max_query_aliases": (
        "aliases",
        [
            (2, "{a: gems {b: totalCount}}"),
            (4, "{a: gems {...A} b: gems {...A}} fragment A on GemConnection {c: totalCount}"),
        ],
    ),
    "max_query_directives": (
        "directives",
        [
            (3, "{... @include(if: true) {gems @skip(if: false) {totalCount @skip(if: false)}}}"),
            (2, "{gems {...A @skip(if: false)}} fragment A on GemConnection {totalCount @skip(if: false)}"),
        ],
    ),
    "max_root_fields": (
        "root fields",
        [(3, "{gems {totalCount} ...A ... {topClients {username}}} fragment A on Query {deals {totalCount}}")],
    ),
}


@pytest.mark.parametrize("limit", DOCUMENTS)
def test_document_over_a_limit_is_rejected(limit: str, limits: Any) -> None:
    load(deal())
    unit, documents = DOCUMENTS[limit]
    for value, query in documents:
        limits(**{limit: value})
        data(query)
        limits(**{limit: value - 1})
        assert_rejected(query, f"The document has more than {value - 1} {unit}.")


def test_unused_fragments_and_unknown_directives_are_counted(limits: Any) -> None:
    limits(max_query_depth=2, max_query_directives=2)
    assert_rejected(
        "{gems {totalCount}} fragment A on Query {gems {nodes {id}}}", "The document has more than 2 levels of fields."
    )
    assert_rejected("{gems @x @y @z {totalCount}}", "The document has more than 2 directives.")


def test_fragment_cycle_is_rejected() -> None:
    for type_name, query in (("GemConnection", "{gems {...A}}"), ("Query", "{...A}")):
        rejection = error(f"{query} fragment A on {type_name} {{...B}} fragment B on {type_name} {{...A}}")
        assert rejection["extensions"] == {"code": "graphql_invalid"}
        assert rejection["message"].startswith('Cannot spread fragment "A" within itself')


def test_fragment_spread_many_times_is_visited_once(limits: Any) -> None:
    """Each fragment spreads the next one twice, so the expanded document has two to the power of forty fields."""
    load(deal())
    limits(max_query_fields=10**15, max_query_tokens=10_000)
    fragments = " ".join(f"fragment F{number} on Gem {{...F{number + 1} ...F{number + 1}}}" for number in range(40))
    assert_rejected(f"{{gems {{nodes {{...F0}}}}}} {fragments} fragment F40 on Gem {{id}}", "The operation costs")
    fragments = fragments.replace("on Gem", "on Query")
    assert_rejected(f"{{...F0}} {fragments} fragment F40 on Query {{gems {{totalCount}}}}", "The operation costs")


# Values and pages


def test_lists_are_limited_in_documents_and_variables(limits: Any) -> None:
    load(deal())
    limits(max_list_argument=2)
    for count, check in ((2, data), (3, rejects("A list has more than 2 values."))):
        names = ", ".join(['"a"'] * count)
        check(f"{{customers(filter: {{username: {{in: [{names}]}}}}) {{totalCount}}}}")
        check(f"query ($x: [String!] = [{names}]) {{customers(filter: {{username: {{in: $x}}}}) {{totalCount}}}}")
        variable = "query ($x: CustomerFilter) {customers(filter: $x) {totalCount}}"
        check(variable, x={"username": {"in": ["a"] * count}})
        keys = ", ".join(["GEM"] * count)
        check(f"{{dealStats(by: [{keys}]) {{nodes {{total}}}}}}")


def rejects(message: str) -> Callable[..., None]:
    return lambda query, **variables: assert_rejected(query, message, **variables)


@pytest.mark.parametrize(
    "query",
    [
        f"{{deals(filter: {'{a: ' * 190}1{'}' * 190}) {{totalCount}}}}",
        f"{{deals(filter: {{quantity: {{in: {'[' * 190}{']' * 190}}}}}) {{totalCount}}}}",
        f"query ($f: {'[' * 190}Int{']' * 190}) {{deals {{totalCount}}}}",
        f"query ($f: DealFilter = {'{a: ' * 190}1{'}' * 190}) {{deals(filter: $f) {{totalCount}}}}",
    ],
    ids=["object", "list", "type", "default"],
)  # fmt: skip
def test_nesting_of_values_and_types_is_limited(query: str) -> None:
    assert code(query) == "limit_exceeded"


def test_strings_are_limited_in_documents_and_variables(limits: Any) -> None:
    load(deal())
    limits(max_string_length=5)
    for text, check in (("a" * 5, data), ("a" * 6, rejects("A string is over 5 characters."))):
        check(f'{{customer(username: "{text}") {{id}}}}')
        check(f'{{customer(username: """{text}""") {{id}}}}')
        check(f'query ($x: String! = "{text}") {{customer(username: $x) {{id}}}}')
        check("query ($x: String!) {customer(username: $x) {id}}", x=text)
        check("query ($x: NameFilter!) {customers(filter: {username: $x}) {totalCount}}", x={"in": ["", text]})


def test_page_sizes_follow_the_configured_limits(limits: Any) -> None:
    load(*many(9))
    limits(page_size=4, max_page_size=6, max_stats_groups=8)
    for size, rows in {"": 4, "(first: 6)": 6, "(last: 6)": 6}.items():
        assert len(data(f"{{deals{size} {{nodes {{id}}}}}}")["deals"]["nodes"]) == rows
    assert_rejected("{deals(first: 7) {nodes {id}}}", "first may be 0 to 6, not 7.")
    assert_rejected("{dealStats(limit: 9) {nodes {total}}}", "limit may be 1 to 8, not 9.")
    limits(page_size=8)
    clear_caches()
    assert len(data("{deals {nodes {id}}}")["deals"]["nodes"]) == 6


# Cost in nodes


def cost(query: str, **variables: Any) -> int:
    """Return the cost of an uncached operation."""
    clear_caches()
    requested: int = execute_query(query, **variables)["extensions"]["cost"]["requested"]
    return requested


def response_cost(query: str, **variables: Any) -> int:
    """Return the cost of rows, names and text, without that of the document and the statements."""
    fixed = document_cost(parse(query)) + STATEMENT_COST * count_row_queries(query, **variables)
    return cost(query, **variables) - fixed


def test_cost_is_reported_and_limited(limits: Any) -> None:
    load(deal())
    query = "{customers(first: 50) {nodes {username deals(first: 10) {nodes {id}}}}}"
    nodes = cost(query)
    assert 500 < nodes < 5000
    limits(max_nodes=nodes)
    clear_caches()
    assert execute_query(query)["extensions"]["cost"] == {"requested": nodes, "limit": nodes}
    limits(max_nodes=nodes - 1)
    assert_rejected(query, f"The operation costs {nodes} nodes, and {nodes - 1} are allowed;")
    assert execute_query(query)["extensions"]["cost"] == {"requested": nodes, "limit": nodes - 1}


def test_operation_over_the_limit_is_not_executed(limits: Any) -> None:
    load(deal())
    limits(max_nodes=500)
    result = execute_query("{customers(first: 50) {nodes {username deals(first: 10) {nodes {id}}}}}")
    assert "data" not in result
    assert result["extensions"]["cost"]["requested"] > 500


def test_cost_assumes_full_pages_of_the_requested_size(limits: Any) -> None:
    load(deal())
    of_100 = response_cost("{deals(first: 100) {nodes {id}}}")
    assert of_100 == response_cost("{deals(last: 100) {nodes {id}}}")
    query = "query ($n: Int = 100, $m: Int) {deals(first: $n, last: $m) {nodes {id}}}"
    sizes: list[dict[str, Any]] = [{}, {"n": 100}, {"n": 100.0}, {"n": None, "m": 100}]
    assert all(of_100 <= response_cost(query, **variables) <= of_100 + 1 for variables in sizes)
    of_20 = response_cost("{deals {nodes {id}}}")
    assert of_20 <= response_cost("{deals(first: 20) {nodes {id}}}") <= of_20 + 1
    assert of_20 <= response_cost(query, n=None) == response_cost(query, n=20, m=None) <= of_20 + 1
    assert 4 < of_100 / of_20 < 5.5
    limits(page_size=40)
    assert 1.8 < response_cost("{deals {nodes {id}}}") / of_20 < 2.1


def test_cost_assumes_full_pages_up_to_the_limit_of_each_argument(limits: Any) -> None:
    load(deal())
    limits(max_stats_groups=2_000, max_top_clients=500, max_nodes=10**6)
    stats, clients = "{dealStats(limit: %d) {nodes {total}}}", "{topClients(limit: %d) {username}}"
    assert response_cost(stats % 2_000) - response_cost(stats % 100) > 1_900
    assert response_cost(clients % 500) - response_cost(clients % 100) > 400
    for query, maximum in ((stats, 2_000), (clients, 500), ("{deals(first: %d) {nodes {id}}}", 100)):
        assert_rejected(query % 10**9, f"{'first' if maximum == 100 else 'limit'} may be")
        assert cost(query % 10**9) < cost(query % maximum) + 100


def test_long_arguments_cost_nodes_in_documents_and_variables() -> None:
    """Each argument is read again for every row."""
    load(deal())
    relation = "{customers(first: 50) {nodes {deals(first: 0, filter: {quantity: {%s}}) {totalCount}}}}"
    numbers = list(range(100))
    short, long = cost(relation % "eq: 1"), cost(relation % f"in: {numbers}")
    assert long > short + 200
    selection = "{customers(first: 50) {nodes {deals(first: 0, filter: $f) {totalCount}}}}"
    variable = f"query ($f: DealFilter = {{quantity: {{in: {numbers}}}}}) {selection}"
    assert cost(variable) == cost(variable, f={"quantity": {"in": numbers}}) > short + 200
    assert cost(variable, f={"quantity": {"in": [1]}}) < short + 20


def test_cost_is_multiplied_by_nesting_and_added_for_siblings() -> None:
    load(deal())
    deals = "deals(first: 10) {nodes {id total}}"
    one_field, two_fields = cost(f"{{{deals}}}"), cost(f"{{a: {deals} b: {deals}}}")
    assert abs((two_fields - OPERATION_COST) - 2 * (one_field - OPERATION_COST)) <= 1
    single = response_cost(f"{{{deals}}}")
    nested = response_cost(f"{{customers(first: 10) {{nodes {{{deals}}}}}}}")
    assert 10 * single - 10 < nested < 14 * single
    through_edges = response_cost(f"{{customers(first: 10) {{edges {{node {{{deals}}}}}}}}}")
    assert nested < through_edges < 2 * nested
    fragment = f"fragment F on Query {{{deals}}}"
    assert response_cost(f"{{...F}} {fragment}") == response_cost(f"{{... {{{deals}}}}}") == single


def test_only_the_selected_operation_costs_nodes() -> None:
    load(deal())
    cheap = "query A {gems {totalCount}}"
    expensive = "query B {customers(first: 100) {nodes {deals(first: 100) {nodes {id}}}}}"
    document = f"{cheap} {expensive}"
    assert post(document, operationName="A").json()["data"] == {"gems": {"totalCount": 1}}
    assert post(document, operationName="B").json()["errors"][0]["extensions"] == {"code": "limit_exceeded"}


def test_reading_deals_costs_nodes() -> None:
    load(*many(4000, [f"c{number}" for number in range(20)]), deal("ann"))
    page = "{nodes {id}}"
    by_date = response_cost(f"{{deals(first: 1, orderBy: DATE_ASC) {page}}}")
    by_total = response_cost(f"{{deals(first: 1, orderBy: TOTAL_ASC) {page}}}")
    filtered = response_cost(f'{{deals(first: 1, filter: {{gem: {{contains: "x"}}}}) {page}}}')
    one_customer = response_cost(f'{{deals(first: 1, orderBy: TOTAL_ASC, filter: {{customer: {{eq: "ann"}}}}) {page}}}')
    assert by_date <= one_customer < by_total <= filtered
    compared = "{deals(first: 1, filter: {quantity: {gte: 1}}) {%s}}"
    assert response_cost(compared % "totalCount nodes {id}") > response_cost(compared % "nodes {id}")
    assert response_cost("{dealStats(filter: {quantity: {gte: 1}}) {nodes {total}}}") > by_total


def test_cost_of_sums_depends_on_grouping_and_filters() -> None:
    load(*many(4000, [f"c{number}" for number in range(1000)]))
    from_deals = "{dealStats(by: [%s], filter: {quantity: {gte: 1}}) {nodes {minTotal}}}"
    ungrouped, by_gem, by_month, by_customer = (cost(from_deals % by) for by in ("", "GEM", "MONTH", "CUSTOMER"))
    assert ungrouped - 1 <= by_gem < by_month - 4
    assert by_gem + 50 < by_customer
    page, counted = (
        cost("{dealStats(by: [CUSTOMER]) {nodes {total}}}"),
        cost("{dealStats(by: [CUSTOMER]) {totalCount}}"),
    )
    assert counted > 80 + 35 + 1000 // 18
    both = cost("{dealStats(by: [CUSTOMER]) {totalCount nodes {total share}}}")
    assert both >= page + (counted - 80) + 45  # the argument counts once
    by_number = "{deals(first: 0, filter: {quantity: {gte: 1}%s}) {totalCount}}"
    assert cost(by_number % ', customer: {contains: "c"}') > cost(by_number % "") + 5


def test_cost_of_stored_sums_is_that_of_their_rows() -> None:
    load(*(deal(f"c{n % 1000}", f"g{n % 2}", date=f"2020-0{1 + n % 3}-0{1 + n % 7} 08:00:00") for n in range(4000)))
    stats = "{dealStats(by: [%s]%s) {nodes {minTotal}}}"
    cost_of_deals = 4000 * 2_000 // 1_000_000
    for by, filter_ in (
        ("GEM, MONTH", ""), ("QUARTER", ', filter: {gem: {eq: "g1"}}'), ("GEM, DAY", ""), ("", ""),
        ("WEEK", ', filter: {date: {gte: "2020-01-02T00:00:00Z", lte: "2020-02-29T23:59:59.999999Z"}}'),
    ):  # fmt: skip
        others = filter_[:-1] + ", quantity: {gte: 1}}" if filter_ else ", filter: {quantity: {gte: 1}}"
        assert cost(stats % (by, others)) >= cost(stats % (by, filter_)) + cost_of_deals, (by, filter_)
    counted = "{deals(first: 0, filter: {%s}) {totalCount}}"
    by_names = ('gem: {eq: "g1"}', 'customer: {in: ["c1", "c2"]}', 'gem: {eq: "g0"}, customer: {contains: "1"}')
    for names in by_names:
        assert cost(counted % f"{names}, quantity: {{gte: 1}}") > cost(counted % names)
    Upload.objects.update(purchase_count=None, gem_day_count=None, gem_month_count=None)
    clear_caches()
    assert cost(stats % ("GEM, MONTH", "")) >= cost_of_deals + cost("{dealStats(by: [GEM]) {nodes {total}}}")


def test_cost_of_a_name_search_grows_with_name_length() -> None:
    search = '{customers(first: 1, filter: {username: {contains: "x"}}) {nodes {id}}}'
    load(*many(200, [f"{number:03}" for number in range(200)]))
    short = cost(search)
    load(*many(200, [f"{'é' * 252}{number:03}" for number in range(200)]))
    long, equal = cost(search), cost('{customers(first: 1, filter: {username: {eq: "x"}}) {nodes {id}}}')
    reading = 200 * (255 - 16) // 4_500  # of longer rows, also without a search
    assert long - short == 200 * 255 // 7_000 + reading > reading == equal - short > 0
    by_customer = "filter: {customer: {%s}}"
    for field in (f"deals(first: 1, {by_customer}) {{nodes {{id}}}}", f"dealStats({by_customer}) {{nodes {{total}}}}"):
        searched, compared = (cost(f"{{{field % condition}}}") for condition in ('contains: "x"', 'eq: "x"'))
        assert searched - compared == 200 * 255 // 7_000
    Upload.objects.update(customer_characters=None)
    clear_caches()
    assert cost(search) == long


def test_cost_of_a_nested_filter_grows_with_name_length() -> None:
    filtered = "{gems(first: 1) {nodes {buyers(first: 1, filter: {dealCount: {gte: 1}}) {nodes {id}}}}}"
    costs = []
    for letters in ("", "é" * 252):
        load(*many(200, [f"{letters}{number:03}" for number in range(200)]))
        costs.append(cost(filtered))
    assert costs[1] - costs[0] == 200 * (255 - 16) // 4_500


def test_name_search_costs_nodes_in_each_statement() -> None:
    load(*many(300, [f"{'é' * 252}{number:03}" for number in range(300)]))
    search_cost = 300 * 255 // 7_000
    deals = '{deals(first: 1, filter: {customer: {contains: "é"}, quantity: {gte: 1}}) {%s}}'
    page, counted = cost(deals % "nodes {id}"), cost(deals % "totalCount nodes {id}")
    assert page >= 3 * search_cost  # at least three statements search the names
    assert counted - page >= search_cost


def test_substring_longer_than_any_name_matches_nothing() -> None:
    load(deal("é" * 255))
    for text, found in (("é" * 255, 1), ("é" * 256, 0), ("é" * 255, 1)):
        lists = "customers(filter: {username: $n}) {totalCount} deals(filter: {customer: $n}) {totalCount}"
        result = data(f"query ($n: NameFilter!) {{{lists}}}", n={"contains": text})
        assert result == {"customers": {"totalCount": found}, "deals": {"totalCount": found}}
    relation = '{customers {nodes {deals(filter: {customer: {contains: "%s"}}) {totalCount}}}}' % ("é" * 256)
    assert data(relation) == {"customers": {"nodes": [{"deals": {"totalCount": 0}}]}}


def test_cost_grows_with_the_number_of_deals_without_a_bound(limits: Any) -> None:
    limits(max_nodes=10**6)
    costs = []
    for rows in (1_000_000, 10_000_000):
        budget = CostBudget()
        budget.read_rows(rows)
        budget.compare(rows, 1)
        costs.append(budget.requested - 2)  # Each statement with the comparison costs 2 nodes.
    assert costs[1] == 10 * costs[0] > 0


def test_names_read_into_python_cost_nodes() -> None:
    load(*(deal(f"c{customer}", f"g{gem}") for customer in range(30) for gem in range(30)))
    without = response_cost("{topClients(limit: 30) {username}}")
    assert response_cost("{topClients(limit: 30) {gems}}") >= without + 900 // 40
    assert response_cost("{topClients {username}}") < response_cost("{topClients(limit: 20) {username}}") / 2


def test_names_looked_up_among_many_cost_nodes() -> None:
    def cost(names: int, all_names: int) -> int:
        budget = CostBudget()
        budget.look_up_names(names, all_names=all_names)
        return budget.requested

    assert cost(2_000, 100_000) == cost(2_000, 0) + 200
    assert cost(100, 100_000) == cost(100, 0) + 40


def test_negative_page_size_does_not_reduce_the_cost() -> None:
    load(deal())
    expensive = "customers(first: 100) {nodes {deals(first: 100) {nodes {id customer {id}}}}}"
    assert_rejected(f"{{{expensive} deals(first: -1000000) {{nodes {{id}}}}}}", "The operation costs")


def test_order_by_a_column_of_another_table_costs_more() -> None:
    load(*(deal(customer, f"gem {number}") for customer in ("ann", "bob") for number in range(300)))
    relation = "{customers {nodes {%s(first: 1) {nodes {id}}}}}"
    assert cost(relation % "gems") > 1.5 * (cost(relation % "purchases") - cost("{customers {nodes {id}}}"))


def test_lookup_of_buyers_costs_nodes() -> None:
    load(*(deal(f"c{number}") for number in range(2_000)))
    page = "{gems {nodes {%s(first: 1) {nodes {id}}}}}"
    assert response_cost(page % "buyers") == response_cost(page % "purchases") + 2_000 * 2_000 // 1_000_000


def test_order_of_deals_by_name_costs_more() -> None:
    load(*many(4000))
    page = "{deals(first: 1, orderBy: %s) {nodes {id}}}"
    by_total, by_gem = (response_cost(page % order) for order in ("TOTAL_ASC", "GEM_ASC"))
    assert by_gem >= by_total + 4 * 6  # Per thousand deals, the sort costs 6 nodes.


def test_order_by_long_names_costs_more() -> None:
    def cost(rows: int, all_names: int, characters: int) -> int:
        budget = CostBudget()
        budget.sort_by_name(rows, all_names, characters)
        return budget.requested

    assert cost(1_000, 1_000, 140_000) == cost(1_000, 1_000, 0) + 20
    assert cost(10, 4_000, 140_000) == cost(10, 4_000, 0) + 10  # PostgreSQL looks up the names of few rows
    assert cost(0, 0, 0) > 0


def test_each_condition_costs_nodes_for_each_row_and_statement() -> None:
    load(*many(4000, [f"c{number}" for number in range(2000)]))
    queries = {
        "deals": "{deals(first: 1, filter: {OR: [%s]}) {nodes {id}}}",
        "customers": "{customers(first: 1, filter: {OR: [%s]}) {nodes {id}}}",
        "stats": "{dealStats(filter: {OR: [%s]}) {nodes {total}}}",
    }
    for name, query in queries.items():
        column = "dealCount" if name == "customers" else "quantity"
        few, many_ = (
            response_cost(query % ", ".join(f"{{{column}: {{eq: {number}}}}}" for number in range(count)))
            for count in (2, 22)
        )
        assert many_ - few >= 20 * (1 + 2), name  # An input object, and a condition in the statement.


def test_every_operation_has_a_base_cost() -> None:
    assert OPERATION_COST < cost("{__typename}") < OPERATION_COST + 5


def test_each_statement_costs_nodes() -> None:
    load(deal())
    one, three = (
        " ".join(f'a{number}: gem(name: "{number}") {{total}}' for number in range(count)) for count in (1, 3)
    )
    assert cost(f"{{{three}}}") - cost(f"{{{one}}}") >= 2 * STATEMENT_COST


@pytest.mark.parametrize("operator", ["eq", "gte", "lte"])
def test_cost_does_not_depend_on_the_range_of_the_column(operator: str) -> None:
    """Of a column of 32 bits on PostgreSQL, Django omits statements with larger numbers."""
    load(deal(quantity="5"))
    costs = {
        cost(f"{{deals(filter: {{quantity: {{{operator}: {number}}}}}) {{totalCount nodes {{id}}}}}}")
        for number in (5, 2**31, 2**63 - 1, -(2**63) + 1)
    }
    groups = {
        cost(f"{{dealStats(by: [YEAR], having: {{dealCount: {{{operator}: {number}}}}}) {{total}}}}")
        for number in (5, 2**31, 2**63 - 1)
    }
    assert (len(costs), len(groups)) == (1, 1)


def test_each_alias_costs_nodes_per_row_and_in_the_document() -> None:
    load(deal())
    page = "{customers(first: %d) {nodes {%s}}}"
    aliases = " ".join(f"a{number}: username" for number in range(29))
    assert cost(page % (0, aliases)) - cost(page % (0, "username")) >= 28
    assert response_cost(page % (100, aliases)) - response_cost(page % (100, "username")) >= 28 * 100 // 8 - 1


def test_cost_of_fields_with_one_response_path_grows_with_pairs() -> None:
    load(deal())
    cheap, expensive = (cost("{deals(first: 0) {nodes {%s}}}" % ("customer {id} " * count)) for count in (24, 240))
    assert expensive > 30 * (cheap - OPERATION_COST)
    distinct = " ".join(f"a{number}: total" for number in range(29))
    assert document_cost(parse(f"{{deals {{nodes {{{distinct}}}}}}}")) < OPERATION_COST + 100


def test_cost_of_names_in_the_response_grows_with_bytes() -> None:
    page = "{customers(first: 100) {nodes {username}}}"
    costs = []
    for letter in ("e", "é", "💎"):
        load(*many(100, [f"{letter * 252}{number:03}" for number in range(100)]))
        costs.append(cost(page))
    ascii_text, two_bytes, four_bytes = costs
    assert two_bytes - ascii_text >= 100 * 252 // 4_000 - 1 > 0
    assert four_bytes - two_bytes >= 100 * 504 // 4_000 - 1


def test_rows_read_only_for_page_info_cost_nodes() -> None:
    load(deal())
    relation = "{customers(first: 10) {nodes {deals(first: 100) {%s}}}}"
    counted, page_info = (response_cost(relation % field) for field in ("totalCount", "pageInfo {hasNextPage}"))
    assert page_info - counted > 10 * 100 // 3


def test_input_objects_cost_nodes_for_each_row() -> None:
    load(deal())
    relation = "{customers(first: 80) {nodes {deals(first: 0%s) {totalCount}}}}"
    plain, filtered = (response_cost(relation % argument) for argument in ("", ", filter: {quantity: {gte: 1}}"))
    assert filtered - plain > 60


def test_name_order_without_an_index_costs_more() -> None:
    load(*many(2000, [f"c{number}" for number in range(2000)]))
    page = "{customers(first: 1, orderBy: %s) {nodes {id}}}"
    indexed = [cost(page % order) for order in ("SPENT_MONEY_DESC", "USERNAME_ASC", "USERNAME_DESC")]
    sorted_ = [cost(page % order) for order in ("LAST_DEAL_DESC", "LAST_DEAL_ASC", "DEAL_COUNT_ASC", "DEAL_COUNT_DESC")]
    # Per thousand names, reading costs 2 nodes and sorting costs 10.
    assert min(sorted_) - max(indexed) >= 2_000 * 12 // 1_000


def test_substring_longer_than_any_name_reads_no_row() -> None:
    load(deal("é" * 255))
    query = "query ($text: String!) {customers(filter: {username: {contains: $text}}) {totalCount}}"
    assert [count_row_queries(query, text="é" * length) for length in (255, 256)] == [1, 0]


def test_introspection_costs_what_it_returns() -> None:
    complete = cost(get_introspection_query())
    assert 500 < complete < 3_000
    fields = "fields {name description type {name kind} args {name description type {name kind}}}"
    assert cost(f"{{__schema {{types {{name {fields}}}}}}}") < complete
    aliases = " ".join(f"a{number}: {fields}" for number in range(29))
    assert_rejected(f"{{__schema {{types {{{aliases}}}}}}}", "The operation costs")


def test_deals_of_gems_cost_as_much_as_all_deals_of_the_upload() -> None:
    """No index finds them. Several gems cost the sort within each gem in addition."""
    load(*(deal(item=f"g{number % 4}") for number in range(4000)))
    page = "{gems(first: %d) {nodes {%s}}}"
    one = cost(page % (1, "deals(first: 1) {nodes {id}}")) - cost(page % (1, "purchases(first: 1) {nodes {id}}"))
    assert one == 4000 * 2_000 // 1_000_000
    two, four = (cost(page % (count, "deals(first: 0) {nodes {id}}")) for count in (2, 4))
    assert four - two >= 2000 * 15_000 // 1_000_000
    counted, by_filter = (
        cost(page % (4, f"deals(first: 0{filter_}) {{totalCount}}")) for filter_ in ("", ", filter: {total: {gte: 0}}")
    )
    assert by_filter - counted >= 4000 * 2_000 // 1_000_000 + STATEMENT_COST
    by_name = cost(page % (4, 'deals(first: 0, filter: {total: {gte: 0}, customer: {eq: "x"}}) {totalCount}'))
    assert by_name - by_filter >= 4000 * 1_500 // 1_000_000 - 1  # each deal may be looked up in the set of customers
    by_name_only = cost(page % (4, 'deals(first: 0, filter: {customer: {eq: "x"}}) {totalCount}'))
    assert by_filter - by_name_only >= 4000 * 2_000 // 1_000_000 - 3  # counted from the purchases


def test_groups_that_sqlite_sorts_cost_more() -> None:
    load(*(deal(customer=f"c{number % 2}") for number in range(4000)))
    stats = "{dealStats(by: [%s], filter: {total: {gte: 0}}) {nodes {total}}}"
    months, weeks, quarters, by_customer = (cost(stats % by) for by in ("MONTH", "WEEK", "QUARTER", "CUSTOMER, MONTH"))
    on_sqlite = connection.vendor == "sqlite"
    assert weeks - months == quarters - months == 4000 * 5_000 * on_sqlite // 1_000_000
    assert by_customer - months == 4000 * 3_500 * on_sqlite // 1_000_000


def test_rows_that_sqlite_ranks_cost_more() -> None:
    load(*(deal(customer=f"c{number % 4}") for number in range(4000)))
    query = "{customers(first: %d) {nodes {deals(first: 0, orderBy: %s) {nodes {id}}}}}"
    by_total, by_gem = (cost(query % (4, by)) - cost(query % (2, by)) for by in ("TOTAL_DESC", "GEM_ASC"))
    by_sums, by_names = (27_000, 42_000) if connection.vendor == "sqlite" else (13_000, 27_000)
    assert by_total >= 2000 * by_sums // 1_000_000
    assert by_gem - by_total >= 2000 * (by_names - by_sums) // 1_000_000


def test_long_names_that_sqlite_joins_cost_more() -> None:
    def buyers_cost(length: int) -> int:
        load(*(deal(customer=f"{number % 1000:0{length}}", item=f"g{number // 1000}") for number in range(4000)))
        return cost("{gems {nodes {buyers(first: 0) {nodes {id}}}}}")

    price = 300 if connection.vendor == "sqlite" else 0
    assert buyers_cost(116) - buyers_cost(16) == 4000 * 100 * price // 1_000_000


# Number and time of SQL statements


def test_number_of_statements_is_limited(limits: Any) -> None:
    load(deal())
    query = "{customers {nodes {deals {nodes {gem {id}}}}}}"
    limits(max_sql_queries=3)
    data(query)
    limits(max_sql_queries=2)
    assert_rejected(query, "The operation takes more than 2 statements.")


#: A statement that takes a minute.
SLOW = {
    "sqlite": "WITH RECURSIVE n AS (SELECT 1 AS i UNION SELECT i + 1 FROM n WHERE i < 300000000) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


@contextmanager
def slow(table: str) -> Iterator[None]:
    """Execute a slow statement before each statement that reads this table."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if f'FROM "deals_api_{table}"' in sql:
            execute(SLOW[connection.vendor], None, many, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["deal", "gem"])
def test_database_time_of_an_operation_is_limited(table: str, limits: Any) -> None:
    load(deal())
    limits(max_query_seconds=1)
    query = "{deals {nodes {gem {name}}}}"
    started = time.monotonic()
    with slow(table):
        assert_rejected(query, "The database needs more than 1 s for the operation.")
    assert time.monotonic() - started < 50
    limits(max_query_seconds=300)
    assert data(query) == {"deals": {"nodes": [{"gem": {"name": "ruby"}}]}}


@contextmanager
def before_rows_are_read(action: Callable[[Callable[[str], Any]], object]) -> Iterator[None]:
    """Call ``action`` before deals or gems are read; its argument executes another SQL statement."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "deals_api_deal"' in sql or 'FROM "deals_api_gem"' in sql:
            action(lambda statement: execute(statement, None, many, context))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield


class Clock:
    """A fake of the module ``time``; only tests advance its clocks. ``thread_time`` is CPU time."""

    def __init__(self) -> None:
        self.now = self.cpu = 1000.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.cpu

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.cpu += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("deals_api.db_vendor.time", clock)
    return clock


def test_time_of_all_statements_is_added_up(clock: Clock) -> None:
    timer = StatementTimer(1)
    for seconds in (0.5, 0.25, 0.25):
        timer.execute(lambda *_, seconds=seconds: clock.work(seconds), "")
    with pytest.raises(StatementsTimedOut):
        timer.execute(lambda *_: None, "")


def test_time_between_statements_is_not_counted(clock: Clock) -> None:
    load(deal())
    with before_rows_are_read(lambda _: clock.work(1000)):
        assert data("{deals {nodes {gem {name}}}}") == {"deals": {"nodes": [{"gem": {"name": "ruby"}}]}}


def test_suspended_time_of_the_process_is_not_counted(clock: Clock) -> None:
    """PostgreSQL did not cancel the statement, so the time passed elsewhere, for example during a SIGSTOP."""

    def suspend(*_: Any) -> None:
        clock.now += 100

    timer = StatementTimer(5)
    for _ in range(3):
        timer.execute(suspend, "")


@pytest.mark.django_db(transaction=True)
def test_time_to_fetch_rows_is_limited(limits: Any) -> None:
    """SQLite computes all rows but the first one while they are fetched."""
    load(deal(), deal("bob"))
    limits(max_query_seconds=1)

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "deals_api_deal"' in sql:
            delay = SLOW[connection.vendor].replace("pg_sleep(60)", "pg_sleep(60)::text")
            first = 'SELECT MIN("id") FROM "deals_api_deal"'
            sql = f'SELECT * FROM ({sql}) AS rows WHERE "id" = ({first}) OR ({delay}) IS NOT NULL'  # noqa: S608
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        assert_rejected("{deals {nodes {id}}}", "The database needs more than 1 s for the operation.")


@pytest.mark.django_db(transaction=True)
def test_immediate_database_failure_is_not_a_timeout() -> None:
    load(deal())
    clear_caches()
    failing_statements = {
        "sqlite": "ATTACH '/nowhere/at/all' AS missing",
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    }
    with before_rows_are_read(lambda execute: execute(failing_statements[connection.vendor])):
        response = post("{deals {nodes {gem {name}}}}")
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (503, "database_busy")


@pytest.mark.django_db(transaction=True)
def test_time_limit_ends_with_the_operation(limits: Any) -> None:
    load(deal())
    limits(max_query_seconds=1)
    data("{deals {totalCount}}")
    if connection.vendor == "sqlite":
        time.sleep(1.1)  # longer than the limit, which a remaining progress handler would apply
    with connection.cursor() as cursor:
        cursor.execute(SLOW[connection.vendor].replace("300000000", "100000").replace("60", "1.2"))
        assert cursor.fetchone()


def test_groups_ordered_by_name_cost_more_than_by_sum() -> None:
    load(*(deal(item=f"gem {number}") for number in range(90)))
    query = "query ($order: DealStatsOrder!) {dealStats(by: [GEM], orderBy: $order) {nodes {total}}}"
    by_sum, by_name = (
        execute_query(query, order=order)["extensions"]["cost"]["requested"] for order in ("TOTAL_ASC", "GEM_ASC")
    )
    assert by_name == by_sum + 90 // 6


def test_cost_grows_with_the_values_of_arguments() -> None:
    load(deal())
    query = "query ($dates: [DateTime!]) {customers(first: 1, filter: {firstDeal: {in: $dates}}) {totalCount}}"
    dates = ["2019-12-04T12:39:58.699685Z"] * 100
    assert 30 < response_cost(query, dates=dates) - response_cost(query, dates=dates[:1]) < 60


def test_each_statement_of_a_comparison_costs_more_than_a_plain_one() -> None:
    base = load(deal(item="ruby"))
    load(deal(item="opal"))
    query = "query ($base: ID!) {compare(base: $base) {gems {totalCount}}}"
    assert response_cost(query, base=id_of(base)) >= 2 * STATEMENT_COST
