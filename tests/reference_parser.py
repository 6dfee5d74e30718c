"""A simple and slow parser of deals files, with which ``deals_api.ingest`` is compared.

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

DIGITS = "0123456789"
#: Marks of groups of three digits that are never decimal marks: spaces and the apostrophe.
GROUP_MARKS = " \u00a0\u2007\u2009\u202f'’"
#: Also soft hyphens, marks and embeddings of the writing direction, and invisible operators.
ZERO_WIDTH = (
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"
)
TOTALS = ["итого", "итог", "всего", "total", "totals", "sum", "grand total", "общий итог", "gesamt", "summe"]
SPREADSHEET_ERRORS = [
    *("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#SPILL!", "#CALC!", "#GETTING_DATA"),
    *("#ПУСТО!", "#ДЕЛ/0!", "#ЗНАЧ!", "#ССЫЛКА!", "#ИМЯ?", "#ЧИСЛО!", "#Н/Д", "#ПЕРЕНОС!"),
    *("#NV", "#WERT!", "#BEZUG!", "#NOM?", "#VALEUR!"),
]


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


# The file


def decode(content: bytes) -> str:
    """Return the text of a file in UTF-8 or UTF-16, without its marks, and with LF at the end of lines.

    Raises: UnicodeDecodeError; NotATable, for UTF-32.
    """
    if content[:4] == b"\xff\xfe\0\0":
        raise NotATable
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = content.decode(encoding).lstrip("\ufeff")
    if b"\n" not in text.encode()[: 256 * 1024]:
        text = text.replace("\r", "\n")
    return text.rstrip("\x1a")


def read(text: str) -> list[Deal]:
    """Return the deals of a decoded file.

    Raises: NotATable, InvalidRows.
    """
    start = 0
    for line in range(1, 11):
        for delimiter in ",;\t|":
            rows = _records(text, start, line, delimiter)
            try:
                _, cells = next(rows, (line, []))
            except _NotCSV:
                unquoted = text[start:].partition("\n")[0].replace("\r", "").replace('"', "")
                if _is_header(_names(unquoted.split(delimiter))):
                    raise NotATable from None  # a repeated header below must not replace the damaged one
                continue
            if _is_header(_names(cells)):
                if any(_is_deal(above, delimiter, _names(cells)) for above in text[:start].split("\n")):
                    raise NotATable
                return _deals(rows, _names(cells))
        start = text.find("\n", start) + 1
        if start == 0:
            break
    raise NotATable


def _names(cells: list[str]) -> list[str]:
    return [_trim(cell).casefold() for cell in cells]


def _is_header(names: list[str]) -> bool:
    return all(names.count(column) == 1 for column in COLUMNS)


def _is_deal(text: str, delimiter: str, names: list[str]) -> bool:
    """Return whether a line above the header has five cells in its columns, and a date among them."""
    try:
        _, cells = next(_records(text, 0, 1, delimiter), (1, []))
        _parse_date(cells[names.index("date")])
        return all(_trim(cells[names.index(column)]) for column in COLUMNS)
    except (_NotCSV, _InvalidCell, IndexError):
        return False


def _deals(rows: Iterator[tuple[int, list[str]]], names: list[str]) -> list[Deal]:
    parsers = dict(zip(COLUMNS, (_parse_name, _parse_name, _parse_total, _parse_quantity, _parse_date), strict=True))
    places = [names.index(column) for column in COLUMNS]
    width = max(number for number, name in enumerate(names, 1) if name)
    deals: list[Deal] = []
    problems: list[Problem] = []
    try:
        for line, cells in rows:
            if not any(map(_trim, cells)):
                continue
            if _is_row_to_remove(cells, places) or len(cells) <= max(places) or any(map(_trim, cells[width:])):
                problems.append((line, None))
                continue
            values: list[Any] = []
            for place, (column, parse) in zip(places, parsers.items(), strict=True):
                try:
                    values.append(parse(cells[place]))
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


def _is_row_to_remove(cells: list[str], places: list[int]) -> bool:
    """Return whether the row repeats the header, or has totals instead of a deal."""
    customer, item, total, quantity, date = five = [
        _trim(cells[place]) if place < len(cells) else "" for place in places
    ]
    if [cell.strip('"').casefold() for cell in five] == COLUMNS:
        return True
    if "" not in five:
        return False
    if any(_first_words(cell).strip().lower() in TOTALS for cell in cells):
        return True
    return customer == item == date == "" and (total != "" or quantity != "")


def _records(text: str, position: int, line: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record after ``position`` with the physical line on which it begins.

    Only LF ends a line; CRs may precede it.
    """
    record_line = line
    cells: list[str] = []
    cell = ""
    state = "start"  # "start" of a cell, inside a "plain" or "quoted" cell, or "after" the closing quote
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
            cell, state = "", "quoted"
        else:
            cell += character
            if character != " ":
                state = "plain"
    if state == "quoted":
        raise _NotCSV(record_line)
    if cells or cell or state != "start":
        yield record_line, [*cells, cell]


