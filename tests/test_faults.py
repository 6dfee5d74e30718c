"""Processes that die, disks that are full, clients that go away: with the real ones, while an upload is under way.

After each the answer is that of the last upload that was answered OK, or that of the one in flight, whole; and
nothing is left behind. The short form meets each moment once; with ``DEALS_TEST_SECONDS`` set, every victim meets
every moment, again and again for so long.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
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
from tests.servers import TIMEOUT, Server, serving
from tests.test_service import BOTH_FACES, activate, graph, query, richest, upload, wait_until

SECONDS = float(os.environ.get("DEALS_TEST_SECONDS", "0"))
#: Deals of an upload that somebody dies in: enough for ``COPY`` to be seen at work.
ROWS: Final = 40_000
WHOLE: Final = (
    "{currentUpload {dealCount} deals {totalCount} dealStats {dealCount total} topClients {username spentMoney}}"
)


WAITING: Final = "SELECT 1 FROM pg_locks WHERE NOT granted"


# A service on a PostgreSQL and a Redis of its own


@dataclass
class Stage:
    """What dies and comes again, and what it is expected to hold."""

    folder: Path
    database: services.Service
    url: str
    redis_url: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    #: The name in the last file that was answered OK, or seen to be current since.
    current: str = ""

    def start(self) -> None:
        self.serving = serving(
            self.folder, DATABASE_URL=self.url, REDIS_URL=self.redis_url, TMPDIR=str(self.received), WEB_THREADS="4"
        )
        self.server = self.serving.__enter__()

    @property
    def received(self) -> Path:
        return self.folder / "received"

    def stop(self) -> None:
        self.serving.__exit__(None, None, None)

    def name(self) -> str:
        return f"c{next(self.numbers)}"

    def upload(self) -> None:
        self.current = self.name()
        upload(self.server, self.current, 3)

    # Victims

    def kill_workers(self) -> None:
        """Whichever of them has the upload."""
        victims = self.server.workers()
        for worker in victims:
            worker.kill()
        psutil.wait_procs(victims, timeout=TIMEOUT)

    def kill_service(self) -> None:
        """All of it, as the end of a container does."""
        self.server.kill()

    def kill_master(self) -> None:
        """Its workers notice, finish what they have begun, and end."""
        workers = self.server.workers()
        self.server.process.kill()
        self.server.process.wait()
        self.orphans = workers

    def kill_database(self) -> None:
        assert self.database.process is not None
        family = psutil.Process(self.database.process.pid).children()
        self.database.send(signal.SIGKILL)
        self.database.process.wait()
        psutil.wait_procs(family, timeout=TIMEOUT)

    def revive(self) -> None:
        """Whoever is gone is started again, as docker does it; the service itself only if it was killed."""
        assert self.database.process is not None
        if self.database.process.poll() is not None:
            self.database.start()
        if self.server.process.poll() is not None:
            self.stop()
            self.start()
        wait_until(lambda: self.server.get("/health/ready").status_code == 200)

    # What must be so afterwards

    def must_hold_whole(self, in_flight: str, acknowledged: bool) -> None:
        """One upload, whole and the same at every reading: the last acknowledged one, or that in flight."""
        seen = {self.what_is_read() for _ in range(8)}
        assert len(seen) == 1, seen
        (name, rows) = seen.pop()
        assert (name, rows) in {(self.current, 3), (in_flight, ROWS)}
        if acknowledged:
            assert name == in_flight
        self.current = name

    def what_is_read(self) -> tuple[str, int]:
        name = richest(self.server)
        answer = httpx.post(f"{self.server.url}/graphql/", json={"query": WHOLE}, timeout=TIMEOUT).json()
        rows = answer["data"]["currentUpload"]["dealCount"]
        assert answer["data"] == {
            "currentUpload": {"dealCount": rows},
            "deals": {"totalCount": rows},
            "dealStats": [{"dealCount": rows, "total": str(rows)}],
            "topClients": [{"username": name, "spentMoney": str(rows)}],
        }
        return name, rows

    def must_have_left_nothing(self) -> None:
        assert list(self.received.iterdir()) == []
        wait_until(lambda: self.transactions() == [])
        assert self.connections() <= 2 * 4

    def transactions(self) -> list[Any]:
        return query(
            self.url, "SELECT state, query FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND (xact_start IS NOT NULL OR state LIKE '%transaction%')"
        )  # fmt: skip

    def connections(self) -> int:
        ((count,),) = query(
            self.url, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        )  # fmt: skip
        return int(count)

    def must_be_tidy(self) -> None:
        """No rows but those of loaded uploads, once the next upload has swept up."""
        query_rows = (
            "SELECT DISTINCT u.state FROM deals_api_upload u JOIN deals_api_{} r ON r.upload_id = u.id"
            " WHERE u.state <> 'loaded'"
        )
        for table in ("deal", "purchase", "customer", "gem"):
            wait_until(lambda table=table: query(self.url, query_rows.format(table)) == [])


@pytest.fixture(scope="module")
def stage(on_postgres: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not on_postgres:
        pytest.skip("needs PostgreSQL")
    folder = tmp_path_factory.mktemp("faults")
    with services.postgres() as (database, url), services.redis() as (_, redis_url):
        stage = Stage(folder, database, url, redis_url)
        stage.received.mkdir()
        stage.start()
        yield stage
        stage.stop()


# The moments of an upload: each says when it has come, and holds the upload there if it can


@dataclass
class InFlight:
    """An upload on its way, and how far it got."""

    stage: Stage
    name: str
    pool: ThreadPoolExecutor

    @property
    def content(self) -> bytes:
        return csv_of(*many(ROWS, [self.name]))

    def send(self) -> Future[bool]:
        """All of it; whether it was answered OK."""

        def send() -> bool:
            try:
                return self.stage.server.upload(self.content).status_code == 200
            except httpx.HTTPError:
                return False

        return self.pool.submit(send)


Moment = Callable[[InFlight], contextlib.AbstractContextManager[Future[bool] | None]]


def sent(share: float) -> Moment:
    """So much of the body was sent, and no more comes."""

    @contextlib.contextmanager
    def moment(flight: InFlight) -> Iterator[None]:
        head = b'--b\r\nContent-Disposition: form-data; name="deals"; filename="d.csv"\r\n\r\n'
        body = head + flight.content + b"\r\n--b--\r\n"
        start = (
            "POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", flight.stage.server.port), TIMEOUT) as client:
            client.sendall(start.encode() + body[: int(share * (len(body) - 1))])
            time.sleep(0.1)
            yield

    return moment


def waits_for(table: str) -> Moment:
    """It has written everything that comes before this table, and waits to write here."""

    @contextlib.contextmanager
    def moment(flight: InFlight) -> Iterator[Future[bool]]:
        with contextlib.closing(psycopg2.connect(flight.stage.url)) as holder:
            with holder.cursor() as cursor:
                cursor.execute(f"LOCK deals_api_{table} IN SHARE MODE")
            answered = flight.send()
            wait_until(lambda: query(flight.stage.url, WAITING))
            yield answered

    return moment


@contextlib.contextmanager
def waits_for_the_pointer(flight: InFlight) -> Iterator[Future[bool]]:
    """Everything is written, and nothing is committed."""
    with contextlib.closing(psycopg2.connect(flight.stage.url)) as holder:
        with holder.cursor() as cursor:
            cursor.execute("SELECT * FROM deals_api_currentupload FOR UPDATE")
        answered = flight.send()
        wait_until(lambda: query(flight.stage.url, WAITING))
        yield answered


@contextlib.contextmanager
def copies(flight: InFlight) -> Iterator[Future[bool]]:
    """Some of its deals are in the table."""
    answered = flight.send()
    progress = "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 1000"
    with contextlib.closing(psycopg2.connect(flight.stage.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while not answered.done():
            cursor.execute(progress)
            if cursor.fetchone():
                break
    yield answered


@contextlib.contextmanager
def is_committed(flight: InFlight) -> Iterator[Future[bool]]:
    """The pointer has moved; the answer may be under way."""
    answered = flight.send()
    current = "SELECT c.username FROM deals_api_currentupload p JOIN deals_api_customer c ON c.upload_id = p.upload_id"
    wait_until(lambda: query(flight.stage.url, current) == [(flight.name,)])
    yield answered


MOMENTS: dict[str, Moment] = {
    "nothing of the body has come": sent(0),
    "a quarter has come": sent(0.25),
    "a half has come": sent(0.5),
    "all but the last byte has come": sent(1),
    "no deal is written": waits_for("deal"),
    "deals are being written": copies,
    "all deals are written": waits_for("purchase"),
    "all purchases are written": waits_for("customer"),
    "all customers are written": waits_for("gem"),
    "all is written and not committed": waits_for_the_pointer,
    "all is committed": is_committed,
}
VICTIMS: dict[str, Callable[[Stage], None]] = {
    "workers": Stage.kill_workers, "the service": Stage.kill_service, "PostgreSQL": Stage.kill_database
}  # fmt: skip


def die_and_revive(stage: Stage, moment: Moment, kill: Callable[[Stage], None]) -> None:
    stage.upload()
    with ThreadPoolExecutor() as pool:
        flight = InFlight(stage, stage.name(), pool)
        with moment(flight) as answered:
            kill(stage)
        acknowledged = answered is not None and answered.result(TIMEOUT)
    stage.revive()
    stage.must_hold_whole(flight.name, acknowledged)
    stage.must_have_left_nothing()


@pytest.mark.parametrize(("number", "moment"), list(enumerate(MOMENTS)), ids=list(MOMENTS))
def test_whoever_dies_in_an_upload_the_answer_is_whole(stage: Stage, number: int, moment: str) -> None:
    victim = list(VICTIMS)[number % len(VICTIMS)]
    die_and_revive(stage, MOMENTS[moment], VICTIMS[victim])


def test_workers_whose_master_was_killed_finish_and_end(stage: Stage) -> None:
    def kill(stage: Stage) -> None:
        stage.kill_master()
        time.sleep(1.5)  # they look once a second

    stage.upload()
    with ThreadPoolExecutor() as pool:
        flight = InFlight(stage, stage.name(), pool)
        with waits_for("purchase")(flight) as answered:
            kill(stage)
        assert answered is not None
        assert answered.result(TIMEOUT)
    _, alive = psutil.wait_procs(stage.orphans, timeout=TIMEOUT)
    assert alive == []
    stage.revive()
    stage.must_hold_whole(flight.name, acknowledged=True)
    stage.must_have_left_nothing()


@pytest.mark.skipif(not SECONDS, reason="long form: needs DEALS_TEST_SECONDS")
def test_every_victim_at_every_moment(stage: Stage) -> None:
    until = time.monotonic() + SECONDS
    for moment, kill in itertools.cycle(itertools.product(MOMENTS.values(), VICTIMS.values())):
        if time.monotonic() > until:
            break
        die_and_revive(stage, moment, kill)


def test_after_all_deaths_no_row_is_left_of_those_who_died(stage: Stage) -> None:
    """An upload counts as dead when nobody has held it for ten seconds."""
    time.sleep(10.5)
    stage.upload()
    stage.must_be_tidy()
    assert query(stage.url, "SELECT count(*) FROM deals_api_upload WHERE state = 'loading'") == [(0,)]
    assert richest(stage.server) == stage.current


# Processes that are killed while they change the pointer


def reads_without_statements(server: Server) -> bool:
    """Whether one of some reads in a row found a lease on the pointer."""
    with httpx.Client(timeout=TIMEOUT) as client:
        reads = [client.get(f"{server.url}/api/top-clients/") for _ in range(20)]
    return any("statements" not in read.headers["Server-Timing"] for read in reads)


def kill_while(server: Server, url: str, condition: str, act: Callable[[], object]) -> bool:
    """Kill the workers as soon as the database has such a row; False where ``act`` ended before it was seen."""
    with ThreadPoolExecutor() as pool:
        acting = pool.submit(act)
        while not query(url, condition):
            if acting.done():
                return False
            time.sleep(0.001)
        for worker in server.workers():
            worker.kill()
        with contextlib.suppress(httpx.HTTPError):
            acting.result(TIMEOUT)
    return query(url, condition) != []


LOADING: Final = "SELECT id FROM deals_api_upload WHERE state = 'loading'"
ANNOUNCED: Final = "SELECT id FROM deals_api_currentupload WHERE announced IS NOT NULL"


def test_killed_load_stops_slowing_readers_without_another_upload(tmp_path: Path, environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"]
    with serving(tmp_path, **environment, WEB_WORKERS="1") as server:
        upload(server, "before")
        content = csv_of(*many(100_000))
        assert kill_while(server, url, LOADING, lambda: server.upload(content))
        wait_until(lambda: reads_without_statements(server), 300)
        assert query(url, "SELECT state FROM deals_api_upload ORDER BY id") == [("loaded",), ("interrupted",)]
        assert richest(server) == "before"


def test_killed_roll_back_stops_slowing_readers_without_another(tmp_path: Path, environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"]
    with serving(tmp_path, **environment, WEB_WORKERS="1") as server:
        upload(server, "before")
        key = graph(server, "{currentUpload {id}}")["currentUpload"]["id"]
        upload(server, "after")
        for _ in range(100):
            server.wait_until_ready()
            if kill_while(server, url, ANNOUNCED, lambda: activate(server, key)):
                break
        wait_until(lambda: reads_without_statements(server), 300)
        assert query(url, ANNOUNCED) == []


# PostgreSQL restarts while everybody reads


def test_readers_of_a_database_that_restarts_wait_a_moment_and_are_answered(stage: Stage) -> None:
    stage.upload()
    workers = stage.server.workers()
    over, limits = threading.Event(), itertools.cycle(range(1, 100))
    answers: list[tuple[float, httpx.Response]] = []

    def read() -> None:
        """What no cache knows, over both faces."""
        with httpx.Client(base_url=stage.server.url, timeout=TIMEOUT) as client:
            while not over.is_set():
                limit = next(limits)
                question = {"query": f"{{topClients(limit: {limit}) {{username}}}} # {time.monotonic()}"}
                answers.append((time.monotonic(), client.get(f"/api/top-clients/?limit={limit}")))
                answers.append((time.monotonic(), client.post("/graphql/", json=question)))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for stop in (stage.database.stop, stage.kill_database):
        time.sleep(0.5)
        stop()
        time.sleep(0.5)
        stage.database.start()
        wait_until(lambda: stage.server.get("/health/ready").status_code == 200)
    began = time.monotonic()
    time.sleep(1)
    over.set()
    for reader in readers:
        reader.join()
    refused = [answer for _, answer in answers if answer.status_code != 200]
    assert refused
    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in refused} == {(503, "2")}
    late = [answer for when, answer in answers if when > began and answer.status_code != 200]
    assert late == []
    assert {name for _, answer in answers if answer.status_code == 200 for name in names_in(answer)} == {stage.current}
    assert stage.server.workers() == workers


def names_in(answer: httpx.Response) -> list[str]:
    return re.findall(r'"username":"(\w+)"', answer.text)


# Disks that are full


def mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, size: str, owner: str | None = None) -> Iterator[Path]:
    """A folder with so much room."""
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


def tell(url: str, *statements: str) -> None:
    """PostgreSQL is told these, each by itself."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def must_refuse_for_room(server: Server, make_room: Callable[[], None] = lambda: None) -> None:
    """A file for which there is no room is refused as such, and a small one is taken after it."""
    upload(server, "before")
    for _ in range(3):
        answer = server.upload(csv_of(*many(100_000, ["x" * 50])))
        assert (answer.status_code, answer.json()["Status"], answer.json()["Code"]) == (507, "Error", "no_room")
        assert richest(server) == "before"
    make_room()
    upload(server, "after")
    assert richest(server) == "after"
    assert "Traceback" not in server.log.read_text()


