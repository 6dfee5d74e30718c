"""Numbering of names, and sums that do not depend on the external merge."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from deals_api.errors import UploadTooLarge
from deals_api.ingest import keyed_sums
from deals_api.ingest.aggregates import Columns, DealAggregator, NameAggregates
from deals_api.ingest.copy_formats import python_values
from deals_api.ingest.deal_batch import DealBatch, Integers, NameNumbers, number_names
from deals_api.ingest.numpy_setup import np
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


class Batches:
    """Batches of one file, whose names are numbered together."""

    def __init__(self) -> None:
        self.customers, self.gems = NameNumbers(), NameNumbers()

    def make(self, *rows: Row) -> DealBatch:
        customers, gems, totals, quantities, dates = map(list, zip(*rows, strict=True))
        return DealBatch(
            number_names(self.customers, map(str.encode, customers)),
            number_names(self.gems, map(str.encode, gems)),
            np.array(totals, np.int64),
            np.array(quantities, np.int64),
            np.array(dates, "M8[us]"),
            self.customers,
            self.gems,
        )


def aggregate(*batches: Sequence[Row], **limits: int) -> DealAggregator:
    aggregator, file = DealAggregator(Limits(**limits)), Batches()
    for batch in batches:
        aggregator.add(file.make(*batch))
    return aggregator


def rows_of(sums: Iterator[Columns]) -> list[tuple[Any, ...]]:
    return [row for columns in sums for row in zip(*map(python_values, columns), strict=True)]


def names_in(names: NameAggregates) -> list[str]:
    return list(names.names.texts())


def dates_of(column: Integers) -> list[str]:
    """Return times without the seconds and the decimals that are zero."""
    return [str(date) for date in column.view("M8[us]").astype("M8[ms]")]


def sums(names: NameAggregates) -> dict[str, tuple[int, int, int]]:
    columns = names.totals, names.deal_counts, names.purchase_counts
    return dict(zip(names_in(names), zip(*(column.tolist() for column in columns), strict=True), strict=True))


def test_names_are_numbered_in_the_order_of_their_first_deal() -> None:
    file = Batches()
    batches = file.make(*ROWS[:2]), file.make(*ROWS[2:])
    assert [(batch.customers.tolist(), batch.gems.tolist()) for batch in batches] == [
        ([0, 1], [0, 1]),
        ([0, 0, 1], [1, 0, 1]),
    ]
    assert (list(file.customers.texts()), list(file.gems.texts())) == (["ann", "bob"], ["ruby", "opal"])


def test_one_name_can_be_a_customer_and_a_gem() -> None:
    aggregator = aggregate([("ruby", "ruby", 1, 1, ROWS[0][4])])
    assert (names_in(aggregator.customers), names_in(aggregator.gems)) == (["ruby"], ["ruby"])


def test_each_customer_and_gem_make_one_purchase() -> None:
    aggregator = aggregate(ROWS)
    assert rows_of(aggregator.purchases()) == PURCHASES
    assert (aggregator.rows, aggregator.total) == (5, 2080)


def test_deals_of_each_gem_are_summed_by_day_and_month() -> None:
    aggregator = aggregate(ROWS)
    assert rows_of(aggregator.gem_days()) == GEM_DAYS
    assert rows_of(aggregator.gem_months()) == GEM_MONTHS


def test_days_and_months_are_those_of_the_calendar_from_year_1_to_9999() -> None:
    dates = ["0001-01-01 00:00:00", "2020-02-29 23:59:59.999999", "2020-03-01 00:00:00", "9999-12-31 23:59:59.999999"]
    aggregator = aggregate([("ann", "ruby", 1, 1, date) for date in dates])
    assert [day for _, day, *_ in rows_of(aggregator.gem_days())] == [date[:10] for date in dates]
    assert [month for _, month, *_ in rows_of(aggregator.gem_months())] == [f"{date[:7]}-01" for date in dates]


def test_names_have_the_sums_and_number_of_their_purchases() -> None:
    aggregator = aggregate(ROWS)
    rows_of(aggregator.purchases())
    assert sums(aggregator.customers) == {"ann": (1080, 3, 2), "bob": (1000, 2, 1)}
    assert sums(aggregator.gems) == {"ruby": (1055, 2, 1), "opal": (1025, 3, 2)}


def test_first_and_last_deal_are_found_across_batches() -> None:
    aggregator = aggregate(*([row] for row in ROWS))
    assert dates_of(aggregator.customers.first_deals) == ["2020-01-01T12:00:00.000", "2020-01-01T00:00:00.000"]
    assert dates_of(aggregator.customers.last_deals) == ["2020-01-03T00:00:00.000", "2020-01-04T00:00:00.000"]
    assert dates_of(aggregator.gems.first_deals) == ["2020-01-01T12:00:00.000", "2020-01-01T00:00:00.000"]
    assert dates_of(aggregator.gems.last_deals) == ["2020-01-02T00:00:00.000", "2020-01-04T00:00:00.000"]


@pytest.mark.parametrize(("step", "keys"), [(1, 0), (1, 3), (10, 20), (1000, 1000)])
@pytest.mark.parametrize("merged", [1, 70, 1000])
def test_sums_do_not_depend_on_the_sizes_of_steps_and_runs(
    step: int, keys: int, merged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed_sums, "_MIN_STEP", step)
    monkeypatch.setattr(keyed_sums, "_MAX_KEYS", keys)
    monkeypatch.setattr(keyed_sums, "_MERGED_ROWS", merged)
    rows = [
        (f"c{number % 7}", f"g{number % 5}", number, 1, f"2020-0{1 + number % 3}-0{1 + number % 2}")
        for number in range(350)
    ]
    in_batches = aggregate(*(rows[first : first + 3] for first in range(0, 350, 3)))
    expected = [
        (c, g, 10, 10, sum(totals), min(totals), max(totals))
        for c in range(7)
        for g in range(5)
        for totals in [[number for number in range(350) if number % 7 == c and number % 5 == g]]
    ]
    assert rows_of(in_batches.purchases()) == expected
    assert in_batches.total == sum(range(350))
    assert in_batches.gems.purchase_counts.tolist() == [7] * 5
    monkeypatch.undo()
    at_once = aggregate(rows)
    assert rows_of(in_batches.gem_days()) == rows_of(at_once.gem_days())
    assert len(rows_of(at_once.gem_days())) == 5 * 3 * 2
    assert rows_of(in_batches.gem_months()) == rows_of(at_once.gem_months())
    assert len(rows_of(at_once.gem_months())) == 5 * 3


def test_memory_does_not_grow_with_the_number_of_purchases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_sums, "_MIN_STEP", 1_000)
    monkeypatch.setattr(keyed_sums, "_MAX_KEYS", 1_000)
    monkeypatch.setattr(keyed_sums, "_MERGED_ROWS", 1_000)
    peaks = {}
    for customers in (10, 100):
        rows = [[(f"c{c}", f"g{gem}", 1, 1, ROWS[0][4]) for gem in range(1_000)] for c in range(customers)]
        tracemalloc.start()
        try:
            aggregator = aggregate(*rows)
            assert sum(len(customers) for customers, *_ in aggregator.purchases()) == 1_000 * customers
            peaks[customers] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peaks[100] < 2 * peaks[10]


def test_no_cell_equals_the_key_of_a_long_name() -> None:
    """A cell with the bytes of the digest would be read as the long name."""
    names = NameNumbers()
    names.number("n" * 255)
    (key,) = names
    with pytest.raises(UnicodeDecodeError):
        key[:1].decode()


@pytest.mark.parametrize(("column", "index"), [("customers", 0), ("gems", 1)])
def test_file_with_more_names_than_the_limit_is_rejected(column: str, index: int) -> None:
    def rows(count: int) -> list[Row]:
        names = [["one", "one"] for _ in range(count)]
        for number, pair in enumerate(names):
            pair[index] = f"{column} {number}"
        return [(customer, gem, 1, 1, ROWS[0][4]) for customer, gem in names]

    aggregate(rows(3), rows(3), max_names=3)
    with pytest.raises(UploadTooLarge, match="more than 3 different customers or gems"):
        aggregate(rows(3), rows(4), max_names=3)


def test_sums_over_the_maximum_of_a_column_are_rejected() -> None:
    maximum = [("ann", "ruby", 2**63 - 1, 1, ROWS[0][4])]
    assert rows_of(aggregate(maximum).purchases()) == [(0, 0, 1, 1, *[2**63 - 1] * 3)]
    with pytest.raises(UploadTooLarge, match=r"add up to more than 92233720368547758\.07"):
        aggregate(maximum, [("bob", "opal", 1, 1, ROWS[0][4])])
