"""Databases for processes of the service: SQLite files, or databases on the PostgreSQL server of the run.

Migrations take a second, so most processes get a copy of a database that was migrated once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from tests import services

_ROOT = Path(__file__).resolve().parent.parent

#: PostgreSQL server to its migrated database, which is copied.
_templates: dict[str, str] = {}


def server_of(settings: dict[str, object]) -> str:
    """Return the URL of the server with Django's test database."""
    return "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}".format_map(settings)


@contextlib.contextmanager
def empty_database(server: str | None, folder: Path) -> Iterator[str]:
    """Yield the URL of a database without tables, on a PostgreSQL server or as a SQLite file in the folder."""
    if server is None:
        yield _url_of(folder / "empty.sqlite3")
        return
    with _postgres_database(server) as name:
        yield f"{server}/{name}"


@contextlib.contextmanager
def migrated_database(server: str | None, folder: Path) -> Iterator[str]:
    """Yield the URL of a database with empty tables."""
    if server is None:
        file = folder / "deals.sqlite3"
        file.write_bytes(migrated_sqlite_file())
        yield _url_of(file)
        return
    if server not in _templates:
        _templates[server] = _create_database(server)
        migrate(f"{server}/{_templates[server]}")
    with _postgres_database(server, f"TEMPLATE {_templates[server]}") as name:
        yield f"{server}/{name}"


@functools.cache
def migrated_sqlite_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "deals.sqlite3"
        migrate(_url_of(file))
        return file.read_bytes()


def migrate(url: str, *target: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", *target],
        cwd=_ROOT, env=os.environ | {"DATABASE_URL": url}, capture_output=True, check=True,
    )  # fmt: skip


def drop_templates() -> None:
    while _templates:
        _drop_database(*_templates.popitem())


def _url_of(file: Path) -> str:
    return f"sqlite:///{file}"


@contextlib.contextmanager
def _postgres_database(server: str, options: str = "") -> Iterator[str]:
    name = _create_database(server, options)
    try:
        yield name
    finally:
        _drop_database(server, name)


def _create_database(server: str, options: str = "") -> str:
    name = f"served_{services.free_port()}"
    _execute(server, f"CREATE DATABASE {name} {options}")
    return name


def _drop_database(server: str, name: str) -> None:
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server: str, statement: str) -> None:
    with contextlib.closing(psycopg2.connect(f"{server}/postgres")) as admin:
        admin.autocommit = True
        admin.cursor().execute(statement)
