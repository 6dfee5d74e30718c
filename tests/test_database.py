"""Time limits of PostgreSQL statements, read-only servers, and planner statistics."""

from __future__ import annotations

import contextlib
import io
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
from django.db import DataError, OperationalError, close_old_connections, connection, connections, transaction
from django.db.utils import ConnectionHandler
from django.test import Client
from django.test.utils import CaptureQueriesContext
from psycopg2.extensions import cursor

from deals_api.db_vendor import StatementTimer, disable_statement_timeout
from deals_api.ingest.service import ingest_deals
from deals_api.models import CurrentUpload, Upload
from deals_api.reports import exports
from deals_api.reports import top_clients as top_clients_report
from tests.builders import csv_of, deal, load
from tests.graphql import data
from tests.server_actions import GRAPHQL, REST, upload
from tests.servers import TIMEOUT, serving, wait_until
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
def session(**values: str) -> Iterator[None]:
    """Use a connection with these startup options."""
    options = connection.settings_dict["OPTIONS"]
    connection.close()
    options["options"] = " ".join(f"-c {name}={value}" for name, value in values.items())
    try:
        yield
    finally:
        del options["options"]
        connection.close()


#: The documented limits, as PostgreSQL shows them.
LIMITS = {"statement_timeout": "1min", "lock_timeout": "30s", "idle_in_transaction_session_timeout": "1min"}


def execute_in_session(sql: str) -> str:
    """Execute a statement without the time limits of the service; return its status or its value."""
    connection.ensure_connection()
    with cursor(connection.connection) as statement:
        statement.execute(sql)
        return str(*statement.fetchall()[0]) if statement.description else str(statement.statusmessage)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_each_statement_has_time_limits(name: str, limit: str) -> None:
    """And no limit remains in the session, which a connection pool may share between clients."""
    assert show(name) == limit
    with transaction.atomic():
        assert [show(name), show(name)] == [limit, limit]
    with pytest.raises(DataError), transaction.atomic():
        execute("SELECT 1 / 0")
    assert execute_in_session(f"SHOW {name}") == "0"
    assert show(name) == limit


@pytest.mark.django_db(transaction=True)
def test_rolled_back_savepoint_keeps_the_time_limits() -> None:
    with transaction.atomic():
        with pytest.raises(DataError):
            execute("SELECT 1 / 0")
        assert {name: show(name) for name in LIMITS} == LIMITS


@pytest.mark.django_db(transaction=True)
def test_cursors_end_with_their_statement() -> None:
    """A cursor WITH HOLD would be lost if the next statement runs in another session."""
    CurrentUpload.objects.get_or_create(pk=CurrentUpload.ONLY)
    rows = CurrentUpload.objects.iterator(chunk_size=1)
    next(rows)
    with connection.cursor() as statement:
        statement.execute("SELECT count(*) FROM pg_cursors")
        assert statement.fetchall() == [(0,)]


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


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "option", ["-c lock_timeout=7s", "-clock_timeout=7s", "--lock-timeout=7s", "-c Lock_Timeout=7s"]
)
def test_startup_options_replace_only_the_limits_that_they_set(option: str) -> None:
    settings = connection.settings_dict
    address = f"{settings['USER']}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
    options = quote(f"{option} -c deadlock_timeout=2s -c jit=off")
    databases = settings_of(DATABASE_URL=f"postgres://{address}?options={options}")["DATABASES"]
    with contextlib.closing(ConnectionHandler(databases)["default"]) as other, other.cursor() as statement:
        for name, value in {**LIMITS, "lock_timeout": "7s", "deadlock_timeout": "2s", "jit": "off"}.items():
            statement.execute(f"SHOW {name}")
            assert statement.fetchall() == [(value,)]


# Read-only servers


def make_read_only() -> int:
    """Let new transactions fail to write, as on a standby; return the process id of the connection's server process."""
    execute_in_session("SET default_transaction_read_only = on")
    pid: int = connection.connection.info.backend_pid
    return pid


