"""Read a ``deals.csv`` into validated columns of values, or reject it with a list of the invalid cells.

This module uses neither Django nor the database. It streams: its memory grows with the number of distinct names, but
not with the number of rows.

For speed, ``regular_blocks`` reads each block whose rows are all regular and valid. The rows of other blocks are parsed
and validated here in batches, column by column: all digits are replaced by ``0``, and the few distinct *shapes* that
remain are matched against the usual pattern of the column. Only a column with another shape is read cell by cell, and
only a batch with an invalid cell or an unusual row is read row by row.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import IO, Any, Final

from deals_api.errors import RowProblem, UploadHasProblems, UploadTooLarge
from deals_api.formats import COLUMNS
from deals_api.ingest.cells import (
    BLANKS,
    date_format,
    decimal_separator,
    read_date,
    read_quantity,
    read_total,
)
from deals_api.ingest.deal_batch import DealBatch, Integers, NameNumbers, number_names
from deals_api.ingest.encoding import MAX_LINE_BYTES, decode
from deals_api.ingest.file_format import FileFormat
from deals_api.ingest.header import LINES_NEEDED, find_header, has_deal
from deals_api.ingest.numpy_setup import np
from deals_api.ingest.reasons import InvalidCell, row_problem, unreadable
from deals_api.ingest.regular_blocks import read_block
from deals_api.limits import Limits

_BATCH_ROWS: Final = 2048
#: Rows parsed in one step, and the maximum number of blocks that they may span; quoted cells may contain line breaks.
_STEP_ROWS: Final = 8
_STEP_BLOCKS: Final = _STEP_ROWS + 2
#: A batch of long rows ends after this many blocks.
_BATCH_BLOCKS: Final = 4
#: Names that are remembered once the file is rejected.
_CACHED_NAMES: Final = 20_000
#: Reasons that the message lists with their numbers.
_MAX_REASONS: Final = 5

_ZEROS: Final = str.maketrans("123456789", "000000000")
_USUAL_TOTAL: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,2})?")
_USUAL_QUANTITY: Final = re.compile(r"[0-9]{1,9}")
_USUAL_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?")
_USUAL_DATE_FORMAT: Final = "YYYY-MM-DD"
_MIDNIGHT_AS_24: Final = " 24:"
#: The end of a file in CP/M and MS-DOS.
_CTRL_Z: Final = "\x1a"

#: The beginning of the cell that names a row of totals.
_TOTALS: Final = re.compile(
    r"(?:итого|итог|всего|общий итог|(?:sub|grand )?totals?|sum|(?:gesamt|zwischen)?summe|gesamt|somme)\b",
    re.IGNORECASE,
)


class DealsReader:
    """Iterates once over the deals of a file in batches; an error may follow any number of them.

    Raises: UnreadableUpload, UploadHasProblems, UploadTooLarge.
    """

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self.limits = limits
        text = decode(file)
        self.encoding = text.encoding
        self.blocks = text.blocks
        self.irregular_block: bytes | None = None  # the next one
        self.blocks_read = 0
        self.lines_read = 0
        self.max_blocks = LINES_NEEDED + 1
        self.syntax_error: RowProblem | None = None  # the rest of the file is not read
        self.problems: list[RowProblem] = []
        self.customers = NameNumbers()
        self.gems = NameNumbers()
        self.cell_readers: tuple[Callable[[str], object], ...] = (  # in the order of COLUMNS
            self.customers.number, self.gems.number, read_total, read_quantity, read_date
        )  # fmt: skip
        self.decimal_separators: set[str] = set()
        self.date_formats: set[str] = set()
        self.rows = 0
        self.line = 1  # on which the next record begins
        lines = chain.from_iterable(self._lines())
        beginning = list(islice(lines, LINES_NEEDED))
        if len(beginning) < LINES_NEEDED and not "".join(beginning).strip(BLANKS + "\r\n"):
            raise unreadable("empty_file")
        self.header = find_header(beginning)
        self.line += self.header.line_index
        self.lines_read -= self.header.line_index
        beginning = beginning[self.header.line_index :]
        self.reader = csv.reader(
            chain(beginning, lines), delimiter=self.header.delimiter, strict=True, skipinitialspace=True
        )
        self._records(1)

    @property
    def file_format(self) -> FileFormat:
        """The format of the rows read so far."""
        return FileFormat(
            self.encoding,
            self.header.delimiter,
            " ".join(sorted(self.decimal_separators - {""})),
            " ".join(sorted(self.date_formats)),
        )

    def __iter__(self) -> Iterator[DealBatch]:
        while (batch := self._next_batch()) is not None:
            self.rows += len(batch)
            if self.rows > self.limits.max_rows:
                raise UploadTooLarge(f"The file has more than {self.limits.max_rows} rows.")
            if self.problems:
                self._forget_names()
            elif len(batch):
                yield batch
        if self.syntax_error:
            self.problems.append(self.syntax_error)
            raise UploadHasProblems(_summary(self.problems, stopped=len(self.problems) > 1), self.problems)
        if self.problems:
            raise UploadHasProblems(_summary(self.problems), self.problems)
        if not self.rows:
            raise unreadable("no_deals")

    def _next_batch(self) -> DealBatch | None:
        """Return the next deals, perhaps none; None at the end of the file."""
        if batch := self._read_regular_block():
            return batch
        if records := self._records(_BATCH_ROWS):
            return self._read_batch(records) or self._read_rows(records, self.line_of_records)
        return None

    @property
    def _lines_left(self) -> int:
        """Lines of the current block that are not parsed yet. A block may begin with the end of a record."""
        return self.lines_read - self.reader.line_num

    def _read_regular_block(self) -> DealBatch | None:
        """Return the deals of the next block; None if it is irregular, or after the last one."""
        if self._lines_left or self.syntax_error or self.irregular_block is not None:
            return None
        block = next(self.blocks, None)
        regular = block and read_block(block, self.header, self.customers, self.gems)
        if not regular:
            self.irregular_block = block
            return None
        batch, have_decimals = regular
        self.line += len(batch)
        self.date_formats.add(_USUAL_DATE_FORMAT)
        if have_decimals:
            self.decimal_separators.add(".")
        return batch

    def _irregular_blocks(self) -> Iterator[str]:
        while True:
            block, self.irregular_block = self.irregular_block, None
            block = next(self.blocks, None) if block is None else block
            if block is None:
                return
            yield block.decode()

    def _lines(self) -> Iterator[Iterable[str]]:
        """Yield the physical lines of each block with their line ends; only LF ends a line, as ``csv`` expects."""
        for block in self._irregular_blocks():
            self.blocks_read += 1
            if self.blocks_read > self.max_blocks:
                raise unreadable("row_too_long", line=self.line, maximum=MAX_LINE_BYTES)
            self.lines_read += block.count("\n") + (not block.endswith("\n"))
            yield io.StringIO(block, newline="\n")

    def _records(self, count: int) -> list[list[str]]:
        """Return up to ``count`` records, not after the end of a block, unless one record continues there.

        Sets ``line_of_records`` to the line on which the first one begins.
        """
        self.line_of_records = self.line
        records: list[list[str]] = []
        before, last_block = self.reader.line_num, self.blocks_read + _BATCH_BLOCKS
        previous_count = -1
        try:
            while previous_count < len(records) < count and not self.syntax_error and self.blocks_read <= last_block:
                previous_count = len(records)
                self.max_blocks = self.blocks_read + _STEP_BLOCKS
                # As a record has at least one line, only the last one of these can continue in the next block.
                records.extend(islice(self.reader, min(count, _STEP_ROWS, max(self._lines_left, 1))))
                if not self._lines_left:
                    break
        except csv.Error as error:
            line = self.line + sum(map(_line_count, records))
            self.syntax_error = _syntax_error(line, str(error))
        self.line += self.reader.line_num - before
        return records

    def _forget_names(self) -> None:
        """Limit the memory for names that nothing will use."""
        for names in (self.customers, self.gems):
            if len(names) > _CACHED_NAMES:
                names.forget()

    def _read_batch(self, records: list[list[str]]) -> DealBatch | None:
        """Return the batch, or None if a row is unusual or invalid and needs ``_read_rows``."""
        if set(map(len, records)) != {self.header.width} or self.line - self.line_of_records > len(records):
            return None
        columns = list(zip(*records, strict=True))
        if any("".join(column).strip(BLANKS) for column in columns[self.header.named_width :]):
            return None
        customer, gem, total, quantity, date = (columns[position] for position in self.header.positions)
        try:
            return self._batch(
                number_names(self.customers, map(str.encode, customer)),
                number_names(self.gems, map(str.encode, gem)),
                self._read_totals(total),
                _read_quantities(quantity),
                self._read_dates(date),
            )
        except ValueError:
            return None

    def _batch(
        self,
        customers: Sequence[int] | Integers,
        gems: Sequence[int] | Integers,
        totals: Sequence[int],
        quantities: Sequence[int],
        dates: Sequence[str],
    ) -> DealBatch:
        return DealBatch(
            np.array(customers, np.int64),
            np.array(gems, np.int64),
            np.array(totals, np.int64),
            np.array(quantities, np.int64),
            np.array(dates, "M8[us]"),
            self.customers,
            self.gems,
        )

    def _read_totals(self, cells: Sequence[str]) -> list[int]:
        """Return the amounts in hundredths. Raises: ValueError."""
        if not _all_match(_USUAL_TOTAL, cells):
            self.decimal_separators.update(map(decimal_separator, set(cells)))
            return list(map(read_total, cells))
        if "." not in "".join(cells):
            return [100 * whole for whole in map(int, cells)]
        self.decimal_separators.add(".")
        return list(map(_hundredths, cells))

    def _read_dates(self, cells: Sequence[str]) -> list[str]:
        """Raises: ValueError."""
        if not _all_match(_USUAL_DATE, cells) or _MIDNIGHT_AS_24 in "".join(cells):  # some Pythons accept that hour
            dates = list(map(read_date, cells))
            self.date_formats.update(map(date_format, cells))
            return dates
        deque(map(datetime.fromisoformat, cells), maxlen=0)
        self.date_formats.add(_USUAL_DATE_FORMAT)
        return list(cells)

    def _read_rows(self, records: list[list[str]], line: int) -> DealBatch:
        """Read the records row by row, and collect their problems."""
        columns: tuple[list[Any], ...] = ([], [], [], [], [])
        for record in records:
            if "".join(record).strip(BLANKS + _CTRL_Z):
                self._read_row(record, line, columns)
            line += _line_count(record)
        return self._batch(*columns)

    def _read_row(self, record: list[str], line: int, columns: tuple[list[Any], ...]) -> None:
        positions = self.header.positions
        shown = self.header.delimiter.join(record)
        cells = [record[position] if position < len(record) else "" for position in positions]
        if _repeats_header(cells):
            self._add_problem(line, None, shown, "repeated_header")
        elif _has_totals(cells, record):
            self._add_problem(line, None, shown, "totals_row")
        elif any(
            "\n" in cell and position not in positions and any(map(has_deal, cell.split("\n")))
            for position, cell in enumerate(record)
        ):
            self._add_problem(line, None, shown, "contains_deals")
        elif len(record) <= max(positions) or "".join(record[self.header.named_width :]).strip(BLANKS):
            self._add_problem(
                line, None, shown, "wrong_cell_count", cells=_cells(len(record)), header_cells=self.header.named_width
            )
        else:
            for column, cell, read, values in zip(COLUMNS, cells, self.cell_readers, columns, strict=True):
                try:
                    values.append(read(cell))
                except InvalidCell as error:
                    self._add_problem(line, column, cell, error.code, **error.params)
            if not self.problems:
                self.decimal_separators.add(decimal_separator(cells[2]))
                self.date_formats.add(date_format(cells[4]))

    def _add_problem(self, line: int, column: str | None, value: str, code: str, **params: int | str) -> None:
        self.problems.append(row_problem(line, column, value, code, **params))
        if len(self.problems) == self.limits.max_problems:
            end = row_problem(line, None, "", "too_many_errors", maximum=self.limits.max_problems)
            raise UploadHasProblems(_summary(self.problems, stopped=True), [*self.problems, end])


def _summary(problems: Sequence[RowProblem], *, stopped: bool = False) -> str:
    """Return the number of problems by reason; ``stopped`` if there may be more."""
    first, count = problems[0], f"{'at least ' if stopped else ''}{len(problems)}"
    where = f"line {first.line}" + (f", column {first.column!r}" if first.column else "")
    shown = f" {first.value!r}" if first.value else ""
    if len(problems) == 1:
        return f"The file has {count} error, in {where}:{shown} {first.reason}."
    counts = Counter((problem.column, problem.reason) for problem in problems)
    groups = [
        f"{number} × {column or 'line'} ({reason})" for (column, reason), number in counts.most_common(_MAX_REASONS)
    ]
    if others := len(counts) - len(groups):
        groups.append(f"{others} other kinds")
    return f"The file has {count} errors: {', '.join(groups)}; the first is in {where}{':' if shown else ''}{shown}."


def _read_quantities(cells: Sequence[str]) -> list[int]:
    """Raises: ValueError."""
    if _all_match(_USUAL_QUANTITY, cells) and 0 not in (quantities := list(map(int, cells))):
        return quantities
    return list(map(read_quantity, cells))


def _repeats_header(cells: Sequence[str]) -> bool:
    """Return whether the cells are the names of the columns; quotes remain after a byte-order mark."""
    return tuple(cell.strip(BLANKS + '"').casefold() for cell in cells) == COLUMNS


def _has_totals(cells: Sequence[str], record: Sequence[str]) -> bool:
    """Return whether a row without all five values is a row of totals: by a word, or by having only numbers."""
    customer, gem, total, quantity, date = (cell.strip(BLANKS) for cell in cells)
    if customer and gem and total and quantity and date:
        return False
    if any(_TOTALS.match(cell.lstrip(BLANKS)) for cell in record):
        return True
    return bool(total or quantity) and not (customer or gem or date)


def _all_match(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    """Return whether all cells match a pattern that does not distinguish digits."""
    shapes = "\n".join(cells).translate(_ZEROS).split("\n")
    return len(shapes) == len(cells) and all(map(pattern.fullmatch, set(shapes)))


def _hundredths(usual_total: str) -> int:
    whole, _, cents = usual_total.partition(".")
    return int(whole) * 100 + int(f"{cents:0<2}")


def _line_count(record: list[str]) -> int:
    """Return the number of physical lines of a record."""
    return 1 + sum(cell.count("\n") for cell in record)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _syntax_error(line: int, message: str) -> RowProblem:
    """Return the problem of a ``csv.Error`` without terms of Python."""
    if "unexpected end of data" in message:
        return row_problem(line, None, "", "unclosed_quote")
    if "field larger" in message:
        return row_problem(line, None, "", "cell_too_long", maximum=csv.field_size_limit())
    if "expected after" in message:
        return row_problem(line, None, "", "text_after_quote")
    if "new-line character" in message:
        return row_problem(line, None, "", "line_break")
    return row_problem(line, None, "", "not_csv", error=message)
