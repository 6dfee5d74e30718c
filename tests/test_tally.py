"""Numbers for names, and sums that come out whole however they were packed away."""

from __future__ import annotations

import pytest

from deals_api.errors import UploadTooLarge
from deals_api.ingest import aggregates
from deals_api.ingest.aggregates import DealAggregator, NameAggregates
from deals_api.ingest.csv_reader import DealBatch
from deals_api.limits import Limits

pytestmark = pytest.mark.database_independent

Row = tuple[str, str, int, int, str]

#: customer, gem, hundredths, pieces, date
ROWS: list[Row] = [
    ("ann", "ruby", 1050, 2, "2020-01-02 00:00:00"),
    ("bob", "opal", 700, 1, "2020-01-01 00:00:00"),
    ("ann", "opal", 25, 3, "2020-01-03 00:00:00"),
    ("ann", "ruby", 5, 4, "2020-01-01 12:00:00"),
    ("bob", "opal", 300, 5, "2020-01-04 00:00:00"),
]
#: What they add up to: customer's number, gem's number, deals, pieces, hundredths.
PURCHASES = [(0, 0, 2, 6, 1055), (0, 1, 1, 3, 25), (1, 1, 2, 6, 1000)]


def batch(*rows: Row) -> DealBatch:
    customers, gems, totals, quantities, dates = map(list, zip(*rows, strict=True))
    return DealBatch(customers, gems, totals, quantities, dates)


def of(*batches: DealBatch, **bounds: int) -> DealAggregator:
    counted = DealAggregator(Limits(**bounds))
    for one in batches:
        counted.add(one)
    return counted


def sums(names: NameAggregates) -> dict[str, tuple[int, int, int]]:
    columns = names.names, names.totals, names.deal_counts, names.purchase_counts
    return {name: tuple(rest) for name, *rest in zip(*columns, strict=True)}  # type: ignore[misc]


def test_names_are_numbered_in_the_order_of_their_first_deal() -> None:
    counted = DealAggregator(Limits())
    assert counted.add(batch(*ROWS[:2])) == ([0, 1], [0, 1])
    assert counted.add(batch(*ROWS[2:])) == ([0, 0, 1], [1, 0, 1])
    assert (counted.customers.names, counted.gems.names) == (["ann", "bob"], ["ruby", "opal"])


def test_a_name_may_be_a_customer_and_a_gem() -> None:
    counted = of(batch(("ruby", "ruby", 1, 1, ROWS[0][4])))
    assert (counted.customers.names, counted.gems.names) == (["ruby"], ["ruby"])


def test_each_pair_is_one_purchase_with_its_sums() -> None:
    counted = of(batch(*ROWS))
    assert list(counted.purchases()) == PURCHASES
    assert (counted.rows, counted.total) == (5, 2080)


def test_names_have_the_sums_of_their_purchases_and_count_them() -> None:
    counted = of(batch(*ROWS))
    list(counted.purchases())
    assert sums(counted.customers) == {"ann": (1080, 3, 2), "bob": (1000, 2, 1)}
    assert sums(counted.gems) == {"ruby": (1055, 2, 1), "opal": (1025, 3, 2)}


def test_names_know_their_first_and_last_deal_across_batches() -> None:
    counted = of(*map(batch, ROWS))
    assert counted.customers.first_deals == ["2020-01-01 12:00:00", "2020-01-01 00:00:00"]
    assert counted.customers.last_deals == ["2020-01-03 00:00:00", "2020-01-04 00:00:00"]
    assert counted.gems.first_deals == ["2020-01-01 12:00:00", "2020-01-01 00:00:00"]
    assert counted.gems.last_deals == ["2020-01-02 00:00:00", "2020-01-04 00:00:00"]


def test_a_fraction_of_a_second_is_later_than_none() -> None:
    rows = [("ann", "ruby", 1, 1, f"2020-01-02 00:00:00{fraction}") for fraction in (".5", "", ".25")]
    counted = of(batch(*rows))
    assert counted.customers.first_deals == ["2020-01-02 00:00:00"]
    assert counted.customers.last_deals == ["2020-01-02 00:00:00.5"]


@pytest.mark.parametrize("at_hand", [0, 1, 2, 100])
def test_pairs_that_were_packed_away_are_added_up_as_if_they_were_not(
    at_hand: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregates, "_MAX_BUFFERED_PAIRS", at_hand)
    rows = [(f"c{number % 7}", f"g{number % 5}", number, 1, ROWS[0][4]) for number in range(350)]
    in_pieces = of(*(batch(*rows[first : first + 3]) for first in range(0, 350, 3)))
    purchases = list(in_pieces.purchases())
    assert [(customer, gem) for customer, gem, *_ in purchases] == [(c, g) for c in range(7) for g in range(5)]
    assert {(deals, pieces) for *_, deals, pieces, _ in purchases} == {(10, 10)}
    assert sum(total for *_, total in purchases) == in_pieces.total == sum(range(350))
    assert purchases == list(of(batch(*rows)).purchases())
    assert in_pieces.gems.purchase_counts == [7] * 5


def test_few_pairs_are_held_in_a_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dictionary is what would grow with a file of many different pairs."""
    monkeypatch.setattr(aggregates, "_MAX_BUFFERED_PAIRS", 10)
    counted = DealAggregator(Limits())
    for first in range(0, 1000, 5):
        counted.add(batch(*((f"c{number}", "ruby", 1, 1, ROWS[0][4]) for number in range(first, first + 5))))
        assert len(counted._buffer) <= 10
    assert len(list(counted.purchases())) == 1000


@pytest.mark.parametrize(("column", "place"), [("customers", 0), ("gems", 1)])
def test_as_many_names_as_the_limit_are_taken_and_no_more(column: str, place: int) -> None:
    def rows(count: int) -> DealBatch:
        names = [["one", "one"] for _ in range(count)]
        for number, pair in enumerate(names):
            pair[place] = f"{column} {number}"
        return batch(*((customer, gem, 1, 1, ROWS[0][4]) for customer, gem in names))

    of(rows(3), rows(3), max_names=3)
    with pytest.raises(UploadTooLarge, match="more than 3 different customers or gems"):
        of(rows(3), rows(4), max_names=3)


def test_sums_reach_the_most_that_a_column_holds_and_not_one_cent_more() -> None:
    most = batch(("ann", "ruby", 2**63 - 1, 1, ROWS[0][4]))
    counted = of(most)
    assert list(counted.purchases()) == [(0, 0, 1, 1, 2**63 - 1)]
    with pytest.raises(UploadTooLarge, match=r"add up to more than 92233720368547758\.07"):
        counted.add(batch(("bob", "opal", 1, 1, ROWS[0][4])))
