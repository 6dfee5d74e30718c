"""Shared by the management commands: exit codes, database errors, Ctrl-C, tables and the progress bar."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper
from django.db import Error, connection

from deals_api.db_vendor import describe_error, is_temporary
from deals_api.formats import printable
from deals_api.models import Upload
from deals_api.schema_check import SchemaMismatch, require_matching_schema

_REDRAW_SECONDS: Final = 0.1
_BAR_WIDTH: Final = 30
_DEFAULT_COLUMNS: Final = 80
_CLEAR_LINE: Final = "\r\x1b[K"


class ExitCode(IntEnum):
    REJECTED = 1  # the file was rejected
    USAGE = 2  # invalid arguments or settings, or a missing file
    UNAVAILABLE = 3  # the database is not available, or the disk is full
    INTERRUPTED = 130  # a shell reports SIGINT by this code


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Check that the database and its tables can be used, and convert database errors of the block.

    Raises: CommandError.
    """
    try:
        Upload.objects.current()
    except Error as error:
        raise CommandError(f"The database cannot be used: {_reason(error)}", returncode=ExitCode.UNAVAILABLE) from error
    try:
        yield
    except Error as error:
        problem = "The database became unavailable" if is_temporary(error) else "The database cannot be used"
        raise CommandError(f"{problem}: {_reason(error)}", returncode=ExitCode.UNAVAILABLE) from error


def _reason(error: Error) -> str:
    """Return the message of the schema check if the tables do not match the code, otherwise that of the error."""
    if not is_temporary(error):
        try:
            require_matching_schema()
        except SchemaMismatch as mismatch:
            return str(mismatch)
        except Error:
            pass
    return describe_error(error)


class Interruption:
    """Raise KeyboardInterrupt after a Ctrl-C, in ``check`` or before the next statement; a second one ends the process.

    The signal handler itself must not raise, because psycopg2 and sqlite3 turn an exception raised inside them into a
    database error, or suppress it.
    """

    def __init__(self) -> None:
        self.requested = False
        self._pending = False

    def check(self) -> None:
        """Raises: KeyboardInterrupt, once after a Ctrl-C."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle SIGINT in this block, unless the process ignores it, as a background job of a shell does."""
        previous = signal.getsignal(signal.SIGINT)
        if previous is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._request)
        try:
            with connection.execute_wrapper(self._before_statement):
                yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _request(self, signal_number: int, _frame: object) -> None:
        if self.requested:
            os._exit(128 + signal_number)
        self.requested = self._pending = True

    def _before_statement(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.check()
        return execute(*arguments)


# Tables


def format_table(header: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """Format a table; ``right`` contains the indexes of right-aligned columns."""
    cells = [[printable(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def format_fields(fields: Mapping[str, Any]) -> str:
    """Format names and values as two aligned columns; ``none`` stands for a missing or empty value."""
    width = max(map(len, fields))
    values = {name: "none" if value in (None, "") else printable(str(value)) for name, value in fields.items()}
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in values.items())


# Progress bar


class ProgressBar:
    """The progress of a load on one line of a terminal; the remaining time is estimated from the bytes read so far."""

    def __init__(self, terminal: OutputWrapper, size: int, last_status: str) -> None:
        self.terminal = terminal
        self.size = size
        self.last_status = last_status
        self.started_at = time.monotonic()
        self.drawn_at = 0.0
        self._draw("checking the file")

    def __call__(self, rows: int, bytes_read: int) -> None:
        now = time.monotonic()
        if now - self.drawn_at < _REDRAW_SECONDS and bytes_read < self.size:
            return
        self.drawn_at = now
        seconds = max(now - self.started_at, 1e-6)
        fraction = bytes_read / self.size
        remaining = seconds / fraction - seconds
        status = f"{format_duration(remaining)} left" if fraction < 1 else self.last_status
        text = f" {fraction:4.0%}  {rows:,} rows  {rows / seconds:,.0f} rows/s  {status}"
        width = max(0, min(_BAR_WIDTH, self._columns() - len(text) - 3))
        filled = int(fraction * width)
        self._draw(f"[{'#' * filled}{'.' * (width - filled)}]{text}")

    def end(self) -> None:
        self._write(_CLEAR_LINE)

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.terminal.fileno()).columns or _DEFAULT_COLUMNS
        except OSError:
            return _DEFAULT_COLUMNS

    def _draw(self, text: str) -> None:
        self._write(_CLEAR_LINE + text[: self._columns() - 1])

    def _write(self, text: str) -> None:
        self.terminal.write(text, style_func=str, ending="")
        self.terminal.flush()


def format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