def test_a_full_disk_for_what_is_received_is_told_and_harms_nobody(tmp_path: Path, environment: dict[str, str]) -> None:
    with small_disk(tmp_path / "small", "4m") as small, serving(tmp_path, **environment, TMPDIR=str(small)) as server:
        must_refuse_for_room(server)


def test_a_full_sqlite_is_told_and_harms_nobody(tmp_path: Path, on_postgres: bool) -> None:
    if on_postgres:
        pytest.skip("needs SQLite")
    small = tmp_path / "small"
    with small_disk(small, "8m"), serving(tmp_path, DATABASE_URL=f"sqlite:///{small / 'deals.sqlite3'}") as server:
        must_refuse_for_room(server)


def test_a_full_postgresql_is_told_and_harms_nobody(tmp_path: Path, stage: Stage) -> None:
    """Its tables lie on the small disk; it keeps its log, without which it would end, on another."""
    folder = Path(tempfile.mkdtemp(prefix="deals-small-"))
    folder.chmod(0o755)
    with small_disk(folder / "disk", "16m", stage.database.user) as small:
        url = stage.url.rpartition("/")[0] + "/small"
        tell(stage.url, f"CREATE TABLESPACE small LOCATION '{small}'", "CREATE DATABASE small TABLESPACE small")
        with serving(tmp_path, DATABASE_URL=url) as server:
            must_refuse_for_room(server, lambda: mount(small, "remount,size=64m"))
        tell(stage.url, "DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small")


