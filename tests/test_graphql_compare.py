"""``compare``: the differences between two uploads, compared with plain loops over both files."""

from __future__ import annotations

import random
from collections.abc import Iterable
from decimal import Decimal
from itertools import combinations
from typing import Any, Final

import pytest
from django.conf import settings
from django.db import connection

from deals_api.models import Upload
from deals_api.snapshots.retention import apply_retention
from tests import reference_parser
from tests.builders import csv_of, deal, load, many
from tests.graphql import code, count_row_queries, data, error, execute_query, id_of, post
from tests.long_form import sample
from tests.reference_parser import Deal

pytestmark = pytest.mark.django_db

KINDS: Final = ["ADDED", "REMOVED", "CHANGED"]
#: The orders by code point and by UTF-16 differ, and two names differ in their case only.
NAMES = ["ann", "Ann", "bob", "Zoe", "ёлка", "Ёлка", "Яна", "b-1", "\uffee", "\U0001f48e", "cid", "c"]
LISTS = {
    "customers": "username spentMoneyDifference dealCountDifference gemCountDifference"
    " base {username spentMoney dealCount gemCount firstDeal lastDeal}"
    " head {username spentMoney dealCount gemCount firstDeal lastDeal}",
    "gems": "name totalDifference dealCountDifference buyerCountDifference"
    " base {name total dealCount buyerCount firstDeal lastDeal}"
    " head {name total dealCount buyerCount firstDeal lastDeal}",
}
QUERY = """
    query ($base: ID!, $head: ID, $change: [ChangeKind!], $first: Int, $last: Int, $after: String, $before: String) {
        compare(base: $base, head: $head) {
            list: %s(change: $change, first: $first, last: $last, after: $after, before: $before) {
                totalCount nodes {change %s}
                pageInfo {hasNextPage hasPreviousPage startCursor endCursor}
            }
        }
    }
"""
QUERIES = {name: QUERY % (name, fields) for name, fields in LISTS.items()}
SUMMARY = """
    query ($base: ID!, $head: ID) {
        compare(base: $base, head: $head) {
            base {id} head {id}
            dealCountDifference customerCountDifference gemCountDifference totalDifference
            customerCounts {added removed changed unchanged} gemCounts {added removed changed unchanged}
        }
    }
"""


def money(amount: Decimal) -> str:
    text = f"{amount:.2f}"
    return text.rstrip("0").rstrip(".")


def rows_of(lines: Iterable[Deal], key: str, other: str) -> dict[str, dict[str, Any]]:
    """Return the values of each customer or gem by its name."""
    groups: dict[str, list[Deal]] = {}
    for line in lines:
        groups.setdefault(getattr(line, key), []).append(line)
    return {
        name: {
            "sum": sum((line.total for line in group), Decimal(0)),
            "count": len(group),
            "others": len({getattr(line, other) for line in group}),
            "first": min(line.date for line in group),
            "last": max(line.date for line in group),
        }
        for name, group in groups.items()
    }


