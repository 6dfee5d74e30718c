"""Timeouts of PostgreSQL connections, and planner statistics."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.utils import ConnectionHandler

from deals_api.db_vendor import StatementTimer, disable_statement_timeout
from deals_api.ingest.service import ingest_deals
from tests.builders import csv_of, deal, load
from tests.servers import TIMEOUT
from tests.test_settings import settings_of

pytestmark = pytest.mark.usefixtures("postgresql_only")


def execute(*statements: str, pause: float = 0) -> None:
    """Execute statements in one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            time.sleep(pause)


def show(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


@contextmanager
def session(**timeouts: str) -> Iterator[None]:
    """Use a connection with the options of the service, and these timeouts."""
    options = connection.settings_dict["OPTIONS"]
    before = options["options"]
    connection.close()
    options["options"] = before + "".join(f" -c {name}={value}" for name, value in timeouts.items())
    try:
        yield
    finally:
        options["options"] = before
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_session_has_timeouts() -> None:
    with session():
        assert show("statement_timeout") == "1min"
        assert show("lock_timeout") == "30s"
        assert show("idle_in_transaction_session_timeout") == "1min"


@pytest.mark.django_db(transaction=True)
def test_slow_statement_is_cancelled() -> None:
    with session(statement_timeout="100ms"), pytest.raises(OperationalError, match="statement timeout"):
        execute("SELECT pg_sleep(600)")


@pytest.mark.django_db(transaction=True)
def test_only_a_load_has_no_statement_timeout() -> None:
    with session(statement_timeout="100ms"):
        with transaction.atomic(), connection.cursor() as cursor:
            disable_statement_timeout()
            cursor.execute("SELECT pg_sleep(0.3)")
        assert show("statement_timeout") == "100ms"
        file = io.BytesIO(csv_of(deal("ann")))
        assert ingest_deals(file, "slow.csv", progress=lambda *_: time.sleep(0.5)).deal_count == 1


@pytest.mark.django_db(transaction=True)
def test_time_limit_of_an_operation_ends_with_its_statement() -> None:
    """Nothing remains in the session, which a connection pool may share between clients."""
    with session(statement_timeout="7s"):
        with connection.execute_wrapper(StatementTimer(3).execute):
            assert show("statement_timeout") == "3s"
        assert show("statement_timeout") == "7s"


@pytest.mark.django_db(transaction=True)
def test_wait_for_a_lock_times_out() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK deals_api_currentupload")
            held.set()
            done.wait(TIMEOUT)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(TIMEOUT)
        with session(lock_timeout="100ms"), pytest.raises(OperationalError, match="lock timeout"):
            execute("SELECT * FROM deals_api_currentupload")
    finally:
        done.set()
        holder.join()


@pytest.mark.django_db(transaction=True)
def test_idle_transaction_is_ended() -> None:
    with session(idle_in_transaction_session_timeout="100ms"), pytest.raises(OperationalError):
        execute("SELECT 1", "SELECT 2", pause=0.5)


@pytest.mark.django_db(transaction=True)
def test_connection_to_a_hung_database_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://deals@127.0.0.1:{silent.getsockname()[1]}/deals"
        start = time.monotonic()
        with pytest.raises(OperationalError, match="timeout expired"):
            ConnectionHandler(settings_of(DATABASE_URL=url)["DATABASES"])["default"].ensure_connection()
        assert 1 < time.monotonic() - start < 60


def test_operator_can_set_other_timeouts() -> None:
    databases: dict[str, Any] = settings_of(DATABASE_URL="postgres://db/deals?options=-c%20jit%3Doff")["DATABASES"]
    options = databases["default"]["OPTIONS"]
    assert (options["options"], options["connect_timeout"]) == ("-c jit=off", 5)


@pytest.mark.django_db(transaction=True)
def test_large_upload_updates_the_planner_statistics() -> None:
    """Otherwise queries would use plans for empty tables."""
    execute("ANALYZE")
    load(*(deal(f"c{number % 300}", f"g{number % 40}") for number in range(5000)))
    assert {name: estimated_rows(name) for name in ("customer", "gem", "purchase", "deal")} == {
        "customer": 300, "gem": 40, "purchase": 600, "deal": 5000
    }  # fmt: skip


def estimated_rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [f"deals_api_{table}"])
        return int(cursor.fetchone()[0])
