"""A model of uploaded files in plain Python: deals, customers, gems, purchases, their orders, filters and groups."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

HEADER = "customer,item,total,quantity,date"


@dataclass(frozen=True)
class Deal:
    """A line of a file; ``total`` in hundredths, ``date`` in UTC."""

    number: int
    customer: str
    gem: str
    total: int
    quantity: int
    date: datetime


@dataclass
class Group:
    """Deals with something in common: those of a customer, for a gem, of a purchase, or of a group of statistics."""

    number: int
    deals: list[Deal] = field(default_factory=list)
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(deal.total for deal in self.deals)

    @property
    def quantity(self) -> int:
        return sum(deal.quantity for deal in self.deals)

    @property
    def deal_count(self) -> int:
        return len(self.deals)

    @property
    def min_total(self) -> int:
        return min(deal.total for deal in self.deals)

    @property
    def max_total(self) -> int:
        return max(deal.total for deal in self.deals)

    @property
    def average_total(self) -> int:
        return round_half_up(Fraction(self.total, len(self.deals)))

    @property
    def first_deal(self) -> datetime:
        return min(deal.date for deal in self.deals)

    @property
    def last_deal(self) -> datetime:
        return max(deal.date for deal in self.deals)

    @property
    def customer(self) -> str:
        return self.deals[0].customer

    @property
    def gem(self) -> str:
        return self.deals[0].gem

    @property
    def gem_count(self) -> int:
        return len({deal.gem for deal in self.deals})

    @property
    def buyer_count(self) -> int:
        return len({deal.customer for deal in self.deals})


def round_half_up(number: Fraction) -> int:
    return int((number + Fraction(1, 2)).__floor__())


class Customer(Group):
    @property
    def name(self) -> str:
        return self.customer


class Gem(Group):
    @property
    def name(self) -> str:
        return self.gem


class Purchase(Group):
    pass


class File:
    """The contents of one upload. Numbers count from 1, customers and gems in the order of their first deals."""

    def __init__(self, name: str, content: bytes, deals: Sequence[Deal]) -> None:
        self.name = name
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.deals = list(deals)
        self.customers = _grouped(Customer, deals, lambda deal: deal.customer)
        self.gems = _grouped(Gem, deals, lambda deal: deal.gem)
        pairs = _grouped(Purchase, deals, lambda deal: (deal.customer, deal.gem))
        self.purchases = {pair: pairs[pair] for pair in sorted(pairs, key=self._numbers)}
        for number, purchase in enumerate(self.purchases.values(), 1):
            purchase.number = number

    def _numbers(self, pair: tuple[str, str]) -> tuple[int, int]:
        customer, gem = pair
        return self.customers[customer].number, self.gems[gem].number

    def rows(self, type_name: str) -> list[Any]:
        return {
            "Deal": self.deals,
            "Customer": list(self.customers.values()),
            "Gem": list(self.gems.values()),
            "Purchase": list(self.purchases.values()),
        }[type_name]


def _grouped(kind: type[Any], deals: Iterable[Deal], key: Callable[[Deal], Any]) -> dict[Any, Any]:
    groups: dict[Any, Any] = {}
    for deal in deals:
        groups.setdefault(key(deal), kind(len(groups) + 1)).deals.append(deal)
    return groups


# Comparisons

#: Columns of customers and gems, which differ if any of them does.
COLUMNS = ("total", "deal_count", "gem_count", "buyer_count", "first_deal", "last_deal")


@dataclass(eq=False)
class Change:
    """A customer or gem of one upload, and the one of the same name in another upload."""

    base: Any
    head: Any

    @property
    def name(self) -> str:
        return str((self.head or self.base).name)

    @property
    def kind(self) -> str:
        if self.base is None or self.head is None:
            return "ADDED" if self.base is None else "REMOVED"
        differs = any(getattr(self.base, column) != getattr(self.head, column) for column in COLUMNS)
        return "CHANGED" if differs else "UNCHANGED"

    def difference(self, column: str) -> int:
        values = [0 if row is None else getattr(row, column) for row in (self.base, self.head)]
        return int(values[1] - values[0])


class CustomerChange(Change):
    pass


class GemChange(Change):
    pass


class UploadComparison:
    """The customers and gems of two uploads, by name."""

    def __init__(self, base: File, head: File) -> None:
        self.base, self.head = base, head
        self.customers = _changes(CustomerChange, base.customers, head.customers)
        self.gems = _changes(GemChange, base.gems, head.gems)

    def difference(self, count: Callable[[File], int]) -> int:
        return count(self.head) - count(self.base)


def _changes(kind: type[Any], base: dict[str, Any], head: dict[str, Any]) -> list[Any]:
    return [kind(base.get(name), head.get(name)) for name in sorted({*base, *head})]


# Orders


def sort_key(type_name: str, order: str) -> Callable[[Any], Any]:
    """Return the key of a row in an order such as ``TOTAL_DESC``; keys of descending values are negated."""
    column, _, direction = order.rpartition("_")
    sign = -1 if direction == "DESC" else 1

    def key(row: Any) -> Any:
        value = _column(type_name, column.lower(), row)
        # Customers and gems with equal values are ordered by name, other rows as in the file, also in reverse.
        tie = (1, row.name) if type_name in ("Customer", "Gem") else (sign, row.number)
        return Reversible(value, sign), Reversible(tie[1], tie[0])

    return key


def _column(type_name: str, column: str, row: Any) -> Any:
    if column == "file":
        return row.number
    if column in ("username", "name"):
        return row.name
    return getattr(row, {"spent_money": "total"}.get(column, column))


class Reversible:
    """A value that is compared in reverse if ``sign`` is -1."""

    def __init__(self, value: Any, sign: int) -> None:
        self.value, self.sign = value, sign

    def __lt__(self, other: Reversible) -> bool:
        return bool(self.value < other.value if self.sign == 1 else other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reversible) and bool(self.value == other.value)


# Filters


def normalize(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def fold(name: str) -> str:
    return normalize(normalize(name).casefold())


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, other: value == other,
    "in": lambda value, others: value in others,
    "lt": lambda value, other: value < other,
    "lte": lambda value, other: value <= other,
    "gt": lambda value, other: value > other,
    "gte": lambda value, other: value >= other,
    "contains": lambda name, text: text in name,
    "startsWith": lambda name, prefix: name.startswith(prefix),
    "iEq": lambda name, other: fold(name) == fold(other),
    "iContains": lambda name, text: fold(text) in fold(name),
    "iStartsWith": lambda name, prefix: fold(name).startswith(fold(prefix)),
}


def meets(value: Any, comparisons: dict[str, Any]) -> bool:
    return all(COMPARISONS[name](value, other) for name, other in comparisons.items() if other is not None)


#: Attributes of a row by the field of a filter.
ATTRIBUTES = {
    "username": "name", "name": "name", "spentMoney": "total", "customer": "customer", "gem": "gem", "total": "total",
    "quantity": "quantity", "date": "date", "dealCount": "deal_count", "gemCount": "gem_count",
    "buyerCount": "buyer_count", "firstDeal": "first_deal", "lastDeal": "last_deal", "minTotal": "min_total",
    "maxTotal": "max_total", "averageTotal": "average_total",
}  # fmt: skip


def matches(row: Any, conditions: dict[str, Any] | None) -> bool:
    """Return whether a row meets a filter; null conditions are ignored."""
    return all(_matches(row, name, value) for name, value in (conditions or {}).items() if value is not None)


def _matches(row: Any, name: str, value: Any) -> bool:
    if name == "AND":
        return all(matches(row, operand) for operand in value)
    if name == "OR":
        return any(matches(row, operand) for operand in value)
    if name == "NOT":
        return not matches(row, value)
    if name == "boughtGem":
        return any(meets(deal.gem, value) for deal in row.deals)
    if name == "boughtBy":
        return any(meets(deal.customer, value) for deal in row.deals)
    return meets(getattr(row, ATTRIBUTES[name]), value)


# Statistics

#: The longest period first.
PERIODS: dict[str, Callable[[datetime], Any]] = {
    "YEAR": lambda time: time.year,
    "QUARTER": lambda time: date(time.year, time.month - (time.month - 1) % 3, 1),
    "MONTH": lambda time: date(time.year, time.month, 1),
    "WEEK": lambda time: time.date() - timedelta(days=time.isoweekday() - 1),
    "DAY": lambda time: time.date(),
}


def statistics(file: File, deals: list[Deal], by: list[str], having: dict[str, Any] | None, order: str) -> list[Group]:
    """Return the groups that meet ``having``, in their order. Without keys, all deals are one group."""
    keys = [key for key in ("CUSTOMER", "GEM", *PERIODS) if key in by]

    def values(deal: Deal) -> tuple[Any, ...]:
        names = {"CUSTOMER": file.customers[deal.customer].number, "GEM": file.gems[deal.gem].number}
        return tuple(names[key] if key in names else PERIODS[key](deal.date) for key in keys)

    groups = _grouped(Group, deals, values)
    for value, group in groups.items():
        group.keys = dict(zip(keys, value, strict=True))
    column, _, direction = order.rpartition("_")
    sign = -1 if direction == "DESC" else 1

    def key(value: tuple[Any, ...]) -> Any:
        group = groups[value]
        if column == "DATE":
            first: Any = value[-1]
        else:
            first = getattr(group, column.lower())
        return Reversible(first, sign), value

    return [groups[value] for value in sorted(groups, key=key) if matches(groups[value], having)]
