"""What deals add up to, by customer, gem, year, month and day in any combination.

Answers for the one bounded GROUP BY of the service; the same digits on SQLite and PostgreSQL. Knows no face.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
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
    Q,
    Sum,
    Value,
)
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Cast

from deals_api.errors import BadInput, LimitExceeded
from deals_api.models import Deal, DealSelection, Gem, MoneyField, Upload


class DealStatsKey(Enum):
    """What deals may be grouped by."""

    CUSTOMER = "customer"
    GEM = "gem"
    YEAR = "year"
    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class DealStats:
    """The deals of one group; a key that was not grouped by is None.

    Units: sums are exact; ``average_total`` is rounded half up to hundredths.
    """

    customer_id: int | None
    gem_id: int | None
    year: int | None
    month: date | None
    day: date | None
    deal_count: int
    quantity: int
    total: Decimal
    min_total: Decimal
    max_total: Decimal
    average_total: Decimal


#: The names of the sums, and the columns they have in the query, which may not be those of the model's fields.
MEASURE_COLUMNS: Final = {
    "deal_count": "deals_counted",
    "quantity": "quantity_sum",
    "total": "total_sum",
    "min_total": "total_min",
    "max_total": "total_max",
    "average_total": "total_average",
}
_DIGITS: Final = {DealStatsKey.YEAR: 4, DealStatsKey.MONTH: 7, DealStatsKey.DAY: 10}
_DAYS: Final = {DealStatsKey.YEAR: 365, DealStatsKey.MONTH: 28, DealStatsKey.DAY: 1}


class _Period(Func):
    """The year, month or day of a moment in UTC, as the first characters of ISO 8601."""

    output_field = CharField()

    def __init__(self, column: str, key: DealStatsKey) -> None:
        super().__init__(F(column))
        self.key = key

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template=f"SUBSTR(%(expressions)s, 1, {_DIGITS[self.key]})", **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"DATE_TRUNC('{self.key.value}', %(expressions)s AT TIME ZONE 'UTC')"
        return self.as_sql(compiler, connection, template=template, **extra)


def _average() -> ExpressionWrapper[CombinedExpression]:
    """In whole hundredths, so that no database divides in floating point."""
    total = Cast(Sum("total"), BigIntegerField())
    deals = Cast(Count("pk"), BigIntegerField())
    return ExpressionWrapper(total / deals + (total % deals) * 2 / deals, output_field=MoneyField())


def deal_stats(
    upload: Upload,
    by: Collection[DealStatsKey],
    selection: DealSelection,
    having: Q,
    order: str,
    limit: int,
) -> list[DealStats]:
    """The groups of the selected deals, in one statement.

    Shape:  at most ``limit`` groups, by ``order`` (a measure, ``customer``, ``gem`` or ``date``, falling after
            ``-``); equal ones by customer and gem as they first appear in the file, and by date.
            Without keys: one group of all, or none where no deal is selected.
    Raises: LimitExceeded, where there could be more than ``max_groups`` groups; BadInput for an order
            by something that is not grouped by.
    """
    _must_be_few(upload, by, selection)
    periods = [key for key in _DIGITS if key in by]
    names = [key.value for key in (DealStatsKey.CUSTOMER, DealStatsKey.GEM) if key in by]
    deals = Deal.objects.selected(upload, selection).in_one_sweep(upload)
    groups = deals.annotate(**{f"in_{key.value}": _Period("date", key) for key in periods})
    keys = [f"{name}_id" for name in names] + [f"in_{key.value}" for key in periods]
    groups = groups.annotate(whole=Value(1)).values("whole", *keys).annotate(
        deals_counted=Count("pk"),
        quantity_sum=Sum("quantity", output_field=BigIntegerField()),  # else HAVING takes it for one of 32 bits
        total_sum=Sum("total"),
        total_min=Min("total"),
        total_max=Max("total"),
        total_average=_average(),
    )
    rows = groups.filter(having).filter(deals_counted__gt=0).order_by(*_ordering(order, names, periods), *keys)[:limit]
    return [_group(row) for row in rows]


def _must_be_few(upload: Upload, by: Collection[DealStatsKey], selection: DealSelection) -> None:
    most: int = settings.DEALS_LIMITS.max_groups
    if min(_groups_at_most(upload, by, selection), upload.rows) > most:
        raise LimitExceeded(
            f"These deals could make more than {most} groups; select fewer customers, gems or days, "
            "or group by less."
        )


def _groups_at_most(upload: Upload, by: Collection[DealStatsKey], selection: DealSelection) -> int:
    """How many groups there could be, from what is stored about the upload."""
    groups = 1
    if DealStatsKey.CUSTOMER in by:
        groups *= selection.customers_of(upload).count() if selection.customers else upload.customer_count
    if DealStatsKey.GEM in by:
        groups *= selection.gems_of(upload).count() if selection.gems else upload.gem_count
    if days := min((_DAYS[key] for key in by if key in _DAYS), default=None):
        dates = Gem.objects.of(upload).aggregate(first=Min("first_deal"), last=Max("last_deal"))
        since = max(filter(None, (dates["first"], selection.since)))
        until = min(filter(None, (dates["last"], selection.until)))
        groups *= max(0, (until.date() - since.date()).days) // days + 2
    return groups


def _ordering(order: str, names: list[str], periods: list[DealStatsKey]) -> list[OrderBy]:
    name = order.removeprefix("-")
    columns = MEASURE_COLUMNS | {"customer": "customer__username", "gem": "gem__name"}
    if (name in ("customer", "gem") and name not in names) or (name == "date" and not periods):
        raise BadInput(f"The groups can be ordered by {name} only if they are grouped by it.")
    if name == "date":
        columns["date"] = f"in_{periods[-1].value}"
    return [OrderBy(F(columns[name]), descending=order.startswith("-"))]


def _group(row: dict[str, Any]) -> DealStats:
    return DealStats(
        customer_id=row.get("customer_id"),
        gem_id=row.get("gem_id"),
        year=_of(row.get("in_year"), lambda text: int(text[:4])),
        month=_of(row.get("in_month"), lambda text: date.fromisoformat(f"{text[:7]}-01")),
        day=_of(row.get("in_day"), lambda text: date.fromisoformat(text[:10])),
        **{name: row[column] for name, column in MEASURE_COLUMNS.items()},
    )


def _of(period: str | datetime | None, read: Callable[[str], Any]) -> Any:
    """A period as the database gave it: text in SQLite, a moment in PostgreSQL."""
    return None if period is None else read(period if isinstance(period, str) else period.isoformat())
