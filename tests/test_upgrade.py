"""Upgrades: migrating a database of any earlier schema keeps its data and yields the tables of a new database.

The SQL files in ``data/early`` are dumps of databases that the commits in ``SCHEMAS`` created: each was checked out
and served with ``KEEP_UPLOADS=2``, then the files oldest.csv, older.csv, bad.csv and deals.csv were uploaded to it, and
the database was dumped by ``pg_dump --inserts`` or ``sqlite3.Connection.iterdump``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import psycopg2
import pytest

from tests import services
from tests.builders import csv_of, deal
from tests.databases import empty_database, migrate
from tests.server_actions import query, usernames_in
from tests.servers import NO_TLS, ROOT, TIMEOUT, Server, serving

EARLY: Final = ROOT / "tests" / "data" / "early"
#: The commits that introduced each schema, oldest first.
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
  dealStats(upload: $upload, by: [GEM, MONTH]) {
    nodes { gem { name } month dealCount quantity total averageTotal }
  }
}"""


def create_early_database(schema: str, database_url: str) -> None:
    """Create the tables and rows of an early version in an empty database."""
    if database_url.startswith("postgres"):
        with contextlib.closing(psycopg2.connect(database_url)) as postgres, postgres, postgres.cursor() as cursor:
            cursor.execute((EARLY / f"{schema}.postgres.sql").read_text())
    else:
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as sqlite:
            sqlite.executescript((EARLY / f"{schema}.sqlite.sql").read_text())


@dataclass(frozen=True)
class Upgraded:
    """A service on a database that an early version created, and the signing keys that the database had then."""

    server: Server
    keys: list[Any]


@pytest.fixture(scope="module", params=SCHEMAS)
def upgraded(
    request: pytest.FixtureRequest, postgresql_server: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgraded]:
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("early")
        url = stack.enter_context(empty_database(postgresql_server, folder))
        create_early_database(request.param, url)
        keys = signing_keys(url)
        redis = {"REDIS_URL": stack.enter_context(services.redis())[1]} if postgresql_server else {}
        yield Upgraded(stack.enter_context(serving(folder, DATABASE_URL=url, **redis)), keys)


# Data


def graphql_data(server: Server, document: str, **variables: Any) -> Any:
    """Return the data of a GraphQL response without errors."""
    response = httpx.post(
        f"{server.url}/graphql/", json={"query": document, "variables": variables}, timeout=TIMEOUT, verify=NO_TLS
    )
    body = response.json()
    assert "errors" not in body, body
    return body["data"]


def history(server: Server) -> dict[str, Any]:
    """Return the uploads by file name."""
    return {upload["fileName"]: upload for upload in graphql_data(server, HISTORY)["uploads"]["nodes"]}


def visible_data(server: Server) -> dict[str, Any]:
    """Return the data as clients read it, without ids."""
    uploads = history(server)
    return {
        "ranking": server.get("/api/top-clients/?limit=100").json(),
        "export": server.get("/api/exports/deals.csv").text,
        "current": graphql_data(server, EVERYTHING),
        "older": graphql_data(server, EVERYTHING, upload=uploads["older.csv"]["id"]),
        "uploads": [{key: uploads[name][key] for key in uploads[name] if key != "id"} for name in FILES],
    }


@pytest.fixture(scope="module")
def expected(shared_server: Server) -> dict[str, Any]:
    """Return the data of a new database after uploads of the same files."""
    for name in FILES:
        assert shared_server.upload((EARLY / name).read_bytes(), name).status_code == 200
    return visible_data(shared_server)


def signing_keys(database_url: str) -> list[Any]:
    """Return the stored signing key, or an empty list if the schema has no table for it."""
    migrations = query(database_url, "SELECT name FROM django_migrations")
    has_table = ("0002_installation",) in migrations
    return query(database_url, "SELECT secret_key FROM deals_api_installation") if has_table else []


def test_upgrade_keeps_the_data_of_every_landed_schema(upgraded: Upgraded, expected: dict[str, Any]) -> None:
    server = upgraded.server
    assert visible_data(server) == expected
    assert not upgraded.keys or signing_keys(server.database_url) == upgraded.keys
    uploads = history(server)
    assert uploads["oldest.csv"]["state"] == "PRUNED"
    assert uploads["bad.csv"]["state"] in ("REFUSED", "INTERRUPTED")
    server.upload((EARLY / "deals.csv").read_bytes())
    assert len(history(server)) == len(uploads)  # A file with identical bytes is a duplicate, not a new upload.
    assert server.upload(csv_of(deal("new"))).status_code == 200
    assert usernames_in(server.get().json()) == ["new"]
    roll_back = "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }"
    graphql_data(server, roll_back, id=uploads["deals.csv"]["id"])
    assert visible_data(server)["current"] == expected["current"]


# Tables


def tables(database_url: str) -> dict[str, Any]:
    """Return columns, types, constraints and indexes of the application's tables, independent of column order."""
    return sqlite_tables(database_url) if database_url.startswith("sqlite") else postgres_tables(database_url)


def sqlite_tables(database_url: str) -> dict[str, Any]:
    rows = query(
        database_url, "SELECT type, name, sql FROM sqlite_master WHERE tbl_name LIKE 'deals_api_%' AND sql IS NOT NULL"
    )
    return {f"{kind} {name}": sorted(column_definitions(sql)) if kind == "table" else sql for kind, name, sql in rows}


def column_definitions(create_table: str) -> list[str]:
    """Return the columns and constraints of a CREATE TABLE statement, split at the outermost commas."""
    body = create_table[create_table.index("(") + 1 : create_table.rindex(")")]
    depth, parts = 0, [""]
    for character in body:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def postgres_tables(database_url: str) -> dict[str, Any]:
    statements = {
        "columns": "SELECT table_name, column_name, data_type, character_maximum_length, collation_name, is_nullable,"
        " column_default, is_identity FROM information_schema.columns WHERE table_name LIKE 'deals_api_%'",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid::regclass::text LIKE 'deals_api_%'",
        "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'deals_api_%'",
    }
    return {name: sorted(map(str, query(database_url, statement))) for name, statement in statements.items()}


def test_upgraded_tables_equal_those_of_a_new_database(upgraded: Upgraded, shared_server: Server) -> None:
    assert tables(upgraded.server.database_url) == tables(shared_server.database_url)


def test_repair_migration_is_idempotent(empty_database_url: str) -> None:
    url = empty_database_url
    create_early_database(SCHEMAS[0], url)
    migrate(url)
    before = tables(url), query(url, "SELECT * FROM deals_api_upload ORDER BY id")
    migrate(url, "deals_api", "0002")
    migrate(url)
    assert (tables(url), query(url, "SELECT * FROM deals_api_upload ORDER BY id")) == before
