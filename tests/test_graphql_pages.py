"""Pagination of every list in every order, compared with the algorithm of Relay, and invalid cursors."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deals_api.global_ids import write_row_id
from deals_api.models import Upload, row_id
from graphql_schema.inputs import CustomerOrder, DealOrder, GemOrder, PurchaseOrder
from tests import reference_parser
from tests.builders import csv_of, deal, load, many
from tests.graphql import code, data, error, execute_query, id_of
from tests.long_form import sample

pytestmark = pytest.mark.django_db

#: c0 bought all gems and all customers bought g0. There are few different totals, quantities and dates, so most orders
#: have ties.
PAIRS = [*product([0], range(6)), *product(range(1, 6), [0]), (3, 1), (0, 2), (5, 4)]
DAYS = ["2020-01-01 00:00:00", "2020-01-02 00:00:00"]
ROWS = [
    deal(f"c{customer}", f"g{gem}", ["5.50", "5", "5"][index % 3], "12"[index % 2], DAYS[index % 4 // 2])
    for index, (customer, gem) in enumerate(PAIRS)
]
#: Deals in the order of the file, as the reference parser reads them.
DEALS = reference_parser.read(csv_of(*ROWS).decode())


# Expected rows


@dataclass(frozen=True)
class Row:
    """An expected row: the node in a response, the deals that the row aggregates, and the values by sort column."""

    node: dict[str, Any]
    deals: list[reference_parser.Deal]
    values: dict[str, Any]


@dataclass(frozen=True)
class NodeType:
    """All expected rows of a type; rows that are equal in an ascending sort stay in this order."""

    orders: type[Enum]
    rows: list[Row]
    #: Whether a descending sort reverses the order of ties.
    reverses_ties: bool = False

    def ordered(self, order: Enum) -> list[Row]:
        column, direction = order.name.rsplit("_", 1)
        descending = direction == "DESC"
        rows = self.rows[::-1] if descending and self.reverses_ties else self.rows
        return sorted(rows, key=lambda row: row.values[column], reverse=descending)


def node_types(upload: Upload) -> dict[str, NodeType]:
    customers = [
        Row(
            {"username": name},
            deals,
            {
                "USERNAME": name,
                "SPENT_MONEY": sum(line.total for line in deals),
                "DEAL_COUNT": len(deals),
                "GEM_COUNT": len({line.item for line in deals}),
                "FIRST_DEAL": min(line.date for line in deals),
                "LAST_DEAL": max(line.date for line in deals),
            },
        )
        for name, deals in deals_by(lambda line: line.customer)
    ]
    gems = [
        Row(
            {"name": name},
            deals,
            {
                "NAME": name,
                "TOTAL": sum(line.total for line in deals),
                "DEAL_COUNT": len(deals),
                "BUYER_COUNT": len({line.customer for line in deals}),
                "FIRST_DEAL": min(line.date for line in deals),
                "LAST_DEAL": max(line.date for line in deals),
            },
        )
        for name, deals in deals_by(lambda line: line.item)
    ]
    purchases = [
        Row(
            {"customer": {"username": pair[0]}, "gem": {"name": pair[1]}},
            deals,
            {
                "TOTAL": sum(line.total for line in deals),
                "QUANTITY": sum(line.quantity for line in deals),
                "DEAL_COUNT": len(deals),
                "CUSTOMER": pair[0],
                "GEM": pair[1],
            },
        )
        for pair, deals in deals_by(lambda line: (line.customer, line.item))
    ]
    deals = [
        Row(
            {"id": write_row_id("Deal", row_id(upload.pk, row_number), upload.snapshot)},
            [line],
            {
                "FILE": row_number,
                "DATE": line.date,
                "TOTAL": line.total,
                "QUANTITY": line.quantity,
                "CUSTOMER": line.customer,
                "GEM": line.item,
            },
        )
        for row_number, line in enumerate(DEALS, 1)
    ]
    return {
        "customers": NodeType(CustomerOrder, customers),
        "gems": NodeType(GemOrder, gems),
        "purchases": NodeType(PurchaseOrder, purchases, reverses_ties=True),
        "deals": NodeType(DealOrder, deals, reverses_ties=True),
    }


def deals_by(key: Callable[[reference_parser.Deal], Any]) -> list[tuple[Any, list[reference_parser.Deal]]]:
    return [(value, list(deals)) for value, deals in groupby(sorted(DEALS, key=key), key=key)]


@dataclass(frozen=True)
class ListField:
    """A connection field of Query, or of the object that ``parent`` selects; ``includes`` selects its deals."""

    field: str
    node_type: str
    parent: str = "%s"
    includes: Callable[[reference_parser.Deal], bool] = lambda _: True

    def page(self, order: Enum, **arguments: Any) -> Any:
        selection = f"{self.field}(orderBy: {order.name}, {ARGUMENTS}) {{{connection_fields(self.node_type)}}}"
        result = data(f"query ({VARIABLES}) {{{self.parent % selection}}}", **arguments)
        while self.field not in result:
            (result,) = result.values()
        return result[self.field]

    def nodes(self, node_type: NodeType, order: Enum) -> list[Any]:
        return [row.node for row in node_type.ordered(order) if any(map(self.includes, row.deals))]


VARIABLES = "$first: Int, $last: Int, $after: String, $before: String"
ARGUMENTS = "first: $first, last: $last, after: $after, before: $before"
FIELDS = {"customers": "username", "gems": "name", "purchases": "customer {username} gem {name}", "deals": "id"}


def connection_fields(node_type: str) -> str:
    fields = FIELDS[node_type]
    return f"""
        totalCount nodes {{{fields}}} edges {{cursor node {{{fields}}}}}
        pageInfo {{hasNextPage hasPreviousPage startCursor endCursor}}
    """


def is_of_customer(line: reference_parser.Deal) -> bool:
    return line.customer == "c0"


def is_of_gem(line: reference_parser.Deal) -> bool:
    return line.item == "g0"


CUSTOMER, GEM = 'customer(username: "c0") {%s}', 'gem(name: "g0") {%s}'
LISTS = [
    ListField("customers", "customers"),
    ListField("gems", "gems"),
    ListField("deals", "deals"),
    ListField("deals", "deals", CUSTOMER, is_of_customer),
    ListField("purchases", "purchases", CUSTOMER, is_of_customer),
    ListField("gems", "gems", CUSTOMER, is_of_customer),
    ListField("buyers", "customers", GEM, is_of_gem),
    ListField("purchases", "purchases", GEM, is_of_gem),
    ListField("deals", "deals", GEM, is_of_gem),
]


# Paging through lists


@pytest.mark.parametrize("list_field", LISTS, ids=lambda list_field: list_field.parent % list_field.field)
def test_paging_through_each_list_in_every_order_both_ways(list_field: ListField) -> None:
    node_type = node_types(load(*ROWS))[list_field.node_type]
    for order, size in sample(list(product(node_type.orders, (1, 2, 7))), 2):
        nodes = list_field.nodes(node_type, order)
        assert [*walk_pages(list_field, order, size, len(nodes), FORWARD)] == nodes, (order, size)
        assert [*walk_pages(list_field, order, size, len(nodes), BACKWARD)] == nodes[::-1], (order, size)


#: Arguments for the size and the cursor, then fields of pageInfo: next cursor, rows ahead, rows behind.
FORWARD = ("first", "after", "endCursor", "hasNextPage", "hasPreviousPage")
BACKWARD = ("last", "before", "startCursor", "hasPreviousPage", "hasNextPage")


def walk_pages(
    list_field: ListField, order: Enum, size: int, count: int, direction: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Yield all nodes page by page, and check that the fields of each page are consistent."""
    size_argument, cursor_argument, next_cursor_field, ahead_field, behind_field = direction
    cursor, count_read = None, 0
    while count_read < count:
        page = list_field.page(order, **{size_argument: size, cursor_argument: cursor})
        info, nodes, edges = page["pageInfo"], page["nodes"], page["edges"]
        assert nodes == [edge["node"] for edge in edges] != []
        assert (info["startCursor"], info["endCursor"]) == (edges[0]["cursor"], edges[-1]["cursor"])
        assert info[behind_field] == (count_read > 0)
        yield from nodes if direction is FORWARD else reversed(nodes)
        cursor, count_read = info[next_cursor_field], count_read + len(nodes)
        assert (page["totalCount"], info[ahead_field]) == (count, count_read < count)


