"""Sort orders of lists. Names are sorted by code point.

A value lists the columns of the order, separated by commas; ``-`` marks a descending column. The last column is unique
within an upload, so each order is total.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class CustomerOrder(Enum):
    """Sort orders of customers; ties are sorted by username."""

    SPENT_MONEY_DESC = "-spent_money,username"
    SPENT_MONEY_ASC = "spent_money,username"
    USERNAME_ASC = "username"
    USERNAME_DESC = "-username"
    DEAL_COUNT_DESC = "-deal_count,username"
    DEAL_COUNT_ASC = "deal_count,username"
    GEM_COUNT_DESC = "-gem_count,username"
    GEM_COUNT_ASC = "gem_count,username"
    FIRST_DEAL_DESC = "-first_deal,username"
    FIRST_DEAL_ASC = "first_deal,username"
    LAST_DEAL_DESC = "-last_deal,username"
    LAST_DEAL_ASC = "last_deal,username"


class GemOrder(Enum):
    """Sort orders of gems; ties are sorted by name."""

    TOTAL_DESC = "-total,name"
    TOTAL_ASC = "total,name"
    NAME_ASC = "name"
    NAME_DESC = "-name"
    DEAL_COUNT_DESC = "-deal_count,name"
    DEAL_COUNT_ASC = "deal_count,name"
    BUYER_COUNT_DESC = "-buyer_count,name"
    BUYER_COUNT_ASC = "buyer_count,name"
    FIRST_DEAL_DESC = "-first_deal,name"
    FIRST_DEAL_ASC = "first_deal,name"
    LAST_DEAL_DESC = "-last_deal,name"
    LAST_DEAL_ASC = "last_deal,name"


class PurchaseOrder(Enum):
    """Sort orders of purchases; ties are sorted by customer and gem, as in the file, in reverse in descending
    orders."""

    TOTAL_DESC = "-total,-id"
    TOTAL_ASC = "total,id"
    QUANTITY_DESC = "-quantity,-id"
    QUANTITY_ASC = "quantity,id"
    DEAL_COUNT_DESC = "-deal_count,-id"
    DEAL_COUNT_ASC = "deal_count,id"
    CUSTOMER_ASC = "customer__username,id"
    CUSTOMER_DESC = "-customer__username,-id"
    GEM_ASC = "gem__name,id"
    GEM_DESC = "-gem__name,-id"


class DealOrder(Enum):
    """Sort orders of deals. FILE is the order in the file; ties are sorted by it, in reverse in descending orders."""

    FILE_ASC = "id"
    FILE_DESC = "-id"
    DATE_ASC = "date,id"
    DATE_DESC = "-date,-id"
    TOTAL_DESC = "-total,-id"
    TOTAL_ASC = "total,id"
    QUANTITY_DESC = "-quantity,-id"
    QUANTITY_ASC = "quantity,id"
    CUSTOMER_ASC = "customer__username,id"
    CUSTOMER_DESC = "-customer__username,-id"
    GEM_ASC = "gem__name,id"
    GEM_DESC = "-gem__name,-id"


class DealStatsOrder(Enum):
    """Sort orders of groups. CUSTOMER, GEM and DATE require that the deals are grouped by them; DATE is the first day
    of the shortest period."""

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


_NUMBERS: Final = ("smallest first", "largest first")
_NAMES: Final = ("ascending by code point", "descending by code point")
_DATES: Final = ("earliest first", "latest first")
#: The sorted column, and the ascending and the descending direction, by the beginning of the name of a value.
_DESCRIPTIONS: Final = {
    "SPENT_MONEY": ("By the sum of all deals", _NUMBERS),
    "USERNAME": ("By username", _NAMES),
    "NAME": ("By name", _NAMES),
    "DEAL_COUNT": ("By the number of deals", _NUMBERS),
    "GEM_COUNT": ("By the number of different gems", _NUMBERS),
    "BUYER_COUNT": ("By the number of different customers", _NUMBERS),
    "FIRST_DEAL": ("By the time of the earliest deal", _DATES),
    "LAST_DEAL": ("By the time of the latest deal", _DATES),
    "TOTAL": ("By sum", _NUMBERS),
    "QUANTITY": ("By quantity", _NUMBERS),
    "MIN_TOTAL": ("By the sum of the smallest deal", _NUMBERS),
    "MAX_TOTAL": ("By the sum of the largest deal", _NUMBERS),
    "AVERAGE_TOTAL": ("By the average sum of a deal", _NUMBERS),
    "CUSTOMER": ("By the username of the customer", _NAMES),
    "GEM": ("By the name of the gem", _NAMES),
    "DATE": ("By date", _DATES),
    "FILE": ("By the position in the file", ("first line first", "last line first")),
}


def describe(order: Enum) -> str:
    column, direction = order.name.rsplit("_", 1)
    sorted_by, directions = _DESCRIPTIONS[column]
    return f"{sorted_by}, {directions[direction == 'DESC']}."
