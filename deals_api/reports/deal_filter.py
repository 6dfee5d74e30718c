"""Conditions on deals, customers and gems, and estimates of the rows that the database reads for them.

The statistics of PostgreSQL cover all uploads together, so its planner may expect a few deals of one upload where there
are a million, and fetch them one by one (measured: 1.6 s instead of 0.2 s). Therefore the names are looked up first. A
few names are listed in the statement of the deals; for many, it contains a subquery, whose result is hashed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from django.db.models import Q

from deals_api.models import MAX_NAME_LENGTH, Customer, Deal, Gem, Purchase, SnapshotQuerySet, Upload

#: Names that a statement lists.
_MAX_INLINE_NAMES: Final = 200
#: Rows that a sequential scan reads in the time of one row fetched through an index (measured).
RANDOM_ACCESS_COST: Final = 5


@dataclass(frozen=True, slots=True)
class NameScan:
    """The number of names that a statement reads, and the names among them that it searches for a substring."""

    names: int = 0
    searched: int = 0
    #: Of the searched names.
    characters: int = 0

    @classmethod
    def of(cls, names: int, characters: int | None, *, search: bool) -> NameScan:
        """Assume names of the maximum length if ``characters`` is None, as in uploads of an old release."""
        if not search:
            return cls(names)
        return cls(names, names, names * MAX_NAME_LENGTH if characters is None else characters)

    def __add__(self, other: NameScan) -> NameScan:
        return NameScan(self.names + other.names, self.searched + other.searched, self.characters + other.characters)


@dataclass(frozen=True, slots=True)
class DealSelection:
    """Conditions on the deals of an upload; ``None`` means no condition.

    ``since`` and ``until`` are inclusive. ``search_customers`` and ``search_gems`` are true if a condition searches the
    names for a substring, which takes CPU time in proportion to their length.
    """

    customers: Q | None = None
    gems: Q | None = None
    deals: Q | None = None
    since: datetime | None = None
    until: datetime | None = None
    search_customers: bool = False
    search_gems: bool = False

    def customers_of(self, upload: Upload) -> SnapshotQuerySet[Customer]:
        return Customer.objects.for_upload(upload).filter(self.customers or Q())

    def gems_of(self, upload: Upload) -> SnapshotQuerySet[Gem]:
        return Gem.objects.for_upload(upload).filter(self.gems or Q())

    def deals_of(self, upload: Upload) -> SnapshotQuerySet[Deal]:
        """Return the deals in one statement, without looking up the names first."""
        deals = self.filter_deals(upload, by_date=False)
        if self.customers:
            deals = deals.filter(_in_subquery("customer", self.customers_of(upload)))
        if self.gems:
            deals = deals.filter(_in_subquery("gem", self.gems_of(upload)))
        return deals

    def names_to_read(self, upload: Upload) -> NameScan:
        """Return the scan of names in each statement with these conditions."""
        return self.customers_to_read(upload) + self.gems_to_read(upload)

    def max_lookup_set_sizes(self, upload: Upload) -> list[int]:
        """Return the maximum numbers of matching names in whose sets each deal is looked up."""
        conditions = ((self.customers, upload.customer_count), (self.gems, upload.gem_count))
        return [count for names, count in conditions if names]

    def customers_to_read(self, upload: Upload) -> NameScan:
        return customers_scan(upload, search=self.search_customers) if self.customers else NameScan()

    def gems_to_read(self, upload: Upload) -> NameScan:
        return gems_scan(upload, search=self.search_gems) if self.gems else NameScan()

    def filter_deals(self, upload: Upload, *, by_date: bool) -> SnapshotQuerySet[Deal]:
        """Return the deals without conditions on names; ``by_date`` allows the index on the upload and the date."""
        deals = Deal.objects.in_pk_range(upload)
        if by_date:
            deals = deals.for_upload(upload)
        if self.since:
            deals = deals.filter(date__gte=self.since)
        if self.until:
            deals = deals.filter(date__lte=self.until)
        return deals.filter(self.deals or Q())

    @property
    def names_only(self) -> bool:
        """Whether there are only conditions on names, so that the stored sums by customer and gem suffice."""
        return not (self.deals or self.since or self.until)

    def __bool__(self) -> bool:
        return bool(self.customers or self.gems or not self.names_only)


def customers_scan(upload: Upload, *, search: bool) -> NameScan:
    return NameScan.of(upload.customer_count, upload.customer_characters, search=search)


def gems_scan(upload: Upload, *, search: bool) -> NameScan:
    return NameScan.of(upload.gem_count, upload.gem_characters, search=search)


def _in_subquery(column: str, names: SnapshotQuerySet[Any]) -> Q:
    """Match rows with one of these names. The double negation forces a hashed subplan instead of a join."""
    return ~Q(~Q((f"{column}__in", names.values("pk"))))


class SelectedNames:
    """The selected customers or gems of an upload.

    If they ``are_few``, ``condition`` lists them, and ``deal_count`` is the number of all their deals. Several names
    with more than ``max_deals`` deals are not few, because a scan is faster.
    """

    def __init__(self, column: str, names: SnapshotQuerySet[Any], max_deals: float) -> None:
        first = list(names.values_list("pk", "deal_count")[: _MAX_INLINE_NAMES + 1])
        first_are_all = len(first) <= _MAX_INLINE_NAMES
        self.count = len(first) if first_are_all else names.count()
        self.deal_count = sum(deals for _, deals in first)
        self.are_few = len(first) <= 1 or (first_are_all and self.deal_count <= max_deals)
        if self.are_few:
            self.condition = Q((f"{column}__in", [pk for pk, _ in first]))
        else:
            self.condition = _in_subquery(column, names)


class SelectedDeals:
    """The deals of one upload that a selection matches."""

    def __init__(self, upload: Upload, selection: DealSelection) -> None:
        self.upload = upload
        self.selection = selection

    @cached_property
    def customers(self) -> SelectedNames | None:
        if not self.selection.customers:
            return None
        return SelectedNames(
            "customer", self.selection.customers_of(self.upload), self.upload.deal_count / RANDOM_ACCESS_COST
        )

    @cached_property
    def gems(self) -> SelectedNames | None:
        return SelectedNames("gem", self.selection.gems_of(self.upload), math.inf) if self.selection.gems else None

    @property
    def customer_count(self) -> int:
        return self.customers.count if self.customers else self.upload.customer_count

    @property
    def gem_count(self) -> int:
        return self.gems.count if self.gems else self.upload.gem_count

    @property
    def have_few_customers(self) -> bool:
        return self.customers is not None and self.customers.are_few

    @property
    def rows_to_read(self) -> int:
        """The deals that the database reads, counted as rows of a sequential scan.

        The deals of a few customers are read through the index, otherwise all deals are scanned.
        """
        rows: int = self.upload.deal_count
        if self.customers and self.have_few_customers:
            rows = min(self.customers.deal_count * RANDOM_ACCESS_COST, rows)
        return rows

    @property
    def lookup_set_sizes(self) -> list[int]:
        """The numbers of names in the hashed subqueries in which each deal is looked up."""
        return [names.count for names in (self.customers, self.gems) if names and not names.are_few]

    @property
    def names_to_search_again(self) -> NameScan:
        """The names that each further statement searches again, because it contains the subquery."""
        customers, gems, selection = self.customers, self.gems, self.selection
        scan = NameScan()
        if selection.search_customers and customers and not customers.are_few:
            scan += selection.customers_to_read(self.upload)
        if selection.search_gems and gems and not gems.are_few:
            scan += selection.gems_to_read(self.upload)
        return scan

    def deals(self, *, by_date: bool = False) -> SnapshotQuerySet[Deal]:
        """Return the deals, which the caller orders by date if ``by_date``.

        If few customers are selected, the index on dates is not allowed, because PostgreSQL would scan the dates of all
        other customers.
        """
        selection = self.selection
        by_date = (by_date or bool(selection.since or selection.until)) and not self.have_few_customers
        return selection.filter_deals(self.upload, by_date=by_date).filter(self._names())

    def purchases(self) -> SnapshotQuerySet[Purchase]:
        """Return the purchases of the selected customers in the selected gems."""
        return Purchase.objects.in_pk_range(self.upload).filter(self._names())

    def _names(self) -> Q:
        condition = Q()
        for names in (self.customers, self.gems):
            if names:
                condition &= names.condition
        return condition
