"""Sums of deals by customer, gem and period in any combination; equal on SQLite and PostgreSQL.

They are computed from stored sums where these suffice, and otherwise from deals.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Final

from django.conf import settings
from django.db.models import (
    BigIntegerField,
    CharField,
    Count,
    ExpressionWrapper,
    F,
    Func,
    Max,
    Min,
    OrderBy,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
)
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Cast

from deals_api.db_vendor import memory_for_groups
from deals_api.errors import BadInput, LimitExceeded
from deals_api.models import Customer, Deal, Gem, GemDay, GemPeriod, MoneyField, Purchase, SnapshotRow, Upload
from deals_api.reports.deal_filter import SelectedDeals, purchase_count
from deals_api.reports.filters import MEASURE_COLUMNS


class DealStatsKey(Enum):
    """Keys that deals can be grouped by."""

    CUSTOMER = "customer"
    GEM = "gem"
    YEAR = "year"
    QUARTER = "quarter"
    MONTH = "month"
    #: ISO 8601: the week begins on Monday.
    WEEK = "week"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class DealStats:
    """The sums of one group. Keys that are not grouped by are None, and extremes that were not requested may be None.

    ``quarter``, ``month`` and ``week`` are the first day of the period. Sums are exact; ``average_total`` is rounded
    half up to hundredths.
    """

    customer_id: int | None
    gem_id: int | None
    year: int | None
    quarter: date | None
    month: date | None
    week: date | None
    day: date | None
    deal_count: int
    quantity: int
    total: Decimal
    min_total: Decimal | None
    max_total: Decimal | None
    average_total: Decimal


#: Measures that a purchase of the previous release does not have.
_EXTREMES: Final = {"min_total", "max_total"}
_MILLION: Final = 1_000_000
#: Minimum number of days in a period, in descending order.
_PERIOD_DAYS: Final = {
    DealStatsKey.YEAR: 365,
    DealStatsKey.QUARTER: 90,
    DealStatsKey.MONTH: 28,
    DealStatsKey.WEEK: 7,
    DealStatsKey.DAY: 1,
}
_PARTS_OF_MONTHS: Final = {DealStatsKey.WEEK, DealStatsKey.DAY}
#: Expressions of SQLite for the beginning of the period in ISO 8601, without its time, day or month of 1.
_SQLITE_PERIODS: Final = {
    DealStatsKey.YEAR: "SUBSTR(%(expressions)s, 1, 4)",
    DealStatsKey.QUARTER: "SUBSTR(%(expressions)s, 1, 5)"
    " || SUBSTR('01040710', (SUBSTR(%(expressions)s, 6, 2) - 1) / 3 * 2 + 1, 2)",
    DealStatsKey.MONTH: "SUBSTR(%(expressions)s, 1, 7)",
    # 'weekday 1' is the next Monday, or the same day. The time is removed, because SQLite rounds 23:59:59.9999 up.
    DealStatsKey.WEEK: "DATE(SUBSTR(%(expressions)s, 1, 10), '-6 days', 'weekday 1')",
    DealStatsKey.DAY: "SUBSTR(%(expressions)s, 1, 10)",
}


class _Period(Func):
    """The period of a date in UTC: the beginning of its first day in ISO 8601, on PostgreSQL a timestamp."""

    output_field = CharField()

    def __init__(self, source: type[SnapshotRow], key: DealStatsKey) -> None:
        super().__init__(F("date" if source is Deal else "start"))
        self.to_timestamp = "AT TIME ZONE 'UTC'" if source is Deal else "::timestamp"
        self.key = key

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template=_SQLITE_PERIODS[self.key], **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"DATE_TRUNC('{self.key.value}', %(expressions)s {self.to_timestamp})"
        return self.as_sql(compiler, connection, template=template, **extra)


def _measures(source: type[SnapshotRow], *, are_rows: bool = False) -> dict[str, Any]:
    """Return the expressions of the measures by alias, for groups of deals or of stored sums.

    ``are_rows``: each group is one row, so that no aggregates are needed.

    Counts have 64 bits, because Django omits a statement whose HAVING compares a smaller column with a larger number.
    """
    add, minimum, maximum = (F, F, F) if are_rows else (Sum, Min, Max)
    deal_count, total = Count("pk") if source is Deal else add("deal_count"), add("total")
    smallest, largest = ("total", "total") if source is Deal else ("min_total", "max_total")
    return {
        "deals_counted": ExpressionWrapper(deal_count, output_field=BigIntegerField()),
        "quantity_sum": ExpressionWrapper(add("quantity"), output_field=BigIntegerField()),
        "total_sum": total,
        "total_average": _average(total, deal_count),
        "total_min": minimum(smallest),
        "total_max": maximum(largest),
    }


def _average(sum_: Any, deal_count: Any) -> ExpressionWrapper[CombinedExpression]:
    """Divide integers of hundredths, so that no database uses floating point."""
    total = Cast(sum_, BigIntegerField())
    deals = Cast(deal_count, BigIntegerField())
    return ExpressionWrapper(total / deals + (total % deals) * 2 / deals, output_field=MoneyField())


class Grouping:
    """Groups of selected deals; ``rows_to_read`` and ``max_groups`` estimate the cost before they are computed.

    The parameter ``measures`` contains the names of the measures that are returned, ordered by or compared.
    """

    def __init__(self, selected: SelectedDeals, by: Collection[DealStatsKey]) -> None:
        self.selected = selected
        self.periods = [key for key in _PERIOD_DAYS if key in by]
        self.names = [key.value for key in (DealStatsKey.CUSTOMER, DealStatsKey.GEM) if key in by]

    def check(self, order: str) -> None:
        """Check that the groups can be computed and ordered.

        Raises: LimitExceeded, if there could be more than ``MAX_GROUPS`` groups; BadInput, if ``order`` is a key that
                is not grouped by.
        """
        max_groups: int = settings.DEALS_LIMITS.max_groups
        if self.max_groups > max_groups:
            raise LimitExceeded(
                f"These deals could make more than {max_groups} groups; select fewer customers, gems or days, "
                "or group by fewer keys."
            )
        name = order.removeprefix("-")
        if (name in _NAME_SUBQUERIES and name not in self.names) or (name == "date" and not self.periods):
            raise BadInput(f"The groups can be ordered by {name} only if they are grouped by it.")

    def rows_to_read(self, measures: Collection[str]) -> int:
        """Return the number of rows that the database reads."""
        return min(self._sources(measures).values())

    @cached_property
    def max_groups(self) -> int:
        """An upper bound of the number of groups, from the stored counts of the upload."""
        groups = 1
        if "customer" in self.names:
            groups *= self.selected.customer_count
        if "gem" in self.names:
            groups *= self.selected.gem_count
        if self.periods:
            groups *= self._max_periods()
        upload = self.selected.upload
        most = upload.deal_count if self.periods else purchase_count(upload)
        if "customer" not in self.names and upload.gem_day_count is not None:
            most = min(most, upload.gem_day_count)
        return min(groups, most)

    def _max_periods(self) -> int:
        """Return an upper bound of the combinations of periods: those of the shortest one, and divided weeks."""
        days, shortest = self._days(), self.periods[-1]
        periods = days // _PERIOD_DAYS[shortest] + 2
        if shortest is DealStatsKey.WEEK and len(self.periods) > 1:
            periods += days // _PERIOD_DAYS[self.periods[-2]] + 1
        return periods

    def _days(self) -> int:
        """Return the number of days between the first and the last deal that the selection can match."""
        selection = self.selected.selection
        dates = Deal.objects.for_upload(self.selected.upload).values("date")
        # One lookup in the index by date for each; SQLite would read all dates for both extremes in one aggregation.
        first, last = (Subquery(dates.order_by(order)[:1]) for order in ("date", "-date"))
        first_deal, last_deal = Upload.objects.values_list(first, last).get(pk=self.selected.upload.pk)
        since = max(filter(None, (first_deal, selection.since)))
        until = min(filter(None, (last_deal, selection.until)))
        days: int = (until.date() - since.date()).days
        return max(0, days)

    def groups(self, measures: Collection[str], having: Q, order: str, page: slice) -> list[DealStats]:
        """Return a page of the groups, read in one statement.

        Shape:  the groups by ``order``, which ``check`` accepts: a measure, ``customer``, ``gem`` or ``date``,
                descending after ``-``. Equal groups are ordered by the first deal of the customer and of the gem in
                the file, and by periods. Without keys, one group of all deals, or no group if no deal is selected.
        """
        groups = self._groups(measures, having)
        if orders_by_name(order):  # A subquery is evaluated for each group, a join for each deal.
            groups = groups.annotate(group_name=_NAME_SUBQUERIES[order.removeprefix("-")])
        with memory_for_groups(groups.db):
            return [_to_deal_stats(group) for group in groups.order_by(self._ordering(order), *self._keys())[page]]

    def count(self, measures: Collection[str], having: Q) -> int:
        """Return the number of groups, counted in the database."""
        groups = self._groups(measures, having)
        with memory_for_groups(groups.db):
            return groups.count() if self._keys() else len(groups)  # Django does not count rows without columns.

    def _groups(self, measures: Collection[str], having: Q) -> QuerySet[Any]:
        # Without other keys, the constant makes one group of all rows.
        groups: QuerySet[Any] = self._rows(measures).annotate(constant=Value(1)).values("constant", *self._keys())
        source = self._source(measures)
        are_rows = source is Purchase and len(self.names) == 2
        groups = groups.annotate(**_measures(source, are_rows=are_rows)).filter(having)
        return groups.filter(deals_counted__gt=0)

    def _keys(self) -> list[str]:
        return [f"{name}_id" for name in self.names] + [f"in_{key.value}" for key in self.periods]

    def _sources(self, measures: Collection[str]) -> dict[type[SnapshotRow], int]:
        """Return the models whose rows suffice for the groups, with the number of rows that the database reads."""
        selected = self.selected
        sources: dict[type[SnapshotRow], int] = {}
        if "customer" not in self.names:
            divides_months = not _PARTS_OF_MONTHS.isdisjoint(self.periods)
            sources |= {
                model: rows for model, rows in selected.periods.items() if model is GemDay or not divides_months
            }
        has_extremes = selected.upload.purchase_count is not None
        if selected.selection.names_only and not self.periods and (has_extremes or _EXTREMES.isdisjoint(measures)):
            sources[Purchase] = selected.purchases_to_read
        return {**sources, Deal: selected.rows_to_read}

    def _source(self, measures: Collection[str]) -> type[SnapshotRow]:
        sources = self._sources(measures)
        return min(sources, key=sources.__getitem__)

    def _rows(self, measures: Collection[str]) -> QuerySet[Any]:
        source = self._source(measures)
        rows: QuerySet[Any]
        if issubclass(source, GemPeriod):
            rows = self.selected.gem_periods(source)
        else:
            rows = self.selected.purchases() if source is Purchase else self.selected.deals()
        return rows.annotate(**{f"in_{key.value}": _Period(source, key) for key in self.periods})

    def _ordering(self, order: str) -> OrderBy:
        name = order.removeprefix("-")
        if name == "date":
            column = f"in_{self.periods[-1].value}"
        else:
            column = "group_name" if name in _NAME_SUBQUERIES else MEASURE_COLUMNS[name]
        return OrderBy(F(column), descending=order.startswith("-"))


_NAME_SUBQUERIES: Final = {
    "customer": Subquery(Customer.objects.filter(pk=OuterRef("customer_id")).values("username")),
    "gem": Subquery(Gem.objects.filter(pk=OuterRef("gem_id")).values("name")),
}


def orders_by_name(order: str) -> bool:
    """Return whether this order sorts groups by the name of the customer or gem."""
    return order.removeprefix("-") in _NAME_SUBQUERIES


def _to_deal_stats(row: dict[str, Any]) -> DealStats:
    measures: dict[str, Any] = {name: row.get(column) for name, column in MEASURE_COLUMNS.items()}
    periods: dict[str, Any] = {key.value: _first_day(row.get(f"in_{key.value}")) for key in _PERIOD_DAYS}
    year = periods.pop("year")
    return DealStats(
        customer_id=row.get("customer_id"),
        gem_id=row.get("gem_id"),
        year=None if year is None else year.year,
        **periods,
        **measures,
    )


def _first_day(period: str | datetime | None) -> date | None:
    """Convert a period that the database returned: a string on SQLite, a datetime on PostgreSQL."""
    if period is None:
        return None
    return date.fromisoformat(f"{period}-01-01"[:10]) if isinstance(period, str) else period.date()


def share(total: Decimal, whole: Decimal) -> float:
    """Return the part of ``total`` in ``whole``, rounded half up to six decimals; 0 if ``whole`` is 0."""
    millionths = (total * 2 * _MILLION + whole) // (whole * 2) if whole else 0
    return int(millionths) / _MILLION
