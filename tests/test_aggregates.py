"""Numbering of names, and sums that do not depend on the external merge."""

from __future__ import annotations

import pytest

from deals_api.errors import UploadTooLarge
from deals_api.ingest import aggregates
from deals_api.ingest.aggregates import DealAggregator, NameAggregates
from deals_api.ingest.csv_reader import DealBatch
from deals_api.limits import Limits

pytestmark = pytest.mark.database_independent

Row = tuple[str, str, int, int, str]

#: Customer, gem, total in hundredths, quantity, date.
ROWS: list[Row] = [
    ("ann", "ruby", 1050, 2, "2020-01-02 00:00:00"),
    ("bob", "opal", 700, 1, "2020-01-01 00:00:00"),
    ("ann", "opal", 25, 3, "2020-01-03 00:00:00"),
    ("ann", "ruby", 5, 4, "2020-01-01 12:00:00"),
    ("bob", "opal", 300, 5, "2020-01-04 00:00:00"),
]
#: Expected purchases: customer number, gem number, deals, quantity, total, minimum and maximum in hundredths.
PURCHASES = [(0, 0, 2, 6, 1055, 5, 1050), (0, 1, 1, 3, 25, 25, 25), (1, 1, 2, 6, 1000, 300, 700)]
#: Expected sums by gem and day, in the same form.
GEM_DAYS = [
    (0, "2020-01-01", 1, 4, 5, 5, 5), (0, "2020-01-02", 1, 2, 1050, 1050, 1050), (1, "2020-01-01", 1, 1, 700, 700, 700),
    (1, "2020-01-03", 1, 3, 25, 25, 25), (1, "2020-01-04", 1, 5, 300, 300, 300),
]  # fmt: skip
GEM_MONTHS = [(0, "2020-01-01", 2, 6, 1055, 5, 1050), (1, "2020-01-01", 3, 9, 1025, 25, 700)]


def make_batch(*rows: Row) -> DealBatch:
    customers, gems, totals, quantities, dates = map(list, zip(*rows, strict=True))
    return DealBatch(customers, gems, totals, quantities, dates)


def aggregate(*batches: DealBatch, **limits: int) -> DealAggregator:
    aggregator = DealAggregator(Limits(**limits))
    for batch in batches:
        aggregator.add(batch)
    return aggregator


def sums(names: NameAggregates) -> dict[str, tuple[int, int, int]]:
    columns = names.names, names.totals, names.deal_counts, names.purchase_counts
    return {name: tuple(rest) for name, *rest in zip(*columns, strict=True)}  # type: ignore[misc]


def test_names_are_numbered_in_the_order_of_their_first_deal() -> None:
    aggregator = DealAggregator(Limits())
    assert aggregator.add(make_batch(*ROWS[:2])) == ([0, 1], [0, 1])
    assert aggregator.add(make_batch(*ROWS[2:])) == ([0, 0, 1], [1, 0, 1])
    assert (aggregator.customers.names, aggregator.gems.names) == (["ann", "bob"], ["ruby", "opal"])


def test_one_name_can_be_a_customer_and_a_gem() -> None:
    aggregator = aggregate(make_batch(("ruby", "ruby", 1, 1, ROWS[0][4])))
    assert (aggregator.customers.names, aggregator.gems.names) == (["ruby"], ["ruby"])


def test_each_customer_and_gem_make_one_purchase() -> None:
    aggregator = aggregate(make_batch(*ROWS))
    assert list(aggregator.purchases()) == PURCHASES
    assert (aggregator.rows, aggregator.total) == (5, 2080)


def test_deals_of_each_gem_are_summed_by_day_and_month() -> None:
    aggregator = aggregate(make_batch(*ROWS))
    assert list(aggregator.gem_days()) == GEM_DAYS
    assert list(aggregator.gem_months()) == GEM_MONTHS


def test_days_and_months_are_those_of_the_calendar_from_year_1_to_9999() -> None:
    dates = ["0001-01-01 00:00:00", "2020-02-29 23:59:59.999999", "2020-03-01 00:00:00", "9999-12-31 23:59:59.999999"]
    aggregator = aggregate(make_batch(*(("ann", "ruby", 1, 1, date) for date in dates)))
    assert [day for _, day, *_ in aggregator.gem_days()] == [date[:10] for date in dates]
    assert [month for _, month, *_ in aggregator.gem_months()] == [f"{date[:7]}-01" for date in dates]


