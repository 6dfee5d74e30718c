"""What a file of deals says, by SPEC.md, read plainly and slowly: what ``csv_rows`` is compared with.

Written from the rules, a character at a time, and shares nothing with the code that it judges.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

COLUMNS = ["customer", "item", "total", "quantity", "date"]
#: Line, and column or None where the whole line is wrong.
Place = tuple[int, str | None]


@dataclass(frozen=True)
class Deal:
    customer: str
    item: str
    total: Decimal
    quantity: int
    date: datetime


class NotATable(Exception):
    """There is no header of a deals file, or nothing below it."""


class WrongPlaces(Exception):
    """The places that are wrong, in the file's order."""

    def __init__(self, places: list[Place]) -> None:
        super().__init__(places)
        self.places = places


class _Wrong(Exception):
    """One cell is not what its column holds."""


class _NotCSV(Exception):
    """A record breaks the rules of quotes or of line breaks."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def read(text: str) -> list[Deal]:
    """The deals of a decoded file.

    Raises: NotATable, WrongPlaces.
    """
    begin = 1
    while text and not text.partition("\n")[0].strip():
        begin, text = begin + 1, text.partition("\n")[2]
    for delimiter in (",", ";", "\t"):
        rows = _records(text, delimiter, begin)
        try:
            _, header = next(rows, (1, []))
        except _NotCSV:
            continue
        names = [_trimmed(cell).casefold() for cell in header]
        if all(names.count(column) == 1 for column in COLUMNS) and not any("\0" in cell for cell in header):
            return _deals(rows, names)
    raise NotATable


def _deals(rows: Iterator[tuple[int, list[str]]], names: list[str]) -> list[Deal]:
    readers = dict(zip(COLUMNS, (_name, _name, _money, _count, _moment), strict=True))
    deals: list[Deal] = []
    places: list[Place] = []
    try:
        for line, cells in rows:
            if not any(_trimmed(cell) for cell in cells):
                continue
            if len(cells) <= max(map(names.index, COLUMNS)) or any(map(_trimmed, cells[len(names) :])):
                places.append((line, None))
                continue
            values: list[Any] = []
            for column, reader in readers.items():
                try:
                    values.append(reader(_trimmed(cells[names.index(column)])))
                except _Wrong:
                    places.append((line, column))
            if len(values) == len(COLUMNS):
                deals.append(Deal(*values))
    except _NotCSV as broken:
        places.append((broken.line, None))
    if places:
        raise WrongPlaces(places)
    if not deals:
        raise NotATable
    return deals


def _records(text: str, delimiter: str, begin: int) -> Iterator[tuple[int, list[str]]]:
    """Each record with the physical line on which it begins; only LF ends a line, after any CRs."""
    line = begin
    cells: list[str] = []
    cell = ""
    state = "start"  # of a cell; or inside one that is "plain" or "quoted"; or "after" the closing quote
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "\n":
            line += 1
        if state == "quoted":
            if character != '"':
                cell += character
            elif text[place : place + 1] == '"':
                cell += '"'
                place += 1
            else:
                state = "after"
        elif character == delimiter:
            cells.append(cell)
            cell, state = "", "start"
        elif character in "\r\n":
            while character == "\r" and place < len(text):
                character = text[place]
                place += 1
                if character == "\n":
                    line += 1
                elif character != "\r":
                    raise _NotCSV(begin)
            yield begin, [*cells, cell]
            begin, cells, cell, state = line, [], "", "start"
        elif state == "after":
            raise _NotCSV(begin)
        elif state == "start" and character == '"':
            state = "quoted"
        else:
            cell, state = cell + character, "plain"
    if state == "quoted":
        raise _NotCSV(begin)
    if cells or cell or state != "start":
        yield begin, [*cells, cell]


# Cells


def _trimmed(cell: str) -> str:
    """Without the blanks around it: spaces of every kind that Unicode has, and tabs."""
    while cell and _is_blank(cell[0]):
        cell = cell[1:]
    while cell and _is_blank(cell[-1]):
        cell = cell[:-1]
    return cell


def _is_blank(character: str) -> bool:
    return character == "\t" or unicodedata.category(character) == "Zs"


def _name(text: str) -> str:
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= 255 or any(ord(one) < 32 or 127 <= ord(one) < 160 for one in name):
        raise _Wrong
    return name


def _digits(text: str, least: int, most: int) -> int:
    if not least <= len(text) <= most or any(one not in "0123456789" for one in text):
        raise _Wrong
    return int(text)


def _money(text: str) -> Decimal:
    whole, point, cents = text.partition(".")
    _digits(whole, 1, 12)
    if point:
        _digits(cents, 1, 2)
    return Decimal(text)


def _count(text: str) -> int:
    count = _digits(text, 1, 9)
    if count < 1:
        raise _Wrong
    return count


def _moment(text: str) -> datetime:
    """``YYYY-MM-DD hh:mm:ss``, then perhaps ``.f`` to ``.ffffff``, then perhaps ``Z`` or an offset from UTC."""
    shape = "".join("0" if one in "0123456789" else one for one in text[:19])
    if shape not in ("0000-00-00 00:00:00", "0000-00-00T00:00:00"):
        raise _Wrong
    fraction, zone = "", text[19:]
    if zone.startswith("."):
        zone = zone[1:]
        while zone and zone[0] in "0123456789":
            fraction, zone = fraction + zone[0], zone[1:]
        _digits(fraction, 1, 6)
    numbers = [int(text[begin : begin + size]) for begin, size in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2))]
    try:
        moment = datetime(*numbers, int(fraction.ljust(6, "0")), tzinfo=UTC)  # type: ignore[arg-type,misc]
        return moment - _offset(zone.removeprefix(" ") if len(zone) > 1 else zone)
    except (ValueError, OverflowError):
        raise _Wrong from None


def _offset(zone: str) -> timedelta:
    """East of Greenwich."""
    if zone in ("", "Z"):
        return timedelta(0)
    sign, hours, minutes = zone[0], zone[1:3], zone[3:].removeprefix(":") if len(zone) > 4 else zone[3:]
    if sign not in "+-" or _digits(hours, 2, 2) > 23:
        raise _Wrong
    if minutes and _digits(minutes, 2, 2) > 59:
        raise _Wrong
    distance = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return distance if sign == "+" else -distance
