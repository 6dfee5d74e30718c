"""Bytes of a ``deals.csv`` to checked columns of values, or a refusal that names the bad cells.

Pure Python: knows neither Django nor the database. Streams: what it holds does not grow with the file.

Rows are checked a batch at a time and column by column, which is what makes a million of them
quick: digits are folded to ``0`` and the few *shapes* that remain are held against the column's
pattern. A batch that does not pass whole is read again cell by cell, by the same patterns.
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
#: Rows that are parsed in one step, and the most blocks that they may take, line breaks inside quotes included.
_STEP_ROWS: Final = 8
_STEP_BLOCKS: Final = _STEP_ROWS + 2
#: A batch of long rows ends early.
_BATCH_BLOCKS: Final = 4
#: Lines among which the header is sought: one of its cells may have line breaks.
_HEAD_LINES: Final = 8
_MEMO_NAMES: Final = 20_000
_MEMO_NAME_LENGTH: Final = 2 * MAX_NAME_LENGTH

_ZEROS: Final = str.maketrans("123456789", "000000000")
_TOTAL: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,2})?")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:[\s.,'’][0-9]{3})+(?:[.,][0-9]*)?")
_QUANTITY: Final = re.compile(r"[0-9]{1,9}")
_DATE_IN_UTC: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class DealBatch:
    """Some deals, column by column, in the file's order; every list has the same length.

    Shape: ``customers`` and ``gems`` are trimmed NFC names.
    Units: ``totals`` are hundredths of the file's currency, ``quantities`` pieces, ``dates`` ISO 8601
           in UTC without an offset (``2018-12-14 08:29:52.5``), so that their order as text is theirs in time.
    """

    customers: list[str]
    gems: list[str]
    totals: list[int]
    quantities: list[int]
    dates: list[str]

    def __len__(self) -> int:
        return len(self.dates)


def read_deals(file: IO[bytes], limits: Limits) -> Iterator[DealBatch]:
    """The deals of one file, lazily; a refusal may come after any number of batches.

    Raises: UnreadableUpload, UploadHasProblems, UploadTooLarge.
    Source: the brief's table of columns, and "Real files come from spreadsheets".
    """
    return _SheetReader(decode_blocks(file, detect_encoding(file)), limits).batches()


# What kind of bytes these are


# What one cell may hold: each reader returns the value or raises ValueError with the reason


def read_name(cell: str) -> str:
    text = cell.strip(BLANKS)
    if not text:
        raise ValueError("is empty")
    # NFC makes no more than four characters into one, and takes quadratic time for what has thousands of accents.
    name = unicodedata.normalize("NFC", text) if len(text) <= 4 * MAX_NAME_LENGTH else text
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"is longer than {MAX_NAME_LENGTH} characters")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ValueError("has a line break or another control character")
    return name


def read_total(cell: str) -> int:
    """Hundredths."""
    text = cell.strip(BLANKS)
    if _TOTAL.fullmatch(text):
        return _hundredths(text)
    if re.fullmatch(r"-[0-9.,]+", text):
        raise ValueError("must not be negative")
    if re.fullmatch(r"[0-9]+\.[0-9]{3,}", text):
        raise ValueError("has more than two decimal places")
    if _THOUSANDS.fullmatch(text):
        raise ValueError("must have nothing between the thousands")
    if re.fullmatch(r"[0-9]+,[0-9]+", text):
        raise ValueError("must have a point before the cents, not a comma")
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
    raise ValueError("is not a whole number, 1 or more")


# A whole sheet


class _SheetReader:
    """One pass over the text of a file."""

    def __init__(self, blocks: Iterator[str], limits: Limits) -> None:
        self.limits = limits
        self.blocks = blocks
        self.blocks_read = 0
        self.most_blocks = _STEP_BLOCKS
        self.line = 1  # where the next record begins
        self.cut_short: RowProblem | None = None  # where the file stops being CSV
        self.problems: list[RowProblem] = []
        self.names: dict[str, str] = {}  # cell → clean name, a bounded memo
        self.rows = 0
        lines = chain.from_iterable(self._lines())
        first = next(lines, "")
        while first and not first.strip():
            self.line += 1
            self.most_blocks = self.blocks_read + _STEP_BLOCKS
            first = next(lines, "")
        if not first:
            raise UnreadableUpload("The file is empty.")
        head = [first, *islice(lines, _HEAD_LINES)]
        self.delimiter = _delimiter("".join(head))
        self.reader = csv.reader(chain(head, lines), delimiter=self.delimiter, strict=True)

    def batches(self) -> Iterator[DealBatch]:
        header = self._records(1)
        if self.cut_short:
            raise rejection([self.cut_short])
        positions = _positions(header[0], self.line_of_records)
        self.width = len(header[0])
        while records := self._records(_BATCH_ROWS):
            begin = self.line_of_records
            batch = self._fast(records, positions) or self._slow(records, positions, begin)
            self.rows += len(batch)
            if self.rows > self.limits.max_rows:
                raise UploadTooLarge(f"The file has more than {self.limits.max_rows} rows.")
            if batch.dates and not self.problems:
                yield batch
        if self.cut_short:
            raise rejection([*self.problems, self.cut_short], stopped=True)
        if self.problems:
            raise rejection(self.problems)
        if not self.rows:
            raise UnreadableUpload("The file has a header and no deals.")

    def _lines(self) -> Iterator[Iterable[str]]:
        """Physical lines with their ends, block by block; only LF ends one, as ``csv`` wants it."""
        for block in self.blocks:
            self.blocks_read += 1
            if self.blocks_read > self.most_blocks:
                raise UnreadableUpload(
                    f"The file is not a table of deals: of the rows from line {self.line} on, one"
                    f" is over {MAX_LINE_BYTES} bytes."
                )
            yield io.StringIO(block, newline="\n")

    def _records(self, count: int) -> list[list[str]]:
        """Up to ``count`` records; ``line_of_records`` is where the first of them begins."""
        self.line_of_records = self.line
        records: list[list[str]] = []
        before, last_block = self.reader.line_num, self.blocks_read + _BATCH_BLOCKS
        known = -1
        try:
            while known < len(records) < count and not self.cut_short and self.blocks_read <= last_block:
                known = len(records)
                self.most_blocks = self.blocks_read + _STEP_BLOCKS
                records.extend(islice(self.reader, min(count, _STEP_ROWS)))
        except csv.Error as error:
            at = self.line + sum(map(_line_count, records))
            self.cut_short = RowProblem(at, None, "", _describe_csv_error(str(error)))
        self.line += self.reader.line_num - before
        return records

    def _fast(self, records: list[list[str]], positions: Sequence[int]) -> DealBatch | None:
        """The batch, if nothing about it is unusual; None leaves it to ``_slow``."""
        if set(map(len, records)) != {self.width}:
            return None
        columns = list(zip(*records, strict=True))
        customer, gem, total, quantity, date = (columns[position] for position in positions)
        if not (_all_match(_TOTAL, total) and _all_match(_QUANTITY, quantity) and _all_match(_DATE_IN_UTC, date)):
            return None
        try:
            customers, gems = self._clean_names(customer), self._clean_names(gem)
            deque(map(datetime.fromisoformat, date), maxlen=0)
        except ValueError:
            return None
        quantities = list(map(int, quantity))
        if 0 in quantities:
            return None
        return DealBatch(customers, gems, _all_hundredths(total), quantities, list(date))

    def _clean_names(self, cells: Sequence[str]) -> list[str]:
        if len(self.names) > _MEMO_NAMES:
            self.names.clear()
        for cell in set(cells) - self.names.keys():
            if len(cell) > _MEMO_NAME_LENGTH:
                raise ValueError("is too long to keep")
            self.names[cell] = read_name(cell)
        return list(map(self.names.__getitem__, cells))

    def _slow(self, records: list[list[str]], positions: Sequence[int], line: int) -> DealBatch:
        """The same, cell by cell, noting what is wrong."""
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
                if self._lacks_or_exceeds(record, positions):
                    shown = self.delimiter.join(record)
                    self._note(line, None, shown, f"has {_cells(len(record))}; the header has {self.width}")
                else:
                    for column, position, read, target in zip(COLUMNS, positions, readers, targets, strict=True):
                        try:
                            target.append(read(record[position]))  # type: ignore[arg-type]
                        except ValueError as reason:
                            self._note(line, column, record[position], str(reason))
            line += _line_count(record)
        return batch

    def _lacks_or_exceeds(self, record: list[str], positions: Sequence[int]) -> bool:
        """Whether its cells are not those of the header. Empty ones at the end are: spreadsheets leave them
        out of some lines and not of others, so that other columns may be shorter too."""
        return len(record) <= max(positions) or bool("".join(record[self.width :]).strip(BLANKS))

    def _note(self, line: int, column: str | None, value: str, reason: str) -> None:
        self.problems.append(RowProblem(line, column, value[:MAX_SHOWN], reason))
        if len(self.problems) >= self.limits.max_problems:
            raise rejection(self.problems, stopped=True)


def _delimiter(head: str) -> str:
    """The one of ``,`` ``;`` and tab that finds most of our columns in the first lines."""

    def found(delimiter: str) -> tuple[int, int]:
        names = {cell.strip(BLANKS + '"\r').casefold() for cell in head.replace("\n", delimiter).split(delimiter)}
        return len(names & set(COLUMNS)), head.count(delimiter)

    return max(",;\t", key=found)


def _positions(header: list[str], line: int) -> tuple[int, ...]:
    """Where each of our columns stands."""
    names = [cell.strip(BLANKS).casefold() for cell in header]
    missing = [column for column in COLUMNS if column not in names]
    repeated = [column for column in COLUMNS if names.count(column) > 1]
    if missing or repeated:
        told = [f"it lacks {', '.join(missing)}"] if missing else []
        told += [f"it has {', '.join(repeated)} more than once"] if repeated else []
        raise UnreadableUpload(
            f"Line {line} is not the header of a deals file: {' and '.join(told)};"
            f" expected are {', '.join(COLUMNS)} between commas, semicolons or tabs.",
            [RowProblem(line, column, "", "is missing from the header") for column in missing]
            + [RowProblem(line, column, "", "stands in the header more than once") for column in repeated],
        )
    return tuple(names.index(column) for column in COLUMNS)


def _all_match(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    """Whether every cell matches a pattern in which all digits are alike."""
    shapes = "\n".join(cells).translate(_ZEROS).split("\n")
    return len(shapes) == len(cells) and all(map(pattern.fullmatch, set(shapes)))


def _all_hundredths(cells: Sequence[str]) -> list[int]:
    if "." in "".join(cells):
        return list(map(_hundredths, cells))
    return [100 * whole for whole in map(int, cells)]


def _line_count(record: list[str]) -> int:
    """Physical lines that one record takes."""
    return 1 + sum(cell.count("\n") for cell in record)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _describe_csv_error(csv_error: str) -> str:
    """The words of ``csv.Error`` for people who never saw Python."""
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
    """The sentence for people over the list for machines."""
    first = problems[0]
    where = f"line {first.line}" + (f", column {first.column!r}" if first.column else "")
    shown = f" {first.value!r}" if first.value else ""
    if len(problems) == 1:
        lead = "1 place in the file is wrong,"
    else:
        lead = f"{'At least ' if stopped else ''}{len(problems)} places in the file are wrong; the first is"
    return UploadHasProblems(f"{lead} {where}:{shown} {first.reason}.", problems)
