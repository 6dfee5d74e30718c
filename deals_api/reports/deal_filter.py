"""Selections of deals and purchases, and estimates of the rows that the database reads for them.

The statistics of PostgreSQL cover all uploads together, so its planner may expect a few deals of one upload where there
are a million, and fetch them one by one (measured: 1.6 s instead of 0.2 s). Therefore the names are looked up first. A
few names are listed in the statement of the deals; for many, it contains a subquery, whose result is hashed.

Conditions on the same table are combined into one. Only OR and NOT of conditions on different tables are evaluated for
each deal, with names that were looked up in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, reduce
from operator import and_, or_
from typing import Any, Final

from django.db.models import Count, Q, Sum

from deals_api.models import (
    MAX_NAME_LENGTH,
    Customer,
    Deal,
    Gem,
    GemDay,
    GemMonth,
    GemPeriod,
    Purchase,
    SnapshotQuerySet,
    Upload,
)
from deals_api.reports.conditions import EVERYTHING, NOTHING, Condition, NameScan
from deals_api.snapshots.folding import ensure_names_folded

#: Names that a statement lists.
_MAX_INLINE_NAMES: Final = 200
#: Rows that a sequential scan reads in the time of one row fetched through an index (measured).
RANDOM_ACCESS_COST: Final = 5
#: Characters of a name that the price of its row includes.
_INCLUDED_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class DealSelection:
    """Conditions on the deals of an upload, or on its purchases, all of which must hold.

    ``since`` and ``until`` are inclusive bounds of the dates; ``deals`` contains them too. ``alternatives`` are the
    conditions that compare names with other names or values by OR or NOT.
    """

    customers: Condition = EVERYTHING
    gems: Condition = EVERYTHING
    deals: Condition = EVERYTHING
    since: datetime | None = None
    until: datetime | None = None
    alternatives: tuple[Alternatives, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._tables or self.alternatives)

    def __and__(self, other: DealSelection) -> DealSelection:
        return DealSelection(
            self.customers & other.customers,
            self.gems & other.gems,
            self.deals & other.deals,
            max(filter(None, (self.since, other.since)), default=None),
            min(filter(None, (self.until, other.until)), default=None),
            self.alternatives + other.alternatives,
        )

    def __invert__(self) -> DealSelection:
        if not self:
            return DealSelection(deals=NOTHING)
        if (table := _single_table([self])) is not None:
            return _selection_on(table, ~getattr(self, table))
        return DealSelection(alternatives=(Alternatives((self,), negated=True),))

    @classmethod
    def any_of(cls, selections: Sequence[DealSelection]) -> DealSelection:
        """Return the disjunction; that of no selections matches nothing."""
        if not all(selections):
            return cls()
        if not selections:
            return cls(deals=NOTHING)
        if (table := _single_table(selections)) is not None:
            return _selection_on(table, Condition.any_of(getattr(selection, table) for selection in selections))
        return cls(alternatives=(Alternatives(tuple(selections)),))

    @property
    def _tables(self) -> set[str]:
        """The names of the fields with a condition on one table."""
        return {name for name in ("customers", "gems", "deals") if getattr(self, name)}

    @property
    def names_only(self) -> bool:
        """Whether there are only conditions on names, so that the stored sums by customer and gem suffice."""
        return not self.deals and all(
            selection.names_only for choice in self.alternatives for selection in choice.selections
        )

    @property
    def comparisons(self) -> int:
        """The comparisons for each deal, without those of names that are looked up first."""
        return self.deals.comparisons + sum(choice.comparisons for choice in self.alternatives)

    def names(self) -> Iterator[tuple[NameTable, Condition]]:
        """Yield each condition on names, those in ``alternatives`` included."""
        if self.customers:
            yield CUSTOMERS, self.customers
        if self.gems:
            yield GEMS, self.gems
        yield from self.names_of_alternatives()

    def names_of_alternatives(self) -> Iterator[tuple[NameTable, Condition]]:
        for choice in self.alternatives:
            for selection in choice.selections:
                yield from selection.names()

    def names_to_read(self, upload: Upload) -> NameScan:
        """Return the scan of names in each statement with these conditions."""
        return sum((table.scan(upload, condition) for table, condition in self.names()), NameScan())

    def max_lookup_set_sizes(self, upload: Upload) -> list[int]:
        """Return the maximum numbers of matching names in whose sets each deal is looked up."""
        return [table.count(upload) for table, _ in self.names()]

    def deals_of(self, upload: Upload) -> SnapshotQuerySet[Deal]:
        """Return the deals in one statement, without looking up the names first."""
        return Deal.objects.in_pk_range(upload).filter(self.condition(_names_in_subquery(upload)))

    def purchases_of(self, upload: Upload) -> SnapshotQuerySet[Purchase]:
        """Return the purchases in one statement, without looking up the names first."""
        return Purchase.objects.in_pk_range(upload).filter(self.condition(_names_in_subquery(upload)))

    def condition(self, look_up: NameLookup) -> Q:
        """Return the condition on deals or purchases; ``look_up`` translates the conditions on names."""
        condition = self.deals.q
        if self.customers:
            condition &= look_up(CUSTOMERS, self.customers)
        if self.gems:
            condition &= look_up(GEMS, self.gems)
        return condition & self.condition_of_alternatives(look_up)

    def condition_of_alternatives(self, look_up: NameLookup) -> Q:
        return reduce(and_, (choice.condition(look_up) for choice in self.alternatives), Q())

    def filter_deals(self, upload: Upload, *, by_date: bool) -> SnapshotQuerySet[Deal]:
        """Return the deals without conditions on names; ``by_date`` allows the index on the upload and the date."""
        deals = Deal.objects.in_pk_range(upload)
        if by_date:
            deals = deals.for_upload(upload)
        return deals.filter(self.deals.q)


ALL_DEALS: Final = DealSelection()


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Deals that at least one of the selections matches; if ``negated``, that none of them matches."""

    selections: tuple[DealSelection, ...]
    negated: bool = False

    @property
    def comparisons(self) -> int:
        """The comparisons for each deal; each lookup of a name counts as one."""
        return sum(
            selection.comparisons + bool(selection.customers) + bool(selection.gems) for selection in self.selections
        )

    def condition(self, look_up: NameLookup) -> Q:
        condition = reduce(or_, (selection.condition(look_up) for selection in self.selections))
        return ~condition if self.negated else condition


