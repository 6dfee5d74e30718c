"""Numbers for names, and sums while the deals stream past.

Pure Python; knows neither Django nor the database. Memory grows with the different names, and by
32 bytes for each different pair of customer and gem, not with the deals.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final

from deals_api.errors import UploadTooLarge
from deals_api.ingest.csv_reader import DealBatch
from deals_api.limits import Limits

#: Sums of pairs held in a dictionary before they are put away, sorted and packed.
_MAX_BUFFERED_PAIRS: Final = 150_000
_MAX_HUNDREDTHS: Final = 2**63 - 1


class Interner(dict[str, int]):
    """Gives each new key the next number, from 0."""

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        return number


class NameAggregates:
    """The customers, or the gems, of one file; every list is in the order of first appearance.

    Units: ``totals`` are hundredths.
    """

    def __init__(self) -> None:
        self.numbers = Interner()
        self.totals: list[int] = []
        self.deal_counts: list[int] = []
        self.purchase_counts: list[int] = []
        self.first_deals: list[str] = []
        self.last_deals: list[str] = []

    @property
    def names(self) -> list[str]:
        return list(self.numbers)

    @property
    def characters(self) -> int:
        return sum(map(len, self.numbers))

    def number(self, names: list[str], dates: list[str], most: int) -> list[int]:
        """Each name's number, from 0; notes each one's first and last date on the way."""
        numbers = list(map(self.numbers.__getitem__, names))
        if new := len(self.numbers) - len(self.first_deals):
            if len(self.numbers) > most:
                raise UploadTooLarge(f"The file has more than {most} different customers or gems.")
            self.totals.extend([0] * new)
            self.deal_counts.extend([0] * new)
            self.purchase_counts.extend([0] * new)
            self.first_deals.extend(["~"] * new)  # sorts after every date
            self.last_deals.extend([""] * new)  # and before
        first, last = self.first_deals, self.last_deals
        for number, date in zip(numbers, dates, strict=True):
            if date > last[number]:
                last[number] = date
            if date < first[number]:
                first[number] = date
        return numbers

    def add_purchase(self, number: int, deal_count: int, total: int) -> None:
        self.purchase_counts[number] += 1
        self.deal_counts[number] += deal_count
        self.totals[number] += total


#: customer's number, gem's number, deals, pieces, hundredths
PurchaseSums = tuple[int, int, int, int, int]


class DealAggregator:
    """Everything that one file adds up to."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.rows = 0
        self.total = 0
        self.customers = NameAggregates()
        self.gems = NameAggregates()
        self._at_hand: dict[int, list[int]] = {}
        self._put_away: list[tuple[array[int], array[int], array[int], array[int]]] = []

    def add(self, batch: DealBatch) -> tuple[list[int], list[int]]:
        """Count one batch; returns the numbers of its customers and of its gems.

        Raises: UploadTooLarge for too many names, or sums that no 64-bit column can hold.
        """
        most = self.limits.max_names
        customers = self.customers.number(batch.customers, batch.dates, most)
        gems = self.gems.number(batch.gems, batch.dates, most)
        at_hand = self._at_hand
        for customer, gem, quantity, total in zip(customers, gems, batch.quantities, batch.totals, strict=True):
            pair = customer << 32 | gem
            try:
                sums = at_hand[pair]
            except KeyError:
                at_hand[pair] = [1, quantity, total]
            else:
                sums[0] += 1
                sums[1] += quantity
                sums[2] += total
        self.rows += len(batch)
        self.total += sum(batch.totals)
        if self.total > _MAX_HUNDREDTHS:
            raise UploadTooLarge("The totals of the file add up to more than 92233720368547758.07.")
        if len(at_hand) > _MAX_BUFFERED_PAIRS:
            self._put_pairs_away()
        return customers, gems

    def purchases(self) -> Iterator[PurchaseSums]:
        """Each pair of customer and gem once, by customer and gem.

        The sums on ``customers`` and ``gems`` are complete when the last one was taken.
        """
        self._put_pairs_away()
        runs: list[Iterable[tuple[int, int, int, int]]] = [zip(*run, strict=True) for run in self._put_away]
        for pair, parts in groupby(merge(*runs, key=itemgetter(0)), key=itemgetter(0)):
            deal_count = quantity = total = 0
            for _, deals, pieces, hundredths in parts:
                deal_count += deals
                quantity += pieces
                total += hundredths
            customer, gem = pair >> 32, pair & 0xFFFFFFFF
            self.customers.add_purchase(customer, deal_count, total)
            self.gems.add_purchase(gem, deal_count, total)
            yield customer, gem, deal_count, quantity, total

    def _put_pairs_away(self) -> None:
        pairs = sorted(self._at_hand)
        sums = [self._at_hand[pair] for pair in pairs]
        columns = (array("q", (one[place] for one in sums)) for place in range(3))
        self._put_away.append((array("q", pairs), *columns))  # type: ignore[arg-type]
        self._at_hand.clear()
