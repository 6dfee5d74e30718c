"""The service behind PgBouncer in transaction mode, with fewer connections to PostgreSQL than threads."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx
import psutil
import psycopg2
import pytest

from tests import services
from tests.builders import csv_of, many
from tests.requires import require
from tests.server_actions import BOTH_APIS, activate, graphql, is_loading, query, top_client, upload
from tests.servers import NO_TLS, ROOT, TIMEOUT, Server, serving, wait_until
from tests.test_concurrency import Clients
from tests.test_readme import OPERATION, blocks_of, section

POOL_SIZE: Final = 2
#: Settings and other state of a session, except the settings that PgBouncer sets for each client.
SESSION: Final = (
    "SELECT name || ' = ' || setting FROM pg_settings WHERE source = 'session' AND name NOT IN"
    " ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')"
    " UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements"
    " UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable"
    " UNION ALL SELECT 'channel ' || name FROM pg_listening_channels() AS name"
    " UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relpersistence = 't'"
    " UNION ALL SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory'"
)
WAITING: Final = "SELECT pid FROM pg_locks WHERE NOT granted"


@pytest.fixture(scope="module")
def database(postgresql_only: None) -> Iterator[tuple[services.Service, str]]:
    """A PostgreSQL server of this module."""
    with services.postgres() as service_and_url:
        yield service_and_url


@pytest.fixture
def direct_url(database: tuple[services.Service, str]) -> str:
    return database[1]


@pytest.fixture(scope="module")
def pool_url(database: tuple[services.Service, str]) -> Iterator[str]:
    """The configuration of the document, with the address of the server and a small pool."""
    [documented] = [text for language, text in blocks_of(section(OPERATION, "PgBouncer")) if language == "ini"]
    configuration = f"{documented}\ndefault_pool_size = {POOL_SIZE}\n"
    with services.pgbouncer(require("PgBouncer"), configuration, database[0]) as (_, url):
        yield url


@pytest.fixture(scope="module")
def server(pool_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pgbouncer")
    with serving(
        folder, DATABASE_URL=pool_url, WEB_WORKERS="2", WEB_THREADS="4", COMPUTATIONS_PER_MINUTE="0"
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_session_state(pool_url: str) -> Iterator[None]:
    """Assert after each test that no session of the pool has a setting or an object of the service."""
    yield
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(psycopg2.connect(pool_url))) for _ in range(POOL_SIZE)]
        pids = set()
        for client in clients:  # each keeps its transaction open, so each has a session of its own
            cursor = client.cursor()
            cursor.execute(SESSION)
            assert cursor.fetchall() == []
            cursor.execute("SELECT pg_backend_pid(), current_setting('statement_timeout')")
            [(pid, timeout)] = cursor.fetchall()
            assert timeout == "0"
            pids.add(pid)
        assert len(pids) == POOL_SIZE


def test_concurrent_uploads_and_reads_are_consistent(server: Server) -> None:
    clients = Clients(server)
    with httpx.Client(base_url=server.url, timeout=TIMEOUT, verify=NO_TLS) as client:
        clients.upload(client, random.Random(0))  # noqa: S311
    clients.run(
        clients.upload, clients.upload, clients.read_rest, clients.read_rest, clients.read_graphql, clients.read_graphql
    )
    assert clients.history.violations() == []
    assert len(clients.history.reads) > 20


def test_uploads_that_wait_for_a_lock_succeed(server: Server, direct_url: str) -> None:
    """Two uploads and a roll-back wait for the pointer in both sessions; a read waits for a session."""
    upload(server, "ann")
    uploads = graphql(server, "{uploads(first: 1) {nodes {id}}}")["uploads"]["nodes"]
    with ThreadPoolExecutor() as pool:
        with contextlib.closing(psycopg2.connect(direct_url)) as lock_holder:
            lock_holder.cursor().execute("SELECT * FROM deals_api_currentupload FOR UPDATE")
            running = [pool.submit(upload, server, name) for name in ("bob", "cid")]
            running.append(pool.submit(activate, server, uploads[0]["id"]))
            wait_until(lambda: len(query(direct_url, WAITING)) == POOL_SIZE)
            reading = pool.submit(top_client, server)
        for future in running:
            future.result(TIMEOUT)
        assert reading.result(TIMEOUT) in ("ann", "bob", "cid")


def test_crash_during_an_upload_leaves_no_transaction(server: Server, direct_url: str) -> None:
    upload(server, "ann")
    with ThreadPoolExecutor() as pool, contextlib.closing(psycopg2.connect(direct_url)) as lock_holder:
        lock_holder.cursor().execute("LOCK deals_api_purchase IN SHARE MODE")
        crashing = pool.submit(server.upload, csv_of(*many(5000, ["bob"])))
        wait_until(lambda: query(direct_url, WAITING))
        workers = server.workers()
        for worker in workers:
            worker.kill()
        psutil.wait_procs(workers, timeout=TIMEOUT)
        with pytest.raises(httpx.HTTPError):
            crashing.result(TIMEOUT)
    server.wait_until_ready()
    assert top_client(server) == "ann"
    upload(server, "cid")
    # Ten seconds after the crash, reads mark the upload as interrupted.
    wait_until(lambda: top_client(server) == "cid" and not is_loading(direct_url))


@pytest.mark.parametrize(
    "path", ["/api/exports/deals.csv", "/api/exports/deals.ndjson", "/api/exports/top-clients.csv"]
)
def test_export_is_complete(server: Server, path: str) -> None:
    """The chunks of an export are read in separate transactions."""
    upload(server, "ann", 4500)
    with ThreadPoolExecutor() as pool:
        exports = [pool.submit(server.get, path) for _ in range(2)]
        texts = {future.result(TIMEOUT).text for future in exports}
    [text] = texts
    assert text.count("ann") == (1 if "top-clients" in path else 4500)


def run_command(pool_url: str, *arguments: str, **variables: str) -> str:
    environment = os.environ | {"DATABASE_URL": pool_url} | variables
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def test_commands_use_the_pool(server: Server, pool_url: str, tmp_path: Path) -> None:
    file = tmp_path / "deals.csv"
    file.write_bytes(csv_of(*many(3000, ["dan"])))
    run_command(pool_url, "load_deals", str(file))
    assert top_client(server) == "dan"
    assert "dan" in run_command(pool_url, "top_clients")
    run_command(pool_url, "migrate", "deals_api", "0007")
    run_command(pool_url, "migrate")


def test_admin_uses_the_pool(server: Server, pool_url: str) -> None:
    upload(server, "eve", 3)
    account = {"DJANGO_SUPERUSER_USERNAME": "root", "DJANGO_SUPERUSER_PASSWORD": "correct horse battery"}
    run_command(pool_url, "createsuperuser", "--noinput", "--email=", **account)
    with httpx.Client(base_url=server.url, timeout=TIMEOUT, follow_redirects=True, verify=NO_TLS) as client:
        client.get("/admin/")
        response = client.post(
            "/admin/login/",
            data={
                "username": "root",
                "password": "correct horse battery",
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
                "next": "/admin/deals_api/customer/",
            },
        )
        assert response.status_code == 200
        assert "eve" in response.text


def test_time_limit_of_an_operation_ends_a_statement(
    server: Server, pool_url: str, direct_url: str, tmp_path: Path
) -> None:
    upload(server, "ann")
    with (
        serving(tmp_path, DATABASE_URL=pool_url, WEB_WORKERS="1", MAX_QUERY_SECONDS="1") as limited,
        contextlib.closing(psycopg2.connect(direct_url)) as lock_holder,
    ):
        lock_holder.cursor().execute("LOCK deals_api_deal")
        response = limited.get("/graphql/", params={"query": "{deals {nodes {id}}}"})
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["limit_exceeded"]


def test_statements_through_the_pool_have_time_limits(pool_url: str) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    code = (
        "from django.db import connection\n"
        "with connection.cursor() as cursor:\n"
        f"    for name in {names}:\n"
        "        cursor.execute('SHOW ' + name)\n"
        "        print(*cursor.fetchone())\n"
    )
    assert run_command(pool_url, "shell", "--verbosity=0", "--command", code).split() == ["1min", "30s", "1min"]


@BOTH_APIS
def test_read_only_server_is_not_read(server: Server, direct_url: str, api: str) -> None:
    """As after a failover behind PgBouncer, which sends new clients an old state of the server."""
    upload(server, "ann")
    with contextlib.closing(psycopg2.connect(direct_url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        cursor.execute("SELECT pg_reload_conf()")
        try:
            wait_until(lambda: server.get(api).status_code == 503)
            for _ in range(10):
                time.sleep(0.06)  # longer than a lease
                response = server.get(api)
                assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        finally:
            cursor.execute("SET transaction_read_only = off")
            cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
            cursor.execute("SELECT pg_reload_conf()")
    wait_until(lambda: server.get(api).status_code == 200)
    assert top_client(server, api) == "ann"
