"""``dealStats`` by every combination of keys, compared with plain loops over the file."""

from __future__ import annotations

import operator
import random
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deals_api.models import GemDay, GemMonth, MoneyField, Purchase, Upload
from graphql_schema.inputs import DealStatsOrder
from tests import builders, reference_parser
from tests.builders import csv_of, deal, load, many
from tests.graphql import clear_caches, code, count_row_queries, data, error
from tests.long_form import IS_LONG, sample
from tests.reference_parser import Deal

pytestmark = pytest.mark.django_db

#: Ends of years, months, weeks and the calendar, with and without offsets.
DATES = [
    "2019-12-31 23:59:59.999999", "2020-01-01 00:00:00", "2020-01-01 00:30:00+01:00", "2019-12-31 23:30:00-01:00",
    "2020-02-29 12:00:00", "2020-02-29 23:59:59.999999Z", "2020-03-01 00:00:00", "2020-03-01 02:59:59 +03:00",
    "2021-02-28 00:00:00", "2020-02-28 23:59:59.5", "0001-01-01 00:00:00", "0001-01-01 23:59:59.999999",
    "9999-12-31 23:59:59.999999", "9999-12-31 00:00:00", "0999-06-30 12:00:00", "2020-12-31 23:59:59.999999",
    "2020-12-27 23:59:59.999999", "2020-12-28 00:00:00", "2021-01-03 23:59:59.999999", "2021-01-04 00:00:00",
    "2018-12-31 00:00:00", "2016-01-01 00:00:00", "2020-09-30 23:59:59.999999",
]  # fmt: skip
TOTALS = ["0.01", "0.02", "10", "10", "999999999999.99", "0", "3.33"]
#: The orders by first appearance, by code point and by collation differ.
NAMES = ["bob", "Zoe", "ann", "ёлка", "Яна", "b-1"]
QUANTITIES = ["1", "2", "999999999"]
ROWS = [
    deal(NAMES[n * 5 % 7 % 6], NAMES[n * 3 % 4], TOTALS[n % 7], QUANTITIES[n % 3], DATES[n % 23]) for n in range(50)
]
DEALS = reference_parser.read(csv_of(*ROWS).decode())

