"""Upgrades: a database of every earlier schema keeps its data and gets the tables of a new database.

The SQL files in ``data/early`` are dumps of databases that the named commits created: each commit was checked out
and served with ``KEEP_UPLOADS=2``, then the files oldest.csv, older.csv, bad.csv and deals.csv were uploaded to it, and
the database was dumped by ``pg_dump --inserts`` or ``sqlite3.Connection.iterdump``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg2
import pytest

from tests.builders import csv_of, deal
from tests.conftest import empty_database
from tests.server_actions import query, usernames_in
from tests.servers import ROOT, TIMEOUT, Server, serving
from tests.test_migrations import migrate

EARLY: Final = ROOT / "tests" / "data" / "early"
#: By the commit that landed them, the oldest first.
SCHEMAS: Final = ("a9e5b33", "461d8cc", "2481214", "e76dde0", "16d062e")
FILES: Final = ("older.csv", "deals.csv")
HISTORY: Final = "{ uploads(first: 10) { nodes { id fileName sha256 size dealCount customerCount gemCount state } } }"
EVERYTHING: Final = """query ($upload: ID) {
  topClients(upload: $upload) { username spentMoney gems }
  customers(upload: $upload) {
    totalCount nodes { username spentMoney dealCount gemCount firstDeal lastDeal gems(first: 5) { nodes { name } } }
  }
  gems(upload: $upload) { totalCount nodes { name total dealCount buyerCount buyers(first: 5) { nodes { username } } } }
  deals(upload: $upload) { totalCount nodes { customer { username } gem { name } total quantity date } }
  dealStats(upload: $upload, by: [GEM, MONTH]) { gem { name } month dealCount quantity total averageTotal }
}"""


@pytest.fixture(params=SCHEMAS)
def early_database(request: pytest.FixtureRequest, database_url: str, on_postgres: bool) -> str:
    """The URL of a database that an early version filled."""
    vendor = "postgres" if on_postgres else "sqlite"
    script = (EARLY / f"{request.param}.{vendor}.sql").read_text()
    if on_postgres:
        with contextlib.closing(psycopg2.connect(database_url)) as database, database, database.cursor() as cursor:
            cursor.execute(script)
    else:
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as file:
            file.executescript(script)
    return database_url


# Data


def ask(server: Server, document: str, **variables: Any) -> Any:
    response = httpx.post(f"{server.url}/graphql/", json={"query": document, "variables": variables}, timeout=TIMEOUT)
    answer = response.json()
    assert "errors" not in answer, answer
    return answer["data"]


def history(server: Server) -> dict[str, Any]:
    """Uploads by the name of their file."""
    return {upload["fileName"]: upload for upload in ask(server, HISTORY)["uploads"]["nodes"]}


def answers(server: Server) -> dict[str, Any]:
    """The data as clients read it, without ids."""
    uploads = history(server)
    return {
        "ranking": server.get("/api/top-clients/?limit=100").json(),
        "export": server.get("/api/exports/deals.csv").text,
        "current": ask(server, EVERYTHING),
        "older": ask(server, EVERYTHING, upload=uploads["older.csv"]["id"]),
        "uploads": [{key: uploads[name][key] for key in uploads[name] if key != "id"} for name in FILES],
    }


@pytest.fixture(scope="module")
def expected(shared_server: Server) -> dict[str, Any]:
    """The answers of a new database that the same files were uploaded to."""
    for name in FILES:
        assert shared_server.upload((EARLY / name).read_bytes(), name).status_code == 200
    return answers(shared_server)


def keys_in(database_url: str) -> list[Any]:
    """The key that the installation signs with, if its version had one."""
    recorded = query(database_url, "SELECT name FROM django_migrations")
    has_table = ("0002_installation",) in recorded
    return query(database_url, "SELECT secret_key FROM deals_api_installation") if has_table else []


def test_upgrade_keeps_the_data_of_every_landed_schema(
    early_database: str, environment: dict[str, str], tmp_path: Path, expected: dict[str, Any]
) -> None:
    keys = keys_in(early_database)
    with serving(tmp_path, **environment) as server:
        assert answers(server) == expected
        assert not keys or keys_in(early_database) == keys
        uploads = history(server)
        assert uploads["oldest.csv"]["state"] == "PRUNED"
        assert uploads["bad.csv"]["state"] in ("REFUSED", "INTERRUPTED")
        server.upload((EARLY / "deals.csv").read_bytes())
        assert len(history(server)) == len(uploads)  # the same bytes are recognised
        assert server.upload(csv_of(deal("new"))).status_code == 200
        assert usernames_in(server.get().json()) == ["new"]
        roll_back = "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }"
        ask(server, roll_back, id=uploads["deals.csv"]["id"])
        assert answers(server)["current"] == expected["current"]


# Tables


def tables(database_url: str) -> dict[str, Any]:
    """Columns, types, constraints and indexes of the application's tables, in no order."""
    return of_sqlite(database_url) if database_url.startswith("sqlite") else of_postgres(database_url)


def of_sqlite(database_url: str) -> dict[str, Any]:
    rows = query(
        database_url, "SELECT type, name, sql FROM sqlite_master WHERE tbl_name LIKE 'deals_api_%' AND sql IS NOT NULL"
    )
    return {f"{kind} {name}": sorted(parts_of(sql)) if kind == "table" else sql for kind, name, sql in rows}


def parts_of(create_table: str) -> list[str]:
    """The columns and constraints between the outermost parentheses."""
    body = create_table[create_table.index("(") + 1 : create_table.rindex(")")]
    depth, parts = 0, [""]
    for character in body:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def of_postgres(database_url: str) -> dict[str, Any]:
    statements = {
        "columns": "SELECT table_name, column_name, data_type, character_maximum_length, collation_name, is_nullable,"
        " column_default, is_identity FROM information_schema.columns WHERE table_name LIKE 'deals_api_%'",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid::regclass::text LIKE 'deals_api_%'",
        "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'deals_api_%'",
    }
    return {what: sorted(map(str, query(database_url, statement))) for what, statement in statements.items()}


@pytest.fixture(scope="module")
def tables_of_a_new_database(on_postgres: bool, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with empty_database(on_postgres, tmp_path_factory.mktemp("new")) as url:
        migrate(url)
        return tables(url)


def test_upgraded_tables_are_those_of_a_new_database(
    early_database: str, tables_of_a_new_database: dict[str, Any]
) -> None:
    migrate(early_database)
    assert tables(early_database) == tables_of_a_new_database


@pytest.mark.parametrize("early_database", SCHEMAS[:1], indirect=True)
def test_repair_runs_again_without_changing_anything(early_database: str) -> None:
    migrate(early_database)
    before = tables(early_database), query(early_database, "SELECT * FROM deals_api_upload ORDER BY id")
    migrate(early_database, "deals_api", "0002")
    migrate(early_database)
    assert (tables(early_database), query(early_database, "SELECT * FROM deals_api_upload ORDER BY id")) == before