# Page arguments


def relay_page(positions: list[int], first: int | None, last: int | None, after: int | None, before: int | None) -> Any:
    """Return positions, hasNextPage and hasPreviousPage of a page, by the algorithm of the Relay specification."""
    inside = [
        position
        for position in positions
        if (after is None or position > after) and (before is None or position < before)
    ]
    page = inside[: 20 if first is None else first] if last is None else inside[len(inside) - min(last, len(inside)) :]
    is_truncated = len(inside) > len(page)
    has_next = (is_truncated and last is None) or (
        before is not None and any(position >= before for position in positions)
    )
    has_previous = (is_truncated and last is not None) or (
        after is not None and any(position <= after for position in positions)
    )
    return page, has_next, has_previous


SIZES = [(None, None), *((size, None) for size in (0, 1, 3)), *((None, size) for size in (0, 1, 3))]
PAGE_ARGUMENTS = [
    {"first": first, "last": last, "after": after, "before": before}
    for (first, last), (after, before) in product(SIZES, product((None, 1, 4), repeat=2))
]


def with_cursors(arguments: dict[str, Any], cursors: dict[int, str]) -> dict[str, Any]:
    return arguments | {
        side: None if arguments[side] is None else cursors[arguments[side]] for side in ("after", "before")
    }


def page_contents(page: Any, nodes: list[Any]) -> Any:
    """Return positions, hasNextPage and hasPreviousPage of a page in a response."""
    info = page["pageInfo"]
    return [nodes.index(node) for node in page["nodes"]], info["hasNextPage"], info["hasPreviousPage"]


