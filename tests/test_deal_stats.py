"""What deals add up to, by every combination of keys, against plain loops over the file."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations, product
from typing import Any

import pytest

from deals_api.models import MoneyField
from graphql_schema.inputs import DealStatsOrder
from tests import reference_parser
from tests.builders import csv_of, deal, load, many
from tests.graphql import code, data, error

pytestmark = pytest.mark.django_db

#: The ends of years, of months and of time, written with and without offsets.
MOMENTS = [
    "2019-12-31 23:59:59.999999", "2020-01-01 00:00:00", "2020-01-01 00:30:00+01:00", "2019-12-31 23:30:00-01:00",
    "2020-02-29 12:00:00", "2020-02-29 23:59:59.999999Z", "2020-03-01 00:00:00", "2020-03-01 02:59:59 +03:00",
    "2021-02-28 00:00:00", "2020-02-28 23:59:59.5", "0001-01-01 00:00:00", "0001-01-01 23:59:59.999999",
    "9999-12-31 23:59:59.999999", "9999-12-31 00:00:00", "0999-06-30 12:00:00", "2020-12-31 23:59:59.999999",
]  # fmt: skip
TOTALS = ["0.01", "0.02", "10", "10", "999999999999.99", "0", "3.33"]
#: By first appearance, by code point and by collation these stand in three different orders.
NAMES = ["bob", "Zoe", "ann", "ёлка", "Яна", "b-1"]
PIECES = ["1", "2", "999999999"]
ROWS = [
    deal(NAMES[place * 5 % 7 % 6], NAMES[place * 3 % 4], TOTALS[place % 7], PIECES[place % 3], MOMENTS[place % 16])
    for place in range(44)
]
FACTS = reference_parser.read(csv_of(*ROWS).decode())

KEYS = ["CUSTOMER", "GEM", "YEAR", "MONTH", "DAY"]
COMBINATIONS = [by for size in range(6) for by in combinations(KEYS, size)]
MEASURES: dict[str, Callable[[list[reference_parser.Deal]], Any]] = {
    "dealCount": len,
    "quantity": lambda its: sum(one.quantity for one in its),
    "total": lambda its: sum(one.total for one in its),
    "minTotal": lambda its: min(one.total for one in its),
    "maxTotal": lambda its: max(one.total for one in its),
    "averageTotal": lambda its: average([one.total for one in its]),
}
ORDERS = [order.name for order in DealStatsOrder]
QUESTION = """
    query ($by: [DealStatsKey!], $filter: DealFilter, $having: DealStatsFilter, $order: DealStatsOrder!, $limit: Int!) {
        dealStats(by: $by, filter: $filter, having: $having, orderBy: $order, limit: $limit) {
            customer {username} gem {name} year month day dealCount quantity total averageTotal %s
        }
    }
