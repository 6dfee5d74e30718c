"""A simple and slow parser of deals files, with which ``deals_api.ingest.csv_reader`` is compared.

It implements the documented rules one character at a time, and shares no code with the parser under test.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

COLUMNS = ["customer", "item", "total", "quantity", "date"]
#: Line number and column; the column is None if the whole line is invalid.
Problem = tuple[int, str | None]


@dataclass(frozen=True)
class Deal:
    customer: str
    item: str
    total: Decimal
    quantity: int
    date: datetime


class NotATable(Exception):
    """The file has no valid header, or no deals below it."""


class InvalidRows(Exception):
    """The file has invalid cells or lines; ``problems`` lists them in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


class _InvalidCell(Exception):
    """A cell is not a valid value of its column."""


class _NotCSV(Exception):
    """A record violates the CSV rules of quotes or line breaks."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def read(text: str) -> list[Deal]:
    """Return the deals of a decoded file.

    Raises: NotATable, InvalidRows.
    """
    first_line = 1
    while text and not text.partition("\n")[0].strip():
        first_line, text = first_line + 1, text.partition("\n")[2]
    for delimiter in (",", ";", "\t"):
        rows = _records(text, delimiter, first_line)
        try:
            _, header = next(rows, (1, []))
        except _NotCSV:
            continue
        names = [_strip_blanks(cell).casefold() for cell in header]
        if all(names.count(column) == 1 for column in COLUMNS) and not any("\0" in cell for cell in header):
            return _deals(rows, names)
    raise NotATable


def _deals(rows: Iterator[tuple[int, list[str]]], names: list[str]) -> list[Deal]:
    parsers = dict(zip(COLUMNS, (_parse_name, _parse_name, _parse_money, _parse_quantity, _parse_date), strict=True))
    deals: list[Deal] = []
    problems: list[Problem] = []
    try:
        for line, cells in rows:
            if not any(_strip_blanks(cell) for cell in cells):
                continue
            if len(cells) <= max(map(names.index, COLUMNS)) or any(map(_strip_blanks, cells[len(names) :])):
                problems.append((line, None))
                continue
            values: list[Any] = []
            for column, parse in parsers.items():
                try:
                    values.append(parse(_strip_blanks(cells[names.index(column)])))
                except _InvalidCell:
                    problems.append((line, column))
            if len(values) == len(COLUMNS):
                deals.append(Deal(*values))
    except _NotCSV as error:
        problems.append((error.line, None))
    if problems:
        raise InvalidRows(problems)
    if not deals:
        raise NotATable
    return deals


def _records(text: str, delimiter: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the physical line on which it begins. Only LF ends a line; CRs may precede it."""
    line = record_line = first_line
    cells: list[str] = []
    cell = ""
    state = "start"  # "start" of a cell, inside a "plain" or "quoted" cell, or "after" the closing quote
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\n":
            line += 1
        if state == "quoted":
            if character != '"':
                cell += character
            elif text[position : position + 1] == '"':
                cell += '"'
                position += 1
            else:
                state = "after"
        elif character == delimiter:
            cells.append(cell)
            cell, state = "", "start"
        elif character in "\r\n":
            while character == "\r" and position < len(text):
                character = text[position]
                position += 1
                if character == "\n":
                    line += 1
                elif character != "\r":
                    raise _NotCSV(record_line)
            yield record_line, [*cells, cell]
            record_line, cells, cell, state = line, [], "", "start"
        elif state == "after":
            raise _NotCSV(record_line)
        elif state == "start" and character == '"':
            state = "quoted"
        else:
            cell, state = cell + character, "plain"
    if state == "quoted":
        raise _NotCSV(record_line)
    if cells or cell or state != "start":
        yield record_line, [*cells, cell]


# Cells


def _strip_blanks(cell: str) -> str:
    """Remove leading and trailing blanks: tabs and all space separators of Unicode."""
    while cell and _is_blank(cell[0]):
        cell = cell[1:]
    while cell and _is_blank(cell[-1]):
        cell = cell[:-1]
    return cell


def _is_blank(character: str) -> bool:
    return character == "\t" or unicodedata.category(character) == "Zs"


def _parse_name(text: str) -> str:
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= 255 or any(map(_is_control, name)):
        raise _InvalidCell
    return name


def _is_control(character: str) -> bool:
    return ord(character) < 32 or 127 <= ord(character) < 160


def _parse_digits(text: str, minimum: int, maximum: int) -> int:
    """Return the number of ``minimum`` to ``maximum`` ASCII digits."""
    if not minimum <= len(text) <= maximum or any(character not in "0123456789" for character in text):
        raise _InvalidCell
    return int(text)


def _parse_money(text: str) -> Decimal:
    whole, point, cents = text.partition(".")
    _parse_digits(whole, 1, 12)
    if point:
        _parse_digits(cents, 1, 2)
    return Decimal(text)


def _parse_quantity(text: str) -> int:
    quantity = _parse_digits(text, 1, 9)
    if quantity < 1:
        raise _InvalidCell
    return quantity


def _parse_date(text: str) -> datetime:
    """Parse ``YYYY-MM-DD hh:mm:ss``, optionally with one to six decimals, and then ``Z`` or an offset from UTC."""
    shape = "".join("0" if character in "0123456789" else character for character in text[:19])
    if shape not in ("0000-00-00 00:00:00", "0000-00-00T00:00:00"):
        raise _InvalidCell
    fraction, zone = "", text[19:]
    if zone.startswith("."):
        zone = zone[1:]
        while zone and zone[0] in "0123456789":
            fraction, zone = fraction + zone[0], zone[1:]
        _parse_digits(fraction, 1, 6)
    numbers = [int(text[start : start + size]) for start, size in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2))]
    try:
        date = datetime(*numbers, int(fraction.ljust(6, "0")), tzinfo=UTC)  # type: ignore[arg-type,misc]
        return date - _parse_offset(zone.removeprefix(" ") if len(zone) > 1 else zone)
    except (ValueError, OverflowError):
        raise _InvalidCell from None


def _parse_offset(zone: str) -> timedelta:
    """Return the offset from UTC, positive east of Greenwich."""
    if zone in ("", "Z"):
        return timedelta(0)
    sign, hours, minutes = zone[0], zone[1:3], zone[3:].removeprefix(":") if len(zone) > 4 else zone[3:]
    if sign not in "+-" or _parse_digits(hours, 2, 2) > 23:
        raise _InvalidCell
    if minutes and _parse_digits(minutes, 2, 2) > 59:
        raise _InvalidCell
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return offset if sign == "+" else -offset