@pytest.mark.django_db(transaction=True)
def test_write_on_a_read_only_server_is_a_503_and_ends_the_connection(client: Client) -> None:
    def upload() -> Any:
        return client.post("/api/upload/", {"deals": io.BytesIO(csv_of(deal("bob")))})

    load(deal("ann"))
    pid = make_read_only()
    response = upload()
    assert (response.status_code, response.json()["Code"]) == (503, "database_busy")
    assert response.headers["Retry-After"] == "2"
    close_old_connections()  # as at the start of each request, except those of the test client
    assert upload().status_code == 200
    assert connection.connection.info.backend_pid != pid


@pytest.mark.django_db(transaction=True)
def test_read_never_uses_a_connection_that_became_read_only(client: Client) -> None:
    load(deal("ann"))
    pid = make_read_only()
    close_old_connections()
    assert client.get("/api/top-clients/").json()["response"][0]["username"] == "ann"
    assert connection.connection.info.backend_pid != pid


@pytest.mark.django_db(transaction=True)
def test_large_upload_updates_the_planner_statistics() -> None:
    """Otherwise queries would use plans for empty tables."""
    execute("ANALYZE")
    load(*(deal(f"c{number % 300}", f"g{number % 40}") for number in range(5000)))
    assert {name: estimated_rows(name) for name in ("customer", "gem", "purchase", "deal", "gemday", "gemmonth")} == {
        "customer": 300, "gem": 40, "purchase": 600, "deal": 5000, "gemday": 40, "gemmonth": 40
    }  # fmt: skip


def estimated_rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [f"deals_api_{table}"])
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "read",
    [
        lambda _: data("{customers {nodes {gems(first: 1) {nodes {id}}}}}"),
        lambda _: data("{customers {nodes {purchases(first: 1, orderBy: GEM_ASC) {nodes {id}}}}}"),
        lambda _: data("{topClients {gems}}"),
        lambda upload: list(top_clients_report.iter_top_clients(upload, 2)),
        lambda upload: list(exports.deals(upload).chunks),
    ],
    ids=["gems", "purchases", "top clients", "exported top clients", "exported deals"],
)
def test_names_of_other_uploads_are_not_read(read: Callable[[Upload], object]) -> None:
    """A join with all names, of all uploads, would cost more than the names of one upload."""
    load(*(deal("ann", f"gem {number}") for number in range(50_000)))
    upload = load(*(deal(customer, f"gem {number}") for customer in ("bob", "eve") for number in range(3_000)))
    before = rows_read("gem")
    assert read(upload)
    assert 0 < rows_read("gem") - before < 15_000


@pytest.mark.parametrize(
    "rows", ['gems(filter: {boughtBy: {contains: "c"}})', 'customers(filter: {boughtGem: {contains: "gem"}})']
)
@pytest.mark.django_db
def test_conditions_on_purchases_read_those_of_one_upload(rows: str) -> None:
    load(*(deal(f"c{number % 1_000}", f"gem {number // 1_000}") for number in range(50_000)))
    load(*(deal(f"c{number}", f"gem {number % 20}") for number in range(1_000)))
    before = rows_read("purchase")
    assert data("{" + rows + " {totalCount nodes {id}}}")
    assert 0 < rows_read("purchase") - before < 3_000


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("customer", 'customers(filter: {boughtGem: {contains: "gem"}})'),
        ("gem", 'gems(filter: {boughtBy: {contains: "client"}})'),
    ],
)
@pytest.mark.django_db
def test_purchases_of_many_names_are_selected_once(table: str, rows: str) -> None:
    """In a small upload after large ones, PostgreSQL expects one row and joins them, so the statement is compared."""
    load(*(deal(f"client {number}", f"gem {number}") for number in range(20)))
    with CaptureQueriesContext(connection) as captured:
        data("{" + rows + " {totalCount}}")
    assert any(f'NOT (NOT ("deals_api_{table}"."id" IN (SELECT' in query["sql"] for query in captured)


