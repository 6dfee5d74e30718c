"""What the two databases do in different words, and the ORM in none.

Knows no model.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from typing import Final

from django.db import DataError, Error, IntegrityError, NotSupportedError, ProgrammingError, connection
from django.db.models import Model
from psycopg2.errors import DiskFull

#: SQLite looks at the clock every so many of its steps.
_STEPS: Final = 20_000
#: The statement, its values or the tables are wrong, and not the database's condition.
_PERMANENT: Final = (ProgrammingError, DataError, IntegrityError, NotSupportedError)


def take_as_long_as_needed() -> None:
    """The statements of this transaction are not ended: a load takes what its file takes."""
    if connection.vendor == "postgresql":
        _execute("SET LOCAL statement_timeout = 0")


@contextlib.contextmanager
def no_wait_for_writers() -> Iterator[None]:
    """On SQLite, a write fails at once while another connection writes, instead of waiting for it."""
    if connection.vendor != "sqlite":
        yield
        return
    _execute("PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        _execute(f"PRAGMA busy_timeout = {connection.settings_dict['OPTIONS']['timeout'] * 1000:.0f}")


def count_anew(*models: type[Model]) -> None:
    """Have the planner know how many rows there are, which PostgreSQL finds out by itself within minutes.

    Until then it takes a table that was empty for one that still is, and joins thousands of rows one by one.
    """
    if connection.vendor == "postgresql":
        tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models)
        _execute(f"ANALYZE {tables}")


def is_temporary(error: BaseException) -> bool:
    """Whether a database raised it, and the same statement may succeed later.

    A missing table or column is permanent. SQLite reports it by its general code for an invalid statement.
    """
    if not isinstance(error, Error) or isinstance(error, _PERMANENT):
        return False
    return getattr(error.__cause__, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


def is_full(error: Error) -> bool:
    """Whether its disk has no room left."""
    cause = error.__cause__
    return isinstance(cause, DiskFull) or getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


@contextlib.contextmanager
def statements_end(seconds: int) -> Iterator[None]:
    """Any statement of this thread that runs longer is stopped with an OperationalError."""
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        until = time.monotonic() + seconds
        connection.connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        try:
            yield
        finally:
            if connection.connection is not None:
                connection.connection.set_progress_handler(None, 0)
        return
    _execute(f"SET statement_timeout = '{seconds:d}s'")
    try:
        yield
    finally:
        try:
            _execute("RESET statement_timeout")
        except Error:
            connection.close()  # it is of no use to the next request either


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