def test_names_have_the_sums_and_number_of_their_purchases() -> None:
    aggregator = aggregate(make_batch(*ROWS))
    list(aggregator.purchases())
    assert sums(aggregator.customers) == {"ann": (1080, 3, 2), "bob": (1000, 2, 1)}
    assert sums(aggregator.gems) == {"ruby": (1055, 2, 1), "opal": (1025, 3, 2)}


def test_first_and_last_deal_are_found_across_batches() -> None:
    aggregator = aggregate(*map(make_batch, ROWS))
    assert aggregator.customers.first_deals == ["2020-01-01 12:00:00", "2020-01-01 00:00:00"]
    assert aggregator.customers.last_deals == ["2020-01-03 00:00:00", "2020-01-04 00:00:00"]
    assert aggregator.gems.first_deals == ["2020-01-01 12:00:00", "2020-01-01 00:00:00"]
    assert aggregator.gems.last_deals == ["2020-01-02 00:00:00", "2020-01-04 00:00:00"]


def test_fraction_of_a_second_is_later_than_none() -> None:
    rows = [("ann", "ruby", 1, 1, f"2020-01-02 00:00:00{fraction}") for fraction in (".5", "", ".25")]
    aggregator = aggregate(make_batch(*rows))
    assert aggregator.customers.first_deals == ["2020-01-02 00:00:00"]
    assert aggregator.customers.last_deals == ["2020-01-02 00:00:00.5"]


@pytest.mark.parametrize("buffered", [0, 1, 2, 100])
def test_sums_do_not_depend_on_the_size_of_the_buffer(buffered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "_MAX_BUFFERED_KEYS", buffered)
    rows = [
        (f"c{number % 7}", f"g{number % 5}", number, 1, f"2020-0{1 + number % 3}-0{1 + number % 2}")
        for number in range(350)
    ]
    in_batches = aggregate(*(make_batch(*rows[first : first + 3]) for first in range(0, 350, 3)))
    purchases = list(in_batches.purchases())
    assert [(customer, gem) for customer, gem, *_ in purchases] == [(c, g) for c in range(7) for g in range(5)]
    assert {(deals, quantity) for _, _, deals, quantity, *_ in purchases} == {(10, 10)}
    assert sum(purchase[4] for purchase in purchases) == in_batches.total == sum(range(350))
    assert (purchases[0][5:], purchases[-1][5:]) == ((0, 315), (34, 349))
    at_once = aggregate(make_batch(*rows))
    assert purchases == list(at_once.purchases())
    gem_days = list(in_batches.gem_days())
    assert gem_days == list(at_once.gem_days())
    assert len(gem_days) == 5 * 3 * 2
    assert list(in_batches.gem_months()) == list(at_once.gem_months())
    assert in_batches.gems.purchase_counts == [7] * 5


def test_buffer_never_exceeds_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise memory would grow with the number of different pairs in a file."""
    monkeypatch.setattr(aggregates, "_MAX_BUFFERED_KEYS", 10)
    aggregator = DealAggregator(Limits())
    for first in range(0, 1000, 5):
        aggregator.add(make_batch(*((f"c{number}", "ruby", 1, 1, ROWS[0][4]) for number in range(first, first + 5))))
        assert len(aggregator._purchases._buffer) <= 10
    assert len(list(aggregator.purchases())) == 1000


@pytest.mark.parametrize(("column", "index"), [("customers", 0), ("gems", 1)])
def test_file_with_more_names_than_the_limit_is_rejected(column: str, index: int) -> None:
    def rows(count: int) -> DealBatch:
        names = [["one", "one"] for _ in range(count)]
        for number, pair in enumerate(names):
            pair[index] = f"{column} {number}"
        return make_batch(*((customer, gem, 1, 1, ROWS[0][4]) for customer, gem in names))

    aggregate(rows(3), rows(3), max_names=3)
    with pytest.raises(UploadTooLarge, match="more than 3 different customers or gems"):
        aggregate(rows(3), rows(4), max_names=3)


def test_sums_over_the_maximum_of_a_column_are_rejected() -> None:
    maximum = make_batch(("ann", "ruby", 2**63 - 1, 1, ROWS[0][4]))
    aggregator = aggregate(maximum)
    assert list(aggregator.purchases()) == [(0, 0, 1, 1, 2**63 - 1, 2**63 - 1, 2**63 - 1)]
    with pytest.raises(UploadTooLarge, match=r"add up to more than 92233720368547758\.07"):
        aggregator.add(make_batch(("bob", "opal", 1, 1, ROWS[0][4])))