@pytest.mark.parametrize(
    "query",
    [
        "{customers {nodes {deals(orderBy: FILE_ASC) {nodes {id}}}}}",
        '{customers {nodes {deals(filter: {gem: {contains: "none"}}, orderBy: FILE_ASC) {nodes {id}}}}}',
        '{deals(filter: {customer: {eq: "ann"}}, orderBy: FILE_ASC) {nodes {id}}}',
    ],
    ids=["customer", "customer with filter", "root with filter"],
)
@pytest.mark.django_db
def test_deals_of_a_customer_are_not_read_in_the_order_of_the_file(query: str) -> None:
    """A scan in that order reads the deals of other uploads and customers until enough deals match; the planner prefers
    it in large files only, so the statement is compared."""
    load(deal("ann"))
    with CaptureQueriesContext(connection) as captured:
        data(query)
    [statement] = [query["sql"] for query in captured if 'FROM "deals_api_deal"' in query["sql"]]
    assert 'ORDER BY ("deals_api_deal"."id" + 0) ASC' in statement


def rows_read(table: str) -> int:
    """Return the number of rows that this transaction has read from a table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = %s",
            [f"deals_api_{table}"],
        )
        return int(cursor.fetchone()[0])


# Number of connections


def test_service_opens_one_connection_per_thread_and_two_per_process(tmp_path: Path, database_url: str) -> None:
    processes, threads = 2, 2
    workers = {"WEB_WORKERS": str(processes), "WEB_THREADS": str(threads), "COMPUTATIONS_PER_MINUTE": "0"}
    done = threading.Event()
    with (
        serving(tmp_path, DATABASE_URL=database_url, **workers) as server,
        contextlib.closing(psycopg2.connect(database_url, application_name="test")) as lock_holder,
        contextlib.closing(psycopg2.connect(database_url, application_name="test")) as observer,
        ThreadPoolExecutor(64) as pool,
    ):
        upload(server, "ann")
        cursor = lock_holder.cursor()
        observer.autocommit = True

        def announce_and_lock() -> bool:
            """Leave the pointer as a killed roll-back does, so that each process starts a sweep, and lock it."""
            cursor.execute("UPDATE deals_api_currentupload SET announced = gen_random_uuid()")
            lock_holder.commit()
            cursor.execute("SELECT announced FROM deals_api_currentupload WHERE announced IS NOT NULL FOR UPDATE")
            return bool(cursor.fetchall())

        wait_until(announce_and_lock)  # retention after the upload may sweep in between

        def read(number: int) -> None:
            for api in itertools.cycle((REST, GRAPHQL, f"{REST}?limit={number + 1}", "/health/ready")):
                if done.is_set():
                    return
                server.get(api)

        def connections() -> int:
            with observer.cursor() as statistics:
                statistics.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND backend_type = 'client backend' AND application_name <> 'test'"
                )
                return int(statistics.fetchall()[0][0])

        readers = [pool.submit(read, number) for number in range(12)]
        try:
            wait_until(lambda: connections() == processes * (threads + 1))
            # Loads wait for the lock, and each process with one records its progress. The first ones may occupy all
            # threads of one process.
            uploads: list[Future[Any]] = []

            def upload_until_each_process_has_a_load() -> bool:
                uploads.append(pool.submit(upload, server, f"bob{len(uploads)}"))
                time.sleep(0.5)
                return connections() == processes * (threads + 2)

            wait_until(upload_until_each_process_has_a_load)
            assert max(connections() for _ in range(50)) == processes * (threads + 2)
            lock_holder.rollback()
            for loaded in uploads:
                loaded.result(TIMEOUT)
            wait_until(lambda: connections() == processes * threads)
        finally:
            done.set()
            lock_holder.rollback()
        for reader in readers:
            reader.result(TIMEOUT)
