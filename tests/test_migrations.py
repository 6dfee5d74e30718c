"""Migrations: complete, never edited, reversible, and applied by servers that start at the same time."""

from __future__ import annotations

import contextlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from deals_api.models import Customer, Deal, Gem, GemDay, GemMonth, Purchase, Upload
from tests.builders import csv_of, deal
from tests.databases import migrate
from tests.server_actions import execute, query
from tests.servers import ROOT, Server, serving, wait_until

MIGRATIONS: Final = ROOT / "deals_api" / "migrations"
#: SHA-256 of each landed migration.
LANDED: Final = {
    "0001_initial.py": "554a4215b5475bb5ff3ccfc36f7c0a2cb350be539cc0ce799dc0d527b69b8f0a",
    "0002_installation.py": "9049496d87ad999bc1cbdadf120914ae83ba8676a5a91fb37297958636614d8a",
    "0003_repair_early_tables.py": "3881a4f58527a3029d5a5f9a7a9cc27d7896042f0a0ae393ddb07e2e5b370b35",
    "0004_upload_uploaded_by.py": "24061da415fcf753ab0e5922a0f2ca332142098730acd0a0c61799dd0672adb0",
    "0005_arrival_time_of_the_database.py": "696d39d6491267e74dfc8aad7c95235102ecd1a99aecdc47c536c3e883b3a211",
    "0006_name_lengths.py": "6303d9d429ccb6b7232ae832af27b596b8e0e1d6eb91001217572a3e768cce73",
    "0007_rename_upload_rows.py": "2fd4fd164a9809a013153c55e0b48fbbcd7213a8c9ef8850c7672263d12ef599",
    "0008_detected_format.py": "0b941ff58fedef8764a04233d8ffff6c92d362465ea8c1c60b9c411a14648cac",
    "0009_rename_pointer_fields.py": "66557d66fbdd721519a71deeac93fdec0b28b31f682f275955536df468b649fc",
    "0010_folded_names.py": "5b83d2e79c719b3ea8719af108314e214bd2abd836f7c17231fce555918c0e23",
    "0011_fill_folded_names.py": "27a35002d2da1e60605c59cedab6d5f0c23ca2192dabc44f731d08e8cee5cf26",
    "0012_folded_name_indexes.py": "bb996461353d5937c01d435b8d545c8511bff40bcf08da712426fd4e3f2c7bf7",
    "0013_stored_sums.py": "54d378e8d77f35100b921bd7c9f0a12fdd0c0399cb235985955b59f7873cc4aa",
    "0014_load_progress.py": "e4f4baf7f687efe10f54d74ca6dddf322ab3a81c03bc8635a1365326c54ed9e2",
    "0015_worker_jobs.py": "4def02bb5f61b8dd6703c0e9143ee368f3fe768535b5897f00cfd5f03035f85e",
    "0016_rejection_details.py": "ed0abfe43e73269850bb1d1f44cbb55a7ebe4a257382a65051702b916f76a60c",
    "0017_row_ids_of_sqlite.py": "fd73a3cb896c30f14ad60f8736d0507cf6e51bdc7333bad54d2e28a6b7f977d3",
}


def test_landed_migrations_are_never_edited() -> None:
    """A database that recorded a migration never runs it again, so an edit reaches new databases only."""
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in MIGRATIONS.glob("0*.py")}
    for name in LANDED.keys() | files.keys():
        assert name in LANDED, f"A new migration: add its line to LANDED: {name!r}: {files[name]!r},"
        assert files.get(name) == LANDED[name], (
            f"The landed migration {name} was edited: restore it (git checkout main -- deals_api/migrations/{name})"
            " and put the change into a new migration (python manage.py makemigrations)."
        )


@pytest.mark.django_db
def test_no_migration_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        call_command("makemigrations", check=True, dry_run=True)
    except SystemExit:
        pytest.fail(f"Create it: python manage.py makemigrations\n{capsys.readouterr().out}")


def tables(database_url: str) -> set[str]:
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if database_url.startswith("sqlite")
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    return {name for (name,) in query(database_url, sql)}


def test_migrations_create_and_remove_all_tables(database_url: str) -> None:
    models = {model._meta.db_table for model in apps.get_app_config("deals_api").get_models()}
    assert Upload._meta.db_table in models
    assert models <= tables(database_url)
    migrate(database_url)
    migrate(database_url, "deals_api", "zero")
    assert not models & tables(database_url)


@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.django_db
def test_name_columns_compare_by_code_point() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE (table_name, column_name) IN (('deals_api_customer', 'username'), ('deals_api_gem', 'name'))"
        )
        assert sorted(cursor.fetchall()) == [("deals_api_customer", "username", "C"), ("deals_api_gem", "name", "C")]


