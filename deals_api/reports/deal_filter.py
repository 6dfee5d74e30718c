"""Which deals a question is about: conditions, and what is known of the deals before one of them is read.

Answers for conditions in a form that a database takes no wrong turn with. PostgreSQL counts names over all
uploads together, so of one upload it may expect a handful of deals where there are a million, and fetch them
one by one (measured: 1.6 s for what takes 0.2 s). Hence names are looked up first, and a few of them are written
out; many are a set that each deal is looked up in. Knows no face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from django.db.models import Q

from deals_api.models import MAX_NAME_LENGTH, Customer, Deal, Gem, Purchase, SnapshotQuerySet, Upload

#: Names that are written out: as many as a statement may well hold.
_MAX_INLINE_NAMES: Final = 200
#: Rows that lie side by side and take what one does that an index finds somewhere in the table (measured).
RANDOM_ACCESS_COST: Final = 5


@dataclass(frozen=True, slots=True)
class NameScan:
    """How many names a statement looks at, how many of them it searches for a text, and their characters."""

    names: int = 0
    searched: int = 0
    characters: int = 0

    @classmethod
    def of(cls, names: int, characters: int | None, *, search: bool) -> NameScan:
        """``characters``: None for an upload from before they were counted, whose names may be as long as any."""
        if not search:
            return cls(names)
        return cls(names, names, names * MAX_NAME_LENGTH if characters is None else characters)

    def __add__(self, other: NameScan) -> NameScan:
        return NameScan(self.names + other.names, self.searched + other.searched, self.characters + other.characters)


@dataclass(frozen=True, slots=True)
class DealSelection:
    """Some deals of an upload: conditions on their customers, their gems and themselves.

    None asks for nothing. ``since`` and ``until`` are what the conditions say of dates, both included.
    ``search_customers`` and ``search_gems``: the names are searched for a text, which costs by their length.
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
        """The deals, without a look at the names."""
        deals = self.by_themselves(upload, by_date=False)
        if self.customers:
            deals = deals.filter(_one_of_many("customer", self.customers_of(upload)))
        if self.gems:
            deals = deals.filter(_one_of_many("gem", self.gems_of(upload)))
        return deals

    def names_to_read(self, upload: Upload) -> NameScan:
        """The names that each statement with these conditions looks at."""
        return self.customers_to_read(upload) + self.gems_to_read(upload)

    def customers_to_read(self, upload: Upload) -> NameScan:
        return customers_scan(upload, search=self.search_customers) if self.customers else NameScan()

    def gems_to_read(self, upload: Upload) -> NameScan:
        return gems_scan(upload, search=self.search_gems) if self.gems else NameScan()

    def by_themselves(self, upload: Upload, *, by_date: bool) -> SnapshotQuerySet[Deal]:
        """The deals of any names; ``by_date`` offers the index of dates, which begins with the upload."""
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
        """Whether all deals of a customer in a gem are selected, or none."""
        return not (self.deals or self.since or self.until)

    def __bool__(self) -> bool:
        return bool(self.customers or self.gems or not self.names_only)


def customers_scan(upload: Upload, *, search: bool) -> NameScan:
    return NameScan.of(upload.customer_count, upload.customer_characters, search=search)


def gems_scan(upload: Upload, *, search: bool) -> NameScan:
    return NameScan.of(upload.gem_count, upload.gem_characters, search=search)


def _one_of_many(column: str, names: SnapshotQuerySet[Any]) -> Q:
    """Holds of deals whose name is in the set. Said twice no, PostgreSQL makes the set once and does not join it."""
    return ~Q(~Q((f"{column}__in", names.values("pk"))))


class Names:
    """The selected customers, or gems, of an upload."""

    def __init__(self, column: str, names: SnapshotQuerySet[Any], most_deals: float) -> None:
        some = list(names.values_list("pk", "deal_count")[: _MAX_INLINE_NAMES + 1])
        self.deal_count = sum(deals for _, deals in some)
        self.are_few = len(some) <= 1 or (len(some) <= _MAX_INLINE_NAMES and self.deal_count <= most_deals)
        self.count = len(some) if len(some) <= _MAX_INLINE_NAMES else names.count()
        if self.are_few:
            self.condition = Q((f"{column}__in", [pk for pk, _ in some]))
        else:
            self.condition = _one_of_many(column, names)


class SelectedDeals:
    """The deals of one upload that a selection holds of."""

    def __init__(self, upload: Upload, selection: DealSelection) -> None:
        self.upload = upload
        self.selection = selection

    @cached_property
    def customers(self) -> Names | None:
        if not self.selection.customers:
            return None
        return Names("customer", self.selection.customers_of(self.upload), self.upload.deal_count / RANDOM_ACCESS_COST)

    @cached_property
    def gems(self) -> Names | None:
        return Names("gem", self.selection.gems_of(self.upload), math.inf) if self.selection.gems else None

    @property
    def customer_count(self) -> int:
        return self.customers.count if self.customers else self.upload.customer_count

    @property
    def gem_count(self) -> int:
        return self.gems.count if self.gems else self.upload.gem_count

    @property
    def are_of_few(self) -> bool:
        return self.customers is not None and self.customers.are_few

    @property
    def rows_to_read(self) -> int:
        """How many deals the database must look at: those of a few customers, who have an index, or all."""
        rows: int = self.upload.deal_count
        return min(self.customers.deal_count * RANDOM_ACCESS_COST, rows) if self.customers and self.are_of_few else rows

    @property
    def sets_to_look_in(self) -> list[int]:
        """The sizes of the sets of many names that each of these deals is looked up in."""
        return [names.count for names in (self.customers, self.gems) if names and not names.are_few]

    @property
    def names_to_search_again(self) -> NameScan:
        """The names that each statement searches to make these sets, and one that counts the names in them."""
        customers, gems, selection = self.customers, self.gems, self.selection
        scan = NameScan()
        if selection.search_customers and customers and not customers.are_few:
            scan += selection.customers_to_read(self.upload)
        if selection.search_gems and gems and not gems.are_few:
            scan += selection.gems_to_read(self.upload)
        return scan

    def deals(self, *, by_date: bool = False) -> SnapshotQuerySet[Deal]:
        """The deals; ``by_date`` where the order of their dates is asked for.

        Where few customers are selected, PostgreSQL is kept from walking through the dates of all others.
        """
        selection = self.selection
        by_date = (by_date or bool(selection.since or selection.until)) and not self.are_of_few
        return selection.by_themselves(self.upload, by_date=by_date).filter(self._names())

    def purchases(self) -> SnapshotQuerySet[Purchase]:
        """What the selected customers bought of the selected gems."""
        return Purchase.objects.in_pk_range(self.upload).filter(self._names())

    def _names(self) -> Q:
        condition = Q()
        for names in (self.customers, self.gems):
            if names:
                condition &= names.condition
        return condition
