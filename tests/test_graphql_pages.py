"""Pages of every list in every order: walked, cut by the algorithm of Relay, and cursors that are not ours."""

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
from tests.graphql import ask, code, data, error, id_of

pytestmark = pytest.mark.django_db

#: c0 bought all gems and all bought g0; there are few different sums, numbers and days, so that many are equal.
PAIRS = [*product([0], range(6)), *product(range(1, 6), [0]), (3, 1), (0, 2), (5, 4)]
DAYS = ["2020-01-01 00:00:00", "2020-01-02 00:00:00"]
ROWS = [
    deal(f"c{customer}", f"g{gem}", ["5.50", "5", "5"][place % 3], "12"[place % 2], DAYS[place % 4 // 2])
    for place, (customer, gem) in enumerate(PAIRS)
]
FACTS = reference_parser.read(csv_of(*ROWS).decode())


# What should be there


@dataclass(frozen=True)
class Row:
    """What the graph should say of a row, the deals it comes from, and its values by the names of orders."""

    node: dict[str, Any]
    facts: list[reference_parser.Deal]
    values: dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """All rows of one type, equal ones in their order."""

    orders: type[Enum]
    rows: list[Row]
    #: Whether a falling order has equal ones the other way round.
    turns: bool = False

    def ordered(self, order: Enum) -> list[Row]:
        column, direction = order.name.rsplit("_", 1)
        falling = direction == "DESC"
        rows = self.rows[::-1] if falling and self.turns else self.rows
        return sorted(rows, key=lambda row: row.values[column], reverse=falling)


def kinds(upload: Upload) -> dict[str, Kind]:
    customers = [
        Row(
            {"username": name},
            its,
            {
                "USERNAME": name,
                "SPENT_MONEY": sum(one.total for one in its),
                "DEAL_COUNT": len(its),
                "LAST_DEAL": max(one.date for one in its),
            },
        )
        for name, its in grouped(lambda fact: fact.customer)
    ]
    gems = [
        Row(
            {"name": name},
            its,
            {
                "NAME": name,
                "TOTAL": sum(one.total for one in its),
                "DEAL_COUNT": len(its),
                "BUYER_COUNT": len({one.customer for one in its}),
            },
        )
        for name, its in grouped(lambda fact: fact.item)
    ]
    purchases = [
        Row(
            {"customer": {"username": pair[0]}, "gem": {"name": pair[1]}},
            its,
            {
                "TOTAL": sum(one.total for one in its),
                "QUANTITY": sum(one.quantity for one in its),
                "DEAL_COUNT": len(its),
            },
        )
        for pair, its in grouped(lambda fact: (fact.customer, fact.item))
    ]
    deals = [
        Row(
            {"id": write_row_id("Deal", row_id(upload.pk, place), upload.snapshot)},
            [fact],
            {"FILE": place, "DATE": fact.date, "TOTAL": fact.total, "QUANTITY": fact.quantity},
        )
        for place, fact in enumerate(FACTS, 1)
    ]
    return {
        "customers": Kind(CustomerOrder, customers),
        "gems": Kind(GemOrder, gems),
        "purchases": Kind(PurchaseOrder, purchases, turns=True),
        "deals": Kind(DealOrder, deals, turns=True),
    }


def grouped(key: Callable[[reference_parser.Deal], Any]) -> list[tuple[Any, list[reference_parser.Deal]]]:
    return [(name, list(its)) for name, its in groupby(sorted(FACTS, key=key), key=key)]


@dataclass(frozen=True)
class Listed:
    """A list of the graph: a field of Query, or of the row that ``parent`` asks for."""

    field: str
    kind: str
    parent: str = "%s"
    holds: Callable[[reference_parser.Deal], bool] = lambda _: True

    def page(self, order: Enum, **cut: Any) -> Any:
        field = f"{self.field}(orderBy: {order.name}, {ARGUMENTS}) {{{page_of(self.kind)}}}"
        answer = data(f"query ({VARIABLES}) {{{self.parent % field}}}", **cut)
        while self.field not in answer:
            (answer,) = answer.values()
        return answer[self.field]

    def nodes(self, kind: Kind, order: Enum) -> list[Any]:
        return [row.node for row in kind.ordered(order) if any(map(self.holds, row.facts))]


VARIABLES = "$first: Int, $last: Int, $after: String, $before: String"
ARGUMENTS = "first: $first, last: $last, after: $after, before: $before"
FIELDS = {"customers": "username", "gems": "name", "purchases": "customer {username} gem {name}", "deals": "id"}


def page_of(kind: str) -> str:
    fields = FIELDS[kind]
    return f"""
        totalCount nodes {{{fields}}} edges {{cursor node {{{fields}}}}}
        pageInfo {{hasNextPage hasPreviousPage startCursor endCursor}}
    """


def of_customer(fact: reference_parser.Deal) -> bool:
    return fact.customer == "c0"


def of_gem(fact: reference_parser.Deal) -> bool:
    return fact.item == "g0"


CUSTOMER, GEM = 'customer(username: "c0") {%s}', 'gem(name: "g0") {%s}'
LISTS = [
    Listed("customers", "customers"),
    Listed("gems", "gems"),
    Listed("deals", "deals"),
    Listed("deals", "deals", CUSTOMER, of_customer),
    Listed("purchases", "purchases", CUSTOMER, of_customer),
    Listed("gems", "gems", CUSTOMER, of_customer),
    Listed("buyers", "customers", GEM, of_gem),
    Listed("purchases", "purchases", GEM, of_gem),
]


# Walking


@pytest.mark.parametrize("listed", LISTS, ids=lambda listed: listed.parent % listed.field)
def test_paging_through_each_list_in_every_order_both_ways(listed: Listed) -> None:
    kind = kinds(load(*ROWS))[listed.kind]
    for order, size in product(kind.orders, (1, 2, 7)):
        nodes = listed.nodes(kind, order)
        assert [*walked(listed, order, size, len(nodes), FORWARDS)] == nodes, (order, size)
        assert [*walked(listed, order, size, len(nodes), BACKWARDS)] == nodes[::-1], (order, size)


#: Size and cursor of the next page, where that cursor is, and what pageInfo says of rows ahead and behind.
FORWARDS = ("first", "after", "endCursor", "hasNextPage", "hasPreviousPage")
BACKWARDS = ("last", "before", "startCursor", "hasPreviousPage", "hasNextPage")


def walked(listed: Listed, order: Enum, size: int, count: int, way: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """All rows by pages, after seeing that the parts of each page agree."""
    its_size, its_cursor, next_cursor, ahead, behind = way
    cursor, seen = None, 0
    while seen < count:
        page = listed.page(order, **{its_size: size, its_cursor: cursor})
        info, nodes, edges = page["pageInfo"], page["nodes"], page["edges"]
        assert nodes == [edge["node"] for edge in edges] != []
        assert (info["startCursor"], info["endCursor"]) == (edges[0]["cursor"], edges[-1]["cursor"])
        assert info[behind] == (seen > 0)
        yield from nodes if way is FORWARDS else reversed(nodes)
        cursor, seen = info[next_cursor], seen + len(nodes)
        assert (page["totalCount"], info[ahead]) == (count, seen < count)


# Cutting


def cut_by_relay(places: list[int], first: int | None, last: int | None, after: int | None, before: int | None) -> Any:
    """The places of a page, and whether others follow and precede it, by the algorithm of the specification."""
    inside = [one for one in places if (after is None or one > after) and (before is None or one < before)]
    page = inside[: 20 if first is None else first] if last is None else inside[len(inside) - min(last, len(inside)) :]
    longer = len(inside) > len(page)
    follow = (longer and last is None) or (before is not None and any(one >= before for one in places))
    precede = (longer and last is not None) or (after is not None and any(one <= after for one in places))
    return page, follow, precede


SIZES = [(None, None), *((size, None) for size in (0, 1, 3)), *((None, size) for size in (0, 1, 3))]
CUTS = [
    {"first": first, "last": last, "after": after, "before": before}
    for (first, last), (after, before) in product(SIZES, product((None, 1, 4), repeat=2))
]


def with_cursors(cut: dict[str, Any], cursors: dict[int, str]) -> dict[str, Any]:
    return cut | {side: None if cut[side] is None else cursors[cut[side]] for side in ("after", "before")}


def found(page: Any, nodes: list[Any]) -> Any:
    info = page["pageInfo"]
    return [nodes.index(node) for node in page["nodes"]], info["hasNextPage"], info["hasPreviousPage"]


@pytest.mark.parametrize("order", [GemOrder.DEAL_COUNT_DESC, GemOrder.TOTAL_ASC, GemOrder.NAME_DESC])
def test_pages_follow_the_relay_pagination_algorithm(order: GemOrder) -> None:
    kind, listed = kinds(load(*ROWS))["gems"], LISTS[1]
    nodes = listed.nodes(kind, order)
    cursors = dict(enumerate(edge["cursor"] for edge in listed.page(order)["edges"]))
    for cut in CUTS:
        page = listed.page(order, **with_cursors(cut, cursors))
        assert found(page, nodes) == cut_by_relay([*range(len(nodes))], **cut), cut


RELATIONS = [
    ("customers", "username", "customer", "deals", "deals"),
    ("customers", "username", "customer", "purchases", "purchases"),
    ("customers", "username", "customer", "gems", "gems"),
    ("gems", "name", "item", "buyers", "customers"),
    ("gems", "name", "item", "purchases", "purchases"),
]


@pytest.mark.parametrize(("parents", "key", "attribute", "field", "child"), RELATIONS)
def test_pages_of_many_parents_follow_the_relay_algorithm(
    parents: str, key: str, attribute: str, field: str, child: str
) -> None:
    """By cursors of some parent's list, which the lists of the others need not have."""
    kind = kinds(load(*ROWS))[child]
    for number, order in enumerate(kind.orders):
        question = f"""query ({VARIABLES}) {{
            {parents} {{nodes {{{key} {field}(orderBy: {order.name}, {ARGUMENTS}) {{{page_of(child)}}}}}}}
        }}"""
        ordered = kind.ordered(order)
        nodes = [row.node for row in ordered]
        edges = [edge for parent in data(question)[parents]["nodes"] for edge in parent[field]["edges"]]
        cursors = {nodes.index(edge["node"]): edge["cursor"] for edge in edges}
        for cut in CUTS[number :: len(kind.orders)]:
            for parent in data(question, **with_cursors(cut, cursors))[parents]["nodes"]:
                places = [
                    place
                    for place, row in enumerate(ordered)
                    if any(getattr(fact, attribute) == parent[key] for fact in row.facts)
                ]
                assert found(parent[field], nodes) == cut_by_relay(places, **cut), (order, cut, parent[key])
                assert parent[field]["totalCount"] == len(places)


def test_page_size_is_20_by_default_and_100_at_most() -> None:
    load(*many(101))
    question = "query ($first: Int, $last: Int) {deals(first: $first, last: $last) {totalCount nodes {id}}}"
    for sizes, rows in (({}, 20), ({"first": 0}, 0), ({"last": 0}, 0), ({"first": 100}, 100), ({"last": 100}, 100)):
        page = data(question, **sizes)["deals"]
        assert (page["totalCount"], len(page["nodes"])) == (101, rows)
    for sizes in ({"first": 101}, {"last": 101}, {"first": -1}, {"last": -1}):
        ((name, size),) = sizes.items()
        assert error(question, **sizes)["message"] == f"{name} may be 0 to 100, not {size}."
        assert code(question, **sizes) == "limit_exceeded"
        assert code(f"{{customers {{nodes {{deals({name}: {size}) {{totalCount}}}}}}}}") == "limit_exceeded"
    assert code(question, first=1, last=1) == "bad_input"


# Invalid cursors


def cursor_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


DEALS = "query ($cursor: String) {deals(orderBy: TOTAL_DESC, after: $cursor) {totalCount nodes {id}}}"
NESTED = """query ($cursor: String) {customers {nodes {deals(orderBy: TOTAL_DESC, before: $cursor) {totalCount}}}}"""


def test_cursor_of_another_order_or_upload_is_outdated() -> None:
    cursors = "{{deals(orderBy: {0}) {{pageInfo {{endCursor}}}} uploads {{pageInfo {{endCursor}}}}}}"
    load(*ROWS)
    by_date = data(cursors.format("DATE_DESC"))["deals"]["pageInfo"]["endCursor"]
    old = data(cursors.format("TOTAL_DESC"))["deals"]["pageInfo"]["endCursor"]
    for question in (DEALS, NESTED):
        data(question, cursor=old)
        problem = error(question, cursor=by_date)
        assert problem["message"] == "The cursor belongs to another order; start again from the first page."
        assert problem["extensions"] == {"code": "cursor_outdated"}
    load(*ROWS, deal())
    of_uploads = data(cursors.format("TOTAL_DESC"))["uploads"]["pageInfo"]["endCursor"]
    for question, cursor in product((DEALS, NESTED), (old, of_uploads)):
        problem = error(question, cursor=cursor)
        assert problem["message"] == "The cursor belongs to another upload; start again from the first page."
        assert problem["extensions"] == {"code": "cursor_outdated"}
    assert code("query ($cursor: String) {uploads(after: $cursor) {totalCount}}", cursor=old) == "cursor_outdated"


def test_cursor_of_a_retained_upload_continues_in_it() -> None:
    old = load(*ROWS)
    question = """query ($upload: ID, $cursor: String) {
        deals(first: 3, after: $cursor, upload: $upload) {nodes {id} pageInfo {endCursor}}
    }"""
    first = data(question)["deals"]
    load(deal())
    second = data(question, upload=id_of(old), cursor=first["pageInfo"]["endCursor"])["deals"]
    ids = [node["id"] for node in first["nodes"] + second["nodes"]]
    assert ids == [row.node["id"] for row in kinds(old)["deals"].rows[:6]]


def test_paging_through_uploads_while_new_ones_arrive() -> None:
    names = [load(deal(f"c{number}"), name=f"{number}.csv").file_name for number in range(3)]
    question = """query ($cursor: String) {
        uploads(first: 1, after: $cursor) {nodes {fileName} pageInfo {endCursor hasNextPage}}
    }"""
    cursor, more, seen = None, True, []
    while more:
        page = data(question, cursor=cursor)["uploads"]
        cursor, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        seen += [node["fileName"] for node in page["nodes"]]
        load(deal(f"c{len(seen)}"), name="new.csv")
    assert seen == names[::-1]


def test_no_cursor_is_valid_before_the_first_upload() -> None:
    assert code(DEALS, cursor="x") == "bad_input"
    assert code(DEALS, cursor=cursor_of("0123456789ab", "-total,-id", "5.00", 1)) == "cursor_outdated"
    assert code("query ($cursor: String) {gems(after: $cursor) {totalCount}}", cursor="x") == "bad_input"


NO_AMOUNTS: list[Any] = [
    None, True, 1.5, 5, 10**17, {}, [], "", "x", "5", "5.0", "-5.00", "0.001", "NaN", "sNaN", "Infinity", "1e400",
    "1e-400", "9e17", "-9e17", "92233720368547758.08",
]  # fmt: skip
NO_IDS: list[Any] = [None, True, 1.0, "1", 2**63, -(2**63)]
NO_MOMENTS: list[Any] = [
    None, 5, "", "x", "2020-01-01T00:00:00", "2020-02-30T00:00:00+00:00", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
]  # fmt: skip
#: Positions that no row of the order can have.
IMPOSSIBLE: dict[str, tuple[str, list[Any]]] = {
    "TOTAL_DESC": (
        "-total,-id",
        [[], ["5.00"], ["5.00", 1, 1], *product(["5.00"], NO_IDS), *product(NO_AMOUNTS, [1])],
    ),
    "DATE_ASC": ("date,id", [["2020-01-01T00:00:00+00:00"], *product(NO_MOMENTS, [1])]),
    "QUANTITY_ASC": ("quantity,id", [["1", 1], [1.5, 1], [2**63, 1], [None, 1]]),
}


def test_cursors_with_forged_positions_are_rejected() -> None:
    version = load(*ROWS).snapshot.hex[:12]
    for order, (columns, positions) in IMPOSSIBLE.items():
        question = f"""query ($cursor: String) {{
            deals(orderBy: {order}, after: $cursor) {{nodes {{id}} pageInfo {{hasPreviousPage}}}}
        }}"""
        for position in positions:
            assert code(question, cursor=cursor_of(version, columns, *position)) == "bad_input", position
    question = "query ($cursor: String) {gems(orderBy: NAME_ASC, after: $cursor) {nodes {id}}}"
    names: list[Any] = ["\0", "\ud800", 5, None, ["g"], {}]
    for name in names:
        assert code(question, cursor=cursor_of(version, "name", name)) == "bad_input", name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.decimals(0, 2**57, allow_nan=False, places=2).map(str)
    | st.datetimes().map(lambda moment: moment.isoformat() + "+00:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
SEARCHED = settings(max_examples=70, deadline=None, derandomize=True)


def test_any_cursor_returns_a_page_or_a_documented_error() -> None:
    version = load(*ROWS).snapshot.hex[:12]
    good = cursor_of(version, "-total,-id", "5.00", row_id(Upload.objects.get().pk, 3))
    data(DEALS, cursor=good)

    @SEARCHED
    @given(st.text(max_size=50) | st.binary(max_size=50).map(lambda some: base64.urlsafe_b64encode(some).decode()))
    def made_up(cursor: str) -> None:
        assert code(DEALS, cursor=cursor) in REFUSALS

    @SEARCHED
    @given(st.integers(0, len(good)), st.integers(0, 3), st.text("AQgw_-=09az", max_size=3))
    def mutated(place: int, gone: int, put: str) -> None:
        must_be_a_page_or_a_refusal(good[:place] + put + good[place + gone :])

    @SEARCHED
    @given(JSON)
    def any_json(value: Any) -> None:
        assert code(DEALS, cursor=cursor_of(*value) if isinstance(value, list) else encoded(value)) in REFUSALS

    @SEARCHED
    @given(st.lists(JSON, min_size=2, max_size=2))
    def any_position(position: list[Any]) -> None:
        must_be_a_page_or_a_refusal(cursor_of(version, "-total,-id", *position))

    for search in (made_up, mutated, any_json, any_position):
        search()


REFUSALS = ("bad_input", "cursor_outdated")


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def must_be_a_page_or_a_refusal(cursor: str) -> None:
    answer = ask(DEALS, cursor=cursor)
    codes = [problem["extensions"]["code"] for problem in answer.get("errors", ())]
    assert codes in ([], ["bad_input"], ["cursor_outdated"]), (cursor, answer)
    assert bool(codes) == (answer["data"] is None)


def test_cursor_with_additional_characters_is_invalid() -> None:
    load(*many(3))
    cursor = data("{deals(first: 1) {pageInfo {endCursor}}}")["deals"]["pageInfo"]["endCursor"]
    for place in (0, 5, len(cursor)):
        query = "query ($after: String) {deals(after: $after) {totalCount}}"
        assert code(query, after=f"{cursor[:place]}!!!!{cursor[place:]}") == "bad_input"
