"""Aggregates of a file, computed while its deals are streamed: customers, gems, pairs of both, gems by day and month.

Memory grows with the number of distinct names, but not with the numbers of deals, pairs or days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from deals_api.errors import UploadTooLarge
from deals_api.ingest.deal_batch import DealBatch, Integers, NameNumbers
from deals_api.ingest.keyed_sums import KeyedSums
from deals_api.ingest.numpy_setup import np
from deals_api.limits import Limits
from deals_api.names import fold_name

#: Columns of integers of 64 bits, and of dates.
Columns = list[np.ndarray[Any, Any]]

_MAX_INTEGER: Final = 2**63 - 1
#: A key is the number of a customer or gem in its high bits, and in these low bits that of a gem, a day or a month.
_LOW_BITS: Final = 32
_LOW: Final = (1 << _LOW_BITS) - 1
#: Days and months before 1970, so that none since year 1 has a negative number.
_DAYS_BEFORE_EPOCH: Final = 719_162
_MONTHS_BEFORE_EPOCH: Final = 12 * 1969


class NameAggregates:
    """Sums of the customers, or of the gems, of one file, in the order of first appearance.

    Units: ``totals`` are hundredths, dates are microseconds since 1970; ``characters`` is the total length of the names
           that ``fold`` has read, each in its longer form, unchanged or folded.
    """

    def __init__(self) -> None:
        self.names = NameNumbers()
        self.characters = 0
        self._first_deals = np.empty(0, np.int64)
        self._last_deals = np.empty(0, np.int64)

    def fold(self, names: Sequence[str]) -> list[str]:
        """Return the folded form of names, and count their characters."""
        folded = list(map(fold_name, names))
        self.characters += sum(max(map(len, forms)) for forms in zip(names, folded, strict=True))
        return folded

    def add(self, names: NameNumbers, numbers: Integers, dates: Integers, most: int) -> None:
        """Record the first and the last date of each name."""
        self.names = names
        if names.count > most:
            raise UploadTooLarge(f"The file has more than {most} different customers or gems.")
        if names.count > len(self._first_deals):
            more = names.count * 5 // 4 - len(self._first_deals)
            self._first_deals = np.append(self._first_deals, np.full(more, _MAX_INTEGER))
            self._last_deals = np.append(self._last_deals, np.full(more, -_MAX_INTEGER))
        np.minimum.at(self._first_deals, numbers, dates)
        np.maximum.at(self._last_deals, numbers, dates)

    @property
    def first_deals(self) -> Integers:
        return self._first_deals[: self.names.count]

    @property
    def last_deals(self) -> Integers:
        return self._last_deals[: self.names.count]

    def start_purchases(self) -> None:
        self.names.clear()  # all deals are read, and sums need memory
        self.totals, self.deal_counts, self.purchase_counts = np.zeros((3, self.names.count), np.int64)

    def add_purchases(self, numbers: Integers, deal_counts: Integers, totals: Integers) -> None:
        np.add.at(self.totals, numbers, totals)
        np.add.at(self.deal_counts, numbers, deal_counts)
        np.add.at(self.purchase_counts, numbers, 1)


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

    def add(self, batch: DealBatch) -> None:
        """Raises: UploadTooLarge, if there are too many names, or sums that exceed 64 bits."""
        most = self.limits.max_names
        dates = batch.dates.view(np.int64)
        self.customers.add(batch.customer_names, batch.customers, dates, most)
        self.gems.add(batch.gem_names, batch.gems, dates, most)
        self._purchases.add(batch.customers << _LOW_BITS | batch.gems, batch.quantities, batch.totals)
        days = batch.dates.astype("M8[D]").view(np.int64) + _DAYS_BEFORE_EPOCH
        self._gem_days.add(batch.gems << _LOW_BITS | days, batch.quantities, batch.totals)
        self.rows += len(batch)
        self.total += int(batch.totals.sum())
        if self.total > _MAX_INTEGER:
            raise UploadTooLarge("The totals of the file add up to more than 92233720368547758.07.")

    def purchases(self) -> Iterator[Columns]:
        """Yield the numbers of customers and gems, and the sums of each pair once, ordered by customer and gem.

        The sums of ``customers`` and ``gems`` are complete when the iterator is exhausted.
        """
        self.customers.start_purchases()
        self.gems.start_purchases()
        for keys, *sums in self._purchases.merge():
            customers, gems = keys >> _LOW_BITS, keys & _LOW
            self.customers.add_purchases(customers, sums[0], sums[2])
            self.gems.add_purchases(gems, sums[0], sums[2])
            yield [customers, gems, *sums]

    def gem_days(self) -> Iterator[Columns]:
        """Yield the numbers of gems, days, and the sums of each pair once, ordered by gem and day."""
        for keys, *sums in self._gem_days.merge():
            yield [keys >> _LOW_BITS, ((keys & _LOW) - _DAYS_BEFORE_EPOCH).view("M8[D]"), *sums]

    def gem_months(self) -> Iterator[Columns]:
        """Yield the numbers of gems, first days of months, and the sums of each pair once, ordered by gem and month."""
        for keys, *sums in self._gem_days.merge(_months_of_days):
            months = ((keys & _LOW) - _MONTHS_BEFORE_EPOCH).view("M8[M]")
            yield [keys >> _LOW_BITS, months.astype("M8[D]"), *sums]


def _months_of_days(keys: Integers) -> Integers:
    """Return the keys of the months of days."""
    days = ((keys & _LOW) - _DAYS_BEFORE_EPOCH).view("M8[D]")
    return keys & ~_LOW | days.astype("M8[M]").view(np.int64) + _MONTHS_BEFORE_EPOCH