# Cells


def _trim(cell: str) -> str:
    """Remove tabs, the space separators of Unicode and zero-width characters at both ends."""
    while cell and _is_trimmed(cell[0]):
        cell = cell[1:]
    while cell and _is_trimmed(cell[-1]):
        cell = cell[:-1]
    return cell


def _first_words(cell: str) -> str:
    """Return the text before the first character that is not a letter, number or space."""
    words = _trim(cell)
    for position, character in enumerate(words):
        if character != " " and not _is_letter_or_number(character):
            return words[:position]
    return words


def _is_trimmed(character: str) -> bool:
    return character == "\t" or character in ZERO_WIDTH or unicodedata.category(character) in ("Zs", "Zl", "Zp")


def _parse_name(cell: str) -> str:
    name = unicodedata.normalize("NFC", _trim(cell))
    if not 1 <= len(name) <= 255 or any(map(_is_control, name)) or _is_damaged(name) or _hides_a_quote(cell):
        raise _InvalidCell
    return name


def _is_control(character: str) -> bool:
    return ord(character) < 32 or 127 <= ord(character) < 160


def _is_damaged(name: str) -> bool:
    if "\ufffd" in name or name == "\\N" or name in SPREADSHEET_ERRORS:
        return True
    word, colon, code = name.partition(":")
    if colon and word in ("Err", "Ошибка", "Fehler") and len(code) == 3 and code.strip(DIGITS) == "":
        return True
    return "?" in name and not any(map(_is_letter_or_number, name))


