"""What a connection to the database may take, however wrong somebody is: each bound seen to bite."""

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


@pytest.fixture(autouse=True)
def _only_postgres(on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("needs PostgreSQL")


def execute(*statements: str, pause: float = 0) -> None:
    """In one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            time.sleep(pause)


def shown(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


@contextmanager
def session(**changed: str) -> Iterator[None]:
    """A new connection as the service makes it, with bounds that a test can wait for."""
    options = connection.settings_dict["OPTIONS"]
    before = options["options"]
    connection.close()
    options["options"] = before + "".join(f" -c {name}={value}" for name, value in changed.items())
    try:
        yield
    finally:
        options["options"] = before
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_session_has_its_bounds() -> None:
    with session():
        assert shown("statement_timeout") == "1min"
        assert shown("lock_timeout") == "30s"
        assert shown("idle_in_transaction_session_timeout") == "1min"


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_takes_too_long_is_ended() -> None:
    with session(statement_timeout="100ms"), pytest.raises(OperationalError, match="statement timeout"):
        execute("SELECT pg_sleep(600)")


@pytest.mark.django_db(transaction=True)
def test_a_load_may_take_longer_and_only_a_load() -> None:
    with session(statement_timeout="100ms"):
        with transaction.atomic(), connection.cursor() as cursor:
            disable_statement_timeout()
            cursor.execute("SELECT pg_sleep(0.3)")
        assert shown("statement_timeout") == "100ms"
        file = io.BytesIO(csv_of(deal("ann")))
        assert ingest_deals(file, "slow.csv", progress=lambda *_: time.sleep(0.5)).deal_count == 1


@pytest.mark.django_db(transaction=True)
def test_the_time_limit_of_an_operation_ends_with_its_statement() -> None:
    """Nothing is left in a session, which a connection pool may hand to another client between two statements."""
    with session(statement_timeout="7s"):
        with connection.execute_wrapper(StatementTimer(3).execute):
            assert shown("statement_timeout") == "3s"
        assert shown("statement_timeout") == "7s"


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_lock_for_ever() -> None:
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
def test_a_transaction_in_which_nothing_happens_is_ended() -> None:
    with session(idle_in_transaction_session_timeout="100ms"), pytest.raises(OperationalError):
        execute("SELECT 1", "SELECT 2", pause=0.5)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_accepts_and_says_nothing_is_given_up() -> None:
    """As one does that hangs: clients are told within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://deals@127.0.0.1:{silent.getsockname()[1]}/deals"
        begin = time.monotonic()
        with pytest.raises(OperationalError, match="timeout expired"):
            ConnectionHandler(settings_of(DATABASE_URL=url)["DATABASES"])["default"].ensure_connection()
        assert 1 < time.monotonic() - begin < 60


def test_an_operator_may_have_other_bounds() -> None:
    entry: dict[str, Any] = settings_of(DATABASE_URL="postgres://db/deals?options=-c%20jit%3Doff")["DATABASES"]
    assert entry["default"]["OPTIONS"]["options"] == "-c jit=off"
    assert entry["default"]["OPTIONS"]["connect_timeout"] == 5


@pytest.mark.django_db(transaction=True)
def test_a_large_upload_is_counted_before_the_database_would_do_so_itself() -> None:
    """Else it would be read by plans for empty tables."""
    execute("ANALYZE")
    load(*(deal(f"c{number % 300}", f"g{number % 40}") for number in range(5000)))
    assert {name: counted(name) for name in ("customer", "gem", "purchase", "deal")} == {
        "customer": 300, "gem": 40, "purchase": 600, "deal": 5000
    }  # fmt: skip


def counted(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [f"deals_api_{table}"])
        return int(cursor.fetchone()[0])
