"""Filter and order inputs, and their translation to ORM lookups.

The conditions of a filter are combined with AND; omitted and null conditions are ignored. Every lookup has the same
result on SQLite and PostgreSQL.
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


def in_description(values: str) -> str:
    return f"Equal to one of these {values}, at most {Limits().max_list_argument}."


@strawberry.input(description="Conditions on a name, combined with AND. Case and whitespace are significant.")
class NameFilter:
    eq: str | None = strawberry.field(default=None, description="Equal to this name.")
    in_: list[str] | None = strawberry.field(default=None, name="in", description=in_description("names"))
    contains: str | None = strawberry.field(default=None, description="Contains this substring.")

    def condition(self, column: str) -> Q:
        condition = Q()
        if self.eq is not None:
            condition &= Q((column, clean_name(self.eq)))
        if self.in_ is not None:
            condition &= Q((f"{column}__in", list(map(clean_name, self.in_))))
        if self.contains is not None:
            text = clean_name(self.contains)
            # On SQLite, LIKE ignores the case of ASCII letters.
            contains = Q(GreaterThan(NamePosition(F(column), Value(text)), 0))
            condition &= contains if len(text) <= MAX_NAME_LENGTH else Q(pk__in=())  # Stored names are not longer.
        return condition


def needs_substring_search(filter_: NameFilter | None) -> bool:
    """Return whether the database has to search every name for a substring."""
    text = None if filter_ is None else filter_.contains
    return text is not None and len(clean_name(text)) <= MAX_NAME_LENGTH


def clean_name(name: str) -> str:
    """Normalize a name like stored names, except for surrounding whitespace.

    NUL is replaced by a character that no stored name contains, because PostgreSQL rejects NUL in parameters.
    """
    return unicodedata.normalize("NFC", name).replace("\0", "\1")


_LOOKUPS: Final = {"eq": "exact", "in_": "in", "gte": "gte", "lte": "lte"}


class _Comparisons:
    """Base of the filters on ordered values."""

    def condition(self, column: str, *names: str) -> Q:
        """Return the condition on a column: all comparisons, or only those in ``names``."""
        condition = Q()
        for name in names or ("eq", "in_", "gte", "lte"):
            value = getattr(self, name)
            if value is not None:
                condition &= Q((f"{column}__{_LOOKUPS[name]}", value))
        return condition


@strawberry.input(description="Conditions on an amount of money, combined with AND.")
class MoneyFilter(_Comparisons):
    eq: Decimal | None = strawberry.field(default=None, description="Equal to this amount.")
    in_: list[Decimal] | None = strawberry.field(default=None, name="in", description=in_description("amounts"))
    gte: Decimal | None = strawberry.field(default=None, description="Greater than or equal to this amount.")
    lte: Decimal | None = strawberry.field(default=None, description="Less than or equal to this amount.")


@strawberry.input(description="Conditions on a whole number, combined with AND.")
class NumberFilter(_Comparisons):
    eq: BigInt | None = strawberry.field(default=None, description="Equal to this number.")
    in_: list[BigInt] | None = strawberry.field(default=None, name="in", description=in_description("numbers"))
    gte: BigInt | None = strawberry.field(default=None, description="Greater than or equal to this number.")
    lte: BigInt | None = strawberry.field(default=None, description="Less than or equal to this number.")


@strawberry.input(description="Conditions on a time, combined with AND.")
class DateFilter(_Comparisons):
    eq: datetime | None = strawberry.field(default=None, description="Equal to this time.")
    in_: list[datetime] | None = strawberry.field(default=None, name="in", description=in_description("times"))
    gte: datetime | None = strawberry.field(default=None, description="At or after this time.")
    lte: datetime | None = strawberry.field(default=None, description="At or before this time.")


# Filters


def _combine(filter_: Any, columns: dict[str, str]) -> Q:
    """Combine the conditions of a filter with AND; ``columns`` maps its fields to database columns."""
    condition = Q()
    for name, column in columns.items():
        lookups = getattr(filter_, name)
        if lookups is not None:
            condition &= lookups.condition(column)
    return condition


@strawberry.input(description="Conditions on customers, combined with AND.")
class CustomerFilter:
    username: NameFilter | None = strawberry.field(default=None, description="The username of the customer.")
    spent_money: MoneyFilter | None = strawberry.field(default=None, description="Sum of all deals of the customer.")
    deal_count: NumberFilter | None = strawberry.field(default=None, description="Number of deals of the customer.")

    def condition(self) -> Q:
        return _combine(self, {"username": "username", "spent_money": "spent_money", "deal_count": "deal_count"})


@strawberry.input(description="Conditions on gems, combined with AND.")
class GemFilter:
    name: NameFilter | None = strawberry.field(default=None, description="The name of the gem.")
    total: MoneyFilter | None = strawberry.field(default=None, description="Sum of all deals for the gem.")
    deal_count: NumberFilter | None = strawberry.field(default=None, description="Number of deals for the gem.")

    def condition(self) -> Q:
        return _combine(self, {"name": "name", "total": "total", "deal_count": "deal_count"})


@strawberry.input(description="Conditions on deals, combined with AND.")
class DealFilter:
    customer: NameFilter | None = strawberry.field(default=None, description="The username of the customer.")
    gem: NameFilter | None = strawberry.field(default=None, description="The name of the gem.")
    total: MoneyFilter | None = strawberry.field(default=None, description="Sum of the deal, not a unit price.")
    quantity: NumberFilter | None = strawberry.field(default=None, description="Quantity of the deal.")
    date: DateFilter | None = strawberry.field(default=None, description="The time of the deal.")

    def selection(self) -> DealSelection:
        date = self.date or DateFilter()
        return DealSelection(
            customers=self.customer.condition("username") if self.customer else None,
            gems=self.gem.condition("name") if self.gem else None,
            deals=_combine(self, {"total": "total", "quantity": "quantity"}) & date.condition("date", "eq", "in_"),
            since=date.gte,
            until=date.lte,
            search_customers=needs_substring_search(self.customer),
            search_gems=needs_substring_search(self.gem),
        )


# Sort orders, in the format that ``pagination.Order.parse`` reads


@strawberry.enum(description="Sort orders of customers; ties are sorted by username.")
class CustomerOrder(Enum):
    SPENT_MONEY_DESC = "-spent_money,username"
    SPENT_MONEY_ASC = "spent_money,username"
    USERNAME_ASC = "username"
    USERNAME_DESC = "-username"
    DEAL_COUNT_DESC = "-deal_count,username"
    DEAL_COUNT_ASC = "deal_count,username"
    LAST_DEAL_DESC = "-last_deal,username"
    LAST_DEAL_ASC = "last_deal,username"


@strawberry.enum(description="Sort orders of gems; ties are sorted by name.")
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
    description="Sort orders of purchases; ties are sorted by customer and gem, as in the file, in reverse in "
    "descending orders."
)
class PurchaseOrder(Enum):
    TOTAL_DESC = "-total,-id"
    TOTAL_ASC = "total,id"
    QUANTITY_DESC = "-quantity,-id"
    QUANTITY_ASC = "quantity,id"
    DEAL_COUNT_DESC = "-deal_count,-id"
    DEAL_COUNT_ASC = "deal_count,id"


@strawberry.enum(
    description="Sort orders of deals. FILE is the order in the file; ties are sorted by it, in reverse in "
    "descending orders."
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


@strawberry.enum(
    description="Sort orders of groups. CUSTOMER, GEM and DATE require that the deals are grouped by them; DATE is the "
    "first day of the shortest period."
)
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


@strawberry.input(description="Conditions on the totals of groups, combined with AND.")
class DealStatsFilter:
    deal_count: NumberFilter | None = strawberry.field(default=None, description="Number of deals in the group.")
    quantity: NumberFilter | None = strawberry.field(default=None, description="Total quantity of the group.")
    total: MoneyFilter | None = strawberry.field(default=None, description="Sum of all deals of the group.")
    min_total: MoneyFilter | None = strawberry.field(default=None, description="Sum of the smallest deal.")
    max_total: MoneyFilter | None = strawberry.field(default=None, description="Sum of the largest deal.")
    average_total: MoneyFilter | None = strawberry.field(
        default=None, description="Average sum of a deal, rounded half up to two decimals."
    )

    def condition(self) -> Q:
        return _combine(self, MEASURE_COLUMNS)

    def measures(self) -> set[str]:
        """Return the names of the measures with a condition."""
        return {name for name in MEASURE_COLUMNS if getattr(self, name) is not None}
