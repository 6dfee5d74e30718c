"""Database access in other threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection


def call_and_close_connection(function: Callable[[], Any]) -> Any:
    """Call a function in a thread, then close the database connection of the thread."""
    try:
        return function()
    finally:
        connection.close()
