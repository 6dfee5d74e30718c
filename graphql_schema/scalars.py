"""Custom scalars: parsing and serialization."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import strawberry
from graphql import ValueNode, print_ast, value_from_ast_untyped
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.types.scalar import ScalarDefinition

from deals_api.formats import BigInt as BigInt
from deals_api.formats import format_money, parse_big_int, parse_datetime, parse_money

_RFC_3339: Final = "https://www.rfc-editor.org/rfc/rfc3339#section-5.6"


def _scalar(parse: Callable[[Any], Any], expected: str, **options: Any) -> ScalarDefinition:
    """Define a scalar.

    ``parse`` raises ValueError for invalid input. ``expected`` describes the valid format in error messages.
    """

    def parse_value(value: Any) -> Any:
        try:
            return parse(value)
        except ValueError:
            raise StrawberryInputCoercionError(f"Expected {expected}.") from None

    def parse_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        try:
            return parse(value_from_ast_untyped(node, variables))
        except ValueError:
            raise StrawberryInputCoercionError(f"Expected {expected}, not {print_ast(node)}.", node) from None

    definition: ScalarDefinition = strawberry.scalar(parse_value=parse_value, parse_literal=parse_literal, **options)
    return definition


def _parse_date(value: Any) -> date:
    if not (isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        raise ValueError
    return date.fromisoformat(value)


def _serialize_money(value: Decimal) -> str:
    return f"{format_money(value):f}"


def _serialize_datetime(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


SCALARS: Final[dict[object, ScalarDefinition]] = {
    Decimal: _scalar(
        parse_money,
        'an amount such as "612" or "100.50"',
        name="Money",
        description="An exact amount in the currency of the file: a decimal with at most two decimal places, such as "
        '"451731" or "100.5", from 0 to 92233720368547758.07. Only a difference may have a sign: "-100.5". A string, '
        "because floating-point numbers are inexact. An integer is also accepted as input.",
        specified_by_url="https://www.w3.org/TR/xmlschema-2/#decimal",
        serialize=_serialize_money,
    ),
    BigInt: _scalar(
        parse_big_int,
        "a whole number of up to 64 bits",
        name="BigInt",
        description="A signed 64-bit integer as a JSON number. No count or quantity in a file exceeds "
        "9007199254740991, the largest safe integer in JavaScript.",
        specified_by_url="https://www.w3.org/TR/xmlschema-2/#long",
        serialize=int,
    ),
    datetime: _scalar(
        parse_datetime,
        'a date and time such as "2018-12-14T08:29:52Z"',
        name="DateTime",
        description="A date-time of RFC 3339, in UTC, with six decimals or none: 2018-12-14T08:29:52.506166Z. Input "
        "may have another UTC offset and up to six decimals; without an offset it is in UTC. Leap seconds are invalid.",
        specified_by_url=_RFC_3339,
        serialize=_serialize_datetime,
    ),
    date: _scalar(
        _parse_date,
        'a date such as "2018-12-14"',
        name="Date",
        description="A full-date of RFC 3339, in UTC: 2018-12-14.",
        specified_by_url=_RFC_3339,
        serialize=date.isoformat,
    ),
}


def register_enum(cls: type[Enum], values: Mapping[str, str], description: str, name: str | None = None) -> None:
    """Register an enum of another module in the schema; ``values`` maps the names of its members to descriptions."""
    definition: Any = strawberry.enum(cls, name=name, description=description)
    for value in definition.__strawberry_definition__.values:
        value.description = values[value.name]