# Redis that takes nothing more, or has forgotten everything


@BOTH_FACES
def test_a_full_redis_and_one_that_was_emptied_cost_nothing_but_time(
    server_with_redis: Server, redis: services.Service, face: str
) -> None:
    upload(server_with_redis, "before")
    assert richest(server_with_redis, face) == "before"
    with Redis(port=redis.port) as client:
        client.config_set("maxmemory", "1")
        for name in ("full", "fuller"):
            upload(server_with_redis, name)
            for _ in range(4):
                assert richest(server_with_redis, face) == name
        client.config_set("maxmemory", "0")
        client.flushall()
        assert richest(server_with_redis, face) == "fuller"
        upload(server_with_redis, "empty")
        assert richest(server_with_redis, face) == "empty"
    assert "Traceback" not in server_with_redis.log.read_text()


# Clients that do not wait for their answer


def test_an_upload_whose_client_has_gone_is_taken_all_the_same(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as server:
        upload(server, "before")
        for number in range(3):
            body = b'--b\r\nContent-Disposition: form-data; name="deals"; filename="d.csv"\r\n\r\n' + csv_of(
                *many(5000, [f"gone{number}"])
            )
            head = (
                "POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                f"Content-Length: {len(body) + 9}\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
                client.sendall(head.encode() + body + b"\r\n--b--\r\n")
            wait_until(lambda name=f"gone{number}": richest(server) == name)
            assert server.get().json()["response"][0]["spent_money"] == 5000
        upload(server, "after")
        assert richest(server) == "after"
        assert "Traceback" not in server.log.read_text()
