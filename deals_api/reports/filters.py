"""Filters: the conditions that clients combine, and their translation to conditions on rows.

GraphQL declares its input types over these classes, and REST reads them from JSON. All conditions of one filter must
hold; omitted and null conditions are ignored. Every condition has the same result on SQLite and PostgreSQL.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields, replace
from datetime import datetime, time
from decimal import Decimal
from functools import reduce
from operator import and_
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.lookups import GreaterThan

from deals_api.db_vendor import NamePosition
from deals_api.errors import LimitExceeded
from deals_api.formats import BigInt
from deals_api.limits import Limits
from deals_api.models import MAX_FOLDED_LENGTH, MAX_NAME_LENGTH, Purchase, Upload
from deals_api.names import clean_name, fold_name, prefix_successor
from deals_api.reports.conditions import EVERYTHING, NOTHING, Condition, NameScan
from deals_api.reports.deal_filter import CUSTOMERS, GEMS, DealSelection, NameTable, SelectedNames, in_subquery
from deals_api.snapshots.folding import ensure_names_folded

#: Receives the names that a statement reads, before it is executed.
Charge = Callable[[NameScan], None]


def _condition(description: str, name: str | None = None) -> Any:
    """Return a field of a filter; ``name`` is its name in JSON and GraphQL if it is not that of the attribute."""
    return field(default=None, metadata={"description": description, "name": name})


def external_name(filter_field: Field[Any]) -> str:
    """Return the name of a field in JSON and GraphQL."""
    first, *others = filter_field.name.split("_")
    name: str = filter_field.metadata["name"] or first + "".join(map(str.capitalize, others))
    return name


def _one_of(values: str) -> Any:
    return _condition(f"Equal to one of these {values}, at most {Limits().max_list_argument}.", "in")


def _all_conditions() -> Any:
    return _condition("All of these filters must match; an empty list matches everything.", "AND")


def _any_condition() -> Any:
    return _condition("At least one of these filters must match; an empty list matches nothing.", "OR")


def _no_condition() -> Any:
    return _condition("This filter must not match.", "NOT")


# Comparisons of values


@dataclass(kw_only=True)
class NameFilter:
    """Conditions on a name, combined with AND. Case and whitespace are significant, except that iEq, iContains and
    iStartsWith ignore case."""

    eq: str | None = _condition("Equal to this name.")
    in_: list[str] | None = _one_of("names")
    contains: str | None = _condition("Contains this substring.")
    starts_with: str | None = _condition("Starts with this prefix.")
    i_eq: str | None = _condition("Equal to this name, ignoring case.")
    i_contains: str | None = _condition("Contains this substring, ignoring case.")
    i_starts_with: str | None = _condition("Starts with this prefix, ignoring case.")

    def condition(self, column: str) -> Condition:
        folded = f"{column}_folded"
        conditions = [
            *_optional(self.eq, lambda name: _compare(column, clean_name(name))),
            *_optional(self.in_, lambda names: _is_one_of(column, list(map(clean_name, names)))),
            *_optional(self.contains, lambda text: _contains(column, clean_name(text), MAX_NAME_LENGTH)),
            *_optional(self.starts_with, lambda text: _starts_with(column, clean_name(text))),
            *_optional(self.i_eq, lambda name: _folded(_compare(folded, fold_name(name)))),
            *_optional(self.i_contains, lambda text: _folded(_contains(folded, fold_name(text), MAX_FOLDED_LENGTH))),
            *_optional(self.i_starts_with, lambda text: _folded(_starts_with(folded, fold_name(text)))),
        ]
        return reduce(and_, conditions, EVERYTHING)


V = TypeVar("V")


def _optional(value: V | None, translate: Callable[[V], Condition]) -> list[Condition]:
    return [] if value is None else [translate(value)]


def _compare(column: str, value: Any, lookup: str = "exact") -> Condition:
    return Condition(Q((f"{column}__{lookup}", value)), comparisons=1)


def _is_one_of(column: str, values: list[Any]) -> Condition:
    return _compare(column, values, "in") if values else NOTHING


def _contains(column: str, text: str, max_length: int) -> Condition:
    """Search a name for a substring. On SQLite, LIKE ignores the case of ASCII letters."""
    if len(text) > max_length:
        return NOTHING  # Stored names are not longer.
    return Condition(Q(GreaterThan(NamePosition(F(column), Value(text)), 0)), searches=1)


def _starts_with(column: str, prefix: str) -> Condition:
    """Compare a range, for which every database uses an index of the column."""
    successor = prefix_successor(prefix)
    condition = _compare(column, prefix, "gte") if prefix else EVERYTHING
    return condition if successor is None else condition & _compare(column, successor, "lt")


def _folded(condition: Condition) -> Condition:
    return condition & Condition(is_folded=True) if condition else condition


#: The time of day with which a comparison of a time equals one of its day.
_DAY_BOUNDS: Final = {"gte": time.min, "lt": time.min, "gt": time.max, "lte": time.max}


def _compare_time(column: str, moment: datetime, lookup: str) -> Condition:
    """Compare a time in UTC."""
    condition, day = _compare(column, moment, lookup), moment.date()
    if moment.time() != _DAY_BOUNDS.get(lookup):
        return condition
    month_bound = 1 if moment.time() == time.min else monthrange(day.year, day.month)[1]
    return replace(condition, starts=Q((f"start__{lookup}", day)), splits_months=day.day != month_bound)


_LOOKUPS: Final = {"eq": "exact", "in_": "in", "lt": "lt", "lte": "lte", "gt": "gt", "gte": "gte"}


class _Comparisons:
    """Base of the filters on ordered values."""

    def condition(self, column: str) -> Condition:
        condition = EVERYTHING
        for name, lookup in _LOOKUPS.items():
            value = getattr(self, name)
            if value is not None:
                compare = _compare_time if isinstance(value, datetime) else _compare
                condition &= _is_one_of(column, value) if lookup == "in" else compare(column, value, lookup)
        return condition


@dataclass(kw_only=True)
class MoneyFilter(_Comparisons):
    """Conditions on an amount of money, combined with AND."""

    eq: Decimal | None = _condition("Equal to this amount.")
    in_: list[Decimal] | None = _one_of("amounts")
    lt: Decimal | None = _condition("Less than this amount.")
    lte: Decimal | None = _condition("Less than or equal to this amount.")
    gt: Decimal | None = _condition("Greater than this amount.")
    gte: Decimal | None = _condition("Greater than or equal to this amount.")


@dataclass(kw_only=True)
class NumberFilter(_Comparisons):
    """Conditions on a whole number, combined with AND."""

    eq: BigInt | None = _condition("Equal to this number.")
    in_: list[BigInt] | None = _one_of("numbers")
    lt: BigInt | None = _condition("Less than this number.")
    lte: BigInt | None = _condition("Less than or equal to this number.")
    gt: BigInt | None = _condition("Greater than this number.")
    gte: BigInt | None = _condition("Greater than or equal to this number.")


@dataclass(kw_only=True)
class DateFilter(_Comparisons):
    """Conditions on a time, combined with AND."""

    eq: datetime | None = _condition("Equal to this time.")
    in_: list[datetime] | None = _one_of("times")
    lt: datetime | None = _condition("Before this time.")
    lte: datetime | None = _condition("At or before this time.")
    gt: datetime | None = _condition("After this time.")
    gte: datetime | None = _condition("At or after this time.")

    def since(self) -> datetime | None:
        """Return an inclusive lower bound of the matching times."""
        return max(filter(None, (self.gt, self.gte)), default=None)

    def until(self) -> datetime | None:
        """Return an inclusive upper bound of the matching times."""
        return min(filter(None, (self.lt, self.lte)), default=None)


# Combinations of conditions

#: Names for which purchases are looked up one by one; for more, all purchases of a row are read.
_MAX_PURCHASE_LOOKUPS: Final = 10
#: With at most this many purchases in the upload, their customers or gems are selected first, and hashed. If they did
#: not fit into its memory, PostgreSQL would search the purchases again for each row.
_MAX_HASHED_PURCHASES: Final = 50_000


class _Combinable(Protocol):
    """Conditions that can be combined by AND, OR and NOT."""

    def __and__(self, other: Self, /) -> Self: ...

    def __invert__(self) -> Self: ...

    @classmethod
    def any_of(cls, conditions: list[Self], /) -> Self: ...


C = TypeVar("C", bound=_Combinable)


class _Filter:
    """Base of the filters on rows: translates the comparisons of columns, and AND, OR and NOT."""

    #: Database columns by attribute.
    columns: ClassVar[dict[str, str]] = {}

    def _compare_columns(self) -> Condition:
        condition = EVERYTHING
        for name, column in self.columns.items():
            comparisons = getattr(self, name)
            if comparisons is not None:
                condition &= comparisons.condition(column)
        return condition

    def _combine(self, own: C, translate: Callable[[Any], C]) -> C:
        """Return ``own`` combined with the translations of the filters in AND, OR and NOT."""
        nested: Any = self
        for operand in nested.and_ or ():
            own &= translate(operand)
        if nested.or_ is not None:
            own &= type(own).any_of([translate(operand) for operand in nested.or_])
        if nested.not_ is not None:
            own &= ~translate(nested.not_)
        return own

    def count_conditions(self) -> int:
        """Return the number of comparisons in this filter and in all nested ones."""
        conditions: Any = self
        return sum(_count_conditions(getattr(self, item.name)) for item in fields(conditions))

    def check_size(self) -> None:
        """Raises: LimitExceeded, because databases limit the size of expressions."""
        maximum: int = settings.DEALS_LIMITS.max_filter_conditions
        if self.count_conditions() > maximum:
            raise LimitExceeded(f"The filter has more than {maximum} conditions.")


def _count_conditions(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_count_conditions, value)) if value and isinstance(value[0], _Filter) else 1
    if isinstance(value, _Filter):
        return value.count_conditions()
    if isinstance(value, NameFilter | _Comparisons):
        conditions: Any = value
        return sum(getattr(value, item.name) is not None for item in fields(conditions))
    return 0


class _NameTableFilter(_Filter):
    """Base of the filters on customers and gems."""

    def condition(self, upload: Upload, charge: Charge) -> Condition:
        """Return the condition on the customers or gems of an upload; names in other tables are looked up now.

        Raises: LimitExceeded, or any error of ``charge``.
        """
        self.check_size()
        condition = self._translate(upload, charge)
        if condition.is_folded:
            ensure_names_folded(upload)
        return condition

    def _translate(self, upload: Upload, charge: Charge) -> Condition:
        own = self._compare_columns() & self._bought(upload, charge)
        return self._combine(own, lambda operand: operand._translate(upload, charge))

    def _bought(self, upload: Upload, charge: Charge) -> Condition:
        raise NotImplementedError


def _has_purchase(
    table: NameTable, names: NameFilter | None, column: str, own_column: str, upload: Upload, charge: Charge
) -> Condition:
    """Return the condition that a row has a purchase with one of the names in ``table``.

    PostgreSQL executes the subquery once for each row, or once for all rows.
    """
    condition = EVERYTHING if names is None else names.condition(column)
    if not condition or condition is NOTHING:
        return condition
    scan = table.scan(upload, condition)
    charge(scan)
    selected = SelectedNames(table.column, table.select(upload, condition), scan, math.inf)
    if not selected.count:
        return NOTHING
    are_few = selected.count <= _MAX_PURCHASE_LOOKUPS
    names_condition = selected.condition if are_few else in_subquery(table.column, table.select(upload, condition))
    if are_few or upload.purchase_count is None or upload.purchase_count > _MAX_HASHED_PURCHASES:
        has_purchase = Q(Exists(Purchase.objects.filter(names_condition, **{own_column: OuterRef("pk")})))
    else:
        purchases = Purchase.objects.in_pk_range(upload).filter(names_condition)
        has_purchase = in_subquery("pk", purchases, own_column)
    return Condition(
        has_purchase,
        purchase_lookups=selected.count if are_few else 1,
        purchase_scans=int(not are_few),
        subqueries=NameScan() if are_few else scan,
    )


@dataclass(kw_only=True)
class CustomerFilter(_NameTableFilter):
    """Conditions on customers, combined with AND."""

    columns = {name: name for name in ("username", "spent_money", "deal_count", "gem_count", "first_deal", "last_deal")}

    username: NameFilter | None = _condition("The username of the customer.")
    spent_money: MoneyFilter | None = _condition("Sum of all deals of the customer.")
    deal_count: NumberFilter | None = _condition("Number of deals of the customer.")
    gem_count: NumberFilter | None = _condition("Number of different gems that the customer bought.")
    first_deal: DateFilter | None = _condition("The time of the customer's earliest deal.")
    last_deal: DateFilter | None = _condition("The time of the customer's latest deal.")
    bought_gem: NameFilter | None = _condition("The customer bought at least one gem with such a name.")
    and_: list[CustomerFilter] | None = _all_conditions()
    or_: list[CustomerFilter] | None = _any_condition()
    not_: CustomerFilter | None = _no_condition()

    def _bought(self, upload: Upload, charge: Charge) -> Condition:
        return _has_purchase(GEMS, self.bought_gem, "name", "customer", upload, charge)


@dataclass(kw_only=True)
class GemFilter(_NameTableFilter):
    """Conditions on gems, combined with AND."""

    columns = {name: name for name in ("name", "total", "deal_count", "buyer_count", "first_deal", "last_deal")}

    name: NameFilter | None = _condition("The name of the gem.")
    total: MoneyFilter | None = _condition("Sum of all deals for the gem.")
    deal_count: NumberFilter | None = _condition("Number of deals for the gem.")
    buyer_count: NumberFilter | None = _condition("Number of different customers who bought the gem.")
    first_deal: DateFilter | None = _condition("The time of the earliest deal for the gem.")
    last_deal: DateFilter | None = _condition("The time of the latest deal for the gem.")
    bought_by: NameFilter | None = _condition("At least one customer with such a username bought the gem.")
    and_: list[GemFilter] | None = _all_conditions()
    or_: list[GemFilter] | None = _any_condition()
    not_: GemFilter | None = _no_condition()

    def _bought(self, upload: Upload, charge: Charge) -> Condition:
        return _has_purchase(CUSTOMERS, self.bought_by, "username", "gem", upload, charge)


class _SelectionFilter(_Filter):
    """Base of the filters on deals and purchases."""

    def selection(self) -> DealSelection:
        """Raises: LimitExceeded."""
        self.check_size()
        return self._translate()

    def _translate(self) -> DealSelection:
        return self._combine(self._own(), lambda operand: operand._translate())

    def _own(self) -> DealSelection:
        own: Any = self
        return DealSelection(
            customers=own.customer.condition("username") if own.customer else EVERYTHING,
            gems=own.gem.condition("name") if own.gem else EVERYTHING,
            deals=self._compare_columns(),
        )


@dataclass(kw_only=True)
class PurchaseFilter(_SelectionFilter):
    """Conditions on purchases, combined with AND."""

    columns = {name: name for name in ("deal_count", "quantity", "total")}

    customer: NameFilter | None = _condition("The username of the customer.")
    gem: NameFilter | None = _condition("The name of the gem.")
    deal_count: NumberFilter | None = _condition("Number of deals.")
    quantity: NumberFilter | None = _condition("Total quantity of all deals.")
    total: MoneyFilter | None = _condition("Sum of all deals.")
    and_: list[PurchaseFilter] | None = _all_conditions()
    or_: list[PurchaseFilter] | None = _any_condition()
    not_: PurchaseFilter | None = _no_condition()


@dataclass(kw_only=True)
class DealFilter(_SelectionFilter):
    """Conditions on deals, combined with AND."""

    columns = {name: name for name in ("total", "quantity", "date")}

    customer: NameFilter | None = _condition("The username of the customer.")
    gem: NameFilter | None = _condition("The name of the gem.")
    total: MoneyFilter | None = _condition("Sum of the deal, not a unit price.")
    quantity: NumberFilter | None = _condition("Quantity of the deal.")
    date: DateFilter | None = _condition("The time of the deal.")
    and_: list[DealFilter] | None = _all_conditions()
    or_: list[DealFilter] | None = _any_condition()
    not_: DealFilter | None = _no_condition()

    def _own(self) -> DealSelection:
        own = super()._own()
        return own if self.date is None else own & DealSelection(since=self.date.since(), until=self.date.until())


#: Aliases of the measures in the query, which must differ from the names of the model's fields.
MEASURE_COLUMNS: Final = {
    "deal_count": "deals_counted",
    "quantity": "quantity_sum",
    "total": "total_sum",
    "min_total": "total_min",
    "max_total": "total_max",
    "average_total": "total_average",
}


@dataclass(kw_only=True)
class DealStatsFilter(_Filter):
    """Conditions on the totals of groups, combined with AND."""

    columns = MEASURE_COLUMNS

    deal_count: NumberFilter | None = _condition("Number of deals in the group.")
    quantity: NumberFilter | None = _condition("Total quantity of the group.")
    total: MoneyFilter | None = _condition("Sum of all deals of the group.")
    min_total: MoneyFilter | None = _condition("Sum of the smallest deal.")
    max_total: MoneyFilter | None = _condition("Sum of the largest deal.")
    average_total: MoneyFilter | None = _condition("Average sum of a deal, rounded half up to two decimals.")
    and_: list[DealStatsFilter] | None = _all_conditions()
    or_: list[DealStatsFilter] | None = _any_condition()
    not_: DealStatsFilter | None = _no_condition()

    def condition(self) -> Condition:
        """Raises: LimitExceeded."""
        self.check_size()
        return self._translate()

    def _translate(self) -> Condition:
        return self._combine(self._compare_columns(), lambda operand: operand._translate())

    def measures(self) -> set[str]:
        """Return the names of the measures with a condition."""
        nested = [*(self.and_ or ()), *(self.or_ or ()), *([self.not_] if self.not_ else ())]
        own = {name for name in MEASURE_COLUMNS if getattr(self, name) is not None}
        return own.union(*(operand.measures() for operand in nested))
