"""Vendor-specific SQL, error codes and timeouts that the ORM does not cover. Independent of the models."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db import (
    DataError,
    Error,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.db.models import F, Func, Model, QuerySet, TextField
from django.db.models.functions import StrIndex
from psycopg2.errors import DiskFull, QueryCanceled

#: Virtual machine instructions between two calls of SQLite's progress handler.
_PROGRESS_INTERVAL: Final = 20_000
_DEFAULT_CACHE_KIB: Final = 2_000
_LOAD_CACHE_KIB: Final = 8_000
#: Memory for the default ``MAX_GROUPS``.
_GROUPS_MEMORY: Final = "64MB"
#: Errors of the statement, its values or the tables; a retry does not help.
_PERMANENT_ERRORS: Final = (ProgrammingError, DataError, IntegrityError, NotSupportedError)
_UNUSABLE_FILE_CODES: Final = (
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR,
)  # fmt: skip


def disable_statement_timeout() -> None:
    """Disable the timeout for this transaction, because the duration of a load depends on the size of the file."""
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


@contextlib.contextmanager
def larger_page_cache() -> Iterator[None]:
    """On SQLite, let a load keep in memory the pages of the indexes that it changes, until it ends.

    With SQLite's default, a quarter of that, they are written to the WAL and read from it again and again.
    """
    if connection.vendor != "sqlite":
        yield
        return
    _execute(f"PRAGMA cache_size = -{_LOAD_CACHE_KIB}")
    try:
        yield
    finally:
        _execute(f"PRAGMA cache_size = -{_DEFAULT_CACHE_KIB}")


def analyze_tables(*models: type[Model]) -> None:
    """Update the statistics of PostgreSQL's planner now; autovacuum updates them only minutes later.

    With the statistics of the previous, possibly empty table, the planner joins thousands of rows one by one.
    """
    if connection.vendor == "postgresql":
        tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models)
        _execute(f"ANALYZE {tables}")


def has_citus() -> bool:
    """Return whether the tables may be distributed by Citus."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = 'pg_dist_partition')")
        return bool(cursor.fetchone()[0])


def update_column(model: type[Model], column: str, values: Sequence[tuple[int, str]]) -> None:
    """Set a column of text in the rows with these primary keys, in one statement."""
    quote = connection.ops.quote_name
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    rows = ", ".join(["(%s, %s)"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH changed (pk, value) AS (VALUES {rows})"  # noqa: S608
            f" UPDATE {table} SET {quote(column)} = changed.value FROM changed WHERE {table}.{key} = changed.pk",
            [value for pair in values for value in pair],
        )


def read_pks(ordered: QuerySet[Any]) -> array[int]:
    """Return the primary keys of all rows in their order, eight bytes each.

    Without a server-side cursor, psycopg2 would receive all rows at once, in ten times the memory.
    """
    if connection.vendor != "postgresql":
        return array("q", ordered.values_list("pk", flat=True).iterator())
    try:
        sql, parameters = ordered.values("pk").query.sql_with_params()
    except EmptyResultSet:
        return array("q")
    with connections[ordered.db].cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(int8send(pk), '' ORDER BY position)"  # noqa: S608
            f" FROM unnest(ARRAY({sql})) WITH ORDINALITY AS ordered (pk, position)",
            parameters,
        )
        (encoded,) = cursor.fetchone()
    pks = array("q", bytes(encoded or b""))
    if sys.byteorder == "little":
        pks.byteswap()
    return pks


