"""Fault injection during uploads: killed processes, full disks, a full Redis and clients that disconnect.

After each fault the service returns the last acknowledged upload, or the one in flight, complete; and no partial data
remains. The short form injects one fault at each stage of an upload. With ``DEALS_TEST_SECONDS`` set, every fault is
injected at every deployment, repeatedly for that time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import psycopg2
import pytest
from redis import Redis

from tests import services
from tests.builders import csv_of, many
from tests.long_form import SECONDS
from tests.server_actions import GRAPHQL, REST, activate, graphql, query, top_client, upload
from tests.servers import NO_TLS, TIMEOUT, Server, serving, wait_until

#: Deals of an interrupted upload: enough to observe ``COPY`` in progress.
ROWS: Final = 40_000
SUMMARY: Final = """{
    currentUpload {dealCount} deals {totalCount} dealStats {nodes {dealCount total}} topClients {username spentMoney}
}"""
WAITING_FOR_LOCK: Final = "SELECT 1 FROM pg_locks WHERE NOT granted"


# A service with its own PostgreSQL and Redis


@dataclass
class Deployment:
    """A service with a database and a cache, and the customer whose upload is expected to be current."""

    folder: Path
    database: services.Service
    url: str
    redis_url: str
    #: Numbers in the names of new customers.
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    #: The customer of the upload that is expected to be current.
    current: str = ""

    def start(self) -> None:
        self.serving = serving(
            self.folder,
            DATABASE_URL=self.url,
            REDIS_URL=self.redis_url,
            TMPDIR=str(self.upload_folder),
            WEB_THREADS="4",
        )
        self.server = self.serving.__enter__()

    @property
    def upload_folder(self) -> Path:
        """The temporary folder of the service, for files being received."""
        return self.folder / "received"

    def stop(self) -> None:
        self.serving.__exit__(None, None, None)

    def next_customer(self) -> str:
        return f"c{next(self.numbers)}"

    def upload(self) -> None:
        self.current = self.next_customer()
        upload(self.server, self.current, 3)

    # Faults

    def kill_workers(self) -> None:
        workers = self.server.workers()
        for worker in workers:
            worker.kill()
        psutil.wait_procs(workers, timeout=TIMEOUT)

    def kill_service(self) -> None:
        """Kill the master and its workers, as when a container is killed."""
        self.server.kill()

    def kill_master(self) -> list[psutil.Process]:
        """Kill the master only; return its workers, which finish their requests and exit."""
        workers = self.server.workers()
        self.server.process.kill()
        self.server.process.wait()
        return workers

    def kill_database(self) -> None:
        services.kill_postgres(self.database)

    def restart_killed(self) -> None:
        """Start killed processes again, as Docker does."""
        assert self.database.process is not None
        if self.database.process.poll() is not None:
            self.database.start()
        if self.server.process.poll() is not None:
            self.stop()
            self.start()
        wait_until(lambda: self.server.get("/health/ready").status_code == 200)

    # Assertions after a fault

    def assert_one_complete_upload(self, in_flight: str, acknowledged: bool) -> None:
        """Assert that every read returns the same complete upload: the last acknowledged one or the one in flight."""
        uploads = {self.read_current() for _ in range(8)}
        assert len(uploads) == 1, uploads
        ((name, rows),) = uploads
        assert (name, rows) in {(self.current, 3), (in_flight, ROWS)}
        if acknowledged:
            assert name == in_flight
        self.current = name

    def read_current(self) -> tuple[str, int]:
        """Return customer and number of deals of the current upload, after checking that all fields agree."""
        name = top_client(self.server)
        result = httpx.post(
            f"{self.server.url}/graphql/", json={"query": SUMMARY}, timeout=TIMEOUT, verify=NO_TLS
        ).json()
        rows = result["data"]["currentUpload"]["dealCount"]
        assert result["data"] == {
            "currentUpload": {"dealCount": rows},
            "deals": {"totalCount": rows},
            "dealStats": {"nodes": [{"dealCount": rows, "total": str(rows)}]},
            "topClients": [{"username": name, "spentMoney": str(rows)}],
        }
        return name, rows

    def assert_no_open_files_or_transactions(self) -> None:
        assert list(self.upload_folder.iterdir()) == []
        wait_until(lambda: self.open_transactions() == [])
        wait_until(lambda: self.connection_count() <= 2 * 4)  # those of killed processes end a moment later

    def open_transactions(self) -> list[Any]:
        return query(
            self.url, "SELECT state, query FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND (xact_start IS NOT NULL OR state LIKE '%transaction%')"
        )  # fmt: skip

    def connection_count(self) -> int:
        ((count,),) = query(
            self.url, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        )  # fmt: skip
        return int(count)

    def assert_only_rows_of_loaded_uploads(self) -> None:
        """Wait until retention, which runs after an upload, has deleted the rows of interrupted uploads."""
        states_of_rows = (
            "SELECT DISTINCT u.state FROM deals_api_upload u JOIN deals_api_{} r ON r.upload_id = u.id"
            " WHERE u.state <> 'loaded'"
        )
        for table in ("deal", "purchase", "customer", "gem"):
            wait_until(lambda table=table: query(self.url, states_of_rows.format(table)) == [])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, postgresql_only: None) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("faults")
    with services.postgres() as (database, url), services.redis() as (_, redis_url):
        deployment = Deployment(folder, database, url, redis_url)
        deployment.upload_folder.mkdir()
        deployment.start()
        yield deployment
        deployment.stop()


# Stages of an upload: each context manager starts an upload, waits for the stage, and keeps it there if possible


@dataclass
class UploadInProgress:
    """An upload during which a fault is injected."""

    deployment: Deployment
    name: str
    pool: ThreadPoolExecutor

    @property
    def content(self) -> bytes:
        return csv_of(*many(ROWS, [self.name]))

    def send(self) -> Future[bool]:
        """Send the file in a thread; the result is whether the upload was acknowledged."""

        def send() -> bool:
            try:
                return self.deployment.server.upload(self.content).status_code == 200
            except httpx.HTTPError:
                return False

        return self.pool.submit(send)


Stage = Callable[[UploadInProgress], contextlib.AbstractContextManager[Future[bool] | None]]


def raw_upload(content: bytes) -> tuple[bytes, bytes]:
    """Return head and body of an HTTP request that uploads a file."""
    body = b'--b\r\nContent-Disposition: form-data; name="deals"; filename="d.csv"\r\n\r\n' + content + b"\r\n--b--\r\n"
    head = (
        "POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


def partly_sent(share: float) -> Stage:
    """The client has sent this share of the body, and sends no more."""

    @contextlib.contextmanager
    def stage(upload: UploadInProgress) -> Iterator[None]:
        head, body = raw_upload(upload.content)
        with socket.create_connection(("127.0.0.1", upload.deployment.server.port), TIMEOUT) as client:
            client.sendall(head + body[: int(share * (len(body) - 1))])
            time.sleep(0.1)
            yield

    return stage


def waiting_for_table(table: str) -> Stage:
    """The loader has written all tables before this one, and waits for a lock on it."""

    @contextlib.contextmanager
    def stage(upload: UploadInProgress) -> Iterator[Future[bool]]:
        with contextlib.closing(psycopg2.connect(upload.deployment.url)) as lock_holder:
            with lock_holder.cursor() as cursor:
                cursor.execute(f"LOCK deals_api_{table} IN SHARE MODE")
            acknowledged_later = upload.send()
            wait_until(lambda: query(upload.deployment.url, WAITING_FOR_LOCK))
            yield acknowledged_later

    return stage


@contextlib.contextmanager
def waiting_for_pointer(upload: UploadInProgress) -> Iterator[Future[bool]]:
    """All rows are written, and nothing is committed."""
    with contextlib.closing(psycopg2.connect(upload.deployment.url)) as lock_holder:
        with lock_holder.cursor() as cursor:
            cursor.execute("SELECT * FROM deals_api_currentupload FOR UPDATE")
        acknowledged_later = upload.send()
        wait_until(lambda: query(upload.deployment.url, WAITING_FOR_LOCK))
        yield acknowledged_later


@contextlib.contextmanager
def copying_deals(upload: UploadInProgress) -> Iterator[Future[bool]]:
    """``COPY`` has written some of the deals."""
    acknowledged_later = upload.send()
    progress = "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 1000"
    with contextlib.closing(psycopg2.connect(upload.deployment.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while not acknowledged_later.done():
            cursor.execute(progress)
            if cursor.fetchone():
                break
    yield acknowledged_later


@contextlib.contextmanager
def committed(upload: UploadInProgress) -> Iterator[Future[bool]]:
    """The upload is current; the client may not have received the response."""
    acknowledged_later = upload.send()
    current = "SELECT c.username FROM deals_api_currentupload p JOIN deals_api_customer c ON c.upload_id = p.upload_id"
    wait_until(lambda: query(upload.deployment.url, current) == [(upload.name,)])
    yield acknowledged_later


STAGES: dict[str, Stage] = {
    "no byte of the body received": partly_sent(0),
    "a quarter received": partly_sent(0.25),
    "half received": partly_sent(0.5),
    "all but the last byte received": partly_sent(1),
    "no deal written": waiting_for_table("deal"),
    "deals being written": copying_deals,
    "all deals written": waiting_for_table("purchase"),
    "all purchases written": waiting_for_table("customer"),
    "all customers written": waiting_for_table("gem"),
    "all written, not committed": waiting_for_pointer,
    "committed": committed,
}
FAULTS: dict[str, Callable[[Deployment], None]] = {
    "killed workers": Deployment.kill_workers,
    "killed service": Deployment.kill_service,
    "killed PostgreSQL": Deployment.kill_database,
}


def inject_and_check(deployment: Deployment, stage: Stage, fault: Callable[[Deployment], None]) -> None:
    deployment.upload()
    with ThreadPoolExecutor() as pool:
        upload = UploadInProgress(deployment, deployment.next_customer(), pool)
        with stage(upload) as acknowledged_later:
            fault(deployment)
        acknowledged = acknowledged_later is not None and acknowledged_later.result(TIMEOUT)
    deployment.restart_killed()
    deployment.assert_one_complete_upload(upload.name, acknowledged)
    deployment.assert_no_open_files_or_transactions()


@pytest.mark.parametrize(("number", "stage"), list(enumerate(STAGES)), ids=list(STAGES))
def test_crash_during_upload_keeps_one_complete_upload(deployment: Deployment, number: int, stage: str) -> None:
    fault = list(FAULTS)[number % len(FAULTS)]
    inject_and_check(deployment, STAGES[stage], FAULTS[fault])


def test_workers_of_a_killed_master_finish_and_exit(deployment: Deployment) -> None:
    deployment.upload()
    with ThreadPoolExecutor() as pool:
        upload = UploadInProgress(deployment, deployment.next_customer(), pool)
        with waiting_for_table("purchase")(upload) as acknowledged_later:
            orphans = deployment.kill_master()
            time.sleep(1.5)  # workers check their parent once a second
        assert acknowledged_later is not None
        assert acknowledged_later.result(TIMEOUT)
    _, alive = psutil.wait_procs(orphans, timeout=TIMEOUT)
    assert alive == []
    deployment.restart_killed()
    deployment.assert_one_complete_upload(upload.name, acknowledged=True)
    deployment.assert_no_open_files_or_transactions()


@pytest.mark.long_form
def test_every_fault_at_every_stage(deployment: Deployment) -> None:
    deadline = time.monotonic() + SECONDS
    for stage, fault in itertools.cycle(itertools.product(STAGES.values(), FAULTS.values())):
        if time.monotonic() > deadline:
            break
        inject_and_check(deployment, stage, fault)


def test_next_upload_deletes_rows_of_interrupted_ones(deployment: Deployment) -> None:
    deployment.upload()
    with ThreadPoolExecutor() as pool:
        upload = UploadInProgress(deployment, deployment.next_customer(), pool)
        with waiting_for_table("customer")(upload):
            deployment.kill_service()
    deployment.restart_killed()
    time.sleep(10.5)  # an upload without a lock counts as interrupted after ten seconds
    deployment.upload()
    deployment.assert_only_rows_of_loaded_uploads()
    assert query(deployment.url, "SELECT count(*) FROM deals_api_upload WHERE state = 'loading'") == [(0,)]
    assert top_client(deployment.server) == deployment.current


# Processes killed while they change the pointer


def some_read_uses_a_lease(server: Server) -> bool:
    """Return whether one of several successive reads needed no SQL statement, because it used a lease."""
    with httpx.Client(timeout=TIMEOUT, verify=NO_TLS) as client:
        reads = [client.get(f"{server.url}/api/top-clients/") for _ in range(20)]
    return any("statements" not in read.headers["Server-Timing"] for read in reads)


def kill_while(server: Server, url: str, condition: str, action: Callable[[], object]) -> bool:
    """Kill the workers as soon as the query has a result. Return False if the action ended before that."""
    with ThreadPoolExecutor() as pool:
        running = pool.submit(action)
        while not query(url, condition):
            if running.done():
                return False
            time.sleep(0.001)
        for worker in server.workers():
            worker.kill()
        with contextlib.suppress(httpx.HTTPError):
            running.result(TIMEOUT)
    return query(url, condition) != []


LOADING: Final = "SELECT id FROM deals_api_upload WHERE state = 'loading'"
ANNOUNCED: Final = "SELECT id FROM deals_api_currentupload WHERE announced IS NOT NULL"


@pytest.mark.second_run
def test_readers_use_leases_again_after_a_killed_load(tmp_path: Path, environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"]
    with serving(tmp_path, **environment, WEB_WORKERS="1") as server:
        upload(server, "before")
        content = csv_of(*many(100_000))
        assert kill_while(server, url, LOADING, lambda: server.upload(content))
        wait_until(lambda: some_read_uses_a_lease(server), 300)
        assert query(url, "SELECT state FROM deals_api_upload ORDER BY id") == [("loaded",), ("interrupted",)]
        assert top_client(server) == "before"


def test_readers_use_leases_again_after_a_killed_roll_back(tmp_path: Path, environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"]
    with serving(tmp_path, **environment, WEB_WORKERS="1") as server:
        upload(server, "before")
        upload_id = graphql(server, "{currentUpload {id}}")["currentUpload"]["id"]
        upload(server, "after")
        for _ in range(100):
            server.wait_until_ready()
            if kill_while(server, url, ANNOUNCED, lambda: activate(server, upload_id)):
                break
        wait_until(lambda: some_read_uses_a_lease(server), 300)
        assert query(url, ANNOUNCED) == []


# PostgreSQL restarts under load


def test_reads_during_database_restart_get_503_then_succeed(deployment: Deployment) -> None:
    deployment.upload()
    workers = deployment.server.workers()
    finished, limits = threading.Event(), itertools.cycle(range(1, 100))
    responses: list[tuple[float, httpx.Response]] = []

    def read() -> None:
        """Send requests that no cache contains to both APIs."""
        with httpx.Client(base_url=deployment.server.url, timeout=TIMEOUT, verify=NO_TLS) as client:
            while not finished.is_set():
                limit = next(limits)
                body = {"query": f"{{topClients(limit: {limit}) {{username}}}} # {time.monotonic()}"}
                responses.append((time.monotonic(), client.get(f"/api/top-clients/?limit={limit}")))
                responses.append((time.monotonic(), client.post("/graphql/", json=body)))

    def failed() -> list[tuple[float, httpx.Response]]:
        return [(sent, response) for sent, response in responses if response.status_code != 200]

    def wait_for_responses(count: int) -> None:
        """Wait until the readers have received this number of further responses."""
        seen = len(responses)
        wait_until(lambda: len(responses) >= seen + count)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for stop in (deployment.database.stop, deployment.kill_database):
            wait_for_responses(40)
            seen = len(failed())
            stop()
            wait_until(lambda seen=seen: len(failed()) > seen)
            deployment.database.start()
            wait_until(lambda: deployment.server.get("/health/ready").status_code == 200)
        restarted = time.monotonic()
        wait_for_responses(80)
    finally:
        finished.set()
        for reader in readers:
            reader.join()
    assert {(response.status_code, response.headers["Retry-After"]) for _, response in failed()} == {(503, "2")}
    assert [response for sent, response in failed() if sent > restarted] == []
    names = {name for _, response in responses if response.status_code == 200 for name in names_in(response)}
    assert names == {deployment.current}
    assert deployment.server.workers() == workers


def names_in(response: httpx.Response) -> list[str]:
    return re.findall(r'"username":"(\w+)"', response.text)


# Full disks


def mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, size: str, owner: str | None = None) -> Iterator[Path]:
    """Mount a file system of this size."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    folder.mkdir()
    mount(folder, f"size={size}")
    try:
        if owner:
            shutil.chown(folder, owner, "nogroup")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def execute(url: str, *statements: str) -> None:
    """Execute each statement in a separate transaction."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def assert_rejected_for_space(server: Server, free_space: Callable[[], None] = lambda: None) -> None:
    """Assert that a file that does not fit on the disk is rejected, and a small file is accepted later."""
    upload(server, "before")
    large = csv_of(*many(100_000, ["x" * 50]))
    for _ in range(3):
        response = server.upload(large)
        assert (response.status_code, response.json()["Status"], response.json()["Code"]) == (507, "Error", "no_room")
        assert top_client(server) == "before"
    free_space()
    upload(server, "after")
    assert top_client(server) == "after"
    assert "Traceback" not in server.log.read_text()


@pytest.mark.database_independent
def test_full_disk_of_received_files_rejects_the_upload(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "4m") as small, serving(tmp_path, TMPDIR=str(small)) as server:
        assert_rejected_for_space(server)


@pytest.mark.usefixtures("sqlite_only")
def test_full_disk_of_sqlite_rejects_the_upload(tmp_path: Path) -> None:
    small = tmp_path / "small"
    with small_disk(small, "8m"), serving(tmp_path, DATABASE_URL=f"sqlite:///{small / 'deals.sqlite3'}") as server:
        assert_rejected_for_space(server)


def test_full_disk_of_postgresql_rejects_the_upload(tmp_path: Path, deployment: Deployment) -> None:
    """Only the tables are on the small disk, because PostgreSQL exits if the disk of its log is full."""
    folder = Path(tempfile.mkdtemp(prefix="deals-small-"))
    folder.chmod(0o755)
    with small_disk(folder / "disk", "16m", deployment.database.user) as small:
        url = deployment.url.rpartition("/")[0] + "/small"
        execute(deployment.url, f"CREATE TABLESPACE small LOCATION '{small}'", "CREATE DATABASE small TABLESPACE small")
        with serving(tmp_path, DATABASE_URL=url) as server:
            assert_rejected_for_space(server, lambda: mount(small, "remount,size=64m"))
        execute(deployment.url, "DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small")


# A full or emptied Redis


@pytest.mark.database_independent
def test_full_or_emptied_redis_changes_no_response(server_with_redis: Server, redis: services.Service) -> None:
    def read() -> list[str]:
        return [top_client(server_with_redis, api) for api in (REST, GRAPHQL)]

    upload(server_with_redis, "before")
    assert read() == ["before", "before"]
    with Redis(port=redis.port) as client:
        client.config_set("maxmemory", "1")
        for name in ("full", "fuller"):
            upload(server_with_redis, name)
            for _ in range(4):
                assert read() == [name, name]
        client.config_set("maxmemory", "0")
        client.flushall()
        assert read() == ["fuller", "fuller"]
        upload(server_with_redis, "empty")
        assert read() == ["empty", "empty"]
    assert "Traceback" not in server_with_redis.log.read_text()


# Clients that disconnect before the response


def test_upload_of_a_disconnected_client_is_stored(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as server:
        upload(server, "before")
        for number in range(3):
            head, body = raw_upload(csv_of(*many(5000, [f"gone{number}"])))
            with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
                client.sendall(head + body)
            wait_until(lambda name=f"gone{number}": top_client(server) == name)
            assert server.get().json()["response"][0]["spent_money"] == 5000
        upload(server, "after")
        assert top_client(server) == "after"
        assert "Traceback" not in server.log.read_text()
