"""Find the header of a deals file among its first lines, or describe what the file contains instead."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deals_api.errors import UnreadableUpload
from deals_api.formats import COLUMNS, printable
from deals_api.ingest.cells import BLANKS, read_date, read_total
from deals_api.ingest.reasons import MAX_SHOWN, InvalidCell, row_problem, unreadable

#: Physical lines in which the header may begin.
_FIRST_LINES: Final = 10
#: Lines that the cells of the header may add, because they may contain line breaks.
_MAX_LINE_BREAKS: Final = 8
#: Lines that ``find_header`` needs.
LINES_NEEDED: Final = _FIRST_LINES + _MAX_LINE_BREAKS
_DELIMITERS: Final = ",;\t|"
_ANY_DELIMITER: Final = re.compile(r"[,;\t|]")
#: A date with a time, for a quick search.
_DATE: Final = re.compile(r"[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}[ T][0-9]{1,2}:")
#: Cells that a description of an invalid header considers.
_MAX_CELLS: Final = 100


@dataclass(frozen=True, slots=True)
class Header:
    """The header: the index of its first line, the delimiter, and the cell of each of ``COLUMNS``, from 0.

    ``width`` is the number of cells, ``named_width`` without blank cells at the end.
    """

    line_index: int
    delimiter: str
    width: int
    named_width: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A line that may be the header; ``counts`` are the numbers of its cells with the name of each column."""

    line_index: int
    delimiter: str
    cells: list[str]
    counts: dict[str, int]

    @property
    def columns_found(self) -> int:
        return sum(count > 0 for count in self.counts.values())


def find_header(lines: Sequence[str]) -> Header:
    """Return the first line that has each column exactly once.

    Raises: UnreadableUpload, with what was found instead.
    """
    delimiters = _detect_delimiters("".join(lines))
    candidates: list[_Candidate] = []
    for (index, line), delimiter in itertools.product(enumerate(lines[:_FIRST_LINES]), delimiters):
        if line.strip(BLANKS + "\r\n" + delimiter):
            cells = [cell.strip(BLANKS) for cell in _first_record(lines[index:], delimiter)]
            names = [cell.casefold() for cell in cells]
            counts = {column: names.count(column) for column in COLUMNS}
            if set(counts.values()) == {1}:
                _reject_deals_above(lines[:index])
                named_width = max(number for number, name in enumerate(names, 1) if name)
                return Header(index, delimiter, len(names), named_width, tuple(map(names.index, COLUMNS)))
            candidates.append(_Candidate(index, delimiter, cells, counts))
    raise _rejection(candidates)


def _detect_delimiters(text: str) -> list[str]:
    """Return the delimiters that split the lines into all columns; if there are none, the best one."""

    def score(delimiter: str) -> tuple[int, int]:
        names = {cell.strip(BLANKS + '"\r').casefold() for cell in text.replace("\n", delimiter).split(delimiter)}
        return len(names & set(COLUMNS)), text.count(delimiter)

    scores = {delimiter: score(delimiter) for delimiter in _DELIMITERS}
    complete = [delimiter for delimiter, (found, _) in scores.items() if found == len(COLUMNS)]
    return complete or [max(scores, key=scores.__getitem__)]


def _first_record(lines: Sequence[str], delimiter: str) -> list[str]:
    """Return the cells of the first record; if it is not CSV, those of its first line."""
    try:
        return next(csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True))
    except csv.Error:
        line = lines[0].replace("\r", " ")[: csv.field_size_limit()]
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))


def _reject_deals_above(lines: Sequence[str]) -> None:
    """Raises: UnreadableUpload, because lines above the header are ignored."""
    for line, text in enumerate(lines, 1):
        if has_deal(text, minimum=len(COLUMNS) - 1):
            raise unreadable("deal_above_header", line=line, header_line=len(lines) + 1)


def has_deal(line: str, minimum: int = 2) -> bool:
    """Return whether a line outside of the table has an amount and a date, and at least ``minimum`` values."""
    if not _DATE.search(line):
        return False
    values = [value for cell in _ANY_DELIMITER.split(line) if (value := cell.strip(BLANKS + '\r\n"'))][:_MAX_CELLS]
    return len(values) >= minimum and _is_deal(values)


def _is_deal(values: Sequence[str]) -> bool:
    """Return whether one value is an amount and one is a date."""

    def is_valid(read: Callable[[str], object], value: str) -> bool:
        try:
            read(value)
        except InvalidCell:
            return False
        return True

    return all(any(is_valid(read, value) for value in values) for read in (read_total, read_date))


# Descriptions of what was found


def _rejection(candidates: Sequence[_Candidate]) -> UnreadableUpload:
    if not candidates:
        return unreadable("no_header", lines=_FIRST_LINES)
    first = candidates[0]
    text = first.delimiter.join(first.cells)
    if text.startswith(("{", "[")):
        return unreadable("json")
    if text.startswith("<"):
        return unreadable("markup")
    best = max(candidates, key=lambda candidate: candidate.columns_found)  # the first one of equals
    line = best.line_index + 1
    values = list(filter(None, best.cells[:_MAX_CELLS]))
    if len(values) >= len(COLUMNS) and _is_deal(values):
        return unreadable("header_missing", line=line, header=",".join(COLUMNS))
    if len(best.cells) == 1 and all(column in best.cells[0].casefold() for column in COLUMNS):
        return unreadable("columns_in_one_cell", line=line)
    return _wrong_columns(line, best)


def _wrong_columns(line: int, candidate: _Candidate) -> UnreadableUpload:
    missing = [column for column, count in candidate.counts.items() if count == 0]
    repeated = [column for column, count in candidate.counts.items() if count > 1]
    errors = [f"it lacks {', '.join(missing)}"] if missing else []
    errors += [f"it has {', '.join(repeated)} more than once"] if repeated else []
    cells = ", ".join(repr(printable(cell[:MAX_SHOWN])) for cell in candidate.cells[:_MAX_CELLS])
    shown = cells if len(cells) <= MAX_SHOWN else f"{cells[:MAX_SHOWN]}…"
    return UnreadableUpload(
        f"Line {line} is not the header of a deals file: {' and '.join(errors)}; found are {shown}; expected are"
        f" {', '.join(COLUMNS)} between commas, semicolons, tabs or |.",
        [row_problem(line, column, "", "missing_column") for column in missing]
        + [row_problem(line, column, "", "repeated_column") for column in repeated],
    )
