"""``dealStats`` by every combination of keys, compared with plain loops over the file."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations, product
from typing import Any

import pytest

from deals_api.models import MoneyField
from graphql_schema.inputs import DealStatsOrder
from tests import reference_parser
from tests.builders import csv_of, deal, load, many
from tests.graphql import code, data, error
from tests.reference_parser import Deal

pytestmark = pytest.mark.django_db

#: Ends of years, months and the calendar, with and without offsets.
DATES = [
    "2019-12-31 23:59:59.999999", "2020-01-01 00:00:00", "2020-01-01 00:30:00+01:00", "2019-12-31 23:30:00-01:00",
    "2020-02-29 12:00:00", "2020-02-29 23:59:59.999999Z", "2020-03-01 00:00:00", "2020-03-01 02:59:59 +03:00",
    "2021-02-28 00:00:00", "2020-02-28 23:59:59.5", "0001-01-01 00:00:00", "0001-01-01 23:59:59.999999",
    "9999-12-31 23:59:59.999999", "9999-12-31 00:00:00", "0999-06-30 12:00:00", "2020-12-31 23:59:59.999999",
]  # fmt: skip
TOTALS = ["0.01", "0.02", "10", "10", "999999999999.99", "0", "3.33"]
#: The orders by first appearance, by code point and by collation differ.
NAMES = ["bob", "Zoe", "ann", "ёлка", "Яна", "b-1"]
QUANTITIES = ["1", "2", "999999999"]
ROWS = [
    deal(NAMES[n * 5 % 7 % 6], NAMES[n * 3 % 4], TOTALS[n % 7], QUANTITIES[n % 3], DATES[n % 16]) for n in range(44)
]
DEALS = reference_parser.read(csv_of(*ROWS).decode())

KEYS = ["CUSTOMER", "GEM", "YEAR", "MONTH", "DAY"]
KEY_COMBINATIONS = [by for size in range(6) for by in combinations(KEYS, size)]
MEASURES: dict[str, Callable[[list[Deal]], Any]] = {
    "dealCount": len,
    "quantity": lambda deals: sum(row.quantity for row in deals),
    "total": lambda deals: sum(row.total for row in deals),
    "minTotal": lambda deals: min(row.total for row in deals),
    "maxTotal": lambda deals: max(row.total for row in deals),
    "averageTotal": lambda deals: average([row.total for row in deals]),
}
ORDERS = [order.name for order in DealStatsOrder]
QUERY = """
    query ($by: [DealStatsKey!], $filter: DealFilter, $having: DealStatsFilter, $order: DealStatsOrder!, $limit: Int!) {
        dealStats(by: $by, filter: $filter, having: $having, orderBy: $order, limit: $limit) {
            customer {username} gem {name} year month day dealCount quantity total averageTotal %s
        }
    }