@pytest.mark.parametrize("order", [GemOrder.DEAL_COUNT_DESC, GemOrder.TOTAL_ASC, GemOrder.NAME_DESC])
def test_pages_follow_the_relay_pagination_algorithm(order: GemOrder) -> None:
    node_type, list_field = node_types(load(*ROWS))["gems"], LISTS[1]
    nodes = list_field.nodes(node_type, order)
    cursors = dict(enumerate(edge["cursor"] for edge in list_field.page(order)["edges"]))
    for arguments in PAGE_ARGUMENTS:
        page = list_field.page(order, **with_cursors(arguments, cursors))
        assert page_contents(page, nodes) == relay_page([*range(len(nodes))], **arguments), arguments


RELATIONS = [
    ("customers", "username", "customer", "deals", "deals"),
    ("customers", "username", "customer", "purchases", "purchases"),
    ("customers", "username", "customer", "gems", "gems"),
    ("gems", "name", "item", "buyers", "customers"),
    ("gems", "name", "item", "purchases", "purchases"),
    ("gems", "name", "item", "deals", "deals"),
]


@pytest.mark.parametrize(("parents", "key", "attribute", "field", "child"), RELATIONS)
def test_pages_of_many_parents_follow_the_relay_algorithm(
    parents: str, key: str, attribute: str, field: str, child: str
) -> None:
    """A cursor comes from the list of one parent; the row need not be in the lists of the others."""
    node_type = node_types(load(*ROWS))[child]
    for offset, order in enumerate(node_type.orders):
        query = f"""query ({VARIABLES}) {{
            {parents} {{nodes {{{key} {field}(orderBy: {order.name}, {ARGUMENTS}) {{{connection_fields(child)}}}}}}}
        }}"""
        ordered = node_type.ordered(order)
        nodes = [row.node for row in ordered]
        edges = [edge for parent in data(query)[parents]["nodes"] for edge in parent[field]["edges"]]
        cursors = {nodes.index(edge["node"]): edge["cursor"] for edge in edges}
        for arguments in PAGE_ARGUMENTS[offset :: len(node_type.orders)]:
            for parent in data(query, **with_cursors(arguments, cursors))[parents]["nodes"]:
                positions = [
                    position
                    for position, row in enumerate(ordered)
                    if any(getattr(line, attribute) == parent[key] for line in row.deals)
                ]
                expected = relay_page(positions, **arguments)
                assert page_contents(parent[field], nodes) == expected, (order, arguments, parent[key])
                assert parent[field]["totalCount"] == len(positions)


