"""Vendor-specific SQL, error codes and timeouts that the ORM does not cover. Independent of the models."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db import (
    DataError,
    Error,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.db.models import Model
from django.db.models.functions import StrIndex
from psycopg2.errors import DiskFull, QueryCanceled

#: Virtual machine instructions between two calls of SQLite's progress handler.
_STEPS: Final = 20_000
#: Errors of the statement, its values or the tables, which a retry does not change.
_PERMANENT: Final = (ProgrammingError, DataError, IntegrityError, NotSupportedError)
_UNUSABLE_FILE: Final = (
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR,
)  # fmt: skip


def disable_statement_timeout() -> None:
    """Disable the timeout for this transaction, because the duration of a load depends on its file."""
    if connection.vendor == "postgresql":
        _execute("SET LOCAL statement_timeout = 0")


@contextlib.contextmanager
def no_wait_for_writers() -> Iterator[None]:
    """On SQLite, let a write fail at once if another connection is writing, instead of waiting."""
    if connection.vendor != "sqlite":
        yield
        return
    _execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        _execute(f"PRAGMA busy_timeout = {connection.settings_dict['OPTIONS']['timeout'] * 1000:.0f}")


def analyze_tables(*models: type[Model]) -> None:
    """Update the planner's statistics, which PostgreSQL would do by itself only minutes later.

    Until then, it plans for the previous, possibly empty table, and joins thousands of rows one by one.
    """
    if connection.vendor == "postgresql":
        tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models)
        _execute(f"ANALYZE {tables}")


def is_temporary(error: BaseException) -> bool:
    """Return whether this is a database error and the same statement may succeed later.

    A missing table or column is permanent. SQLite reports it by its general code for an invalid statement.
    """
    if not isinstance(error, Error) or isinstance(error, _PERMANENT):
        return False
    return getattr(error.__cause__, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


def is_disk_full(error: Error) -> bool:
    """Return whether the disk of the database is full."""
    cause = error.__cause__
    return isinstance(cause, DiskFull) or getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def is_unusable(error: Error) -> bool:
    """Return whether SQLite cannot open or write its file, which a retry does not change."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _UNUSABLE_FILE  # the higher bits are details


def describe_error(error: Error) -> str:
    """Return the message on one line; for an unusable SQLite file, with its path and the setting."""
    message = " ".join(str(error).split())
    if not is_unusable(error):
        return message
    return f"{message}: {connection.settings_dict['NAME']}. Set DATABASE_URL to a file that can be written."


class StatementsTimedOut(Exception):
    """The statements of one operation have used up their time limit."""


class StatementTimer:
    """Limit the total time of the statements of one operation.

    Only the statements count: not the Python code between them, not the time while the process is suspended and, on
    SQLite, not the load of the machine. SQLite runs in the calling thread, so the CPU time of the thread is measured.
    PostgreSQL cancels a statement by its own clock. The timeout is sent with the statement and ends with the
    transaction: that takes no round trip, and leaves nothing in a session that a connection pool may share.
    """

    def __init__(self, seconds: float) -> None:
        self.remaining = seconds
        self._counted_until = 0.0

    @property
    def has_expired(self) -> bool:
        return self.remaining <= 0

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Install SQLite's progress handler; on PostgreSQL, close a lost connection afterwards."""
        if connection.vendor != "sqlite":
            yield
            if connection.connection is not None and connection.connection.closed:
                connection.close()
            return
        connection.ensure_connection()
        connection.connection.set_progress_handler(self._count_progress, _STEPS)
        try:
            yield
        finally:
            if connection.connection is not None:
                connection.connection.set_progress_handler(None, 0)

    def execute(self, run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        """Run one statement, as an execute wrapper of Django does.

        Raises: StatementsTimedOut.
        """
        if self.has_expired:
            raise StatementsTimedOut
        execute = self._execute_on_sqlite if connection.vendor == "sqlite" else self._execute_on_postgresql
        return execute(run, sql, *arguments)

    def _execute_on_sqlite(self, run: Callable[..., Any], *arguments: Any) -> Any:
        self._counted_until = time.thread_time()
        try:
            return run(*arguments)
        except OperationalError as error:
            if self.has_expired:
                raise StatementsTimedOut from error
            raise
        finally:
            self._count_progress()

    def _count_progress(self) -> bool:
        now = time.thread_time()
        self.remaining -= now - self._counted_until
        self._counted_until = now
        return self.has_expired

    def _execute_on_postgresql(self, run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        timeout, begin = self.remaining, time.monotonic()
        try:
            # One message; PostgreSQL applies the limit to each of its statements separately.
            result = run(f"SET LOCAL statement_timeout = {math.ceil(timeout * 1000)}; {sql}", *arguments)
        except OperationalError as error:
            if isinstance(error.__cause__, QueryCanceled) and time.monotonic() - begin >= timeout:
                self.remaining = 0
                raise StatementsTimedOut from error
            raise
        elapsed = time.monotonic() - begin
        if elapsed <= timeout:  # otherwise this process was suspended, or PostgreSQL would have cancelled the statement
            self.remaining -= elapsed
        return result


class NamePosition(StrIndex):
    """Position of a text in a name, from 1; 0 if the name does not contain it. Case-sensitive.

    PostgreSQL compares bytes: its ``strpos`` of text takes up to the product of both lengths. 127 characters in
    100,000 names of 255 emoji took 5.2 s of CPU time, as bytes 0.3 s. UTF-8 has no match across characters.
    """

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template, joiner = 'pg_catalog."position"(textsend(%(expressions)s))', "), textsend("
        return self.as_sql(compiler, connection, template=template, arg_joiner=joiner, **extra)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