def start_servers(count: int, stack: contextlib.ExitStack, folder: Path, environment: dict[str, str]) -> list[Server]:
    """Start servers at the same time, and return them when all respond."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: stack.enter_context(serving(folder, **environment)), range(count)))


def test_servers_can_migrate_at_the_same_time(tmp_path: Path, empty_environment: dict[str, str]) -> None:
    with contextlib.ExitStack() as stack:
        servers = start_servers(2, stack, tmp_path, empty_environment)
        assert servers[0].upload(csv_of(deal("ann"))).status_code == 200
        assert [server.get().json()["response"][0]["username"] for server in servers] == ["ann", "ann"]


@pytest.mark.usefixtures("postgresql_only")
def test_server_waits_while_another_process_creates_a_table(tmp_path: Path, empty_environment: dict[str, str]) -> None:
    """Servers that start together rarely conflict; here, the table is created during the start."""
    url = empty_environment["DATABASE_URL"]
    with (
        contextlib.closing(psycopg2.connect(url)) as other,
        contextlib.ExitStack() as stack,
        ThreadPoolExecutor() as pool,
    ):
        other.cursor().execute(
            "CREATE TABLE django_migrations (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,"
            " app varchar(255) NOT NULL, name varchar(255) NOT NULL, applied timestamptz NOT NULL)"
        )
        starting = pool.submit(start_servers, 1, stack, tmp_path, empty_environment)
        wait_until(lambda: is_waiting_for_a_lock(url))
        other.commit()
        (server,) = starting.result()
        assert server.upload(csv_of(deal("ann"))).status_code == 200


def is_waiting_for_a_lock(database_url: str) -> bool:
    return bool(query(database_url, "SELECT 1 FROM pg_locks WHERE NOT granted"))


# Folded names


def migrated_to_0009_with_rows(database_url: str) -> None:
    """Create uploads in every state as the release before the folded names stored them."""
    migrate(database_url, "deals_api", "0009")
    states = ("loading", "loaded", "loaded", "refused", "interrupted", "retired", "pruned")
    for number, state in enumerate(states, 1):
        insert(
            database_url, "upload", id=number, snapshot=uuid.UUID(int=number).hex, file_name="a.csv", sha256="", size=1,
            rows=2, customer_count=2, gem_count=1, state=state, error="", arrived_at="2026-01-01 00:00:00",
            customer_characters=7,
        )  # fmt: skip
        if state in ("loaded", "retired"):
            for row, name in enumerate(("Straße", "ΣΊΣΥΦΟΣ"), number * 2**32 + 1):
                insert_customer(database_url, row, name, upload_id=number)


def insert_customer(database_url: str, pk: int, username: str, upload_id: int) -> None:
    insert(
        database_url, "customer", id=pk, username=username, spent_money=0, deal_count=1, gem_count=1,
        first_deal="2020-01-01 00:00:00", last_deal="2020-01-01 00:00:00", upload_id=upload_id,
    )  # fmt: skip


def insert(database_url: str, table: str, **values: Any) -> None:
    literals = (str(value) if isinstance(value, int) else f"'{value}'" for value in values.values())
    columns = ", ".join(values)
    execute(database_url, f"INSERT INTO deals_api_{table} ({columns}) VALUES ({', '.join(literals)})")  # noqa: S608


def test_migration_folds_stored_names_and_keeps_the_data(empty_database_url: str) -> None:
    database_url = empty_database_url
    migrated_to_0009_with_rows(database_url)
    kept = "SELECT id, upload_id, username, spent_money, first_deal FROM deals_api_customer ORDER BY id"
    before = query(database_url, kept)
    migrate(database_url)
    assert query(database_url, kept) == before
    folded = "SELECT DISTINCT username_folded FROM deals_api_customer WHERE upload_id IN (2, 3) ORDER BY 1"
    assert query(database_url, folded) == [("strasse",), ("σίσυφοσ",)]
    flags = "SELECT id, names_folded, customer_characters FROM deals_api_upload ORDER BY id"
    assert [(pk, bool(flag), count) for pk, flag, count in query(database_url, flags)] == [
        (pk, pk in (2, 3), 14 if pk in (2, 3) else 7) for pk in range(1, 8)
    ]


def test_previous_release_can_insert_rows_after_the_migration(database_url: str) -> None:
    insert_customer(database_url, 1, "Ann", upload_id=1)
    assert query(database_url, "SELECT username_folded FROM deals_api_customer") == [("",)]


# Row ids


@pytest.mark.usefixtures("sqlite_only")
def test_migration_lets_sqlite_find_rows_by_their_rowids(empty_database_url: str) -> None:
    database_url = empty_database_url
    migrate(database_url, "deals_api", "0016")
    for row, name in enumerate(("ann", "bob"), 7 * 2**32 + 1):
        insert_customer(database_url, row, name, upload_id=7)
    contents = "SELECT id, username, upload_id FROM deals_api_customer ORDER BY id"
    before = query(database_url, contents)
    migrate(database_url)
    assert query(database_url, contents) == before
    for model in (Customer, Gem, Purchase, GemDay, GemMonth, Deal):
        sql = f"EXPLAIN QUERY PLAN SELECT * FROM {model._meta.db_table} WHERE id = 1"  # noqa: S608
        (step,) = query(database_url, sql)
        assert step[3].endswith("USING INTEGER PRIMARY KEY (rowid=?)")