def is_temporary(error: BaseException) -> bool:
    """Return whether this is a database error and the same statement may succeed later.

    A missing table or column is a permanent error, for which SQLite has only the generic code SQLITE_ERROR.
    """
    if not isinstance(error, Error) or isinstance(error, _PERMANENT_ERRORS):
        return False
    return getattr(error.__cause__, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


def is_disk_full(error: Error) -> bool:
    """Return whether the disk of the database is full."""
    cause = error.__cause__
    return isinstance(cause, DiskFull) or getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def is_database_file_unusable(error: Error) -> bool:
    """Return whether SQLite cannot open, read or write the database file; a retry does not help."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _UNUSABLE_FILE_CODES  # the low byte is the primary result code


def describe_error(error: Error) -> str:
    """Return the message on one line; for an unusable SQLite file, with the path and the setting to change."""
    message = " ".join(str(error).split())
    if not is_database_file_unusable(error):
        return message
    return f"{message}: {connection.settings_dict['NAME']}. Set DATABASE_URL to a file that can be written."


@contextlib.contextmanager
def memory_for_groups(alias: str) -> Iterator[None]:
    """Let PostgreSQL keep groups in memory in statements on this connection.

    Its planner expects a group of each day for nearly every deal. With the default of 4 MB, it sorts all deals on the
    disk. The setting is sent with each statement and ends with the transaction.
    """
    if connection.vendor != "postgresql":
        yield
        return

    def execute(run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        return run(f"SET LOCAL work_mem = '{_GROUPS_MEMORY}'; {sql}", *arguments)

    with connections[alias].execute_wrapper(execute):
        yield


class StatementsTimedOut(Exception):
    """The statements of one operation have exceeded their total time limit."""


class StatementTimer:
    """Limit the total time of the statements of one operation.

    The time of Python code between the statements, and the time while the process is suspended, do not count. SQLite
    runs in the calling thread, so the CPU time of the thread is measured, which does not depend on the load of the
    machine. PostgreSQL cancels a statement by its own clock. The timeout is sent with the statement and ends with the
    transaction, so it needs no round trip and no session state, which a connection pool could share.
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
        self._set_progress_handler(self._count_progress)
        try:
            yield
        finally:
            self._set_progress_handler(None)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let SQLite run statements that do not go through ``execute`` without a limit."""
        self._set_progress_handler(None)
        try:
            yield
        finally:
            self._set_progress_handler(self._count_progress)

    @staticmethod
    def _set_progress_handler(handler: Callable[[], bool] | None) -> None:
        if connection.vendor == "sqlite" and connection.connection is not None:
            connection.connection.set_progress_handler(handler, _PROGRESS_INTERVAL)

    def execute(self, run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        """Run one statement, as an execute wrapper of Django does.

        Raises: StatementsTimedOut.
        """
        if self.has_expired:
            raise StatementsTimedOut
        if connection.vendor == "sqlite":
            return self._execute_on_sqlite(run, sql, *arguments)
        return self._execute_on_postgresql(run, sql, *arguments)

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
        """Count the CPU time since the last call. As SQLite's progress handler, return True to abort the statement."""
        now = time.thread_time()
        self.remaining -= now - self._counted_until
        self._counted_until = now
        return self.has_expired

    def _execute_on_postgresql(self, run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        timeout, start = self.remaining, time.monotonic()
        try:
            # PostgreSQL applies the timeout to each statement of a message separately.
            result = run(f"SET LOCAL statement_timeout = {math.ceil(timeout * 1000)}; {sql}", *arguments)
        except OperationalError as error:
            if isinstance(error.__cause__, QueryCanceled) and time.monotonic() - start >= timeout:
                self.remaining = 0
                raise StatementsTimedOut from error
            raise
        elapsed = time.monotonic() - start
        if elapsed <= timeout:  # otherwise this process was suspended, because PostgreSQL did not cancel the statement
            self.remaining -= elapsed
        return result


def id_without_index() -> Any:
    """Return the id to sort the rows of one customer or gem by; on PostgreSQL, as an expression that no index contains.

    Otherwise PostgreSQL may read the rows of all others in the order of their ids, because it expects to find those of
    one customer or gem early. SQLite reads them in this order from the index of customers or gems.
    """
    return F("id") + 0 if connection.vendor == "postgresql" else F("id")


class NamePosition(StrIndex):
    """Position of a text in a name, from 1; 0 if the name does not contain it. Case-sensitive.

    On PostgreSQL, bytes are compared, because the time of ``strpos`` for text is up to the product of both lengths:
    the search for 127 characters in 100,000 names of 255 emoji took 5.2 s of CPU time, and 0.3 s as bytes. In UTF-8,
    characters match exactly where their bytes match; the position then counts bytes.
    """

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template, joiner = 'pg_catalog."position"(textsend(%(expressions)s))', "), textsend("
        return self.as_sql(compiler, connection, template=template, arg_joiner=joiner, **extra)


class AmountText(Func):
    """Hundredths as text in the notation of ``formats.format_hundredths``."""

    output_field = TextField()
    arity = 1

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="trim_scale(%(expressions)s * 0.01)::text", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        decimal = "printf('%%%%d.%%%%02d', %(expressions)s / 100, %(expressions)s %%%% 100)"
        return self.as_sql(compiler, connection, template=f"rtrim(rtrim({decimal}, '0'), '.')", **extra)


class UtcText(Func):
    """A date as text in UTC, whatever the settings of the session: ``2018-12-14 08:29:52.506166``.

    A fraction of zero is omitted. SQLite stores dates in this form.
    """

    output_field = TextField()
    arity = 1

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        text = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
        return self.as_sql(compiler, connection, template=f"replace({text}, '.000000', '')", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # Without CAST, Django's converter for columns declared as datetime applies.
        return self.as_sql(compiler, connection, template="CAST(%(expressions)s AS text)", **extra)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
