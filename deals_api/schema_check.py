"""Check that the tables of the database match the code. The check does not depend on particular models."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader


class SchemaMismatch(Exception):
    """The tables do not match the code; the message contains the remedy."""


def migrate_database() -> None:
    """Create or update the tables.

    Raises: SchemaMismatch, if the database is newer, which leaves it unchanged, or if it does not match afterwards.
    """
    with _migration_lock():
        _reject_newer_database(MigrationLoader(connection))
        call_command("migrate", interactive=False, verbosity=0)
    require_matching_schema_once()


@contextlib.contextmanager
def _migration_lock() -> Iterator[None]:
    """On SQLite, wait while another process migrates a database of the same folder.

    A migration that rebuilds a table would otherwise drop the columns that another process has added since. On
    PostgreSQL, the statement of the second process fails, and the start is repeated.
    """
    folder = Path(connection.settings_dict["NAME"]).parent
    if connection.vendor != "sqlite" or not folder.is_dir():  # SQLite reports a missing folder
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def require_matching_schema_once() -> None:
    """Check the tables until they match. They do not change later while this process and its forks run.

    Raises: SchemaMismatch.
    """
    if not _passed:
        require_matching_schema()
        _passed.append(True)


_passed: list[bool] = []


def require_matching_schema() -> None:
    """Raises: SchemaMismatch."""
    loader = MigrationLoader(connection)
    _reject_newer_database(loader)
    pending = sorted(loader.graph.nodes.keys() - loader.applied_migrations.keys())
    if pending:
        raise SchemaMismatch(
            f"The database lacks {len(pending)} migrations, of which the first is {'.'.join(pending[0])}:"
            " run `python manage.py migrate`, or start the service by `python manage.py serve`."
        )
    missing = _missing_table_or_column()
    if missing:
        raise SchemaMismatch(
            f"The database has no {missing}, although its migrations are recorded as applied: restore a backup,"
            " or set DATABASE_URL to an empty database and upload the file again."
        )


def _reject_newer_database(loader: MigrationLoader) -> None:
    unknown = sorted(
        (app, name)
        for app, name in loader.applied_migrations
        if app in loader.migrated_apps and (app, name) not in loader.disk_migrations
    )
    if unknown:
        raise SchemaMismatch(
            f"A newer version of the service migrated the database (this version lacks {'.'.join(unknown[0])}):"
            " start that version, or restore a backup that was made before the upgrade."
        )


def _missing_table_or_column() -> str | None:
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            if table not in tables:
                return f"table {table}"
            # Django's introspection of all tables takes longer than this, because it parses their SQL on SQLite.
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} LIMIT 0")  # noqa: S608
            columns = {column[0] for column in cursor.description}
            for field in model._meta.local_concrete_fields:
                if field.column not in columns:
                    return f"column {table}.{field.column}"
    return None
