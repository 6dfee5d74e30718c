"""What may be asked of a list: typed filters, combined by AND, and orders.

Answers for how each becomes a condition on rows; every lookup here means the same on SQLite and
PostgreSQL. A lookup that is left out or null asks for nothing.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import strawberry
from django.db.models import F, Q, Value
from django.db.models.lookups import GreaterThan

from deals_api.db_vendor import NamePosition
from deals_api.limits import Limits
from deals_api.models import MAX_NAME_LENGTH
from deals_api.reports.deal_filter import DealSelection
from deals_api.reports.deal_stats import MEASURE_COLUMNS
from graphql_schema.scalars import BigInt

# Lookups


def one_of(values: str) -> str:
    return f"One of these {values}; at most {Limits().max_list_argument} may be given."


@strawberry.input(
    description="Conditions on a name; all of them must hold. Large and small letters differ, and blanks count."
)
class NameFilter:
    eq: str | None = strawberry.field(default=None, description="Exactly this name.")
    in_: list[str] | None = strawberry.field(default=None, name="in", description=one_of("names"))
    contains: str | None = strawberry.field(default=None, description="Has these letters in a row, anywhere.")

    def on(self, column: str) -> Q:
        condition = Q()
        if self.eq is not None:
            condition &= Q((column, clean_name(self.eq)))
        if self.in_ is not None:
            condition &= Q((f"{column}__in", list(map(clean_name, self.in_))))
        if self.contains is not None:
            text = clean_name(self.contains)
            # LIKE would take ASCII letters of either case for equal on SQLite only.
            contains = Q(GreaterThan(NamePosition(F(column), Value(text)), 0))
            condition &= contains if len(text) <= MAX_NAME_LENGTH else Q(pk__in=())  # a name has no more
        return condition


def searches(filter_: NameFilter | None) -> bool:
    """Whether the database looks for a text in every name."""
    text = None if filter_ is None else filter_.contains
    return text is not None and len(clean_name(text)) <= MAX_NAME_LENGTH


def clean_name(name: str) -> str:
    """As names are kept, but for blanks at the ends. NUL, which PostgreSQL does not take, stays what no name has."""
    return unicodedata.normalize("NFC", name).replace("\0", "\1")


_LOOKUPS: Final = {"eq": "exact", "in_": "in", "gte": "gte", "lte": "lte"}


class _Comparisons:
    """Shared by the filters of values that have an order."""

    def on(self, column: str, *names: str) -> Q:
        """The conditions on a column, or those of these names."""
        condition = Q()
        for name in names or ("eq", "in_", "gte", "lte"):
            value = getattr(self, name)
            if value is not None:
                condition &= Q((f"{column}__{_LOOKUPS[name]}", value))
        return condition


@strawberry.input(description="Conditions on an amount of money; all of them must hold.")
class MoneyFilter(_Comparisons):
    eq: Decimal | None = strawberry.field(default=None, description="Exactly this amount.")
    in_: list[Decimal] | None = strawberry.field(default=None, name="in", description=one_of("amounts"))
    gte: Decimal | None = strawberry.field(default=None, description="This amount or more.")
    lte: Decimal | None = strawberry.field(default=None, description="This amount or less.")


@strawberry.input(description="Conditions on a whole number; all of them must hold.")
class NumberFilter(_Comparisons):
    eq: BigInt | None = strawberry.field(default=None, description="Exactly this number.")
    in_: list[BigInt] | None = strawberry.field(default=None, name="in", description=one_of("numbers"))
    gte: BigInt | None = strawberry.field(default=None, description="This number or more.")
    lte: BigInt | None = strawberry.field(default=None, description="This number or less.")


@strawberry.input(description="Conditions on a moment; all of them must hold.")
class DateFilter(_Comparisons):
    eq: datetime | None = strawberry.field(default=None, description="Exactly this moment.")
    in_: list[datetime] | None = strawberry.field(default=None, name="in", description=one_of("moments"))
    gte: datetime | None = strawberry.field(default=None, description="This moment or later.")
    lte: datetime | None = strawberry.field(default=None, description="This moment or earlier.")


# Filters


def _all(filter_: Any, columns: dict[str, str]) -> Q:
    """The conditions of each field that is given, on the column beside it."""
    condition = Q()
    for name, column in columns.items():
        lookups = getattr(filter_, name)
        if lookups is not None:
            condition &= lookups.on(column)
    return condition


@strawberry.input(description="Which customers; all conditions must hold.")
class CustomerFilter:
    username: NameFilter | None = strawberry.field(default=None, description="The buyer's login.")
    spent_money: MoneyFilter | None = strawberry.field(default=None, description="Sum of all the customer's deals.")
    deal_count: NumberFilter | None = strawberry.field(default=None, description="Number of the customer's deals.")

    def condition(self) -> Q:
        return _all(self, {"username": "username", "spent_money": "spent_money", "deal_count": "deal_count"})


@strawberry.input(description="Which gems; all conditions must hold.")
class GemFilter:
    name: NameFilter | None = strawberry.field(default=None, description="The gem's name.")
    total: MoneyFilter | None = strawberry.field(default=None, description="Sum of all deals in the gem.")
    deal_count: NumberFilter | None = strawberry.field(default=None, description="Number of deals in the gem.")

    def condition(self) -> Q:
        return _all(self, {"name": "name", "total": "total", "deal_count": "deal_count"})


@strawberry.input(description="Which deals; all conditions must hold.")
class DealFilter:
    customer: NameFilter | None = strawberry.field(default=None, description="The buyer's login.")
    gem: NameFilter | None = strawberry.field(default=None, description="The gem's name.")
    total: MoneyFilter | None = strawberry.field(default=None, description="Sum of the deal, not a price a piece.")
    quantity: NumberFilter | None = strawberry.field(default=None, description="Pieces in the deal.")
    date: DateFilter | None = strawberry.field(default=None, description="When the deal was registered.")

    def selection(self) -> DealSelection:
        date = self.date or DateFilter()
        return DealSelection(
            customers=self.customer.on("username") if self.customer else None,
            gems=self.gem.on("name") if self.gem else None,
            deals=_all(self, {"total": "total", "quantity": "quantity"}) & date.on("date", "eq", "in_"),
            since=date.gte,
            until=date.lte,
            search_customers=searches(self.customer),
            search_gems=searches(self.gem),
        )


# Orders: each value is the columns, the last of them unique, ``-`` before a falling one


@strawberry.enum(description="How customers may be ordered; equal ones by username.")
class CustomerOrder(Enum):
    SPENT_MONEY_DESC = "-spent_money,username"
    SPENT_MONEY_ASC = "spent_money,username"
    USERNAME_ASC = "username"
    USERNAME_DESC = "-username"
    DEAL_COUNT_DESC = "-deal_count,username"
    DEAL_COUNT_ASC = "deal_count,username"
    LAST_DEAL_DESC = "-last_deal,username"
    LAST_DEAL_ASC = "last_deal,username"


@strawberry.enum(description="How gems may be ordered; equal ones by name.")
class GemOrder(Enum):
    TOTAL_DESC = "-total,name"
    TOTAL_ASC = "total,name"
    NAME_ASC = "name"
    NAME_DESC = "-name"
    DEAL_COUNT_DESC = "-deal_count,name"
    DEAL_COUNT_ASC = "deal_count,name"
    BUYER_COUNT_DESC = "-buyer_count,name"
    BUYER_COUNT_ASC = "buyer_count,name"


@strawberry.enum(
    description="How purchases may be ordered; equal ones by customer and gem as they first appear in the file, "
    "and the other way round in falling orders."
)
class PurchaseOrder(Enum):
    TOTAL_DESC = "-total,-id"
    TOTAL_ASC = "total,id"
    QUANTITY_DESC = "-quantity,-id"
    QUANTITY_ASC = "quantity,id"
    DEAL_COUNT_DESC = "-deal_count,-id"
    DEAL_COUNT_ASC = "deal_count,id"


@strawberry.enum(
    description="How deals may be ordered; FILE is their order in the file, and that of equal ones, "
    "which falling orders turn round."
)
class DealOrder(Enum):
    FILE_ASC = "id"
    FILE_DESC = "-id"
    DATE_ASC = "date,id"
    DATE_DESC = "-date,-id"
    TOTAL_DESC = "-total,-id"
    TOTAL_ASC = "total,id"
    QUANTITY_DESC = "-quantity,-id"
    QUANTITY_ASC = "quantity,id"


@strawberry.enum(description="How groups may be ordered. CUSTOMER, GEM and DATE are for groups that are made by them.")
class DealStatsOrder(Enum):
    TOTAL_DESC = "-total"
    TOTAL_ASC = "total"
    DEAL_COUNT_DESC = "-deal_count"
    DEAL_COUNT_ASC = "deal_count"
    QUANTITY_DESC = "-quantity"
    QUANTITY_ASC = "quantity"
    MIN_TOTAL_DESC = "-min_total"
    MIN_TOTAL_ASC = "min_total"
    MAX_TOTAL_DESC = "-max_total"
    MAX_TOTAL_ASC = "max_total"
    AVERAGE_TOTAL_DESC = "-average_total"
    AVERAGE_TOTAL_ASC = "average_total"
    CUSTOMER_ASC = "customer"
    CUSTOMER_DESC = "-customer"
    GEM_ASC = "gem"
    GEM_DESC = "-gem"
    DATE_ASC = "date"
    DATE_DESC = "-date"


@strawberry.input(description="Which groups, by what they add up to; all conditions must hold.")
class DealStatsFilter:
    deal_count: NumberFilter | None = strawberry.field(default=None, description="Number of deals in the group.")
    quantity: NumberFilter | None = strawberry.field(default=None, description="Pieces in all deals of the group.")
    total: MoneyFilter | None = strawberry.field(default=None, description="Sum of all deals of the group.")
    min_total: MoneyFilter | None = strawberry.field(default=None, description="Sum of the smallest deal.")
    max_total: MoneyFilter | None = strawberry.field(default=None, description="Sum of the largest deal.")
    average_total: MoneyFilter | None = strawberry.field(
        default=None, description="Average sum of a deal, rounded half up to two decimals."
    )

    def condition(self) -> Q:
        return _all(self, MEASURE_COLUMNS)

    def measures(self) -> set[str]:
        """The names of the measures that are compared."""
        return {name for name in MEASURE_COLUMNS if getattr(self, name) is not None}
