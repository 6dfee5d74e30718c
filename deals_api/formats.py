"""Formats of dates, money, JSON and terminal text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import simplejson

#: Columns of a deals file.
COLUMNS: Final = ("customer", "item", "total", "quantity", "date")
#: Blanks that are ignored around the value of a cell.
BLANKS: Final = "\t " + "".join(chr(code) for code in (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000))

_DATE: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)"
    r" ?(Z|[+-][0-9]{2}(?::?[0-5][0-9])?)?"
)


def printable(text: str) -> str:
    """Escape control characters in text from a client or a file."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def read_date(cell: str) -> str:
    """Parse a date and return it as ISO 8601 in UTC without an offset.

    Raises: ValueError, with the reason as a predicate.
    """
    text = cell.strip(BLANKS)
    match = _DATE.fullmatch(text)
    if match is None:
        if re.fullmatch(r"[0-9 T:-]{19}\.[0-9]{7,}", text):
            raise ValueError("has more than six decimal places in its seconds")
        raise ValueError("is not a date and time such as 2018-12-14 08:29:52")
    day, time, offset = match.groups()
    try:
        parsed = datetime.fromisoformat(f"{day} {time}{offset or ''}")
        if offset:
            return parsed.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    except (ValueError, OverflowError):
        raise ValueError("is not a valid calendar date and time") from None
    return f"{day} {time}"


def format_money(money: Decimal) -> Decimal:
    """Return the amount in its shortest notation, without an exponent: 451731, 100.5, 0.25."""
    integer = money.to_integral_value()
    return integer if integer == money else money.normalize()


def dump_json(data: Any, indent: int | None = None) -> bytes:
    """Serialize to JSON with exact decimals, without binary floats."""
    separators = (",", ":") if indent is None else (",", ": ")
    text: str = simplejson.dumps(data, use_decimal=True, ensure_ascii=False, separators=separators, indent=indent)
    return text.encode()


def load_json(text: bytes) -> Any:
    """Parse the output of ``dump_json``."""
    return simplejson.loads(text, use_decimal=True)
