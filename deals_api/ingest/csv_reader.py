"""Read a ``deals.csv`` into validated columns of values, or reject it with a list of the invalid cells.

This module uses neither Django nor the database. It streams: its memory does not grow with the file.

For speed, rows are validated in batches, column by column: all digits are replaced by ``0``, and the few distinct
*shapes* that remain are matched against the pattern of the column. A batch with an invalid or unusual cell is read
again cell by cell, with the same patterns.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import IO, Final

from deals_api.errors import RowProblem, UnreadableUpload, UploadHasProblems, UploadTooLarge
from deals_api.formats import BLANKS, COLUMNS, read_date
from deals_api.ingest.encoding import MAX_LINE_BYTES, MAX_SHOWN, decode_blocks, detect_encoding
from deals_api.limits import Limits

MAX_NAME_LENGTH: Final = 255

_BATCH_ROWS: Final = 2048
#: Rows parsed in one step, and the maximum number of blocks that they may span; quoted cells may contain line breaks.
_STEP_ROWS: Final = 8
_STEP_BLOCKS: Final = _STEP_ROWS + 2
#: A batch of long rows ends after this many blocks.
_BATCH_BLOCKS: Final = 4
#: Lines after the first in which the header may end, because its cells may contain line breaks.
_HEADER_LINES: Final = 8
_CACHED_NAMES: Final = 20_000
_CACHED_NAME_LENGTH: Final = 2 * MAX_NAME_LENGTH

_ZEROS: Final = str.maketrans("123456789", "000000000")
_TOTAL: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,2})?")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:[\s.,'’][0-9]{3})+(?:[.,][0-9]*)?")
_QUANTITY: Final = re.compile(r"[0-9]{1,9}")
_DATE_IN_UTC: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class DealBatch:
    """Consecutive deals as columns in the order of the file; all lists have the same length.

    ``customers`` and ``gems`` are trimmed names in NFC, ``totals`` are hundredths of the currency, ``quantities`` are
    pieces, and ``dates`` are ISO 8601 in UTC without an offset (``2018-12-14 08:29:52.5``), which sort as text.
    """

    customers: list[str]
    gems: list[str]
    totals: list[int]
    quantities: list[int]
    dates: list[str]

    def __len__(self) -> int:
        return len(self.dates)


def read_deals(file: IO[bytes], limits: Limits) -> Iterator[DealBatch]:
    """Yield the deals of a file in batches; an error may follow any number of them.

    Raises: UnreadableUpload, UploadHasProblems, UploadTooLarge.
    """
    return _DealsReader(decode_blocks(file, detect_encoding(file)), limits).batches()


# Cells: each function returns the value, or raises ValueError with the reason


def read_name(cell: str) -> str:
    text = cell.strip(BLANKS)
    if not text:
        raise ValueError("is empty")
    # NFC combines at most four characters into one, and takes quadratic time for thousands of combining accents.
    name = unicodedata.normalize("NFC", text) if len(text) <= 4 * MAX_NAME_LENGTH else text
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"is longer than {MAX_NAME_LENGTH} characters")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ValueError("has a line break or another control character")
    return name


def read_total(cell: str) -> int:
    """Return the amount in hundredths."""
    text = cell.strip(BLANKS)
    if _TOTAL.fullmatch(text):
        return _hundredths(text)
    if re.fullmatch(r"-[0-9.,]+", text):
        raise ValueError("must not be negative")
    if re.fullmatch(r"[0-9]+\.[0-9]{3,}", text):
        raise ValueError("has more than two decimal places")
    if _THOUSANDS.fullmatch(text):
        raise ValueError("must not have thousands separators")
    if re.fullmatch(r"[0-9]+,[0-9]+", text):
        raise ValueError("must have a decimal point, not a comma")
    if re.fullmatch(r"[0-9]{13,}(?:\.[0-9]*)?", text):
        raise ValueError("has more than 12 digits before the point")
    raise ValueError("is not an amount such as 612 or 100.50")


def _hundredths(text: str) -> int:
    whole, _, cents = text.partition(".")
    return int(whole) * 100 + int(f"{cents:0<2}")


def read_quantity(cell: str) -> int:
    text = cell.strip(BLANKS)
    if _QUANTITY.fullmatch(text) and (quantity := int(text)):
        return quantity
    if re.fullmatch(r"[0-9]{10,}", text):
        raise ValueError("has more than 9 digits")
    raise ValueError("is not a whole number of 1 or more")


# The file


class _DealsReader:
    """One pass over the decoded text of a file."""

    def __init__(self, blocks: Iterator[str], limits: Limits) -> None:
        self.limits = limits
        self.blocks = blocks
        self.blocks_read = 0
        self.max_blocks = _STEP_BLOCKS
        self.line = 1  # on which the next record begins
        self.syntax_error: RowProblem | None = None  # the rest of the file is not read
        self.problems: list[RowProblem] = []
        self.names: dict[str, str] = {}  # bounded cache: cell -> name
        self.rows = 0
        lines = chain.from_iterable(self._lines())
        first = next(lines, "")
        while first and not first.strip():
            self.line += 1
            self.max_blocks = self.blocks_read + _STEP_BLOCKS
            first = next(lines, "")
        if not first:
            raise UnreadableUpload("The file is empty.")
        beginning = [first, *islice(lines, _HEADER_LINES)]
        self.delimiter = _detect_delimiter("".join(beginning))
        self.reader = csv.reader(chain(beginning, lines), delimiter=self.delimiter, strict=True)

    def batches(self) -> Iterator[DealBatch]:
        header = self._records(1)
        if self.syntax_error:
            raise rejection([self.syntax_error])
        positions = _column_positions(header[0], self.line_of_records)
        self.width = len(header[0])
        while records := self._records(_BATCH_ROWS):
            first_line = self.line_of_records
            batch = self._read_batch(records, positions) or self._read_cells(records, positions, first_line)
            self.rows += len(batch)
            if self.rows > self.limits.max_rows:
                raise UploadTooLarge(f"The file has more than {self.limits.max_rows} rows.")
            if batch.dates and not self.problems:
                yield batch
        if self.syntax_error:
            raise rejection([*self.problems, self.syntax_error], stopped=True)
        if self.problems:
            raise rejection(self.problems)
        if not self.rows:
            raise UnreadableUpload("The file has a header but no deals.")

    def _lines(self) -> Iterator[Iterable[str]]:
        """Yield the physical lines of each block with their line ends; only LF ends a line, as ``csv`` expects."""
        for block in self.blocks:
            self.blocks_read += 1
            if self.blocks_read > self.max_blocks:
                raise UnreadableUpload(
                    f"The file is not a table of deals: a row at or after line {self.line} is over"
                    f" {MAX_LINE_BYTES} bytes."
                )
            yield io.StringIO(block, newline="\n")

    def _records(self, count: int) -> list[list[str]]:
        """Return up to ``count`` records; set ``line_of_records`` to the line on which the first one begins."""
        self.line_of_records = self.line
        records: list[list[str]] = []
        before, last_block = self.reader.line_num, self.blocks_read + _BATCH_BLOCKS
        previous_count = -1
        try:
            while previous_count < len(records) < count and not self.syntax_error and self.blocks_read <= last_block:
                previous_count = len(records)
                self.max_blocks = self.blocks_read + _STEP_BLOCKS
                records.extend(islice(self.reader, min(count, _STEP_ROWS)))
        except csv.Error as error:
            line = self.line + sum(map(_line_count, records))
            self.syntax_error = RowProblem(line, None, "", _describe_csv_error(str(error)))
        self.line += self.reader.line_num - before
        return records

    def _read_batch(self, records: list[list[str]], positions: Sequence[int]) -> DealBatch | None:
        """Return the batch, or None if a row is unusual or invalid and needs ``_read_cells``."""
        if set(map(len, records)) != {self.width}:
            return None
        columns = list(zip(*records, strict=True))
        customer, gem, total, quantity, date = (columns[position] for position in positions)
        if not (_all_match(_TOTAL, total) and _all_match(_QUANTITY, quantity) and _all_match(_DATE_IN_UTC, date)):
            return None
        try:
            customers, gems = self._read_names(customer), self._read_names(gem)
            deque(map(datetime.fromisoformat, date), maxlen=0)
        except ValueError:
            return None
        quantities = list(map(int, quantity))
        if 0 in quantities:
            return None
        return DealBatch(customers, gems, _all_hundredths(total), quantities, list(date))

    def _read_names(self, cells: Sequence[str]) -> list[str]:
        if len(self.names) > _CACHED_NAMES:
            self.names.clear()
        for cell in set(cells) - self.names.keys():
            if len(cell) > _CACHED_NAME_LENGTH:
                raise ValueError("is too long for the cache")
            self.names[cell] = read_name(cell)
        return list(map(self.names.__getitem__, cells))

    def _read_cells(self, records: list[list[str]], positions: Sequence[int], line: int) -> DealBatch:
        """Read the records cell by cell and collect their problems."""
        batch = DealBatch([], [], [], [], [])
        targets: tuple[list[str] | list[int], ...] = (
            batch.customers,
            batch.gems,
            batch.totals,
            batch.quantities,
            batch.dates,
        )
        readers: tuple[Callable[[str], str | int], ...] = (read_name, read_name, read_total, read_quantity, read_date)
        for record in records:
            if "".join(record).strip(BLANKS):
                if self._has_wrong_width(record, positions):
                    shown = self.delimiter.join(record)
                    self._add_problem(line, None, shown, f"has {_cells(len(record))}; the header has {self.width}")
                else:
                    for column, position, read, target in zip(COLUMNS, positions, readers, targets, strict=True):
                        try:
                            target.append(read(record[position]))  # type: ignore[arg-type]
                        except ValueError as reason:
                            self._add_problem(line, column, record[position], str(reason))
            line += _line_count(record)
        return batch

    def _has_wrong_width(self, record: list[str], positions: Sequence[int]) -> bool:
        """Return whether the record lacks required cells, or has values beyond the columns of the header.

        Empty cells at the end are allowed to be absent or additional, because spreadsheets write them inconsistently.
        """
        return len(record) <= max(positions) or bool("".join(record[self.width :]).strip(BLANKS))

    def _add_problem(self, line: int, column: str | None, value: str, reason: str) -> None:
        self.problems.append(RowProblem(line, column, value[:MAX_SHOWN], reason))
        if len(self.problems) >= self.limits.max_problems:
            raise rejection(self.problems, stopped=True)


def _detect_delimiter(text: str) -> str:
    """Return the delimiter, comma, semicolon or tab, that splits the first lines into the most expected columns."""

    def score(delimiter: str) -> tuple[int, int]:
        names = {cell.strip(BLANKS + '"\r').casefold() for cell in text.replace("\n", delimiter).split(delimiter)}
        return len(names & set(COLUMNS)), text.count(delimiter)

    return max(",;\t", key=score)


def _column_positions(header: list[str], line: int) -> tuple[int, ...]:
    """Return the index of each expected column in the header."""
    names = [cell.strip(BLANKS).casefold() for cell in header]
    missing = [column for column in COLUMNS if column not in names]
    repeated = [column for column in COLUMNS if names.count(column) > 1]
    if missing or repeated:
        errors = [f"it lacks {', '.join(missing)}"] if missing else []
        errors += [f"it has {', '.join(repeated)} more than once"] if repeated else []
        raise UnreadableUpload(
            f"Line {line} is not the header of a deals file: {' and '.join(errors)};"
            f" expected are {', '.join(COLUMNS)} between commas, semicolons or tabs.",
            [RowProblem(line, column, "", "is missing from the header") for column in missing]
            + [RowProblem(line, column, "", "is in the header more than once") for column in repeated],
        )
    return tuple(names.index(column) for column in COLUMNS)


def _all_match(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    """Return whether all cells match a pattern that does not distinguish digits."""
    shapes = "\n".join(cells).translate(_ZEROS).split("\n")
    return len(shapes) == len(cells) and all(map(pattern.fullmatch, set(shapes)))


def _all_hundredths(cells: Sequence[str]) -> list[int]:
    if "." in "".join(cells):
        return list(map(_hundredths, cells))
    return [100 * whole for whole in map(int, cells)]


def _line_count(record: list[str]) -> int:
    """Return the number of physical lines of a record."""
    return 1 + sum(cell.count("\n") for cell in record)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _describe_csv_error(csv_error: str) -> str:
    """Return the reason of a ``csv.Error`` without terms of Python."""
    if "unexpected end of data" in csv_error:
        return "opens a quote that is not closed"
    if "field larger" in csv_error:
        return f"has a cell of over {csv.field_size_limit()} characters, perhaps after a quote left open"
    if "expected after" in csv_error:
        return "has text after a closing quote"
    if "new-line character" in csv_error:
        return "has a line break that is neither LF nor CRLF"
    return f"is not CSV: {csv_error}"


def rejection(problems: Sequence[RowProblem], *, stopped: bool = False) -> UploadHasProblems:
    """Return the error with a summary of the problems as its message; ``stopped`` if there may be more."""
    first = problems[0]
    where = f"line {first.line}" + (f", column {first.column!r}" if first.column else "")
    shown = f" {first.value!r}" if first.value else ""
    if len(problems) == 1:
        summary = "The file has 1 error, in"
    else:
        summary = f"The file has {'at least ' if stopped else ''}{len(problems)} errors; the first is in"
    return UploadHasProblems(f"{summary} {where}:{shown} {first.reason}.", problems)