def test_page_size_is_20_by_default_and_100_at_most() -> None:
    load(*many(101))
    query = "query ($first: Int, $last: Int) {deals(first: $first, last: $last) {totalCount nodes {id}}}"
    for sizes, row_count in (
        ({}, 20),
        ({"first": 0}, 0),
        ({"last": 0}, 0),
        ({"first": 100}, 100),
        ({"last": 100}, 100),
    ):
        page = data(query, **sizes)["deals"]
        assert (page["totalCount"], len(page["nodes"])) == (101, row_count)
    for sizes in ({"first": 101}, {"last": 101}, {"first": -1}, {"last": -1}):
        ((name, size),) = sizes.items()
        assert error(query, **sizes)["message"] == f"{name} may be 0 to 100, not {size}."
        assert code(query, **sizes) == "limit_exceeded"
        assert code(f"{{customers {{nodes {{deals({name}: {size}) {{totalCount}}}}}}}}") == "limit_exceeded"
    assert code(query, first=1, last=1) == "bad_input"


# Invalid cursors


def encode_cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


DEALS_QUERY = "query ($cursor: String) {deals(orderBy: TOTAL_DESC, after: $cursor) {totalCount nodes {id}}}"


def first_cursor(field: str, order: str = "TOTAL_DESC") -> str:
    """Return the cursor of the first row of a list at the path ``parent.field``, as in ``customers.deals``."""
    *parents, field = field.split(".")
    page = f"{field}{f'(orderBy: {order})' if order else ''} {{pageInfo {{startCursor}}}}"
    result = data(f"{{{parents[0]} {{nodes {{{page}}}}}}}" if parents else f"{{{page}}}")
    for parent in parents:
        result = result[parent]["nodes"][0]
    cursor: str = result[field]["pageInfo"]["startCursor"]
    return cursor


def after_cursor(field: str, cursor: str, order: str = "TOTAL_DESC") -> Any:
    """Read the page after a cursor; return the messages and the codes of the errors."""
    *parents, field = field.split(".")
    page = (
        f"{field}(orderBy: {order}, after: $cursor) {{totalCount}}"
        if order
        else f"{field}(after: $cursor) {{totalCount}}"
    )
    query = f"{{{parents[0]} {{nodes {{{page}}}}}}}" if parents else f"{{{page}}}"
    problems = execute_query(f"query ($cursor: String) {query}", cursor=cursor).get("errors", [])
    return {(problem["message"], problem["extensions"]["code"]) for problem in problems}


def outdated(reason: str) -> Any:
    return {(f"The cursor belongs to another {reason}; start again from the first page.", "cursor_outdated")}


@pytest.mark.parametrize("field", ["deals", "customers.deals", "gems.deals"])
def test_cursor_of_another_order_or_upload_is_outdated(field: str) -> None:
    load(*ROWS)
    cursor = first_cursor(field)
    assert after_cursor(field, cursor) == set()
    assert after_cursor(field, first_cursor(field, "DATE_DESC")) == outdated("order")
    load(*ROWS, deal())
    assert after_cursor(field, cursor) == outdated("upload")


#: Lists with an order of the same name; two of them also have the same rows.
LISTS_BY_TOTAL = [
    "deals",
    "customers.deals",
    "gems.deals",
    "customers.purchases",
    "gems.purchases",
    "gems",
    "customers.gems",
]


