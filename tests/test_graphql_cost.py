"""Limits of one operation: a document at a limit is executed, one above it is rejected with a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from graphql import get_introspection_query, parse

from deals_api.db_vendor import StatementsTimedOut, StatementTimer
from deals_api.models import Upload
from graphql_schema.execution.cost import OPERATION_COST, STATEMENT_COST, CostBudget, document_cost
from tests.builders import deal, load, many
from tests.graphql import ask, code, data, error, forget, post, statements

pytestmark = pytest.mark.django_db


def assert_rejected(query: str, sentence: str, **variables: Any) -> None:
    forget()
    rejection = error(query, **variables)
    assert rejection["message"].startswith(sentence)
    assert rejection["extensions"] == {"code": "limit_exceeded"}


# The shape of a document

#: The words of each limit in its error message, and documents that reach it.
SHAPES: dict[str, tuple[str, list[tuple[int, str]]]] = {
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


@pytest.mark.parametrize("bound", SHAPES)
def test_the_shape_of_a_document_is_bounded(bound: str, limits: Any) -> None:
    load(deal())
    what, documents = SHAPES[bound]
    for most, query in documents:
        limits(**{bound: most})
        data(query)
        limits(**{bound: most - 1})
        assert_rejected(query, f"The document has more than {most - 1} {what}.")


def test_unused_fragments_and_unknown_directives_count_too(limits: Any) -> None:
    limits(max_query_depth=2, max_query_directives=2)
    assert_rejected(
        "{gems {totalCount}} fragment A on Query {gems {nodes {id}}}", "The document has more than 2 levels of fields."
    )
    assert_rejected("{gems @x @y @z {totalCount}}", "The document has more than 2 directives.")


def test_fragments_that_spread_each_other_are_refused_and_not_walked_for_ever() -> None:
    for kind, query in (("GemConnection", "{gems {...A}}"), ("Query", "{...A}")):
        rejection = error(f"{query} fragment A on {kind} {{...B}} fragment B on {kind} {{...A}}")
        assert rejection["extensions"] == {"code": "graphql_invalid"}
        assert rejection["message"].startswith("Cannot spread fragment 'A' within itself")


def test_a_fragment_is_walked_once_however_often_it_is_spread(limits: Any) -> None:
    """Each fragment spreads the next one twice, so the expanded document has two to the power of forty fields."""
    load(deal())
    limits(max_query_fields=10**15, max_query_tokens=10_000)
    each = " ".join(f"fragment F{number} on Gem {{...F{number + 1} ...F{number + 1}}}" for number in range(40))
    assert_rejected(f"{{gems {{nodes {{...F0}}}}}} {each} fragment F40 on Gem {{id}}", "The operation costs")
    each = each.replace("on Gem", "on Query")
    assert_rejected(f"{{...F0}} {each} fragment F40 on Query {{gems {{totalCount}}}}", "The operation costs")


# The size of values


def test_lists_are_bounded_wherever_they_stand(limits: Any) -> None:
    load(deal())
    limits(max_list_argument=2)
    for count, judge in ((2, data), (3, refuses("A list has more than 2 values."))):
        names = ", ".join(['"a"'] * count)
        judge(f"{{customers(filter: {{username: {{in: [{names}]}}}}) {{totalCount}}}}")
        judge(f"query ($x: [String!] = [{names}]) {{customers(filter: {{username: {{in: $x}}}}) {{totalCount}}}}")
        variable = "query ($x: CustomerFilter) {customers(filter: $x) {totalCount}}"
        judge(variable, x={"username": {"in": ["a"] * count}})
        keys = ", ".join(["GEM"] * count)
        judge(f"{{dealStats(by: [{keys}]) {{total}}}}")


def refuses(sentence: str) -> Callable[..., None]:
    return lambda query, **variables: assert_rejected(query, sentence, **variables)


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
def test_values_in_values_are_bounded(query: str) -> None:
    """Twice, because what a document is like is remembered, and the second is compared with the first."""
    for number in range(3):
        assert code(f"{query} # {number}") == "limit_exceeded"


def test_strings_are_bounded_wherever_they_stand(limits: Any) -> None:
    load(deal())
    limits(max_string_length=5)
    for text, judge in (("a" * 5, data), ("a" * 6, refuses("A string is over 5 characters."))):
        judge(f'{{customer(username: "{text}") {{id}}}}')
        judge(f'{{customer(username: """{text}""") {{id}}}}')
        judge(f'query ($x: String! = "{text}") {{customer(username: $x) {{id}}}}')
        judge("query ($x: String!) {customer(username: $x) {id}}", x=text)
        judge("query ($x: NameFilter!) {customers(filter: {username: $x}) {totalCount}}", x={"in": ["", text]})


def test_pages_are_as_long_as_the_operator_wants(limits: Any) -> None:
    load(*many(9))
    limits(page_size=4, max_page_size=6)
    for size, rows in {"": 4, "(first: 6)": 6, "(last: 6)": 6}.items():
        assert len(data(f"{{deals{size} {{nodes {{id}}}}}}")["deals"]["nodes"]) == rows
    assert_rejected("{deals(first: 7) {nodes {id}}}", "first may be 0 to 6, not 7.")
    assert_rejected("{dealStats(limit: 7) {total}}", "limit may be 1 to 6, not 7.")
    limits(page_size=8)
    forget()
    assert len(data("{deals {nodes {id}}}")["deals"]["nodes"]) == 6


# Nodes


def cost(query: str, **variables: Any) -> int:
    forget()
    requested: int = ask(query, **variables)["extensions"]["cost"]["requested"]
    return requested


def response_cost(query: str, **variables: Any) -> int:
    """The cost without that of the document and of the statements: rows, names and text."""
    fixed = document_cost(parse(query)) + STATEMENT_COST * statements(query, **variables)
    return cost(query, **variables) - fixed


def test_cost_is_reported_and_limited(limits: Any) -> None:
    load(deal())
    query = "{customers(first: 50) {nodes {username deals(first: 10) {nodes {id}}}}}"
    nodes = cost(query)
    assert 500 < nodes < 5000
    limits(max_nodes=nodes)
    forget()
    assert ask(query)["extensions"]["cost"] == {"requested": nodes, "limit": nodes}
    limits(max_nodes=nodes - 1)
    assert_rejected(query, f"The operation costs {nodes} nodes, and {nodes - 1} are allowed;")
    assert ask(query)["extensions"]["cost"] == {"requested": nodes, "limit": nodes - 1}


def test_operation_over_the_limit_is_not_executed(limits: Any) -> None:
    load(deal())
    limits(max_nodes=500)
    result = ask("{customers(first: 50) {nodes {username deals(first: 10) {nodes {id}}}}}")
    assert "data" not in result
    assert result["extensions"]["cost"]["requested"] > 500


def test_cost_is_that_of_full_pages_for_every_form_of_page_size(limits: Any) -> None:
    load(deal())
    of_100 = response_cost("{deals(first: 100) {nodes {id}}}")
    assert of_100 == response_cost("{deals(last: 100) {nodes {id}}}")
    query = "query ($n: Int = 100, $m: Int) {deals(first: $n, last: $m) {nodes {id}}}"
    sizes: list[dict[str, Any]] = [{}, {"n": 100}, {"n": 100.0}, {"n": None, "m": 100}]
    assert all(of_100 <= response_cost(query, **variables) <= of_100 + 1 for variables in sizes)
    of_20 = response_cost("{deals {nodes {id}}}")
    assert of_20 == response_cost("{deals(first: 20) {nodes {id}}}")
    assert of_20 <= response_cost(query, n=None) == response_cost(query, n=20, m=None) <= of_20 + 1
    assert 4 < of_100 / of_20 < 5.5
    limits(page_size=40)
    assert 1.8 < response_cost("{deals {nodes {id}}}") / of_20 < 2.1


def test_long_arguments_cost_wherever_they_are_written() -> None:
    """Each argument is read again for every row."""
    load(deal())
    relation = "{customers(first: 50) {nodes {deals(first: 0, filter: {quantity: {%s}}) {totalCount}}}}"
    numbers = list(range(100))
    short, long = cost(relation % "eq: 1"), cost(relation % f"in: {numbers}")
    assert long > short + 200
    of_all = "{customers(first: 50) {nodes {deals(first: 0, filter: $f) {totalCount}}}}"
    variable = f"query ($f: DealFilter = {{quantity: {{in: {numbers}}}}}) {of_all}"
    assert cost(variable) == cost(variable, f={"quantity": {"in": numbers}}) > short + 200
    assert cost(variable, f={"quantity": {"in": [1]}}) < short + 20


def test_cost_multiplies_with_depth_and_adds_up_for_siblings() -> None:
    load(deal())
    deals = "deals(first: 10) {nodes {id total}}"
    alone, twice = cost(f"{{{deals}}}"), cost(f"{{a: {deals} b: {deals}}}")
    assert abs((twice - OPERATION_COST) - 2 * (alone - OPERATION_COST)) <= 1
    alone = response_cost(f"{{{deals}}}")
    nested = response_cost(f"{{customers(first: 10) {{nodes {{{deals}}}}}}}")
    assert 10 * alone - 10 < nested < 14 * alone
    through_edges = response_cost(f"{{customers(first: 10) {{edges {{node {{{deals}}}}}}}}}")
    assert nested < through_edges < 2 * nested
    fragment = f"fragment F on Query {{{deals}}}"
    assert response_cost(f"{{...F}} {fragment}") == response_cost(f"{{... {{{deals}}}}}") == alone


def test_only_the_operation_that_is_asked_for_costs() -> None:
    load(deal())
    cheap = "query A {gems {totalCount}}"
    dear = "query B {customers(first: 100) {nodes {deals(first: 100) {nodes {id}}}}}"
    both = f"{cheap} {dear}"
    assert post(both, operationName="A").json()["data"] == {"gems": {"totalCount": 1}}
    assert post(both, operationName="B").json()["errors"][0]["extensions"] == {"code": "limit_exceeded"}


def test_reading_deals_costs_nodes() -> None:
    load(*many(4000, [f"c{number}" for number in range(20)]), deal("ann"))
    page = "{nodes {id}}"
    ordered = response_cost(f"{{deals(first: 1, orderBy: DATE_ASC) {page}}}")
    by_sum = response_cost(f"{{deals(first: 1, orderBy: TOTAL_ASC) {page}}}")
    filtered = response_cost(f'{{deals(first: 1, filter: {{gem: {{contains: "x"}}}}) {page}}}')
    of_one = response_cost(f'{{deals(first: 1, orderBy: TOTAL_ASC, filter: {{customer: {{eq: "ann"}}}}) {page}}}')
    assert ordered <= of_one < by_sum <= filtered
    counted = response_cost('{deals(first: 1, filter: {gem: {contains: "x"}}) {totalCount nodes {id}}}')
    assert counted > filtered
    assert response_cost("{dealStats {total}}") > by_sum


def test_sums_cost_by_what_the_database_does_for_them() -> None:
    load(*many(4000, [f"c{number}" for number in range(1000)]))
    whole = cost("{dealStats {minTotal}}")
    by_gem = cost("{dealStats(by: [GEM]) {minTotal}}")
    assert whole - 1 <= by_gem < cost("{dealStats(by: [MONTH]) {minTotal}}") - 4
    assert by_gem + 50 < cost("{dealStats(by: [CUSTOMER]) {minTotal}}")
    in_a_set = cost('{deals(first: 0, filter: {customer: {contains: "c"}}) {totalCount}}')
    by_itself = cost("{deals(first: 0, filter: {quantity: {gte: 1}}) {totalCount}}")
    assert in_a_set > by_itself + 5


def test_searching_names_costs_by_their_length() -> None:
    search = '{customers(first: 1, filter: {username: {contains: "x"}}) {nodes {id}}}'
    load(*many(200, [f"{number:03}" for number in range(200)]))
    short = cost(search)
    load(*many(200, [f"{'é' * 252}{number:03}" for number in range(200)]))
    long, equal = cost(search), cost('{customers(first: 1, filter: {username: {eq: "x"}}) {nodes {id}}}')
    assert long - short == 200 * 255 // 7_000 > 0 == equal - short
    of_customer = "filter: {customer: {%s}}"
    for page in (f"deals(first: 1, {of_customer}) {{nodes {{id}}}}", f"dealStats({of_customer}) {{total}}"):
        found, compared = (cost(f"{{{page % condition}}}") for condition in ('contains: "x"', 'eq: "x"'))
        assert found - compared == 200 * 255 // 7_000
    Upload.objects.update(customer_characters=None)
    forget()
    assert cost(search) == long


def test_names_searched_in_several_statements_cost_for_each() -> None:
    load(*many(300, [f"{'é' * 252}{number:03}" for number in range(300)]))
    once = 300 * 255 // 7_000
    deals = '{deals(first: 1, filter: {customer: {contains: "é"}}) {%s}}'
    page, counted = cost(deals % "nodes {id}"), cost(deals % "totalCount nodes {id}")
    assert page >= 3 * once  # the first ones, their number, and the set
    assert counted - page >= once


def test_a_text_longer_than_any_name_is_not_searched_for() -> None:
    load(deal("é" * 255))
    for text, found in (("é" * 255, 1), ("é" * 256, 0), ("é" * 255, 1)):
        lists = "customers(filter: {username: $n}) {totalCount} deals(filter: {customer: $n}) {totalCount}"
        answer = data(f"query ($n: NameFilter!) {{{lists}}}", n={"contains": text})
        assert answer == {"customers": {"totalCount": found}, "deals": {"totalCount": found}}
    relation = '{customers {nodes {deals(filter: {customer: {contains: "%s"}}) {totalCount}}}}' % ("é" * 256)
    assert data(relation) == {"customers": {"nodes": [{"deals": {"totalCount": 0}}]}}


def test_a_file_of_more_than_a_million_deals_costs_what_one_of_a_million_does() -> None:
    """A query that is accepted for one file is accepted for the larger one; it only takes longer."""
    account = CostBudget()
    account.read_rows(1_000_000)
    of_a_million = account.requested
    account.read_rows(3_000_000)
    assert account.requested == 2 * of_a_million > 0


def test_names_read_into_python_cost_nodes() -> None:
    load(*(deal(f"c{customer}", f"g{gem}") for customer in range(30) for gem in range(30)))
    without = response_cost("{topClients(limit: 30) {username}}")
    assert response_cost("{topClients(limit: 30) {gems}}") >= without + 900 // 40
    assert response_cost("{topClients {username}}") < response_cost("{topClients(limit: 20) {username}}") / 2


def test_a_page_of_less_than_nothing_pays_for_no_other() -> None:
    load(deal())
    dear = "customers(first: 100) {nodes {deals(first: 100) {nodes {id customer {id}}}}}"
    assert_rejected(f"{{{dear} deals(first: -1000000) {{nodes {{id}}}}}}", "The operation costs")


def test_lists_in_order_of_another_table_cost_more() -> None:
    load(*(deal(customer, f"gem {number}") for customer in ("ann", "bob") for number in range(300)))
    relation = "{customers {nodes {%s(first: 1) {nodes {id}}}}}"
    assert cost(relation % "gems") > 1.5 * (cost(relation % "purchases") - cost("{customers {nodes {id}}}"))


def test_every_operation_has_a_base_cost() -> None:
    assert OPERATION_COST < cost("{__typename}") < OPERATION_COST + 5


def test_each_statement_costs_nodes() -> None:
    load(deal())
    one, three = (
        " ".join(f'a{number}: gem(name: "{number}") {{total}}' for number in range(count)) for count in (1, 3)
    )
    assert cost(f"{{{three}}}") - cost(f"{{{one}}}") >= 2 * STATEMENT_COST


def test_each_alias_costs_nodes_per_row_and_in_the_document() -> None:
    load(deal())
    page = "{customers(first: %d) {nodes {%s}}}"
    aliases = " ".join(f"a{number}: username" for number in range(29))
    assert cost(page % (0, aliases)) - cost(page % (0, "username")) >= 28
    assert response_cost(page % (100, aliases)) - response_cost(page % (100, "username")) >= 28 * 100 // 8 - 1


def test_fields_with_the_same_response_path_cost_by_pairs() -> None:
    load(deal())
    cheap, expensive = (cost("{deals(first: 0) {nodes {%s}}}" % ("customer {id} " * count)) for count in (24, 240))
    assert expensive > 30 * (cheap - OPERATION_COST)
    unlike = " ".join(f"a{number}: total" for number in range(29))
    assert document_cost(parse(f"{{deals {{nodes {{{unlike}}}}}}}")) < OPERATION_COST + 100


def test_long_names_in_the_response_cost_by_their_bytes() -> None:
    page = "{customers(first: 100) {nodes {username}}}"
    costs = []
    for letter in ("e", "é", "💎"):
        load(*many(100, [f"{letter * 252}{number:03}" for number in range(100)]))
        costs.append(cost(page))
    ascii_text, two_bytes, four_bytes = costs
    assert two_bytes - ascii_text >= 100 * 252 // 4_000 - 1 > 0
    assert four_bytes - two_bytes >= 100 * 504 // 4_000 - 1


def test_rows_read_for_page_info_only_cost_nodes() -> None:
    load(deal())
    relation = "{customers(first: 10) {nodes {deals(first: 100) {%s}}}}"
    counted, page_info = (response_cost(relation % field) for field in ("totalCount", "pageInfo {hasNextPage}"))
    assert page_info - counted > 10 * 100 // 3


def test_input_objects_cost_for_each_row() -> None:
    load(deal())
    relation = "{customers(first: 80) {nodes {deals(first: 0%s) {totalCount}}}}"
    plain, filtered = (response_cost(relation % text) for text in ("", ", filter: {quantity: {gte: 1}}"))
    assert filtered - plain > 60


def test_names_in_an_order_without_an_index_cost_more() -> None:
    load(*many(2000, [f"c{number}" for number in range(2000)]))
    page = "{customers(first: 1, orderBy: %s) {nodes {id}}}"
    indexed = [cost(page % order) for order in ("SPENT_MONEY_DESC", "USERNAME_ASC", "USERNAME_DESC")]
    sorted_ = [cost(page % order) for order in ("LAST_DEAL_DESC", "LAST_DEAL_ASC", "DEAL_COUNT_ASC", "DEAL_COUNT_DESC")]
    # 2,000 names are read, for 2 nodes per thousand, and sorted, for 10.
    assert min(sorted_) - max(indexed) >= 2_000 * 12 // 1_000


def test_substring_longer_than_any_name_reads_no_row() -> None:
    load(deal("é" * 255))
    for length, searching in ((255, 1), (256, 0)):
        for page in ("customers(filter: {username: {contains: $t}}) {totalCount}",):
            forget()
            with CaptureQueriesContext(connection) as captured:
                data(f"query ($t: String!) {{{page}}}", t="é" * length)
            reading = [query for query in captured if 'FROM "deals_api_customer"' in query["sql"]]
            assert len(reading) == searching


def test_introspection_costs_what_it_returns() -> None:
    whole = cost(get_introspection_query())
    assert 500 < whole < 3_000
    fields = "fields {name description type {name kind} args {name description type {name kind}}}"
    assert cost(f"{{__schema {{types {{name {fields}}}}}}}") < whole
    many = " ".join(f"a{number}: {fields}" for number in range(29))
    assert_rejected(f"{{__schema {{types {{{many}}}}}}}", "The operation costs")


# Statements and seconds


def test_statements_are_bounded(limits: Any) -> None:
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
def slow(where: str) -> Iterator[None]:
    """A statement that reads this table takes too long first."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if f'FROM "deals_api_{where}"' in sql:
            execute(SLOW[connection.vendor], None, many, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("where", ["deal", "gem"])
def test_seconds_of_the_database_are_bounded(where: str, limits: Any) -> None:
    load(deal())
    limits(max_query_seconds=1)
    query = "{deals {nodes {gem {name}}}}"
    begin = time.monotonic()
    with slow(where):
        assert_rejected(query, "The database needs more than 1 s for the operation.")
    assert time.monotonic() - begin < 50
    limits(max_query_seconds=300)
    assert data(query) == {"deals": {"nodes": [{"gem": {"name": "ruby"}}]}}


@contextmanager
def before_rows_are_read(action: Callable[[Any], object]) -> Iterator[None]:
    """``action`` is given what executes a statement."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "deals_api_deal"' in sql or 'FROM "deals_api_gem"' in sql:
            action(lambda other: execute(other, None, many, context))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrap):
        yield


class Clock:
    """Stands still unless a test sets it; ``thread_time`` is processor time."""

    def __init__(self) -> None:
        self.now = self.processor = 1000.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.processor

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.processor += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("deals_api.db_vendor.time", clock)
    return clock


def test_the_time_of_all_statements_adds_up(clock: Clock) -> None:
    timer = StatementTimer(1)
    for seconds in (0.5, 0.25, 0.25):
        timer.execute(lambda *_, seconds=seconds: clock.work(seconds), "")
    with pytest.raises(StatementsTimedOut):
        timer.execute(lambda *_: None, "")


def test_the_time_of_python_between_statements_does_not_count(clock: Clock) -> None:
    load(deal())
    with before_rows_are_read(lambda _: clock.work(1000)):
        assert data("{deals {nodes {gem {name}}}}") == {"deals": {"nodes": [{"gem": {"name": "ruby"}}]}}


def test_a_process_suspended_during_a_statement_is_not_refused(clock: Clock) -> None:
    """As by SIGSTOP: PostgreSQL did not end the statement, so it did not take that long."""

    def suspend(*_: Any) -> None:
        clock.now += 100

    timer = StatementTimer(5)
    for _ in range(3):
        timer.execute(suspend, "")


@pytest.mark.django_db(transaction=True)
def test_rows_that_take_too_long_to_fetch_name_the_limit(limits: Any) -> None:
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
def test_a_database_that_fails_at_once_has_not_needed_too_long() -> None:
    load(deal())
    forget()
    ends = {
        "sqlite": "ATTACH '/nowhere/at/all' AS missing",
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    }
    with before_rows_are_read(lambda execute: execute(ends[connection.vendor])):
        answer = post("{deals {nodes {gem {name}}}}")
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (503, "database_busy")


@pytest.mark.django_db(transaction=True)
def test_the_next_who_uses_the_connection_has_no_such_bound(limits: Any) -> None:
    load(deal())
    limits(max_query_seconds=1)
    data("{deals {totalCount}}")
    if connection.vendor == "sqlite":
        time.sleep(1.1)  # it would look at the clock after some thousand steps
    with connection.cursor() as cursor:
        cursor.execute(SLOW[connection.vendor].replace("300000000", "100000").replace("60", "1.2"))
        assert cursor.fetchone()


def test_groups_ordered_by_name_cost_more_than_by_a_sum() -> None:
    load(*(deal(item=f"gem {number}") for number in range(90)))
    query = "query ($order: DealStatsOrder!) {dealStats(by: [GEM], orderBy: $order) {total}}"
    by_sum, by_name = (ask(query, order=order)["extensions"]["cost"]["requested"] for order in ("TOTAL_ASC", "GEM_ASC"))
    assert by_name == by_sum + 90 // 6
