"""What the commands share: with which code they end, and how they speak to a person.

Exit codes: 0 done; 1 the file was refused; 2 the call is wrong or names what is not there;
3 the database cannot be used; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from django.core.management.base import CommandError, OutputWrapper
from django.db import Error, connection

from deals_api.db_vendor import describe_error, is_temporary
from deals_api.formats import printable
from deals_api.models import Upload
from deals_api.schema_check import SchemaMismatch, require_matching_schema

#: How often the bar is drawn.
_EVERY_SECONDS: Final = 0.1
_BAR_WIDTH: Final = 30
_USUAL_COLUMNS: Final = 80
_CLEAR_LINE: Final = "\r\x1b[K"


# Ends. Django prints the name of the class before the message.


class UploadRejected(CommandError):
    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=1)


class UsageError(CommandError):
    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class DatabaseUnavailable(CommandError):
    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=3)


class Interrupted(CommandError):
    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=130)


@contextlib.contextmanager
def database() -> Iterator[None]:
    """For work that needs the database and its tables.

    Raises: DatabaseUnavailable.
    """
    try:
        Upload.objects.current()
    except Error as error:
        raise DatabaseUnavailable(f"The database cannot be used: {_reason(error)}") from error
    try:
        yield
    except Error as error:
        problem = "The database stopped answering" if is_temporary(error) else "The database cannot be used"
        raise DatabaseUnavailable(f"{problem}: {_reason(error)}") from error


def _reason(error: Error) -> str:
    """Why it failed; if the tables do not match the code, what to do."""
    if not is_temporary(error):
        try:
            require_matching_schema()
        except SchemaMismatch as mismatch:
            return str(mismatch)
        except Error:
            pass
    return describe_error(error)


class Interruption:
    """Raise KeyboardInterrupt for the first Ctrl-C at the next call or statement; a second one ends the process.

    The signal handler itself must not raise: psycopg2 and sqlite3 turn an exception that appears inside them into a
    database error, or lose it.
    """

    def __init__(self) -> None:
        self.requested = False
        self._pending = False

    def __call__(self) -> None:
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle SIGINT in this block, unless it is ignored, as in a background job of a shell."""
        previous = signal.getsignal(signal.SIGINT)
        if previous is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._request)
        try:
            with connection.execute_wrapper(self._before_statement):
                yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _request(self, number: int, _frame: object) -> None:
        if self.requested:
            os._exit(128 + number)
        self.requested = self._pending = True

    def _before_statement(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self()
        return execute(*arguments)


# Tables


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """Columns side by side; those whose places are in ``right`` hold numbers."""
    cells = [[printable(str(cell)) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


# The bar


class ProgressBar:
    """How far a load is, redrawn on one line of a terminal.

    Time left is what the bytes read so far took, applied to the others.
    """

    def __init__(self, terminal: OutputWrapper, size: int) -> None:
        self.terminal = terminal
        self.size = size
        self.began = time.monotonic()
        self.drawn = 0.0
        self._draw("checking the file")

    def __call__(self, rows: int, bytes_read: int) -> None:
        now = time.monotonic()
        if now - self.drawn < _EVERY_SECONDS and bytes_read < self.size:
            return
        self.drawn = now
        seconds = max(now - self.began, 1e-6)
        share = bytes_read / self.size
        left = seconds / share - seconds
        then = f"{duration(left)} left" if share < 1 else "storing sums"
        text = f" {share:4.0%}  {rows:,} rows  {rows / seconds:,.0f} rows/s  {then}"
        width = max(0, min(_BAR_WIDTH, self._columns() - len(text) - 3))
        filled = int(share * width)
        self._draw(f"[{'#' * filled}{'.' * (width - filled)}]{text}")

    def end(self) -> None:
        self._write(_CLEAR_LINE)

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.terminal.fileno()).columns or _USUAL_COLUMNS
        except OSError:
            return _USUAL_COLUMNS

    def _draw(self, text: str) -> None:
        self._write(_CLEAR_LINE + text[: self._columns() - 1])

    def _write(self, text: str) -> None:
        self.terminal.write(text, style_func=str, ending="")
        self.terminal.flush()


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