class Expected:
    """The differences between two files in one list, by name."""

    def __init__(self, name: str, base: list[Deal], head: list[Deal]) -> None:
        self.columns = (
            ("username", "spentMoney", "gemCount") if name == "customers" else ("name", "total", "buyerCount")
        )
        keys = ("customer", "item") if name == "customers" else ("item", "customer")
        self.base, self.head = rows_of(base, *keys), rows_of(head, *keys)

    def kind(self, name: str) -> str | None:
        if name not in self.base or name not in self.head:
            return "ADDED" if name in self.head else "REMOVED"
        return None if self.base[name] == self.head[name] else "CHANGED"

    def names(self, kinds: Iterable[str | None]) -> list[str]:
        return sorted(name for name in self.base.keys() | self.head.keys() if self.kind(name) in kinds)

    def counts(self) -> dict[str, int]:
        counts = {kind.lower(): len(self.names([kind])) for kind in KINDS}
        return {**counts, "unchanged": sum(self.base[name] == self.head.get(name) for name in self.base)}

    def row(self, name: str, rows: dict[str, Any]) -> Any:
        if name not in rows:
            return None
        key, total, others = self.columns
        row = rows[name]
        dates = {f"{end}Deal": row[end].isoformat().replace("+00:00", "Z") for end in ("first", "last")}
        return {key: name, total: money(row["sum"]), "dealCount": row["count"], others: row["others"], **dates}

    def node(self, name: str) -> dict[str, Any]:
        key, total, others = self.columns
        base, head = (rows.get(name, {"sum": Decimal(0), "count": 0, "others": 0}) for rows in (self.base, self.head))
        return {
            "change": self.kind(name),
            key: name,
            f"{total}Difference": money(head["sum"] - base["sum"]),
            "dealCountDifference": head["count"] - base["count"],
            f"{others}Difference": head["others"] - base["others"],
            "base": self.row(name, self.base),
            "head": self.row(name, self.head),
        }


def parse(rows: list[str]) -> list[Deal]:
    return reference_parser.read(csv_of(*rows).decode())


def changes(name: str, base: Upload, head: Upload | None = None, **arguments: Any) -> Any:
    """Return a page of a list of differences."""
    variables = {"base": id_of(base), "head": None if head is None else id_of(head), **arguments}
    return data(QUERIES[name], **variables)["compare"]["list"]


def names_in(page: Any) -> list[str]:
    return [node.get("username", node.get("name")) for node in page["nodes"]]


def random_file(rng: random.Random, names: list[str]) -> list[str]:
    """Return deals with few different values, so that many rows of two files are equal."""
    return [
        deal(rng.choice(names), rng.choice(names[::2]), rng.choice(["1", "0.01", "0"]), date=f"2020-01-0{day} 00:00:00")
        for day in rng.choices([1, 2], k=rng.randrange(1, 30))
    ]