def _selection_on(table: str, condition: Condition) -> DealSelection:
    fields: dict[str, Any] = {table: condition}
    return DealSelection(**fields)


def _single_table(selections: Sequence[DealSelection]) -> str | None:
    """Return the name of the field with all conditions, or None if there are several."""
    tables = set().union(*(selection._tables for selection in selections))
    is_single = len(tables) == 1 and not any(selection.alternatives for selection in selections)
    return tables.pop() if is_single else None


# Names


def purchase_count(upload: Upload) -> int:
    """Return the number of purchases, or an upper bound for an upload of the previous release."""
    if upload.purchase_count is not None:
        return upload.purchase_count
    return min(upload.deal_count, upload.customer_count * upload.gem_count)


@dataclass(frozen=True, slots=True)
class NameTable:
    """The customers, or the gems, of an upload."""

    #: The column of deals and purchases that refers to the table.
    column: str
    model: type[Customer] | type[Gem]
    #: Fields of ``Upload``.
    count_field: str
    characters_field: str

    def count(self, upload: Upload) -> int:
        return int(getattr(upload, self.count_field))

    def characters(self, upload: Upload) -> int:
        """Return the total length of the names; in an upload of an old release, that of names of the maximum length."""
        characters: int | None = getattr(upload, self.characters_field)
        return self.count(upload) * MAX_NAME_LENGTH if characters is None else characters

    def scan(self, upload: Upload, condition: Condition) -> NameScan:
        """Return the work of evaluating a condition on all names."""
        names, characters = self.count(upload), self.characters(upload)
        extra_characters = self.extra_characters(names, upload)
        return NameScan.of(names, characters, extra_characters, condition, purchase_count(upload))

    def scan_of(self, names: int, upload: Upload, condition: Condition) -> NameScan:
        """Return the work of evaluating a condition on some of the names, which may be the longest."""
        purchases = names * max(upload.customer_count, upload.gem_count)
        extra_characters = self.extra_characters(names, upload)
        return NameScan.of(names, names * MAX_NAME_LENGTH, extra_characters, condition, purchases)

    def extra_characters(self, names: int, upload: Upload) -> int:
        """Return the characters that the prices of these names' rows do not include, if they have the mean length."""
        mean_length = self.characters(upload) // max(self.count(upload), 1)
        return names * max(mean_length - _INCLUDED_CHARACTERS, 0)

    def select(self, upload: Upload, condition: Condition) -> SnapshotQuerySet[Any]:
        if condition.is_folded:
            ensure_names_folded(upload)
        rows: SnapshotQuerySet[Any] = self.model._default_manager.filter(upload=upload)
        return rows.filter(condition.q)


CUSTOMERS: Final = NameTable("customer", Customer, "customer_count", "customer_characters")
GEMS: Final = NameTable("gem", Gem, "gem_count", "gem_characters")
NAME_TABLES: Final = {table.column: table for table in (CUSTOMERS, GEMS)}
#: Translates a condition on names to a condition on deals or purchases.
NameLookup = Callable[[NameTable, Condition], Q]


def _names_in_subquery(upload: Upload) -> NameLookup:
    return lambda table, condition: in_subquery(table.column, table.select(upload, condition))