@pytest.mark.parametrize("field", LISTS_BY_TOTAL)
def test_cursor_of_another_list_is_outdated(field: str) -> None:
    load(*ROWS)
    cursor, uploads_cursor = first_cursor(field), first_cursor("uploads", "")
    for other in LISTS_BY_TOTAL:
        assert after_cursor(other, cursor) == (set() if other == field else outdated("list"))
    assert after_cursor(field, uploads_cursor) == after_cursor("uploads", cursor, "") == outdated("list")


def test_cursor_is_valid_with_another_filter_and_parent() -> None:
    """The page has the rows after the position, whether or not the row at the position is in the list."""
    upload = load(*ROWS)
    ordered = node_types(upload)["deals"].ordered(DealOrder.TOTAL_DESC)
    root = "query ($cursor: String) {deals(orderBy: TOTAL_DESC, after: $cursor, filter: %s) {nodes {id}}}"
    nested = """query ($cursor: String) {
        customer(username: "%s") {deals(orderBy: TOTAL_DESC, after: $cursor) {nodes {id} edges {cursor}}}
    }"""
    root_cursor = first_cursor("deals")
    for username in ("c0", "c1"):
        after_first = [row.node for row in ordered[1:] if row.deals[0].customer == username]
        condition = f'{{customer: {{eq: "{username}"}}}}'
        assert data(root % condition, cursor=root_cursor)["deals"]["nodes"] == after_first
    first = data(nested % "c0", cursor=None)["customer"]["deals"]["edges"][0]["cursor"]
    position = next(row for row in ordered if row.deals[0].customer == "c0")
    after_first = [row.node for row in ordered[ordered.index(position) :] if row.deals[0].customer == "c1"]
    assert data(nested % "c1", cursor=first)["customer"]["deals"]["nodes"] == after_first != []


def test_cursor_of_a_retained_upload_continues_in_it() -> None:
    retained = load(*ROWS)
    query = """query ($upload: ID, $cursor: String) {
        deals(first: 3, after: $cursor, upload: $upload) {nodes {id} pageInfo {endCursor}}
    }"""
    first_page = data(query)["deals"]
    load(deal())
    second_page = data(query, upload=id_of(retained), cursor=first_page["pageInfo"]["endCursor"])["deals"]
    ids = [node["id"] for node in first_page["nodes"] + second_page["nodes"]]
    assert ids == [row.node["id"] for row in node_types(retained)["deals"].rows[:6]]


def test_paging_through_uploads_ignores_newer_ones() -> None:
    names = [load(deal(f"c{number}"), name=f"{number}.csv").file_name for number in range(3)]
    query = """query ($cursor: String) {
        uploads(first: 1, after: $cursor) {nodes {fileName} pageInfo {endCursor hasNextPage}}
    }"""
    cursor, has_next, file_names = None, True, []
    while has_next:
        page = data(query, cursor=cursor)["uploads"]
        cursor, has_next = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        file_names += [node["fileName"] for node in page["nodes"]]
        load(deal(f"c{len(file_names)}"), name="new.csv")
    assert file_names == names[::-1]


def test_every_cursor_is_rejected_before_the_first_upload() -> None:
    assert code(DEALS_QUERY, cursor="x") == "bad_input"
    assert code(DEALS_QUERY, cursor=encode_cursor("Deal", "0123456789ab", "-total,-id", "5.00", 1)) == "cursor_outdated"
    assert code("query ($cursor: String) {gems(after: $cursor) {totalCount}}", cursor="x") == "bad_input"


INVALID_AMOUNTS: list[Any] = [
    None, True, 1.5, 5, 10**17, {}, [], "", "x", "5", "5.0", "-5.00", "0.001", "NaN", "sNaN", "Infinity", "1e400",
    "1e-400", "9e17", "-9e17", "92233720368547758.08",
]  # fmt: skip
INVALID_IDS: list[Any] = [None, True, 1.0, "1", 2**63, -(2**63)]
INVALID_DATETIMES: list[Any] = [
    None, 5, "", "x", "2020-01-01T00:00:00", "2020-02-30T00:00:00+00:00", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
]  # fmt: skip
#: Positions that no row can have, by order.
FORGED_POSITIONS: dict[str, tuple[str, list[Any]]] = {
    "TOTAL_DESC": (
        "-total,-id",
        [[], ["5.00"], ["5.00", 1, 1], *product(["5.00"], INVALID_IDS), *product(INVALID_AMOUNTS, [1])],
    ),
    "DATE_ASC": ("date,id", [["2020-01-01T00:00:00+00:00"], *product(INVALID_DATETIMES, [1])]),
    "QUANTITY_ASC": ("quantity,id", [["1", 1], [1.5, 1], [2**63, 1], [None, 1]]),
}


