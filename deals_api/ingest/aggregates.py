"""Aggregates of a file, computed while its deals are streamed: customers, gems, pairs of both, gems by day and month.

Pure Python without Django. Memory grows with the number of distinct names, and by 48 bytes for each distinct pair of
customer and gem, or of gem and day, in each run of the external merge.
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

#: Keys in the dictionary before they are sorted and packed into a run (external merge).
_MAX_BUFFERED_KEYS: Final = 150_000
#: A key of a gem and a day is the number of the gem times this, plus the day as a number with the digits YYYYMMDD.
_DAYS: Final = 10**8
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


#: Deals, pieces, hundredths, hundredths of the smallest and of the largest deal.
Sums = tuple[int, int, int, int, int]
#: Number of the customer, number of the gem, and their sums.
PurchaseSums = tuple[int, int, int, int, int, int, int]
#: Number of the gem, first day of the period in ISO 8601, and their sums.
PeriodSums = tuple[int, str, int, int, int, int, int]


class KeyedSums:
    """The sums of the deals with the same key, an integer of 63 bits."""

    def __init__(self) -> None:
        self._buffer: dict[int, list[int]] = {}
        self._sorted_runs: list[tuple[array[int], ...]] = []

    def add(self, keys: Iterable[int], quantities: list[int], totals: list[int]) -> None:
        buffer = self._buffer
        for key, quantity, total in zip(keys, quantities, totals, strict=True):
            try:
                sums = buffer[key]
            except KeyError:
                buffer[key] = [1, quantity, total, total, total]
            else:
                sums[0] += 1
                sums[1] += quantity
                sums[2] += total
                if total < sums[3]:
                    sums[3] = total
                elif total > sums[4]:
                    sums[4] = total
        if len(buffer) > _MAX_BUFFERED_KEYS:
            self._sort_buffer()

    def merge(self, divisor: int = 1) -> Iterator[tuple[int, Sums]]:
        """Yield each key, divided by ``divisor`` and rounded down, once and in ascending order, with its sums."""
        if self._buffer:
            self._sort_buffer()
        runs: list[Iterable[tuple[int, ...]]] = [zip(*run, strict=True) for run in self._sorted_runs]
        for key, parts in groupby(merge(*runs, key=itemgetter(0)), key=lambda row: row[0] // divisor):
            _, deals, pieces, hundredths, smallest, largest = zip(*parts, strict=True)
            yield key, (sum(deals), sum(pieces), sum(hundredths), min(smallest), max(largest))

    def _sort_buffer(self) -> None:
        keys = sorted(self._buffer)
        columns = zip(*map(self._buffer.__getitem__, keys), strict=True)
        self._sorted_runs.append((array("q", keys), *(array("q", column) for column in columns)))
        self._buffer.clear()


class _DayNumbers(dict[str, int]):
    """Map each day in ISO 8601 to a number with the digits YYYYMMDD."""

    def __missing__(self, day: str) -> int:
        number = self[day] = int(day.replace("-", ""))
        return number


class DealAggregator:
    """All aggregates of one file."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.rows = 0
        self.total = 0
        self.customers = NameAggregates()
        self.gems = NameAggregates()
        self._purchases = KeyedSums()
        self._gem_days = KeyedSums()
        self._day_numbers = _DayNumbers()

    def add(self, batch: DealBatch) -> tuple[list[int], list[int]]:
        """Add a batch; return the numbers of its customers and of its gems.

        Raises: UploadTooLarge, if there are too many names, or sums that exceed 64 bits.
        """
        most = self.limits.max_names
        customers = self.customers.number(batch.customers, batch.dates, most)
        gems = self.gems.number(batch.gems, batch.dates, most)
        pairs = (customer << 32 | gem for customer, gem in zip(customers, gems, strict=True))
        self._purchases.add(pairs, batch.quantities, batch.totals)
        numbers = self._day_numbers
        gem_days = (gem * _DAYS + numbers[date[:10]] for gem, date in zip(gems, batch.dates, strict=True))
        self._gem_days.add(gem_days, batch.quantities, batch.totals)
        self.rows += len(batch)
        self.total += sum(batch.totals)
        if self.total > _MAX_HUNDREDTHS:
            raise UploadTooLarge("The totals of the file add up to more than 92233720368547758.07.")
        return customers, gems

    def purchases(self) -> Iterator[PurchaseSums]:
        """Yield each pair of customer and gem once, ordered by customer and gem.

        The sums of ``customers`` and ``gems`` are complete when the iterator is exhausted.
        """
        for pair, sums in self._purchases.merge():
            customer, gem = pair >> 32, pair & 0xFFFFFFFF
            self.customers.add_purchase(customer, sums[0], sums[2])
            self.gems.add_purchase(gem, sums[0], sums[2])
            yield customer, gem, *sums

    def gem_days(self) -> Iterator[PeriodSums]:
        """Yield each pair of gem and day once, ordered by gem and day."""
        for key, sums in self._gem_days.merge():
            gem, day = divmod(key, _DAYS)
            yield gem, f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}", *sums

    def gem_months(self) -> Iterator[PeriodSums]:
        """Yield each pair of gem and month once, ordered by gem and month."""
        for key, sums in self._gem_days.merge(100):
            gem, month = divmod(key, _DAYS // 100)
            yield gem, f"{month // 100:04}-{month % 100:02}-01", *sums