def in_subquery(column: str, rows: SnapshotQuerySet[Any], selected: str = "pk") -> Q:
    """Match a column with the ``selected`` column of these rows.

    The double negation forces a hashed subplan. Otherwise PostgreSQL may choose a join that searches all these rows
    again for each row, because it expects too few rows of an upload that is small compared with others.
    """
    return ~Q(~Q((f"{column}__in", rows.values(selected))))


class SelectedNames:
    """The selected customers or gems of an upload.

    ``deal_count`` is the number of all their deals. If they ``are_few``, ``condition`` lists them. Several names with
    more than ``max_deals`` deals are not few, because a scan is faster. ``scan`` describes the search for them.
    """

    def __init__(self, column: str, names: SnapshotQuerySet[Any], scan: NameScan, max_deals: float) -> None:
        self.scan = scan
        first = list(names.values_list("pk", "deal_count")[: _MAX_INLINE_NAMES + 1])
        first_are_all = len(first) <= _MAX_INLINE_NAMES
        self.count, self.deal_count = len(first), sum(deals for _, deals in first)
        if not first_are_all:
            self.count, self.deal_count = names.aggregate(count=Count("pk"), deals=Sum("deal_count")).values()
        self.are_few = len(first) <= 1 or (first_are_all and self.deal_count <= max_deals)
        if self.are_few:
            self.condition = Q((f"{column}__in", [pk for pk, _ in first]))
        else:
            self.condition = in_subquery(column, names)


class SelectedDeals:
    """The deals of one upload that a selection matches."""

    def __init__(self, upload: Upload, selection: DealSelection) -> None:
        self.upload = upload
        self.selection = selection

    @cached_property
    def customers(self) -> SelectedNames | None:
        condition = self.selection.customers
        max_deals = self.upload.deal_count / RANDOM_ACCESS_COST
        return self._look_up(CUSTOMERS, condition, max_deals) if condition else None

    @cached_property
    def gems(self) -> SelectedNames | None:
        return self._look_up(GEMS, self.selection.gems) if self.selection.gems else None

    @cached_property
    def _names_of_alternatives(self) -> list[SelectedNames]:
        return [self._look_up(table, condition) for table, condition in self.selection.names_of_alternatives()]

    def _look_up(self, table: NameTable, condition: Condition, max_deals: float = math.inf) -> SelectedNames:
        scan = table.scan(self.upload, condition)
        return SelectedNames(table.column, table.select(self.upload, condition), scan, max_deals)

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
    def purchases_to_read(self) -> int:
        """An upper bound of the purchases of the selected customers in the selected gems."""
        selected = [names.deal_count for names in (self.customers, self.gems) if names]
        purchases: int = min(purchase_count(self.upload), self.customer_count * self.gem_count, *selected)
        return purchases

    @property
    def stored_deal_count(self) -> int | None:
        """The number of the deals; None if it is not stored with customers, gems or the upload."""
        if self.selection.deals or self.selection.alternatives or (self.customers and self.gems):
            return None
        names = self.customers or self.gems
        return names.deal_count if names else self.upload.deal_count

    @property
    def _many_names(self) -> list[SelectedNames]:
        """The names that statements select by a subquery."""
        selected = [self.customers, self.gems, *self._names_of_alternatives]
        return [names for names in selected if names and not names.are_few]

    @property
    def lookup_set_sizes(self) -> list[int]:
        """The numbers of names in the hashed subqueries in which each deal is looked up."""
        return [names.count for names in self._many_names]

    @property
    def names_to_search_again(self) -> NameScan:
        """The names that each further statement reads again, because it contains the subquery."""
        return sum((names.scan for names in self._many_names), NameScan())

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

    @property
    def periods(self) -> dict[type[GemPeriod], int]:
        """The stored sums by period that suffice for the selection, with the numbers of their rows."""
        selection = self.selection
        if selection.customers or selection.alternatives or selection.deals.starts is None:
            return {}
        counts: dict[type[GemPeriod], int | None] = {GemDay: self.upload.gem_day_count}
        if not selection.deals.splits_months:
            counts[GemMonth] = self.upload.gem_month_count
        return {model: count for model, count in counts.items() if count is not None}

    def gem_periods(self, model: type[GemPeriod]) -> SnapshotQuerySet[Any]:
        """Return the sums of the selected gems in the selected periods; ``model`` is one of ``periods``."""
        rows: SnapshotQuerySet[Any] = model._default_manager.in_pk_range(self.upload)  # type: ignore[attr-defined]
        return rows.filter(self._names(), self.selection.deals.starts or Q())

    def _names(self) -> Q:
        condition = Q()
        for names in (self.customers, self.gems):
            if names:
                condition &= names.condition
        looked_up = iter(self._names_of_alternatives)  # in the order in which the conditions are translated
        return condition & self.selection.condition_of_alternatives(lambda *_: next(looked_up).condition)