"""
#: Measures that are not stored with customers and gems, so that the query reads deals.
EXTREMES = ("minTotal", "maxTotal")
QUERY_WITH_EXTREMES = QUERY % " ".join(EXTREMES)


def average(totals: list[Decimal]) -> Decimal:
    return (sum(totals, Decimal(0)) / len(totals)).quantize(Decimal("0.01"), ROUND_HALF_UP)


class Group(dict[str, Any]):
    """Keys and measures of one group, by their names in GraphQL."""

    def __init__(self, keys: dict[str, Any], deals: list[Deal]) -> None:
        super().__init__(keys, **{name: measure(deals) for name, measure in MEASURES.items()})


def grouped(deals: Iterable[Deal], by: Iterable[str]) -> list[Group]:
    """Return the groups by customer and gem in the order of their first deals, and by date."""
    deals_by_keys: dict[Any, list[Deal]] = {}
    for row in deals:
        day = row.date.date().isoformat()
        values = (row.customer, row.item, row.date.year, f"{day[:7]}-01", day)
        keys = tuple(value if key in by else None for key, value in zip(KEYS, values, strict=True))
        deals_by_keys.setdefault(keys, []).append(row)
    groups = [Group(dict(zip(map(str.lower, KEYS), keys, strict=True)), deals) for keys, deals in deals_by_keys.items()]
    customers = [row.customer for row in DEALS]
    gems = [row.item for row in DEALS]
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
    column, direction = order.rsplit("_", 1)
    first, *rest = column.lower().split("_")
    name = first + "".join(map(str.title, rest))
    return sorted(groups, key=date_of if column == "DATE" else operator.itemgetter(name), reverse=direction == "DESC")


def is_allowed(order: str, by: Iterable[str]) -> bool:
    column = order.rsplit("_", 1)[0]
    return bool({"YEAR", "MONTH", "DAY"} & set(by)) if column == "DATE" else column in by or column not in KEYS


def deal_stats(by: Iterable[str], order: str = "TOTAL_DESC", limit: int = 100, **conditions: Any) -> list[Any]:
    """Return the groups of the response, and check that those computed from stored sums are equal."""
    variables = {"by": list(by), "order": order, "limit": limit, **conditions}
    groups: list[Any] = data(QUERY_WITH_EXTREMES, **variables)["dealStats"]
    without_extremes = [{name: value for name, value in group.items() if name not in EXTREMES} for group in groups]
    assert {"YEAR", "MONTH", "DAY"} & set(by) or data(QUERY % "", **variables)["dealStats"] == without_extremes
    for group in groups:
        group["customer"] = group["customer"] and group["customer"]["username"]
        group["gem"] = group["gem"] and group["gem"]["name"]
    return groups


def to_json(groups: list[Group]) -> list[Any]:
    """Convert money to strings with the fewest digits."""
    return [{name: to_json_value(value) for name, value in group.items()} for group in groups]


def to_json_value(value: Any) -> Any:
    return re.sub(r"\.?0*$", "", f"{value:.2f}") if isinstance(value, Decimal) else value


@pytest.mark.parametrize(
    "date_keys", [by for by in KEY_COMBINATIONS if not {"CUSTOMER", "GEM"} & set(by)], ids="-".join
)
def test_groups_equal_those_of_the_file_in_every_order(date_keys: tuple[str, ...]) -> None:
    load(*ROWS)
    for name_keys in ((), ("CUSTOMER",), ("GEM",), ("CUSTOMER", "GEM")):
        by = name_keys + date_keys
        groups = grouped(DEALS, by)
        for order in ORDERS:
            if is_allowed(order, by):
                assert deal_stats(by, order) == to_json(ordered(groups, order)), (by, order)


def test_limit_also_separates_groups_with_equal_values() -> None:
    load(*ROWS)
    by = ["CUSTOMER", "GEM"]
    for order, limit in product(("MIN_TOTAL_ASC", "MAX_TOTAL_DESC", "DEAL_COUNT_DESC", "GEM_ASC"), (1, 2, 5, 17)):
        groups = to_json(ordered(grouped(DEALS, by), order))
        assert deal_stats(by, order, limit) == groups[:limit], (order, limit)


def test_order_by_a_missing_key_is_rejected() -> None:
    load(*ROWS)
    for by, order in product(KEY_COMBINATIONS, ORDERS):
        if not is_allowed(order, by):
            rejection = error(QUERY_WITH_EXTREMES, by=by, order=order, limit=1)
            assert rejection["extensions"] == {"code": "bad_input"}
            name = order.rsplit("_", 1)[0].lower()
            assert rejection["message"] == f"The groups can be ordered by {name} only if they are grouped by it."


FILTERS: list[tuple[dict[str, Any], Callable[[Deal], bool]]] = [
    ({"customer": {"eq": "ann"}}, lambda row: row.customer == "ann"),
    ({"customer": {"in": ["ann", "ёлка"]}, "gem": {"contains": "o"}},
     lambda row: row.customer in ("ann", "ёлка") and "o" in row.item),
    ({"gem": {"in": ["Zoe", "ёлка"]}}, lambda row: row.item in ("Zoe", "ёлка")),
    ({"total": {"gte": "0.02", "lte": "10"}, "quantity": {"lte": 2}},
     lambda row: Decimal("0.02") <= row.total <= 10 and row.quantity <= 2),
    ({"date": {"gte": "2020-01-01T00:00:00Z", "lte": "2020-02-29T23:59:59.999999Z"}},
     lambda row: "2020-01-01" <= row.date.date().isoformat() <= "2020-02-29"),
    ({"date": {"in": ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"]}},
     lambda row: row.date in (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))),
    ({"gem": {"eq": "nothing"}}, lambda row: False),
    ({"customer": {}, "total": None}, lambda row: True),
]  # fmt: skip


@pytest.mark.parametrize(("filter_", "holds"), FILTERS, ids=[str(filter_) for filter_, _ in FILTERS])
def test_sums_include_selected_deals_only(filter_: Any, holds: Callable[[Deal], bool]) -> None:
    load(*ROWS)
    for by in KEY_COMBINATIONS:
        expected = to_json(ordered(grouped(filter(holds, DEALS), by), "TOTAL_DESC"))
        assert deal_stats(by, filter=filter_) == expected, by


@pytest.mark.parametrize("name", MEASURES)
def test_having_selects_groups_by_every_measure(name: str) -> None:
    load(*ROWS)
    for by in ((), ("GEM",), ("CUSTOMER", "YEAR"), ("DAY",)):
        groups = ordered(grouped(DEALS, by), "DEAL_COUNT_ASC")
        values = sorted({group[name] for group in groups})
        middle, largest = values[len(values) // 2], values[-1]
        for lookup, holds in {"eq": operator.eq, "in": operator.eq, "gte": operator.ge, "lte": operator.le}.items():
            for bound in (middle, largest, largest + 1):
                value = str(bound) if isinstance(bound, Decimal) else bound
                having = {name: {lookup: [value] if lookup == "in" else value}}
                expected = to_json([group for group in groups if holds(group[name], bound)])
                assert deal_stats(by, "DEAL_COUNT_ASC", having=having) == expected, (by, having)


def test_having_requires_all_of_its_conditions() -> None:
    load(*ROWS)
    having = {"dealCount": {"gte": 2, "lte": 3}, "total": {"gte": "10.01"}, "minTotal": {"in": ["0", "0.01"]}}
    groups = ordered(grouped(DEALS, ["DAY"]), "TOTAL_DESC")
    expected = [
        group
        for group in groups
        if 2 <= group["dealCount"] <= 3
        and group["total"] >= Decimal("10.01")
        and group["minTotal"] in (0, Decimal("0.01"))
    ]
    assert 0 < len(expected) < len(groups) / 2
    assert deal_stats(["DAY"], having=having) == to_json(expected)


@pytest.mark.parametrize(
    ("date", "day"),
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
def test_years_months_and_days_are_those_of_utc(date: str, day: str) -> None:
    load(deal(date=date))
    (group,) = deal_stats(["YEAR", "MONTH", "DAY"])
    assert (group["year"], group["month"], group["day"]) == (int(day[:4]), f"{day[:7]}-01", day)


@pytest.mark.parametrize(
    ("totals", "average"),
    [(["0.01", "0.02"], "0.02"), (["0.01", "0", "0"], "0"), (["0.01", "0.01", "0"], "0.01"), (["1", "1", "0"], "0.67"),
     (["999999999999.99", "999999999999.98"], "999999999999.99"), (["0.01"] * 3, "0.01")],
)  # fmt: skip
def test_average_is_rounded_half_up(totals: list[str], average: str) -> None:
    load(*(deal(total=total) for total in totals))
    assert deal_stats([])[0]["averageTotal"] == average


def test_measures_are_selected_in_fragments_and_repeated_fields() -> None:
    load(deal("ann", "ruby", "1"), deal("ann", "ruby", "3"))
    query = """
        {dealStats(by: [GEM]) {...A} dealStats(by: [GEM]) {__typename ... on DealStats {low: minTotal}}}
        fragment A on DealStats {total ... {...B}} fragment B on DealStats {high: maxTotal gem {name}}
    """
    expected = {"total": "4", "high": "3", "gem": {"name": "ruby"}, "__typename": "DealStats", "low": "1"}
    assert data(query) == {"dealStats": [expected]}


def test_repeated_key_has_no_effect() -> None:
    load(*ROWS)
    assert deal_stats(["GEM", "YEAR", "GEM"]) == deal_stats(["YEAR", "GEM"])


# Limit of groups


def test_number_of_groups_is_estimated_before_grouping(limits: Any) -> None:
    """The estimate is the number of customers times gems times periods, and at most the number of deals."""
    load(*(deal(f"c{n % 4}", f"g{n % 3}", date=f"2020-01-{1 + n % 10:02} 00:00:00") for n in range(24)))
    for by, estimate in (
        ([], 1),
        (["CUSTOMER"], 4),
        (["GEM"], 3),
        (["CUSTOMER", "GEM"], 12),
        (["DAY"], 11),
        (["YEAR"], 2),
        (["YEAR", "MONTH"], 2),
        (["CUSTOMER", "GEM", "DAY"], 24),
    ):
        limits(max_groups=estimate)
        deal_stats(by)
        if estimate > 1:
            limits(max_groups=estimate - 1)
            rejection = error(QUERY_WITH_EXTREMES, by=by, order="TOTAL_DESC", limit=1)
            assert rejection["message"].startswith(f"These deals could make more than {estimate - 1} groups;")
            assert rejection["extensions"] == {"code": "limit_exceeded"}


def test_filter_reduces_the_estimated_number_of_groups(limits: Any) -> None:
    load(*(deal(f"c{n}", f"g{n}", date=f"2020-{1 + n:02}-01 00:00:00") for n in range(12)))
    limits(max_groups=6)
    variables = {"by": ["CUSTOMER", "GEM", "DAY"], "order": "TOTAL_DESC", "limit": 1}
    assert code(QUERY_WITH_EXTREMES, **variables) == "limit_exceeded"
    for filter_ in (
        {"customer": {"in": ["c1"]}, "gem": {"in": ["g1"]}, "date": {"lte": "2020-01-05 00:00:00"}},
        {"customer": {"eq": "unknown"}},
        {"gem": {"eq": "nothing"}},
        {"date": {"gte": "2021-01-01 00:00:00"}, "customer": {"eq": "c1"}, "gem": {"eq": "g1"}},
    ):
        data(QUERY_WITH_EXTREMES, filter=filter_, **variables)


def test_estimated_number_of_groups_is_never_too_low(limits: Any) -> None:
    """The dates are at the ends of periods, where two deals a second apart are in two groups."""
    dates = ["2019-12-31 23:59:59", "2020-01-01 00:00:00", "2020-12-31 00:00:00", "2021-01-01 00:00:00"]
    for first, last in combinations(dates, 2):
        load(deal(date=first), deal(date=last), *many(20))
        for key in ("YEAR", "MONTH", "DAY"):
            group_count = len(deal_stats([key], filter={"date": {"gte": first, "lte": last}}))
            if group_count > 1:
                limits(max_groups=group_count - 1)
                rejection = code(QUERY_WITH_EXTREMES, by=[key], order="TOTAL_DESC", limit=1)
                assert rejection == "limit_exceeded", (first, last, key)
                limits(max_groups=200_000)


# Money


def test_money_has_at_most_two_decimals() -> None:
    field = MoneyField()
    assert [field.get_prep_value(value) for value in ("0.01", Decimal("10.5"), 7, "1.500")] == [1, 1050, 700, 150]
    for value in ("0.001", Decimal("10.005"), Decimal("1e-400")):
        with pytest.raises(ValueError, match="two decimals"):
            field.get_prep_value(value)