#: The first day of the period of a date.
PERIODS: dict[str, Callable[[date], date]] = {
    "YEAR": lambda day: day.replace(month=1, day=1),
    "QUARTER": lambda day: day.replace(month=1 + (day.month - 1) // 3 * 3, day=1),
    "MONTH": lambda day: day.replace(day=1),
    "WEEK": lambda day: date.fromisocalendar(*day.isocalendar()[:2], 1),
    "DAY": lambda day: day,
}
NAME_KEYS = [(), ("CUSTOMER",), ("GEM",), ("CUSTOMER", "GEM")]
PERIOD_KEYS = [
    (), ("YEAR",), ("QUARTER",), ("MONTH",), ("WEEK",), ("DAY",), ("YEAR", "MONTH"), ("YEAR", "DAY"), ("YEAR", "WEEK"),
    ("QUARTER", "WEEK"), ("MONTH", "WEEK"), ("WEEK", "DAY"), ("YEAR", "MONTH", "DAY"), tuple(PERIODS),
]  # fmt: skip
KEYS = ["CUSTOMER", "GEM", *PERIODS]
KEY_COMBINATIONS = [names + periods for names in NAME_KEYS for periods in PERIOD_KEYS]
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
    query (
        $by: [DealStatsKey!], $filter: DealFilter, $having: DealStatsFilter, $order: DealStatsOrder!,
        $limit: Int!, $offset: Int! = 0
    ) {
        dealStats(by: $by, filter: $filter, having: $having, orderBy: $order, limit: $limit, offset: $offset) {
            totalCount
            nodes {
                customer {username} gem {name} year quarter month week day
                dealCount quantity total share averageTotal %s
            }
        }
    }
"""
#: Measures that purchases of the previous release do not have, so that the query reads deals.
EXTREMES = ("minTotal", "maxTotal")
QUERY_WITH_EXTREMES = QUERY % " ".join(EXTREMES)


def load_by_the_previous_release(*rows: str) -> Upload:
    """Store what a process of the previous release stores, which does not know the sums of purchases and periods."""
    upload = builders.load(*rows)
    Upload.objects.filter(pk=upload.pk).update(purchase_count=None, gem_day_count=None, gem_month_count=None)
    Purchase.objects.for_upload(upload).update(min_total=None, max_total=None)
    for model in (GemDay, GemMonth):
        model.objects.for_upload(upload).delete()
    return upload


@pytest.fixture(autouse=True, params=[builders.load, load_by_the_previous_release])
def _release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "load", request.param)


def average(totals: list[Decimal]) -> Decimal:
    return (sum(totals, Decimal(0)) / len(totals)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def share(total: Decimal, whole: Decimal) -> float:
    """Round half up to six decimals, in fractions."""
    return int(Fraction(total) / Fraction(whole) * 10**6 + Fraction(1, 2)) / 10**6 if whole else 0.0


class Group(dict[str, Any]):
    """Keys and measures of one group, by their names in GraphQL; ``whole`` is the total of all groups."""

    def __init__(self, keys: dict[str, Any], deals: list[Deal], whole: Decimal) -> None:
        super().__init__(keys, **{name: measure(deals) for name, measure in MEASURES.items()})
        self["share"] = share(self["total"], whole)


def grouped(deals: Iterable[Deal], by: Iterable[str], lines: Sequence[Deal] = DEALS) -> list[Group]:
    """Return the groups by customer and gem in the order of their first lines in the file, and by periods."""
    deals_by_keys: dict[Any, list[Deal]] = {}
    for row in deals:
        periods = {key: first_day(row.date.date()) for key, first_day in PERIODS.items()}
        values = {"CUSTOMER": row.customer, "GEM": row.item, **periods}
        deals_by_keys.setdefault(tuple(values[key] if key in by else None for key in KEYS), []).append(row)
    whole = sum((row.total for rows in deals_by_keys.values() for row in rows), Decimal(0))
    customers, gems = [row.customer for row in lines], [row.item for row in lines]

    def position(keys: tuple[Any, ...]) -> Any:
        customer, gem, *periods = keys
        return (customers.index(customer) if customer else 0, gems.index(gem) if gem else 0, list(map(str, periods)))

    names = [key.lower() for key in KEYS]
    return [
        Group(dict(zip(names, keys, strict=True)), deals_by_keys[keys], whole)
        for keys in sorted(deals_by_keys, key=position)
    ]


def shortest_period(group: Group) -> Any:
    return next(group[key.lower()] for key in reversed(PERIODS) if group[key.lower()])


def ordered(groups: list[Group], order: str) -> list[Group]:
    column, direction = order.rsplit("_", 1)
    first, *rest = column.lower().split("_")
    name = first + "".join(map(str.title, rest))
    key: Any = shortest_period if column == "DATE" else operator.itemgetter(name)
    return sorted(groups, key=key, reverse=direction == "DESC")


def is_allowed(order: str, by: Iterable[str]) -> bool:
    column = order.rsplit("_", 1)[0]
    return bool(PERIODS.keys() & set(by)) if column == "DATE" else column in by or column not in KEYS


def deal_stats_page(by: Iterable[str], order: str = "TOTAL_DESC", limit: int = 1000, **arguments: Any) -> Any:
    """Return a page of groups, and check that those computed from stored sums are equal."""
    variables = {"by": list(by), "order": order, "limit": limit, **arguments}
    page = data(QUERY_WITH_EXTREMES, **variables)["dealStats"]
    groups = [{name: value for name, value in group.items() if name not in EXTREMES} for group in page["nodes"]]
    assert PERIODS.keys() & set(by) or data(QUERY % "", **variables)["dealStats"] == {**page, "nodes": groups}
    for group in page["nodes"]:
        group["customer"] = group["customer"] and group["customer"]["username"]
        group["gem"] = group["gem"] and group["gem"]["name"]
    return page


def deal_stats(by: Iterable[str], order: str = "TOTAL_DESC", **arguments: Any) -> list[Any]:
    """Return all groups."""
    page = deal_stats_page(by, order, **arguments)
    assert page["totalCount"] == len(page["nodes"])
    groups: list[Any] = page["nodes"]
    return groups


def to_json(groups: list[Group]) -> list[Any]:
    """Convert money to strings with the fewest digits, dates to strings, and years to integers."""
    return [
        {name: value.year if name == "year" and value else to_json_value(value) for name, value in group.items()}
        for group in groups
    ]


def to_json_value(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return re.sub(r"\.?0*$", "", f"{value:.2f}") if isinstance(value, Decimal) else value


@pytest.mark.parametrize("period_keys", PERIOD_KEYS, ids="-".join)
def test_groups_equal_those_of_the_file_in_every_order(period_keys: tuple[str, ...]) -> None:
    """The short form tests every eighth order, each with several of the keys."""
    load(*ROWS)
    for start, name_keys in enumerate(NAME_KEYS, PERIOD_KEYS.index(period_keys)):
        by = name_keys + period_keys
        groups = grouped(DEALS, by)
        for order in sample(ORDERS, 8, start):
            if is_allowed(order, by):
                assert deal_stats(by, order) == to_json(ordered(groups, order)), (by, order)


@pytest.mark.parametrize("by", [("CUSTOMER", "GEM"), ("GEM", "WEEK"), ("DAY",)], ids="-".join)
def test_pages_are_parts_of_one_list_also_between_equal_groups(by: tuple[str, ...]) -> None:
    """The short form tests every fifth page, other ones in each order."""
    load(*ROWS)
    for start, order in enumerate(("MIN_TOTAL_ASC", "MAX_TOTAL_DESC", "DEAL_COUNT_DESC", "GEM_ASC", "DATE_DESC")):
        if is_allowed(order, by):
            groups = to_json(ordered(grouped(DEALS, by), order))
            pages = list(product((1, 2, 5, 17), (0, 1, 4, len(groups) - 1, len(groups), 150_000)))
            for limit, offset in sample(pages, 5, start):
                page = deal_stats_page(by, order, limit, offset=offset)
                assert page == {"totalCount": len(groups), "nodes": groups[offset : offset + limit]}, (
                    order,
                    limit,
                    offset,
                )


def test_limit_and_offset_are_bounded(limits: Any) -> None:
    load(*ROWS)
    limits(max_stats_groups=3, max_groups=40)
    query = "query ($n: Int!, $m: Int!) {dealStats(by: [CUSTOMER], limit: $n, offset: $m) {nodes {total}}}"
    assert [len(data(query, n=n, m=m)["dealStats"]["nodes"]) for n, m in ((1, 0), (3, 0), (3, 4), (1, 40))] == [
        1,
        3,
        2,
        0,
    ]
    for n, m, message in (
        (0, 0, "limit may be 1 to 3, not 0."), (4, 0, "limit may be 1 to 3, not 4."),
        (1, -1, "offset may be 0 to 40, not -1."), (1, 41, "offset may be 0 to 40, not 41."),
    ):  # fmt: skip
        rejection = error(query, n=n, m=m)
        assert (rejection["message"], rejection["extensions"]) == (message, {"code": "limit_exceeded"})


def test_a_thousand_groups_are_returned_with_their_customers_in_one_page() -> None:
    load(*(deal(f"c{number}", total=str(number)) for number in range(1_001)))
    query = """{dealStats(by: [CUSTOMER], limit: 1000) {totalCount nodes {total customer {username}}}}"""
    page = data(query)["dealStats"]
    expected = [{"total": str(number), "customer": {"username": f"c{number}"}} for number in range(1_000, 0, -1)]
    assert page == {"totalCount": 1_001, "nodes": expected}
    assert count_row_queries(query) == 3


def test_groups_are_counted_and_read_only_if_they_are_selected() -> None:
    load(*ROWS)
    counts = {"totalCount": 1, "nodes {total}": 1, "nodes {share}": 2, "totalCount nodes {share customer {id}}": 4}
    for selection, count in counts.items():
        assert count_row_queries(f"{{dealStats(by: [CUSTOMER]) {{{selection}}}}}") == count, selection


def test_order_by_a_missing_key_is_rejected() -> None:
    load(*ROWS)
    for by, order in product(NAME_KEYS + PERIOD_KEYS, ORDERS):
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
    ({"date": {"gt": "2020-02-28T23:59:59.999999Z", "lt": "2020-03-01T00:00:00Z"}, "gem": {"contains": "o"}},
     lambda row: row.date.date() == date(2020, 2, 29) and "o" in row.item),
    ({"date": {"gte": "2020-01-01T00:00:00Z", "lt": "2020-01-01T00:00:00.000001Z"}},
     lambda row: row.date == datetime(2020, 1, 1, tzinfo=UTC)),
    ({"date": {"gt": "2019-12-31T23:59:59.999998Z", "lte": "2019-12-31T23:59:59.999999Z"}},
     lambda row: row.date == datetime(2019, 12, 31, 23, 59, 59, 999_999, UTC)),
    ({"date": {"gt": "2020-01-01T00:00:00Z"}}, lambda row: row.date > datetime(2020, 1, 1, tzinfo=UTC)),
    ({"date": {"lt": "2019-12-31T23:59:59.999999Z"}},
     lambda row: row.date < datetime(2019, 12, 31, 23, 59, 59, 999_999, UTC)),
    ({"date": {"gte": "9999-12-31T00:00:00Z"}}, lambda row: row.date.date() == date.max),
    ({"date": {"lte": "0001-01-01T23:59:59.999999Z"}}, lambda row: row.date.date() == date.min),
    ({"date": {"gt": "9999-12-31T23:59:59.999999Z"}}, lambda row: False),
    ({"date": {"lt": "0001-01-01T00:00:00Z"}}, lambda row: False),
    ({"date": {"lt": "2020-01-01T00:00:00+01:00", "gte": "2019-12-31T00:00:00+01:00"}},
     lambda row: datetime(2019, 12, 30, 23, tzinfo=UTC) <= row.date < datetime(2019, 12, 31, 23, tzinfo=UTC)),
    ({"NOT": {"date": {"gte": "2020-01-01T00:00:00Z", "lt": "2021-01-01T00:00:00Z"}}},
     lambda row: row.date.year != 2020),
    ({"OR": [{"date": {"gt": "2020-12-31T23:59:59.999999Z"}}, {"date": {"lt": "2020-02-29T00:00:00Z"}}]},
     lambda row: row.date.year > 2020 or row.date.date() < date(2020, 2, 29)),
    ({"AND": [{"date": {"gte": "2020-01-01T00:00:00Z"}}, {"gem": {"eq": "ann"}}], "date": {"in": []}},
     lambda row: False),
    ({"gem": {"eq": "nothing"}}, lambda row: False),
    ({"customer": {}, "total": None}, lambda row: True),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FILTERS)), ids=[str(filter_) for filter_, _ in FILTERS])
def test_sums_include_selected_deals_only(number: int) -> None:
    """The short form tests every 14th combination of keys, each with several of the filters."""
    load(*ROWS)
    filter_, holds = FILTERS[number]
    for by in sample(KEY_COMBINATIONS, 14, number):
        expected = to_json(ordered(grouped(filter(holds, DEALS), by), "TOTAL_DESC"))
        assert deal_stats(by, filter=filter_) == expected, by


@pytest.mark.parametrize("seed", range(6))
def test_random_questions_about_random_files_have_the_answers_of_the_file(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    base = rng.choice([date(1, 1, 1), date(9999, 12, 1), date(2019, 12, 15), date(2024, 2, 20)])
    days = [base + timedelta(number) for number in range(31)]
    totals, times = ["0", "0.01", "9.99", "70000.50", "3"], ["00:00:00", "12:30:00.5", "23:59:59.999999"]
    rows = [
        deal(*map(rng.choice, (NAMES, NAMES, totals, QUANTITIES, [f"{day} {time}" for day in days for time in times])))
        for _ in range(80)
    ]
    load(*rows)
    lines = reference_parser.read(csv_of(*rows).decode())
    for _ in range(25 if IS_LONG else 12):
        by = rng.choice(KEY_COMBINATIONS)
        order = rng.choice([order for order in ORDERS if is_allowed(order, by)])
        customers, least = rng.sample(NAMES, 4), rng.randrange(4)
        limit, offset = rng.choice([1, 7, 1000]), rng.choice([0, 0, 3])
        arguments = {"filter": {"customer": {"in": customers}}, "having": {"dealCount": {"gte": least}}}
        selected = [line for line in lines if line.customer in customers]
        groups = [group for group in grouped(selected, by, lines) if group["dealCount"] >= least]
        nodes = to_json(ordered(groups, order))[offset : offset + limit]
        page = deal_stats_page(by, order, limit, offset=offset, **arguments)
        assert page == {"totalCount": len(groups), "nodes": nodes}, (by, order, arguments, limit, offset)


@pytest.mark.parametrize("name", MEASURES)
def test_having_selects_groups_by_every_measure(name: str) -> None:
    """The short form tests every fifth condition, other ones with each of the keys and measures."""
    load(*ROWS)
    lookups = {"eq": operator.eq, "in": operator.eq, "gte": operator.ge, "lte": operator.le}
    for start, by in enumerate(((), ("GEM",), ("CUSTOMER", "YEAR"), ("DAY",)), list(MEASURES).index(name)):
        groups = ordered(grouped(DEALS, by), "DEAL_COUNT_ASC")
        values = sorted({group[name] for group in groups})
        middle, largest = values[len(values) // 2], values[-1]
        for (lookup, holds), bound in sample(list(product(lookups.items(), (middle, largest, largest + 1))), 5, start):
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
    (group,) = deal_stats(["YEAR", "MONTH", "DAY"])
    assert (group["year"], group["month"], group["day"]) == (int(day[:4]), f"{day[:7]}-01", day)


@pytest.mark.parametrize(
    ("day", "week", "quarter"),
    [("0001-01-01", "0001-01-01", "0001-01-01"), ("0001-01-07", "0001-01-01", "0001-01-01"),
     ("0001-01-08", "0001-01-08", "0001-01-01"), ("9999-12-31", "9999-12-27", "9999-10-01"),
     ("9999-12-26", "9999-12-20", "9999-10-01"), ("2019-12-29", "2019-12-23", "2019-10-01"),
     ("2019-12-30", "2019-12-30", "2019-10-01"), ("2020-01-01", "2019-12-30", "2020-01-01"),
     ("2021-01-03", "2020-12-28", "2021-01-01"), ("2021-03-31", "2021-03-29", "2021-01-01"),
     ("2021-04-01", "2021-03-29", "2021-04-01"), ("2021-06-30", "2021-06-28", "2021-04-01"),
     ("2021-07-01", "2021-06-28", "2021-07-01"), ("2021-09-30", "2021-09-27", "2021-07-01")],
)  # fmt: skip
def test_weeks_begin_on_monday_and_quarters_in_their_first_month(day: str, week: str, quarter: str) -> None:
    load(deal(date=f"{day} 00:00:00"), deal(date=f"{day} 23:59:59.999999"))
    (group,) = deal_stats(["WEEK", "QUARTER"])
    assert (group["week"], group["quarter"]) == (week, quarter)


@pytest.mark.parametrize(
    ("totals", "shares"),
    [(["1", "2"], [0.666667, 0.333333]), (["0", "0"], [0.0, 0.0]), (["0", "5"], [1.0, 0.0]),
     (["0.01", "999999999999.99"], [1.0, 0.0]), (["1", "1999999"], [1.0, 0.000001]), (["1", "2000000"], [1.0, 0.0])],
)  # fmt: skip
def test_share_is_rounded_half_up_to_six_decimals(totals: list[str], shares: list[float]) -> None:
    load(*(deal(f"c{number}", total=total) for number, total in enumerate(totals)))
    assert [group["share"] for group in deal_stats(["CUSTOMER"])] == shares


def test_share_is_of_all_deals_that_the_filter_selects() -> None:
    load(deal("ann", total="30"), deal("bob", total="60"), deal("cid", total="10"), deal("dan", total="900"))
    arguments: Any = {"filter": {"customer": {"in": ["ann", "bob", "cid"]}}, "having": {"total": {"lte": "30"}}}
    page = deal_stats_page(["CUSTOMER"], limit=1, offset=1, **arguments)
    assert [(group["customer"], group["share"]) for group in page["nodes"]] == [("cid", 0.1)]


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
        {dealStats(by: [GEM]) {nodes {...A}} dealStats(by: [GEM]) {nodes {__typename ... on DealStats {low: minTotal}}}}
        fragment A on DealStats {total ... {...B}} fragment B on DealStats {high: maxTotal gem {name}}
    """
    expected = {"total": "4", "high": "3", "gem": {"name": "ruby"}, "__typename": "DealStats", "low": "1"}
    assert data(query) == {"dealStats": {"nodes": [expected]}}


def test_repeated_key_has_no_effect() -> None:
    load(*ROWS)
    assert deal_stats(["GEM", "YEAR", "GEM"]) == deal_stats(["YEAR", "GEM"])


# Stored sums


def reads_deals(query: str, **variables: Any) -> bool:
    """Return whether deals are read, besides the dates of the first and the last one, which are in subqueries."""
    clear_caches()
    with CaptureQueriesContext(connection) as captured:
        data(query, **variables)
    return any(re.search(r'FROM "deals_api_deal"(?! U0)', statement["sql"]) for statement in captured)


@pytest.mark.parametrize(
    ("by", "filter_", "suffices"),
    [
        ("GEM, MONTH", "", True), ("GEM, YEAR, WEEK", "", True), ("DAY", "", True), ("CUSTOMER, GEM", "", True),
        ("", "", True),
        ("CUSTOMER", '{customer: {contains: "n"}, gem: {contains: "o"}}', True),
        ("GEM, QUARTER", '{gem: {eq: "ann"}, date: {gte: "2020-02-29T00:00:00Z"}}', True),
        ("", '{date: {gt: "2020-02-29T23:59:59.999999Z", lt: "2021-01-01T00:00:00Z"}}', True),
        ("GEM", '{OR: [{date: {lt: "2019-12-31T00:00:00Z"}}, {NOT: {date: {lt: "2020-02-29T00:00:00Z"}}}]}', True),
        ("GEM, MONTH", '{date: {gt: "2020-02-29T00:00:00Z"}}', False), ("CUSTOMER, MONTH", "", False),
        ("GEM", '{quantity: {gte: 1}}', False), ("MONTH", '{customer: {contains: "n"}}', False),
        ("MONTH", '{OR: [{gem: {eq: "ann"}}, {date: {gte: "2020-02-29T00:00:00Z"}}]}', False),
    ],
)  # fmt: skip
def test_deals_are_read_only_if_stored_sums_do_not_suffice(by: str, filter_: str, suffices: bool) -> None:
    upload = load(*ROWS)
    has_sums = Upload.objects.get(pk=upload.pk).gem_day_count is not None
    query = f"{{dealStats(by: [{by}], filter: {filter_ or 'null'}) {{totalCount nodes {{minTotal maxTotal share}}}}}}"
    assert reads_deals(query) is not (suffices and has_sums)


#: A filter, its meaning, and whether stored sums suffice.
COUNTED: list[tuple[dict[str, Any], Callable[[Deal], bool], bool]] = [
    ({"customer": {"eq": "ann"}}, lambda row: row.customer == "ann", True),
    ({"gem": {"in": ["Zoe", "ёлка"]}}, lambda row: row.item in ("Zoe", "ёлка"), True),
    ({"gem": {"eq": "nothing"}}, lambda row: False, True),
    ({"customer": {"in": []}}, lambda row: False, True),
    ({"customer": {"contains": "n"}, "gem": {"contains": "o"}},
     lambda row: "n" in row.customer and "o" in row.item, True),
    ({"OR": [{"customer": {"eq": "ann"}}, {"gem": {"eq": "Zoe"}}]},
     lambda row: row.customer == "ann" or row.item == "Zoe", True),
    ({"customer": {"eq": "ann"}, "quantity": {"gte": 2}},
     lambda row: row.customer == "ann" and row.quantity >= 2, False),
]  # fmt: skip


@pytest.mark.parametrize(("filter_", "holds", "suffices"), COUNTED, ids=[str(filter_) for filter_, *_ in COUNTED])
def test_deals_of_selected_names_are_counted_from_stored_sums(
    filter_: dict[str, Any], holds: Callable[[Deal], bool], suffices: bool
) -> None:
    load(*ROWS)
    lists = {
        "deals": "{deals(first: 0, filter: $f) {totalCount}}",
        "of customers": "{customers {nodes {username deals(first: 0, filter: $f) {totalCount}}}}",
        "of gems": "{gems {nodes {name deals(first: 0, filter: $f) {totalCount}}}}",
    }
    selected = [row for row in DEALS if holds(row)]
    for name, selection in lists.items():
        query = f"query ($f: DealFilter) {selection}"
        assert reads_deals(query, f=filter_) is not suffices, name
        result = data(query, f=filter_)
        if name == "deals":
            assert result["deals"]["totalCount"] == len(selected)
            continue
        rows = next(iter(result.values()))["nodes"]
        counts = {row.get("username") or row["name"]: row["deals"]["totalCount"] for row in rows}
        names = [row.customer if name == "of customers" else row.item for row in selected]
        assert counts == {key: names.count(key) for key in counts}


def test_many_names_are_counted_from_stored_sums() -> None:
    """There are more names than a statement lists."""
    load(*many(500, [f"c{number}" for number in range(250)]), *many(3, ["d"]))
    query = '{deals(first: 0, filter: {customer: {startsWith: "c"}}) {totalCount}}'
    assert data(query) == {"deals": {"totalCount": 500}}
    assert not reads_deals(query)


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
        (["QUARTER"], 2),
        (["WEEK"], 3),
        (["WEEK", "MONTH"], 4),
        (["WEEK", "DAY"], 11),
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
    dates = ["2019-12-29 23:59:59", "2019-12-30 00:00:00", "2019-12-31 23:59:59", "2020-01-01 00:00:00"]
    dates += ["2020-12-31 00:00:00", "2021-01-01 00:00:00", "2021-01-03 23:59:59", "2021-01-04 00:00:00"]
    for first, last in combinations(dates, 2):
        load(deal(date=first), deal(date=last), *(deal(date=date) for date in dates if first < date < last), *many(20))
        for by in (*PERIOD_KEYS[1:6], ("YEAR", "WEEK"), ("MONTH", "WEEK")):
            group_count = len(deal_stats(by, filter={"date": {"gte": first, "lte": last}}))
            if group_count > 1:
                limits(max_groups=group_count - 1)
                rejection = code(QUERY_WITH_EXTREMES, by=by, order="TOTAL_DESC", limit=1)
                assert rejection == "limit_exceeded", (first, last, by)
                limits(max_groups=200_000)


# Money


def test_money_has_at_most_two_decimals() -> None:
    field = MoneyField()
    assert [field.get_prep_value(value) for value in ("0.01", Decimal("10.5"), 7, "1.500")] == [1, 1050, 700, 150]
    for value in ("0.001", Decimal("10.005"), Decimal("1e-400")):
        with pytest.raises(ValueError, match="two decimals"):
            field.get_prep_value(value)
