"""Aggregates of a file, computed while its deals are streamed: customers, gems, and pairs of both.

Pure Python without Django. Memory grows with the number of distinct names, and by 32 bytes for each distinct pair of
customer and gem, but not with the number of deals.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final

from deals_api.errors import UploadTooLarge
from deals_api.ingest.csv_reader import DealBatch
from deals_api.limits import Limits
from deals_api.names import fold_name

#: Pairs in the dictionary before they are sorted and packed into a run (external merge).
_MAX_BUFFERED_PAIRS: Final = 150_000
_MAX_HUNDREDTHS: Final = 2**63 - 1


class Interner(dict[str, int]):
    """Map each new key to the next number, from 0."""

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        return number


class NameAggregates:
    """Sums of the customers, or of the gems, of one file, in the order of first appearance.

    Units: ``totals`` are hundredths; ``characters`` is the total length of the names that ``fold`` has read, each in
           its longer form, unchanged or folded.
    """

    def __init__(self) -> None:
        self.numbers = Interner()
        self.characters = 0
        self.totals: list[int] = []
        self.deal_counts: list[int] = []
        self.purchase_counts: list[int] = []
        self.first_deals: list[str] = []
        self.last_deals: list[str] = []

    @property
    def names(self) -> list[str]:
        return list(self.numbers)

    def fold(self, names: Sequence[str]) -> list[str]:
        """Return the folded form of names, and count their characters."""
        folded = list(map(fold_name, names))
        self.characters += sum(max(map(len, forms)) for forms in zip(names, folded, strict=True))
        return folded

    def number(self, names: list[str], dates: list[str], most: int) -> list[int]:
        """Return the number of each name, from 0, and record the first and the last date of each."""
        numbers = list(map(self.numbers.__getitem__, names))
        if new := len(self.numbers) - len(self.first_deals):
            if len(self.numbers) > most:
                raise UploadTooLarge(f"The file has more than {most} different customers or gems.")
            self.totals.extend([0] * new)
            self.deal_counts.extend([0] * new)
            self.purchase_counts.extend([0] * new)
            self.first_deals.extend(["~"] * new)  # sorts after every date
            self.last_deals.extend([""] * new)  # sorts before every date
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


#: Number of the customer, number of the gem, deals, pieces, hundredths.
PurchaseSums = tuple[int, int, int, int, int]


class DealAggregator:
    """All aggregates of one file."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.rows = 0
        self.total = 0
        self.customers = NameAggregates()
        self.gems = NameAggregates()
        self._buffer: dict[int, list[int]] = {}
        self._sorted_runs: list[tuple[array[int], array[int], array[int], array[int]]] = []

    def add(self, batch: DealBatch) -> tuple[list[int], list[int]]:
        """Add a batch; return the numbers of its customers and of its gems.

        Raises: UploadTooLarge, if there are too many names, or sums that exceed 64 bits.
        """
        most = self.limits.max_names
        customers = self.customers.number(batch.customers, batch.dates, most)
        gems = self.gems.number(batch.gems, batch.dates, most)
        buffer = self._buffer
        for customer, gem, quantity, total in zip(customers, gems, batch.quantities, batch.totals, strict=True):
            pair = customer << 32 | gem
            try:
                sums = buffer[pair]
            except KeyError:
                buffer[pair] = [1, quantity, total]
            else:
                sums[0] += 1
                sums[1] += quantity
                sums[2] += total
        self.rows += len(batch)
        self.total += sum(batch.totals)
        if self.total > _MAX_HUNDREDTHS:
            raise UploadTooLarge("The totals of the file add up to more than 92233720368547758.07.")
        if len(buffer) > _MAX_BUFFERED_PAIRS:
            self._sort_buffer()
        return customers, gems

    def purchases(self) -> Iterator[PurchaseSums]:
        """Yield each pair of customer and gem once, ordered by customer and gem.

        The sums of ``customers`` and ``gems`` are complete when the iterator is exhausted.
        """
        self._sort_buffer()
        runs: list[Iterable[tuple[int, int, int, int]]] = [zip(*run, strict=True) for run in self._sorted_runs]
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

    def _sort_buffer(self) -> None:
        pairs = sorted(self._buffer)
        sums = [self._buffer[pair] for pair in pairs]
        columns = (array("q", (one[place] for one in sums)) for place in range(3))
        self._sorted_runs.append((array("q", pairs), *columns))  # type: ignore[arg-type]
        self._buffer.clear()
