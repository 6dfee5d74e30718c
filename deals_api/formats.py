"""Formats of dates, money, JSON and terminal text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import simplejson


def printable(text: str) -> str:
    """Escape control characters in text from a client or a file."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


COLUMNS: Final = ("customer", "item", "total", "quantity", "date")


_DATE: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)"
    r" ?(Z|[+-][0-9]{2}(?::?[0-5][0-9])?)?"
)


BLANKS: Final = "\t " + "".join(chr(code) for code in (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000))


def read_date(cell: str) -> str:
    """Parse a date and return it as ISO 8601 in UTC without an offset."""
    text = cell.strip(BLANKS)
    parts = _DATE.fullmatch(text)
    if parts is None:
        if re.fullmatch(r"[0-9 T:-]{19}\.[0-9]{7,}", text):
            raise ValueError("has more than six decimal places in its seconds")
        raise ValueError("is not a date and time such as 2018-12-14 08:29:52")
    day, time, offset = parts.groups()
    try:
        moment = datetime.fromisoformat(f"{day} {time}{offset or ''}")
        if offset:
            return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    except (ValueError, OverflowError):
        raise ValueError("is no date and time of the calendar") from None
    return f"{day} {time}"


def format_money(money: Decimal) -> Decimal:
    """Shortest notation of an amount: 451731, 100.5, 0.25; never an exponent."""
    whole = money.to_integral_value()
    return whole if whole == money else money.normalize()


def dump_json(data: Any, indent: int | None = None) -> bytes:
    """Serialize to JSON with exact decimals, without binary floats."""
    separators = (",", ":") if indent is None else (",", ": ")
    text: str = simplejson.dumps(data, use_decimal=True, ensure_ascii=False, separators=separators, indent=indent)
    return text.encode()


def load_json(text: bytes) -> Any:
    """Parse the output of ``dump_json``."""
    return simplejson.loads(text, use_decimal=True)