def _is_letter_or_number(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"


def _hides_a_quote(cell: str) -> bool:
    """Return whether an invisible character before the first quote hid the beginning of a quoted cell."""
    before = cell[: cell.find(_trim(cell))]
    return before.strip(" ") != "" and _trim(cell).startswith('"')


def _parse_digits(text: str, minimum: int, maximum: int) -> int:
    """Return the number of ``minimum`` to ``maximum`` ASCII digits."""
    if not minimum <= len(text) <= maximum or any(character not in DIGITS for character in text):
        raise _InvalidCell
    return int(text)


def _parse_total(cell: str) -> Decimal:
    return _parse_number(cell, 12)


def _parse_quantity(cell: str) -> int:
    number = _parse_number(cell, 9)
    if number != int(number) or number < 1:
        raise _InvalidCell
    return int(number)


def _parse_number(cell: str, maximum: int) -> Decimal:
    """Parse up to ``maximum`` digits, optionally in groups of three, and at most two decimals before zeros."""
    parts, marks = _split_number(_trim(cell).removeprefix("+"))
    decimals = ""
    if _has_decimals(parts, marks):
        decimals = parts.pop()
        marks.pop()
    if decimals[2:].strip("0"):
        raise _InvalidCell
    if marks and (len(set(marks)) > 1 or len(parts[0]) > 3 or any(len(part) != 3 for part in parts[1:])):
        raise _InvalidCell
    whole = "".join(parts)
    if len(whole) > maximum:
        raise _InvalidCell
    return Decimal(f"{whole}.{decimals}" if decimals else whole)


def _split_number(text: str) -> tuple[list[str], list[str]]:
    """Return the runs of digits, and the single marks between them."""
    parts, marks = [""], []
    for character in text:
        if character in DIGITS:
            parts[-1] += character
        elif character in GROUP_MARKS or character in ",.":
            marks.append(character)
            parts.append("")
        else:
            raise _InvalidCell
    if "" in parts:
        raise _InvalidCell
    return parts, marks


def _has_decimals(parts: list[str], marks: list[str]) -> bool:
    """Return whether the last part is decimals.

    Raises: _InvalidCell, if the only mark can be of thousands or of decimals.
    """
    if not marks or marks[-1] not in ",.":
        return False
    if len(marks) > 1:
        return marks[-1] not in marks[:-1]
    if len(parts[-1]) == 3:
        raise _InvalidCell
    return True


def _parse_date(cell: str) -> datetime:
    """Parse year, month, day, time and an optional offset; or day, month, year and time."""
    numbers, marks = _split_date(_trim(cell))
    is_day_first = marks[:3] == [".", ".", " "]
    if not is_day_first and (marks[:2] not in (["-", "-"], ["/", "/"]) or marks[2:3] not in ([" "], ["T"])):
        raise _InvalidCell
    year, month, day = reversed(numbers[:3]) if is_day_first else numbers[:3]
    count = 3 + _count_of_times(marks[3:])
    times = [_parse_digits(number, 1, 2) for number in numbers[3:count]]
    microsecond = 0
    if count == 6 and len(numbers) > 6 and marks[5] in (".", ","):
        microsecond = _parse_fraction(numbers[6])
        count = 7
    offset = _parse_offset(marks[count - 1], numbers[count:], marks[count:])
    if offset is not None and is_day_first:
        raise _InvalidCell
    try:
        date = datetime(
            *(_parse_digits(year, 4, 4), _parse_digits(month, 1, 2), _parse_digits(day, 1, 2)),
            *(times[0], times[1], times[2] if times[2:] else 0, microsecond),
            tzinfo=UTC,
        )
        return date - (offset or timedelta(0))
    except (ValueError, OverflowError):
        raise _InvalidCell from None


def _split_date(text: str) -> tuple[list[str], list[str]]:
    """Return the runs of digits, and the text after each of them."""
    numbers: list[str] = []
    marks: list[str] = []
    in_number = False
    for character in text:
        if character in DIGITS and in_number:
            numbers[-1] += character
        elif character in DIGITS:
            numbers.append(character)
            marks.append("")
        elif not numbers:
            raise _InvalidCell
        else:
            marks[-1] += character
        in_number = character in DIGITS
    return numbers, marks


def _count_of_times(marks: list[str]) -> int:
    """Return 3 for hour, minute and second, 2 for hour and minute."""
    if len(marks) < 2 or marks[0] != ":":
        raise _InvalidCell
    return 3 if len(marks) > 2 and marks[1] == ":" else 2


def _parse_fraction(decimals: str) -> int:
    """Return microseconds."""
    if decimals[6:].strip("0"):
        raise _InvalidCell
    return int(decimals[:6].ljust(6, "0"))


def _parse_offset(sign: str, numbers: list[str], marks: list[str]) -> timedelta | None:
    """Return the offset from UTC, positive east of Greenwich."""
    if not numbers:
        if sign == "":
            return None
        if sign in ("Z", " Z", " UTC"):
            return timedelta(0)
        raise _InvalidCell
    if sign not in ("+", "-", " +", " -") or marks not in ([""], [":", ""]):
        raise _InvalidCell
    digits = "".join(numbers)
    if [len(number) for number in numbers] not in ([2], [4], [2, 2]):
        raise _InvalidCell
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        raise _InvalidCell
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if sign.endswith("-") else offset
