"""The tables can be distributed by Citus, as documented. Citus itself is not installed: its rules are checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from deals_api.models import Deal, Purchase
from tests.builders import deal, load, many
from tests.server_actions import GRAPHQL, execute, query, top_client
from tests.servers import REAL_FILE, serving
from tests.smoke import TOP_CLIENTS
from tests.test_readme import OPERATION, blocks_of, section

pytestmark = pytest.mark.usefixtures("postgresql_only")

#: Functions of Citus that only check the tables. Citus rejects a table if one of its unique indexes lacks the column.
CITUS = """
CREATE FUNCTION create_reference_table(name regclass) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION create_distributed_table(name regclass, distribution_column text, colocate_with text = 'default')
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_index WHERE indrelid = name AND indisunique AND NOT EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = name AND attname = distribution_column AND attnum = ANY (indkey)
        )
    ) THEN
        RAISE 'a unique index of % does not contain %', name, distribution_column;
    END IF;
END $$;
"""
FOREIGN_KEYS = """
SELECT conname FROM pg_constraint WHERE contype = 'f'
AND ('deals_api_deal'::regclass IN (conrelid, confrelid) OR 'deals_api_purchase'::regclass IN (conrelid, confrelid))
"""
[LAYOUT] = [text for language, text in blocks_of(section(OPERATION, "On Citus")) if language == "sql"]


def test_service_works_on_the_documented_tables(tmp_path: Path, database_url: str) -> None:
    with serving(tmp_path, DATABASE_URL=database_url) as server:
        for statements in (CITUS, LAYOUT):
            execute(database_url, statements)
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        assert server.get().json() == TOP_CLIENTS
        assert top_client(server, GRAPHQL) == TOP_CLIENTS["response"][0]["username"]
        assert server.get("/api/exports/deals.csv?raw=1").text.count("\n") == REAL_FILE.read_text().count("\n")
    assert query(database_url, FOREIGN_KEYS) == []


@pytest.mark.django_db
def test_no_foreign_key_constraint_refers_to_or_from_deals_and_purchases() -> None:
    """Citus would have to enforce it between servers."""
    with connection.cursor() as cursor:
        cursor.execute(FOREIGN_KEYS)
        assert cursor.fetchall() == []


def test_unique_constraints_contain_the_customer() -> None:
    """Except the primary keys, which the documented statements replace."""
    for model in (Deal, Purchase):
        unique = [set(constraint.fields) for constraint in model._meta.total_unique_constraints]
        unique += [{field.name} for field in model._meta.fields if field.unique and not field.primary_key]
        assert [fields for fields in unique if "customer" not in fields] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_citus", [False, True])
def test_tables_are_analyzed_after_the_commit_with_citus_only(has_citus: bool) -> None:
    """Citus rejects an ANALYZE in the transaction that wrote the tables; without it, statistics must not be late."""
    statements: list[tuple[int, bool]] = []

    def record(run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.startswith("ANALYZE"):
            statements.append((sql.count("deals_api_"), connection.in_atomic_block))
        return run(sql, *arguments)

    with connection.cursor() as cursor:
        if has_citus:
            cursor.execute("CREATE TABLE pg_dist_partition ()")  # a table of Citus
        try:
            with connection.execute_wrapper(record):
                load(*many(2_000), deal("ann"))
        finally:
            cursor.execute("DROP TABLE IF EXISTS pg_dist_partition")
    assert statements == ([(1, False)] * 6 if has_citus else [(6, True)])
