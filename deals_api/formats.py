"""Formats of dates, money, JSON and terminal text."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NewType

from msgspec import json

#: An integer of 64 bits, a scalar of GraphQL.
BigInt = NewType("BigInt", int)

_MIN: Final = -(2**63)
#: Greatest integer of 64 bits, and greatest amount in hundredths.
_MAX: Final = 2**63 - 1
_MONEY: Final = re.compile(r"[0-9]{1,17}(?:\.[0-9]{1,2})?")
#: Columns of a deals file.
COLUMNS: Final = ("customer", "item", "total", "quantity", "date")
#: The decimals of each number of hundredths, without zeros at the end.
_DECIMALS: Final = ["", *(f".{hundredths:02}".rstrip("0") for hundredths in range(1, 100))]
_json_encoder: Final = json.Encoder(decimal_format="number")
_json_decoder: Final = json.Decoder(float_hook=Decimal)
_ISO_DATE: Final = re.compile(
    r"([0-9]{4})([-/])([0-9]{1,2})\2([0-9]{1,2})[ T]"
    r"([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:[.,]([0-9]{1,6})0*)?)?"
    r"(?: UTC| ?Z| ?([+-])([0-9]{2})(?::?([0-5][0-9]))?)?"
)


def printable(text: str) -> str:
    """Escape control characters in text from a client or a file."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def parse_iso_date(text: str) -> datetime | None:
    """Parse ISO 8601, also with ``/``, one-digit parts and a decimal comma; return the naive time in UTC.

    Returns None for any other form, seconds with more than six decimals included.
    Raises: ValueError, if there is no such date or time.
    """
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        return None
    year, _, month, day, hour, minute, second, fraction, sign, *offset = match.groups(default="0")
    local = datetime(  # noqa: DTZ001
        int(year), int(month), int(day), int(hour), int(minute), int(second), int(fraction.ljust(6, "0"))
    )
    hours, minutes = map(int, offset)
    if hours > 23:
        raise ValueError("The offset is a day or more.")
    distance = timedelta(hours=hours, minutes=minutes)
    try:
        return local + distance if sign == "-" else local - distance
    except OverflowError as error:
        raise ValueError("The date is not a year from 1 to 9999 in UTC.") from error


def parse_money(value: Any) -> Decimal:
    """Convert a string or an integer of JSON. Raises: ValueError."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not (isinstance(text, str) and _MONEY.fullmatch(text)) or Decimal(text) * 100 > _MAX:
        raise ValueError('Expected an amount such as "612" or "100.50".')
    return Decimal(text)


def parse_big_int(value: Any) -> int:
    """Check an integer of JSON. Raises: ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not _MIN <= value <= _MAX:
        raise ValueError("Expected a whole number of up to 64 bits.")
    return value


def parse_datetime(value: Any) -> datetime:
    """Convert a string of JSON; without an offset, the time is in UTC. Raises: ValueError."""
    moment = None
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # Its message is that of Python's datetime.
            moment = parse_iso_date(value.strip().upper())  # RFC 3339 allows ``t`` and ``z``.
    if moment is None:
        raise ValueError('Expected a date and time such as "2018-12-14T08:29:52Z".')
    return moment.replace(tzinfo=UTC)


def format_money(money: Decimal) -> Decimal:
    """Return the amount in its shortest notation, without an exponent: 451731, 100.5, 0.25.

    Raises: ValueError or OverflowError, for NaN and infinity, which JSON cannot represent.
    """
    integer = int(money)
    return Decimal(integer) if integer == money else money.normalize()


def format_hundredths(hundredths: int) -> str:
    """Return the shortest notation of an amount that is not negative: 45173100 becomes 451731, and 10050 100.5."""
    return f"{hundredths // 100}{_DECIMALS[hundredths % 100]}"


def dump_json(data: Any, indent: int | None = None) -> bytes:
    """Serialize to JSON with exact decimals, which must be finite, and without binary floats.

    Raises: UnicodeEncodeError, for an unpaired surrogate.
    """
    content = _json_encoder.encode(data)
    return content if indent is None else json.format(content, indent=indent)


def load_json(text: bytes) -> Any:
    """Parse the output of ``dump_json``."""
    return _json_decoder.decode(text)