def test_cursors_with_forged_positions_are_rejected() -> None:
    prefix = load(*ROWS).snapshot.hex[:12]
    for order, (columns, positions) in FORGED_POSITIONS.items():
        query = f"""query ($cursor: String) {{
            deals(orderBy: {order}, after: $cursor) {{nodes {{id}} pageInfo {{hasPreviousPage}}}}
        }}"""
        for position in positions:
            assert code(query, cursor=encode_cursor("Deal", prefix, columns, *position)) == "bad_input", position
    query = "query ($cursor: String) {gems(orderBy: NAME_ASC, after: $cursor) {nodes {id}}}"
    names: list[Any] = ["\0", "\ud800", 5, None, ["g"], {}]
    for name in names:
        assert code(query, cursor=encode_cursor("Gem", prefix, "name", name)) == "bad_input", name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.decimals(0, 2**57, allow_nan=False, places=2).map(str)
    | st.datetimes().map(lambda moment: moment.isoformat() + "+00:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
PROPERTY_SETTINGS = settings(max_examples=70, deadline=None, derandomize=True)


def test_any_cursor_returns_a_page_or_a_documented_error() -> None:
    prefix = load(*ROWS).snapshot.hex[:12]
    valid_cursor = encode_cursor("Deal", prefix, "-total,-id", "5.00", row_id(Upload.objects.get().pk, 3))
    data(DEALS_QUERY, cursor=valid_cursor)

    @PROPERTY_SETTINGS
    @given(st.text(max_size=50) | st.binary(max_size=50).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
    def random_text(cursor: str) -> None:
        assert code(DEALS_QUERY, cursor=cursor) in CURSOR_ERRORS

    @PROPERTY_SETTINGS
    @given(st.integers(0, len(valid_cursor)), st.integers(0, 3), st.text("AQgw_-=09az", max_size=3))
    def mutated_cursor(position: int, deleted: int, inserted: str) -> None:
        check_page_or_documented_error(valid_cursor[:position] + inserted + valid_cursor[position + deleted :])

    @PROPERTY_SETTINGS
    @given(JSON)
    def any_json(value: Any) -> None:
        assert (
            code(DEALS_QUERY, cursor=encode_cursor(*value) if isinstance(value, list) else encode_json(value))
            in CURSOR_ERRORS
        )

    @PROPERTY_SETTINGS
    @given(st.lists(JSON, min_size=2, max_size=2))
    def any_position(position: list[Any]) -> None:
        check_page_or_documented_error(encode_cursor("Deal", prefix, "-total,-id", *position))

    for property_test in (random_text, mutated_cursor, any_json, any_position):
        property_test()


CURSOR_ERRORS = ("bad_input", "cursor_outdated")


def encode_json(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def check_page_or_documented_error(cursor: str) -> None:
    response = execute_query(DEALS_QUERY, cursor=cursor)
    codes = [problem["extensions"]["code"] for problem in response.get("errors", ())]
    assert codes in ([], ["bad_input"], ["cursor_outdated"]), (cursor, response)
    assert bool(codes) == (response["data"]["deals"] is None)


def test_cursor_with_additional_characters_is_invalid() -> None:
    load(*many(3))
    cursor = data("{deals(first: 1) {pageInfo {endCursor}}}")["deals"]["pageInfo"]["endCursor"]
    for position in (0, 5, len(cursor)):
        query = "query ($after: String) {deals(after: $after) {totalCount}}"
        assert code(query, after=f"{cursor[:position]}!!!!{cursor[position:]}") == "bad_input"
