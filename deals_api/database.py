"""What the two databases do in different words, and the ORM in none.

Knows no model.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from django.db import Error, connection

#: SQLite looks at the clock every so many of its steps.
_STEPS: Final = 20_000


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
    _set_statement_timeout(1000 * seconds)
    try:
        yield
    finally:
        try:
            _set_statement_timeout(0)
        except Error:
            connection.close()  # it is of no use to the next request either


def _set_statement_timeout(milliseconds: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])