"""
#: What is not stored with customers and gems, so that each deal must be looked at.
EXTREMES = ("minTotal", "maxTotal")
WHOLE = QUESTION % " ".join(EXTREMES)


def average(totals: list[Decimal]) -> Decimal:
    return (sum(totals, Decimal(0)) / len(totals)).quantize(Decimal("0.01"), ROUND_HALF_UP)


class Group(dict[str, Any]):
    """One group: its keys, by the names of GraphQL, and its measures."""

    def __init__(self, keys: dict[str, Any], facts: list[reference_parser.Deal]) -> None:
        super().__init__(keys, **{name: measure(facts) for name, measure in MEASURES.items()})


def grouped(facts: Iterable[reference_parser.Deal], by: Iterable[str]) -> list[Group]:
    """By customer and gem as they first appear in the file, and by date."""
    found: dict[Any, list[reference_parser.Deal]] = {}
    for fact in facts:
        day = fact.date.date().isoformat()
        values = (fact.customer, fact.item, fact.date.year, f"{day[:7]}-01", day)
        keys = tuple(value if key in by else None for key, value in zip(KEYS, values, strict=True))
        found.setdefault(keys, []).append(fact)
    groups = [Group(dict(zip(map(str.lower, KEYS), keys, strict=True)), its) for keys, its in found.items()]
    customers = [fact.customer for fact in FACTS]
    gems = [fact.item for fact in FACTS]
    return sorted(
        groups,
        key=lambda group: (
            customers.index(group["customer"]) if group["customer"] else 0,
            gems.index(group["gem"]) if group["gem"] else 0,
            date_of(group),
        ),
    )


def date_of(group: Group) -> str:
    return f"{group['year'] or 0:04} {group['month']} {group['day']}"


def ordered(groups: list[Group], order: str) -> list[Group]:
    column, way = order.rsplit("_", 1)
    first, *more = column.lower().split("_")
    name = first + "".join(map(str.title, more))
    return sorted(groups, key=date_of if column == "DATE" else operator.itemgetter(name), reverse=way == "DESC")


def allowed(order: str, by: Iterable[str]) -> bool:
    column = order.rsplit("_", 1)[0]
    return bool({"YEAR", "MONTH", "DAY"} & set(by)) if column == "DATE" else column in by or column not in KEYS


def asked(by: Iterable[str], order: str = "TOTAL_DESC", limit: int = 100, **more: Any) -> list[Any]:
    """The groups, which must be the same where stored sums are enough for them."""
    variables = {"by": list(by), "order": order, "limit": limit, **more}
    groups: list[Any] = data(WHOLE, **variables)["dealStats"]
    without = [{name: value for name, value in group.items() if name not in EXTREMES} for group in groups]
    assert {"YEAR", "MONTH", "DAY"} & set(by) or data(QUESTION % "", **variables)["dealStats"] == without
    for group in groups:
        group["customer"] = group["customer"] and group["customer"]["username"]
        group["gem"] = group["gem"] and group["gem"]["name"]
    return groups


def written(groups: list[Group]) -> list[Any]:
    """As JSON has it: money in a string, in the fewest digits."""
    return [{name: as_json(value) for name, value in group.items()} for group in groups]


def as_json(value: Any) -> Any:
    return re.sub(r"\.?0*$", "", f"{value:.2f}") if isinstance(value, Decimal) else value


@pytest.mark.parametrize("dates", [by for by in COMBINATIONS if not {"CUSTOMER", "GEM"} & set(by)], ids="-".join)
def test_groups_are_those_of_the_file_in_every_order(dates: tuple[str, ...]) -> None:
    load(*ROWS)
    for names in ((), ("CUSTOMER",), ("GEM",), ("CUSTOMER", "GEM")):
        by = names + dates
        groups = grouped(FACTS, by)
        for order in ORDERS:
            if allowed(order, by):
                assert asked(by, order) == written(ordered(groups, order)), (by, order)


def test_the_first_groups_are_cut_among_equal_ones_too() -> None:
    load(*ROWS)
    by = ["CUSTOMER", "GEM"]
    for order, limit in product(("MIN_TOTAL_ASC", "MAX_TOTAL_DESC", "DEAL_COUNT_DESC", "GEM_ASC"), (1, 2, 5, 17)):
        groups = written(ordered(grouped(FACTS, by), order))
        assert asked(by, order, limit) == groups[:limit], (order, limit)


def test_an_order_by_what_is_not_grouped_by_is_refused() -> None:
    load(*ROWS)
    for by, order in product(COMBINATIONS, ORDERS):
        if not allowed(order, by):
            rejection = error(WHOLE, by=by, order=order, limit=1)
            assert rejection["extensions"] == {"code": "bad_input"}
            name = order.rsplit("_", 1)[0].lower()
            assert rejection["message"] == f"The groups can be ordered by {name} only if they are grouped by it."


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


FILTERS: list[tuple[dict[str, Any], Callable[[reference_parser.Deal], bool]]] = [
    ({"customer": {"eq": "ann"}}, lambda fact: fact.customer == "ann"),
    ({"customer": {"in": ["ann", "ёлка"]}, "gem": {"contains": "o"}},
     lambda fact: fact.customer in ("ann", "ёлка") and "o" in fact.item),
    ({"gem": {"in": ["Zoe", "ёлка"]}}, lambda fact: fact.item in ("Zoe", "ёлка")),
    ({"total": {"gte": "0.02", "lte": "10"}, "quantity": {"lte": 2}},
     lambda fact: Decimal("0.02") <= fact.total <= 10 and fact.quantity <= 2),
    ({"date": {"gte": "2020-01-01T00:00:00Z", "lte": "2020-02-29T23:59:59.999999Z"}},
     lambda fact: at("2020-01-01T00:00:00Z") <= fact.date <= at("2020-02-29T23:59:59.999999Z")),
    ({"date": {"in": ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"]}},
     lambda fact: fact.date in (at("9999-12-31T23:59:59.999999Z"), at("0001-01-01T00:00:00Z"))),
    ({"gem": {"eq": "nothing"}}, lambda fact: False),
    ({"customer": {}, "total": None}, lambda fact: True),
]  # fmt: skip


@pytest.mark.parametrize(("filter_", "holds"), FILTERS, ids=[str(filter_) for filter_, _ in FILTERS])
def test_only_the_selected_deals_are_added_up(filter_: Any, holds: Callable[[reference_parser.Deal], bool]) -> None:
    load(*ROWS)
    for by in COMBINATIONS:
        expected = written(ordered(grouped(filter(holds, FACTS), by), "TOTAL_DESC"))
        assert asked(by, filter=filter_) == expected, by


@pytest.mark.parametrize("name", MEASURES)
def test_groups_are_selected_by_what_they_add_up_to(name: str) -> None:
    load(*ROWS)
    for by in ((), ("GEM",), ("CUSTOMER", "YEAR"), ("DAY",)):
        groups = ordered(grouped(FACTS, by), "DEAL_COUNT_ASC")
        values = sorted({group[name] for group in groups})
        middle, largest = values[len(values) // 2], values[-1]
        for lookup, holds in {"eq": operator.eq, "in": operator.eq, "gte": operator.ge, "lte": operator.le}.items():
            for wanted in (middle, largest, largest + 1):
                value = str(wanted) if isinstance(wanted, Decimal) else wanted
                having = {name: {lookup: [value] if lookup == "in" else value}}
                expected = written([group for group in groups if holds(group[name], wanted)])
                assert asked(by, "DEAL_COUNT_ASC", having=having) == expected, (by, having)


def test_conditions_on_groups_are_joined_by_and() -> None:
    load(*ROWS)
    having = {"dealCount": {"gte": 2, "lte": 3}, "total": {"gte": "10.01"}, "minTotal": {"in": ["0", "0.01"]}}
    groups = ordered(grouped(FACTS, ["DAY"]), "TOTAL_DESC")
    expected = [
        one
        for one in groups
        if 2 <= one["dealCount"] <= 3 and one["total"] >= Decimal("10.01") and one["minTotal"] in (0, Decimal("0.01"))
    ]
    assert 0 < len(expected) < len(groups) / 2
    assert asked(["DAY"], having=having) == written(expected)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2019-12-31 23:59:59.999999", "2019-12-31"),
        ("2019-12-31 23:59:59.999999-00:01", "2020-01-01"),
        ("2020-01-01 00:00:00+00:01", "2019-12-31"),
        ("2020-02-29 23:59:59.999999", "2020-02-29"),
        ("2020-03-01 00:00:00+14:00", "2020-02-29"),
        ("0001-01-01 00:00:00", "0001-01-01"),
        ("9999-12-31 23:59:59.999999", "9999-12-31"),
    ],
)
def test_years_months_and_days_are_those_of_utc(moment: str, day: str) -> None:
    load(deal(date=moment))
    (group,) = asked(["YEAR", "MONTH", "DAY"])
    assert (group["year"], group["month"], group["day"]) == (int(day[:4]), f"{day[:7]}-01", day)


@pytest.mark.parametrize(
    ("totals", "average"),
    [(["0.01", "0.02"], "0.02"), (["0.01", "0", "0"], "0"), (["0.01", "0.01", "0"], "0.01"), (["1", "1", "0"], "0.67"),
     (["999999999999.99", "999999999999.98"], "999999999999.99"), (["0.01"] * 3, "0.01")],
)  # fmt: skip
def test_an_average_is_rounded_half_up(totals: list[str], average: str) -> None:
    load(*(deal(total=total) for total in totals))
    assert asked([])[0]["averageTotal"] == average


def test_measures_are_given_wherever_in_the_question_they_stand() -> None:
    load(deal("ann", "ruby", "1"), deal("ann", "ruby", "3"))
    question = """
        {dealStats(by: [GEM]) {...A} dealStats(by: [GEM]) {__typename ... on DealStats {low: minTotal}}}
        fragment A on DealStats {total ... {...B}} fragment B on DealStats {high: maxTotal gem {name}}
    """
    expected = {"total": "4", "high": "3", "gem": {"name": "ruby"}, "__typename": "DealStats", "low": "1"}
    assert data(question) == {"dealStats": [expected]}


def test_a_key_given_twice_is_one() -> None:
    load(*ROWS)
    assert asked(["GEM", "YEAR", "GEM"]) == asked(["YEAR", "GEM"])


# How many groups there may be


def test_groups_are_counted_before_they_are_made(limits: Any) -> None:
    """Customers times gems times days, from what is stored, but never more than there are deals."""
    rows = [deal(f"c{place % 4}", f"g{place % 3}", date=f"2020-01-{1 + place % 10:02} 00:00:00") for place in range(24)]
    load(*rows)
    for by, most in (
        ([], 1),
        (["CUSTOMER"], 4),
        (["GEM"], 3),
        (["CUSTOMER", "GEM"], 12),
        (["DAY"], 11),
        (["YEAR"], 2),
        (["YEAR", "MONTH"], 2),
        (["CUSTOMER", "GEM", "DAY"], 24),
    ):
        limits(max_groups=most)
        asked(by)
        if most > 1:
            limits(max_groups=most - 1)
            rejection = error(WHOLE, by=by, order="TOTAL_DESC", limit=1)
            assert rejection["message"].startswith(f"These deals could make more than {most - 1} groups;")
            assert rejection["extensions"] == {"code": "limit_exceeded"}


def test_a_selection_makes_room_for_groups(limits: Any) -> None:
    rows = [deal(f"c{place}", f"g{place}", date=f"2020-{1 + place:02}-01 00:00:00") for place in range(12)]
    load(*rows)
    limits(max_groups=6)
    everything = {"by": ["CUSTOMER", "GEM", "DAY"], "order": "TOTAL_DESC", "limit": 1}
    assert code(WHOLE, **everything) == "limit_exceeded"
    for filter_ in (
        {"customer": {"in": ["c1"]}, "gem": {"in": ["g1"]}, "date": {"lte": "2020-01-05 00:00:00"}},
        {"customer": {"eq": "unknown"}},
        {"gem": {"eq": "nothing"}},
        {"date": {"gte": "2021-01-01 00:00:00"}, "customer": {"eq": "c1"}, "gem": {"eq": "g1"}},
    ):
        data(WHOLE, filter=filter_, **everything)


def test_there_are_never_more_groups_than_were_counted(limits: Any) -> None:
    """The count must not be below the truth: each period at the ends of its neighbours."""
    dates = ["2019-12-31 23:59:59", "2020-01-01 00:00:00", "2020-12-31 00:00:00", "2021-01-01 00:00:00"]
    for first, last in combinations(dates, 2):
        load(deal(date=first), deal(date=last), *many(20))
        for key in ("YEAR", "MONTH", "DAY"):
            found = len(asked([key], filter={"date": {"gte": first, "lte": last}}))
            limits(max_groups=found - 1 or 1)
            if found > 1:
                assert code(WHOLE, by=[key], order="TOTAL_DESC", limit=1) == "limit_exceeded", (first, last, key)
            limits(max_groups=200_000)


# Money itself


def test_money_has_at_most_two_decimals() -> None:
    field = MoneyField()
    assert [field.get_prep_value(value) for value in ("0.01", Decimal("10.5"), 7, "1.500")] == [1, 1050, 700, 150]
    for value in ("0.001", Decimal("10.005"), Decimal("1e-400")):
        with pytest.raises(ValueError, match="two decimals"):
            field.get_prep_value(value)
