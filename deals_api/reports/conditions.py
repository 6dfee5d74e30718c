"""Conditions on the rows of one table, with the work of evaluating them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_
from typing import Final

from django.db.models import Q


@dataclass(frozen=True, slots=True)
class NameScan:
    """The number of names that a statement reads, and the work of comparing them.

    ``searched`` names are searched for a substring; if several substrings are searched for, each search counts.
    """

    names: int = 0
    searched: int = 0
    #: Of the searched names.
    characters: int = 0
    #: Of the names that are read, beyond those that the price of their rows includes.
    extra_characters: int = 0
    comparisons: int = 0
    #: Conditions in the statement.
    conditions: int = 0
    #: Purchases that are looked up by customer and gem.
    purchase_lookups: int = 0
    #: Purchases that are read because the gem or the customer may have any of many names.
    purchases: int = 0

    @classmethod
    def of(cls, names: int, characters: int, extra_characters: int, condition: Condition, purchases: int) -> NameScan:
        """Return the work of evaluating a condition on names that have ``purchases``.

        ``characters``: at most the total length of these names.
        """
        own = cls(
            names,
            names * condition.searches,
            characters * condition.searches,
            extra_characters,
            names * condition.comparisons,
            condition.comparisons + condition.searches + condition.purchase_lookups,
            names * condition.purchase_lookups,
            purchases * condition.purchase_scans,
        )
        return own + condition.subqueries

    def __add__(self, other: NameScan) -> NameScan:
        return NameScan(
            self.names + other.names,
            self.searched + other.searched,
            self.characters + other.characters,
            self.extra_characters + other.extra_characters,
            self.comparisons + other.comparisons,
            self.conditions + other.conditions,
            self.purchase_lookups + other.purchase_lookups,
            self.purchases + other.purchases,
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the rows of one table, and the work of evaluating it for one row.

    Without a condition, every row matches; ``NOTHING`` matches no row. Conditions are combined by ``&``, ``~`` and
    ``any_of``, because Django ignores an empty ``Q`` in a disjunction and in a negation.
    """

    q: Q = field(default_factory=Q)
    #: Comparisons of a value, with another value or a list.
    comparisons: int = 0
    #: Searches of a name for a substring.
    searches: int = 0
    #: Whether names are compared in their folded form.
    is_folded: bool = False
    #: Names for each of which a subquery looks for a purchase of the row.
    purchase_lookups: int = 0
    #: Subqueries that read the purchases of the row.
    purchase_scans: int = 0
    #: Names that are read in subqueries, once in each statement.
    subqueries: NameScan = NameScan()
    #: The same condition on the first days of stored sums by period; None if these sums cannot evaluate it.
    starts: Q | None = None
    #: Whether ``starts`` selects some days of a month only.
    splits_months: bool = False

    def __bool__(self) -> bool:
        return bool(self.q)

    def __and__(self, other: Condition) -> Condition:
        if self is NOTHING or other is NOTHING:
            return NOTHING
        return self._with(other, and_)

    def __invert__(self) -> Condition:
        if not self:
            return NOTHING
        return EVERYTHING if self is NOTHING else self._with(EVERYTHING, lambda q, _: ~q)

    @classmethod
    def any_of(cls, conditions: Iterable[Condition]) -> Condition:
        """Return the disjunction; that of no conditions matches nothing."""
        return reduce(cls._or, conditions, NOTHING)

    def _or(self, other: Condition) -> Condition:
        if self is NOTHING or not other:
            return other
        if other is NOTHING or not self:
            return self
        return self._with(other, or_)

    def _with(self, other: Condition, combine: Callable[[Q, Q], Q]) -> Condition:
        """Return the combination, with the work of both."""
        return Condition(
            combine(self.q, other.q),
            self.comparisons + other.comparisons,
            self.searches + other.searches,
            self.is_folded or other.is_folded,
            self.purchase_lookups + other.purchase_lookups,
            self.purchase_scans + other.purchase_scans,
            self.subqueries + other.subqueries,
            None if self.starts is None or other.starts is None else combine(self.starts, other.starts),
            self.splits_months or other.splits_months,
        )


EVERYTHING: Final = Condition(starts=Q())
NOTHING: Final = Condition(Q(pk__in=()), starts=Q(pk__in=()))