def edited(rng: random.Random, rows: list[str], names: list[str]) -> list[str]:
    """Return the file without some deals and with some others, in another order."""
    kept = rng.sample(rows, k=rng.randrange(len(rows) // 2, len(rows) + 1))
    return rng.sample(kept, len(kept)) + random_file(rng, names)[: rng.randrange(1, 8)]


@pytest.mark.parametrize("seed", sample(range(12), 2))
def test_differences_equal_those_of_the_files(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    base_rows = random_file(rng, NAMES[:9])
    head_rows = edited(rng, base_rows, NAMES[3:]) if seed % 3 else random_file(rng, NAMES[3:])
    base, head = load(*base_rows), load(*head_rows)
    for older, newer, rows in ((base, head, (base_rows, head_rows)), (head, base, (head_rows, base_rows))):
        lines = [parse(file) for file in rows]
        expected = {name: Expected(name, *lines) for name in LISTS}
        totals = [sum((line.total for line in file), Decimal(0)) for file in lines]
        assert data(SUMMARY, base=id_of(older), head=id_of(newer))["compare"] == {
            "base": {"id": id_of(older)},
            "head": {"id": id_of(newer)},
            "dealCountDifference": len(lines[1]) - len(lines[0]),
            "customerCountDifference": len(expected["customers"].head) - len(expected["customers"].base),
            "gemCountDifference": len(expected["gems"].head) - len(expected["gems"].base),
            "totalDifference": money(totals[1] - totals[0]),
            "customerCounts": expected["customers"].counts(),
            "gemCounts": expected["gems"].counts(),
        }
        for name, size in ((name, size) for name in LISTS for size in range(4)):
            for kinds in combinations(KINDS, size):
                page = changes(name, older, newer, change=kinds, first=100)
                names = expected[name].names(kinds)
                assert page["nodes"] == [expected[name].node(row) for row in names], (name, kinds)
                assert page["totalCount"] == len(names)


@pytest.mark.parametrize("kinds", [KINDS, ["REMOVED"], ["ADDED", "CHANGED"], ["ADDED", "REMOVED"]], ids="-".join)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_in_both_directions_contain_every_difference_once(size: int, kinds: list[str]) -> None:
    base_rows = [deal(name, total="1") for name in NAMES[:9]]
    head_rows = [deal(name, total="1" if number % 3 else "2") for number, name in enumerate(NAMES[3:])]
    base = load(*base_rows)
    load(*head_rows)
    expected = Expected("customers", parse(base_rows), parse(head_rows)).names(kinds)
    assert walk(base, kinds, "first", "after", size) == expected
    assert walk(base, kinds, "last", "before", size) == expected


def walk(base: Upload, kinds: list[str], size_argument: str, cursor_argument: str, size: int) -> list[str]:
    """Return the names on all pages, read from the start or from the end, and check the flags of each page."""
    names: list[str] = []
    cursor = None
    forwards = size_argument == "first"
    while True:
        arguments: dict[str, Any] = {size_argument: size, cursor_argument: cursor}
        page = changes("customers", base, change=kinds, **arguments)
        names = [*names, *names_in(page)] if forwards else [*names_in(page), *names]
        info = page["pageInfo"]
        more, less = ("hasNextPage", "hasPreviousPage") if forwards else ("hasPreviousPage", "hasNextPage")
        assert info[less] == (cursor is not None)
        assert info[more] == (len(names) < page["totalCount"])
        if not info[more]:
            return names
        cursor = info["endCursor" if forwards else "startCursor"]


#: Two deals of ann in two gems, and edits of them.
ANN = [deal("ann", "opal", "5", "1", "2020-01-01 00:00:00"), deal("ann", "ruby", "5", "1", "2020-01-03 00:00:00")]
EDITS: list[tuple[list[str], str | None]] = [
    (ANN, None),
    (ANN[::-1], None),
    ([ANN[0].replace(",5,1,", ",5,2,"), ANN[1]], None),  # quantities are not compared
    ([ANN[0].replace(",5,", ",6,"), ANN[1]], "CHANGED"),
    ([ANN[0].replace(",5,", ",4,"), ANN[1].replace(",5,", ",6,")], None),
    ([ANN[0].replace(",5,", ",4,"), ANN[1], ANN[1].replace(",5,", ",1,")], "CHANGED"),
    ([ANN[0].replace("opal", "ruby"), ANN[1]], "CHANGED"),
    ([ANN[0].replace("opal", "onyx"), ANN[1]], None),
    ([ANN[0].replace("00:00:00", "00:00:00.000001"), ANN[1]], "CHANGED"),
    ([ANN[0], ANN[1].replace("00:00:00", "00:00:00.000001")], "CHANGED"),
    ([row.replace("ann", "Ann") for row in ANN], "REMOVED"),
]


@pytest.mark.parametrize(("rows", "kind"), EDITS, ids=range(len(EDITS)))
def test_customer_is_changed_if_a_stored_value_differs(rows: list[str], kind: str | None) -> None:
    base = load(*ANN)
    load(*rows)
    kinds = {node["username"]: node["change"] for node in changes("customers", base)["nodes"]}
    assert kinds.get("ann") == kind


def test_differences_of_money_are_exact_and_may_be_negative() -> None:
    largest = "999999999999.99"
    base = load(deal("ann", total=largest), deal("bob", total="0.01"), deal("cid", total="1"))
    load(deal("bob", total="0.02"), deal("cid", total="0"), deal("dan", total="0"))
    nodes = changes("customers", base)["nodes"]
    assert {node["username"]: node["spentMoneyDifference"] for node in nodes} == {
        "ann": f"-{largest}", "bob": "0.01", "cid": "-1", "dan": "0",
    }  # fmt: skip
    assert data(SUMMARY, base=id_of(base))["compare"]["totalDifference"] == "-1000000000000.98"
    assert code('{customers(filter: {spentMoney: {eq: "-1"}}) {totalCount}}') == "graphql_invalid"


def test_upload_does_not_differ_from_itself() -> None:
    upload = load(*many(5))
    page = changes("customers", upload, upload)
    assert (page["nodes"], page["totalCount"]) == ([], 0)
    summary = data(SUMMARY, base=id_of(upload))["compare"]
    assert summary["customerCounts"] == {"added": 0, "removed": 0, "changed": 0, "unchanged": 3}
    assert summary["totalDifference"] == "0"


def test_head_is_the_current_upload_by_default() -> None:
    base, other, current = load(deal("a")), load(deal("b")), load(deal("c"))
    assert names_in(changes("customers", base)) == names_in(changes("customers", base, current)) == ["a", "c"]
    assert names_in(changes("customers", base, other)) == ["a", "b"]


def test_uploads_without_rows_cannot_be_compared(limits: Any) -> None:
    limits(keep_uploads=2)
    pruned, retained, current = load(deal("a")), load(deal("b")), load(deal("c"))
    apply_retention(settings.DEALS_LIMITS)
    rejected = Upload.objects.create(file_name="f", sha256="0" * 64, size=1, state=Upload.State.REFUSED)
    for base, head in ((pruned, current), (retained, pruned), (rejected, None), (current, rejected), (Upload(), None)):
        response = execute_query(
            "query ($base: ID!, $head: ID) {compare(base: $base, head: $head) {base {id}} topClients {username}}",
            base=id_of(base), head=head and id_of(head),
        )  # fmt: skip
        assert [reported["extensions"]["code"] for reported in response["errors"]] == ["upload_not_retained"]
        assert response["data"] == {"compare": None, "topClients": [{"username": "c"}]}


def test_cursor_of_another_comparison_is_outdated() -> None:
    base, other, current = load(*many(3)), load(deal("x")), load(deal("y"))
    cursor = changes("customers", base, first=1)["pageInfo"]["endCursor"]
    assert names_in(changes("customers", base, current, after=cursor)) == ["bob", "cid", "y"]
    for older, newer in ((base, other), (other, current), (current, base), (base, base)):
        variables = {"base": id_of(older), "head": id_of(newer), "after": cursor}
        assert code(QUERIES["customers"], **variables) == "cursor_outdated"
    assert code(QUERIES["gems"], base=id_of(base), after=cursor) == "cursor_outdated"
    assert code(QUERIES["gems"], base=id_of(base), after="x") == "bad_input"


def test_comparison_with_an_older_upload_is_not_cached() -> None:
    base, current = load(deal("a")), load(deal("b"))
    query = "query ($base: ID!) {compare(base: $base) {dealCountDifference}}"
    assert post(query, {"base": id_of(base)})["Cache-Control"] == "no-store"
    assert "ETag" in post(query, {"base": id_of(current)})


# Statements and cost


def load_changes(count: int) -> tuple[Upload, Upload]:
    """Load two files; of each kind, ``count`` customers differ."""
    removed, changed, added = ([f"{kind}{number}" for number in range(count)] for kind in ("r", "c", "a"))
    base = load(*(deal(name, total="1") for name in (*removed, *changed, "same")))
    return base, load(*(deal(name, total="2") for name in (*added, *changed)), deal("same", total="1"))


STATEMENTS = {
    "customers {nodes {username change spentMoneyDifference}}": 3,
    "customers {nodes {base {username} head {username}}}": 3,
    "customers {nodes {base {deals {nodes {gem {name}}}} head {deals {nodes {gem {name}}}}}}": 3 + 4,
    "customers(change: [ADDED]) {nodes {username}}": 1,
    "customers(change: [REMOVED]) {nodes {username}}": 1,
    "customers(change: [CHANGED]) {nodes {username}}": 2,
    "customers(change: [ADDED, REMOVED]) {nodes {username}}": 2,
    "customers(change: []) {totalCount nodes {username}}": 0,
    "customers {totalCount} customerCounts {added} changed: customers(change: [CHANGED]) {totalCount}": 2,
    "gems {nodes {name}}": 3,
    "dealCountDifference customerCountDifference gemCountDifference": 0,
    "totalDifference": 1,
}


@pytest.mark.parametrize(("fields", "expected"), STATEMENTS.items(), ids=str)
def test_number_of_statements_does_not_depend_on_the_number_of_differences(fields: str, expected: int) -> None:
    for count in (1, 6):
        base, _ = load_changes(count)
        query = f"query ($base: ID!) {{compare(base: $base) {{{fields}}}}}"
        assert count_row_queries(query, base=id_of(base)) == expected


def test_relations_of_the_row_after_the_page_are_not_read() -> None:
    query = """query ($base: ID!) {
        compare(base: $base) {customers(first: 1, change: [ADDED]) {nodes {head {deals(first: 1) {nodes {id}}}}}}
    }"""
    costs = []
    for deal_count in (1, 3_000):
        base = load(deal("x"))
        load(deal("a"), *many(deal_count, ["b"]))
        costs.append(execute_query(query, base=id_of(base))["extensions"]["cost"]["requested"])
    assert costs[0] == costs[1]


def test_cost_of_a_comparison_grows_with_the_names_of_both_uploads() -> None:
    small, large = [f"c{number}" for number in range(10)], [f"c{number}" for number in range(2_000)]
    costs = {}
    for name, base_names, head_names in (("none", small, small), ("base", large, small), ("head", small, large)):
        base = load(*many(len(base_names), base_names), deal("base"))
        load(*many(len(head_names), head_names), deal("head"))
        query = "query ($base: ID!) {compare(base: $base) {customers(first: 0) {totalCount nodes {username}}}}"
        costs[name] = execute_query(query, base=id_of(base))["extensions"]["cost"]["requested"]
    assert costs["base"] > costs["none"] + 10
    assert costs["head"] > costs["none"] + 10


def test_cost_of_a_comparison_grows_with_name_length() -> None:
    query = "query ($base: ID!) {compare(base: $base) {customers(first: 0, change: [ADDED]) {nodes {username}}}}"
    costs = []
    for prefix in ("", "é" * 252):
        names = [f"{prefix}{number:03}" for number in range(300)]
        base = load(*many(300, names))
        load(*many(300, names), deal(names[0]))
        costs.append(execute_query(query, base=id_of(base))["extensions"]["cost"]["requested"])
    assert costs[1] - costs[0] >= 600 * 252 // 7_000


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.parametrize("counts", ["customerCounts", "gemCounts"])
def test_rows_are_counted_in_the_order_of_the_table(counts: str) -> None:
    """Through an index on names or sums, SQLite takes several times as long for many names."""
    base = load(deal("ann"))
    load(deal("ann"))
    plans: list[list[str]] = []

    def explain(execute: Any, sql: str, params: Any, *arguments: Any) -> Any:
        if "COUNT(*)" in sql:
            plans.append([step[3] for step in execute(f"EXPLAIN QUERY PLAN {sql}", params, *arguments).fetchall()])
        return execute(sql, params, *arguments)

    with connection.execute_wrapper(explain):
        data(f'{{compare(base: "{id_of(base)}") {{{counts} {{changed}}}}}}')
    assert [plan[0].endswith("USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)") for plan in plans] == [True, True]


def test_comparison_over_the_cost_limit_is_rejected(limits: Any) -> None:
    base, _ = load_changes(3)
    deals = "deals(first: 100) {nodes {id}}"
    query = f"query ($base: ID!) {{compare(base: $base) {{customers(first: 100) {{nodes {{base {{{deals}}}}}}}}}}}"
    assert error(query, base=id_of(base))["message"].startswith("The operation costs")
