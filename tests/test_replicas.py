"""Replicas: a lagging, failing or diverged server never makes a response stale or mixed, and delays it only briefly."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest

from tests import services
from tests.history import Operation
from tests.long_form import IS_LONG
from tests.replication import Cluster, cluster, computed, execute_each, snapshot_reads
from tests.requires import require
from tests.server_actions import GRAPHQL, REST, query, top_client, upload
from tests.servers import NO_TLS, TIMEOUT, Server, serving, wait_until
from tests.services import kill_postgres
from tests.test_compose import COMPOSE, stopped
from tests.test_concurrency import READ, Clients
from tests.test_pgbouncer import SESSION

pytestmark = pytest.mark.usefixtures("postgresql_only")

EXPORT = "/api/exports/deals.csv"
TOP_CLIENTS = "{topClients {username}}"
#: The results of reads that need no primary.
ON_REPLICAS = {("replica1", "complete"), ("replica2", "complete")}
LOCKED = "SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'deals_api_deal'::regclass"
#: Reads of the model check; the long form takes minutes.
MIN_READS = 10_000 if IS_LONG else 100


@pytest.fixture(scope="module")
def shared_cluster(postgresql_only: None) -> Iterator[Cluster]:
    with cluster() as servers:
        yield servers


@pytest.fixture(scope="module")
def shared_server(shared_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shared_cluster.serving(tmp_path_factory.mktemp("replicas")) as server:
        yield server


@pytest.fixture
def replicas(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The servers of this module. A test may stop and configure the standbys."""
    yield shared_cluster
    shared_cluster.reset_standbys()


@pytest.fixture
def server(replicas: Cluster, shared_server: Server) -> Server:
    wait_until(lambda: are_available(shared_server))
    return shared_server


def are_available(server: Server) -> bool:
    return [replica["status"] for replica in server.get("/health/ready").json()["replicas"]] == ["ok", "ok"]


def increases(server: Server, action: Callable[[], object]) -> dict[tuple[str, str], int]:
    """Return how many reads the action caused, by database and result."""
    before = snapshot_reads(server)
    action()
    return dict(snapshot_reads(server) - before)


def read_all(server: Server, username: str, times: int = 1) -> None:
    """Read a file with one customer by both APIs and an export; no response is cached."""
    for _ in range(times):
        body = computed(server, "{topClients {username} deals {nodes {customer {username}}}}")
        assert {client["username"] for client in body["data"]["topClients"]} == {username}
        assert {node["customer"]["username"] for node in body["data"]["deals"]["nodes"]} == {username}
        lines = server.get(EXPORT).text.splitlines()
        assert len(lines) > 1
        assert all(line.startswith(f"{username},") for line in lines[1:])
    assert top_client(server, REST) == username


# Reads


def test_complete_snapshots_are_read_on_replicas_only(server: Server, replicas: Cluster) -> None:
    upload(server, "ann", 11)  # a file of this test only, because the response of REST is cached
    replicas.wait_until_replicated()
    # The first read on a connection that an earlier test has broken fails. Only the first attempt reads for REST, whose
    # response is cached then.
    attempts = (increases(server, lambda: read_all(server, "ann", 20)) for _ in range(5))
    counts = next(counts for counts in attempts if counts.keys() == ON_REPLICAS)
    assert sum(counts.values()) in (3 * 20, 3 * 20 + 1)


@pytest.mark.parametrize(
    "path",
    [f"{REST}?limit=", f"{GRAPHQL}%23", f"{EXPORT}?orderBy=DATE_DESC&utm_id="],
    ids=["REST", "GraphQL", "export"],
)
def test_replicas_need_no_additional_statement(server: Server, replicas: Cluster, tmp_path: Path, path: str) -> None:
    """The lowest numbers are compared, because the pointer is read at intervals."""
    upload(server, "ann", 3)
    replicas.wait_until_replicated()
    numbers = iter(range(6, 101))

    def statements(server: Server) -> int:
        header = server.get(f"{path}{next(numbers)}").headers["Server-Timing"]
        return int(re.findall(r"statements: (\d+)", header)[0])

    with replicas.serving(tmp_path, DATABASE_REPLICA_URLS="") as without:
        counts = [(statements(server), statements(without)) for _ in range(40)]
    assert min(count for count, _ in counts) == min(count for _, count in counts)


def test_new_upload_is_read_on_the_primary_until_replicas_have_it(server: Server, replicas: Cluster) -> None:
    upload(server, "ann", 3)
    replicas.wait_until_replicated()
    replicas.execute_on_standbys("SELECT pg_wal_replay_pause()")
    upload(server, "bob", 3)
    counts = increases(server, lambda: read_all(server, "bob", 5))
    assert counts[("default", "complete")] == 3 * 5 + 1
    assert not counts.keys() & ON_REPLICAS
    # The first read on a connection that an earlier test has broken fails for this reason.
    wait_until(lambda: "incomplete" in {result for _, result in increases(server, lambda: read_all(server, "bob"))})
    for replica in server.get("/health/ready").json()["replicas"]:
        assert (replica["status"], replica["lag_bytes"] > 0, replica["lag_seconds"] > 0) == ("ok", True, True)
    assert re.search(r'deals_replica_lag_bytes\{replica="replica2"\} [1-9]', server.get("/metrics").text)
    replicas.execute_on_standbys("SELECT pg_wal_replay_resume()")
    wait_until(lambda: increases(server, lambda: computed(server, TOP_CLIENTS)).keys() <= ON_REPLICAS)
    replicas.wait_until_replicated()
    health = server.get("/health/ready").json()["replicas"]
    assert [(replica["name"], replica["lag_seconds"]) for replica in health] == [("replica1", 0), ("replica2", 0)]


def test_limits_of_an_operation_apply_on_replicas(replicas: Cluster, tmp_path: Path) -> None:
    with (
        replicas.serving(tmp_path, MAX_SQL_QUERIES="2", MAX_QUERY_SECONDS="1") as server,
        contextlib.closing(psycopg2.connect(replicas.primary_url)) as lock_holder,
    ):

        def codes(document: str) -> list[str]:
            return [error["extensions"]["code"] for error in computed(server, document).get("errors", [])]

        upload(server, "ann", 3)
        replicas.wait_until_replicated()
        wait_until(lambda: increases(server, lambda: codes("{gems {nodes {id}}}")).keys() <= ON_REPLICAS)
        three = "{gems {nodes {id}} customers {nodes {id}} deals {nodes {id}}}"
        assert increases(server, lambda: codes(three)).keys() <= ON_REPLICAS
        assert codes(three) == ["limit_exceeded"]
        lock_holder.cursor().execute("LOCK deals_api_deal")
        wait_until(lambda: all(query(url, LOCKED) for url in replicas.standby_urls))
        counts = increases(server, lambda: codes("{deals {nodes {id}}}"))
        assert counts.keys() <= ON_REPLICAS
        assert codes("{deals {nodes {id}}}") == ["limit_exceeded"]


def test_replica_behind_a_pooler_keeps_no_session_state(replicas: Cluster, tmp_path: Path) -> None:
    """In transaction mode, a session of the pool serves many clients."""
    configuration = "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 1"
    with (
        services.pgbouncer(require("PgBouncer"), configuration, replicas.standbys[0]) as (_, pool_url),
        replicas.serving(tmp_path, DATABASE_REPLICA_URLS=pool_url) as server,
    ):
        upload(server, "ann", 3)
        replicas.wait_until_replicated()
        wait_until(lambda: increases(server, lambda: read_all(server, "ann")).keys() == {("replica1", "complete")})
        assert query(pool_url, SESSION) == []
        values = "SELECT current_setting('statement_timeout'), current_setting('transaction_isolation')"
        assert query(pool_url, values) == [("0", "read committed")]


# Failures


def test_stopped_replicas_cause_no_error_and_are_used_again(server: Server, replicas: Cluster) -> None:
    upload(server, "ann", 3)
    replicas.wait_until_replicated()
    read_all(server, "ann", 5)
    for standby in replicas.standbys:
        kill_postgres(standby)
    read_all(server, "ann", 10)
    assert increases(server, lambda: read_all(server, "ann")).keys() == {("default", "complete")}
    health = server.get("/health/ready")
    assert (health.status_code, health.json()["replicas"][0]) == (200, {"name": "replica1", "status": "unavailable"})
    assert 'deals_replica_up{replica="replica1"} 0.0' in server.get("/metrics").text
    replicas.reset_standbys()
    wait_until(lambda: increases(server, lambda: computed(server, TOP_CLIENTS)).keys() <= ON_REPLICAS)
    read_all(server, "ann", 10)


def test_frozen_replicas_delay_readers_for_a_bounded_time(server: Server, replicas: Cluster) -> None:
    """Without the monitor, readers would wait until the replicas continue."""
    upload(server, "ann", 3)
    replicas.wait_until_replicated()

    def read(number: int) -> httpx.Response:
        paths = (f"{REST}?limit={number + 1}", f"{GRAPHQL}%23{time.monotonic()}", f"{EXPORT}?orderBy=DATE_DESC")
        return httpx.get(server.url + paths[number % 3], timeout=60, verify=NO_TLS)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(24)))  # so that each thread is connected to each replica
        upload(server, "bob", 3)
        replicas.wait_until_replicated()
        with stopped(replicas.standbys[0]), stopped(replicas.standbys[1]):
            for response in pool.map(read, range(24)):
                assert (response.status_code, "bob" in response.text, "ann" in response.text) == (200, True, False)
            assert increases(server, lambda: read(1)).keys() == {("default", "complete")}
            assert server.get("/health/ready").status_code == 200
    wait_until(lambda: are_available(server))


def test_replica_that_accepts_no_connection_delays_one_read(replicas: Cluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = f"postgres://deals@127.0.0.1:{silent.getsockname()[1]}/deals,{replicas.standby_urls[0]}"
        with replicas.serving(tmp_path, DATABASE_REPLICA_URLS=urls) as server:
            upload(server, "ann", 3)
            replicas.wait_until_replicated()
            read_all(server, "ann", 10)
            counts = snapshot_reads(server)
            assert counts["replica1", "failed"] <= 1
            assert counts["replica2", "complete"] > 0


def test_reads_cancelled_by_recovery_conflicts_are_repeated(server: Server, replicas: Cluster) -> None:
    upload(server, "ann", 5_000)
    replicas.configure_standbys("max_standby_streaming_delay = 0")
    replicas.wait_until_replicated()
    done = threading.Event()

    def remove_old_rows() -> None:
        """Remove row versions that running statements on the standbys can see."""
        while not done.is_set():
            execute_each(
                replicas.primary_url, "UPDATE deals_api_installation SET secret_key = secret_key",
                "VACUUM deals_api_installation",
            )  # fmt: skip

    def conflicts() -> int:
        sql = "SELECT sum(confl_snapshot)::int FROM pg_stat_database_conflicts"
        return sum(query(url, sql)[0][0] for url in replicas.standby_urls)

    def has_conflicted() -> bool:
        with contextlib.suppress(psycopg2.OperationalError):  # this query can be cancelled, too
            return conflicts() > before
        return False

    before = conflicts()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(remove_old_rows)
        try:
            while not has_conflicted():
                read_all(server, "ann")
        finally:
            done.set()
        running.result()


# Diverged servers


@pytest.fixture
def diverged(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A service with the uploads of ann and bob, and the URL of its replica, which was promoted and accepts writes."""
    with cluster() as servers:
        promoted = servers.standby_urls[0]
        with servers.serving(tmp_path, DATABASE_REPLICA_URLS=promoted) as server:
            upload(server, "ann", 3)
            upload(server, "bob", 3)
            servers.wait_until_replicated()
            execute_each(promoted, "SELECT pg_promote()")
            yield server, promoted


def test_diverged_replica_is_read_only_where_it_is_complete(diverged: tuple[Server, str], tmp_path: Path) -> None:
    server, promoted = diverged
    body = computed(server, "{uploads {nodes {id fileName}}}")
    ann = body["data"]["uploads"]["nodes"][1]["id"]
    assert increases(server, lambda: read_all(server, "bob")).keys() == {("replica1", "complete")}
    # The old primary pruned an upload before the failover; the promoted one has not received it.
    execute_each(
        promoted,
        "UPDATE deals_api_upload SET state = 'pruned' WHERE id = 1",
        "DELETE FROM deals_api_customer WHERE upload_id = 1",
    )
    both = f'{{topClients {{username}} old: topClients(upload: "{ann}") {{username}}}}'
    expected = {"topClients": [{"username": "bob"}], "old": [{"username": "ann"}]}
    assert all(data == expected for data in computed_repeatedly(server, both))
    compared = f'{{compare(base: "{ann}") {{customers {{nodes {{change username}}}}}}}}'
    assert all(len(data["compare"]["customers"]["nodes"]) == 2 for data in computed_repeatedly(server, compared))
    # Names are folded later for uploads of an earlier release.
    execute_each(
        promoted,
        "UPDATE deals_api_upload SET names_folded = false",
        "UPDATE deals_api_customer SET username_folded = ''",
    )
    folded = '{customers(filter: {username: {iContains: "BOB"}}) {nodes {username}}}'
    for data in computed_repeatedly(server, folded):
        assert data["customers"]["nodes"] == [{"username": "bob"}]


def computed_repeatedly(server: Server, document: str) -> Iterator[Any]:
    """Yield the data of several responses, during more than the pause after an incomplete read."""
    for _ in range(6):
        yield computed(server, document)["data"]
        time.sleep(0.1)


def test_upload_with_the_same_id_of_a_diverged_replica_is_never_read(
    diverged: tuple[Server, str], tmp_path: Path
) -> None:
    server, promoted = diverged
    # A promoted server skips ids.
    execute_each(
        promoted, "SELECT setval(pg_get_serial_sequence('deals_api_upload', 'id'), max(id)) FROM deals_api_upload"
    )
    with serving(tmp_path, DATABASE_URL=promoted) as other:
        for name in ("cid", "dan"):
            upload(other, f"not {name}", 3)
            upload(server, name, 3)
            read_all(server, name, 5)
    newest = "SELECT max(id) FROM deals_api_upload"
    assert query(promoted, newest) == query(server.database_url, newest) == [(4,)]


def test_check_and_statement_see_the_same_state_of_a_replica(diverged: tuple[Server, str]) -> None:
    """The rows are deleted while the statement waits for a lock, after its check has passed."""
    server, promoted = diverged
    document = "{deals {nodes {customer {username}}}}"
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with contextlib.closing(psycopg2.connect(promoted)) as connection, ThreadPoolExecutor() as pool:
        cursor = connection.cursor()
        cursor.execute("LOCK TABLE deals_api_deal IN ACCESS EXCLUSIVE MODE")
        response = pool.submit(computed, server, document)
        wait_until(lambda: query(promoted, waiting) == [(1,)])
        cursor.execute("UPDATE deals_api_upload SET state = 'retired'")
        cursor.execute("DELETE FROM deals_api_deal")
        connection.commit()
        nodes = response.result()["data"]["deals"]["nodes"]
    assert [node["customer"]["username"] for node in nodes] == ["bob"] * 3


def test_service_continues_with_a_promoted_replica(tmp_path: Path) -> None:
    """The other replica keeps following the old primary, and lacks later uploads."""
    with cluster() as servers:
        hosts = ",".join(f"127.0.0.1:{service.port}" for service in (servers.standbys[0], servers.primary))
        with servers.serving(tmp_path, DATABASE_URL=f"postgres://deals@{hosts}/postgres") as server:
            upload(server, "ann", 3)
            servers.wait_until_replicated()
            read_all(server, "ann", 5)
            kill_postgres(servers.primary)
            execute_each(servers.standby_urls[0], "SELECT pg_promote()")
            server.wait_until_ready()
            read_all(server, "ann", 5)
            for name in ("bob", "cid"):
                upload(server, name, 3)
                read_all(server, name, 5)
            assert query(servers.standby_urls[1], "SELECT max(id) FROM deals_api_upload") == [(1,)]
            primary, _ = server.get("/health/ready").json()["replicas"]
            assert primary == {"name": "replica1", "status": "ok", "lag_bytes": 0, "lag_seconds": 0}


# Model check


class ComputingClients(Clients):
    """Clients that send each request in a new form, so that hardly any response is cached."""

    def top_clients_path(self) -> str:
        return f"/api/top-clients/?limit={random.randint(1, 100)}"  # noqa: S311

    def document(self) -> str:
        return f"{READ} # {random.random()}"  # noqa: S311

    def read_export(self, client: httpx.Client, rng: random.Random) -> None:
        sent = time.monotonic()
        try:
            response = client.get(f"{EXPORT}?raw=1")
        except httpx.RemoteProtocolError:  # pruned during the export
            return
        received = time.monotonic()
        if self.is_busy(response):
            return
        rows = response.text.splitlines()[1:]
        if not self.is_empty(rows, sent):
            [name] = {row.split(",")[0] for row in rows}
            self.history.reads.append(Operation(f"{name[1:]}-{len(rows)}", sent, received))

    def upload_and_delay(self, servers: Cluster) -> None:
        """Upload a first file, and then let a replica apply all changes 30 seconds later."""
        with httpx.Client(base_url=self.url, timeout=TIMEOUT, verify=NO_TLS) as client:
            self.upload(client, random.Random(0))  # noqa: S311
        servers.wait_until_replicated()
        delay = "ALTER SYSTEM SET recovery_min_apply_delay = '30s'"
        execute_each(servers.standby_urls[0], delay, "SELECT pg_reload_conf()")

    def check(self) -> None:
        """Upload and read at the same time, and compare all responses with the model."""
        self.run(
            self.upload, self.upload, self.roll_back, self.read_rest, self.read_rest, self.read_graphql,
            self.read_graphql, self.read_export, min_reads=MIN_READS,
        )  # fmt: skip
        assert self.history.violations() == []


def test_lagging_and_failing_replicas_never_make_a_response_stale_or_mixed(
    replicas: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """One replica is 30 seconds behind; the other one is paused and killed again and again."""
    servers = replicas.with_new_database()
    done = threading.Event()

    def fail() -> None:
        while not done.wait(1):
            execute_each(servers.standby_urls[1], "SELECT pg_wal_replay_pause()")
            done.wait(1)
            kill_postgres(replicas.standbys[1])
            done.wait(0.5)
            replicas.standbys[1].start()

    with servers.serving(tmp_path, WEB_WORKERS="2", KEEP_UPLOADS="2") as server, ThreadPoolExecutor() as pool:
        clients = ComputingClients(server)
        clients.upload_and_delay(servers)
        failures = pool.submit(fail)
        try:
            clients.check()
        finally:
            done.set()
        failures.result()
        counts = snapshot_reads(server)
        log = server.log.read_text()
    assert counts["replica1", "incomplete"] > 0
    assert counts["replica2", "complete"] > 0
    assert counts["default", "complete"] > 0
    assert clients.busy <= len(clients.history.reads) / 20
    assert len(clients.history.reads) >= MIN_READS
    record_property("history", f"{len(clients.history.writes)} writes, {len(clients.history.reads)} reads, {counts}")
    assert "Traceback" not in log


def test_model_check_detects_reads_without_the_completeness_check(replicas: Cluster, tmp_path: Path) -> None:
    """A router that reads random replicas, one of which is 30 seconds behind."""
    servers = replicas.with_new_database()
    with servers.serving(tmp_path, DJANGO_SETTINGS_MODULE="tests.random_replica") as server:
        clients = ComputingClients(server)
        clients.upload_and_delay(servers)
        with pytest.raises(AssertionError):
            clients.check()


# Container


def test_replica_container_copies_the_primary_at_each_start(tmp_path: Path) -> None:
    """Run its command with the access rules of the image, which reject replication."""
    container = COMPOSE["services"]["replica"]
    *shell, script = container["command"]
    with services.postgres() as (primary, primary_url), services.temporary_folder(primary.user) as folder:
        rules = Path(primary.command[2], "pg_hba.conf")
        rules.write_text("local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all all scram-sha-256\n")
        execute_each(primary_url, "ALTER USER deals PASSWORD 'secret'", "SELECT pg_reload_conf()")
        data, port = folder / "data", services.free_port()
        data.mkdir()
        data.chmod(0o1777)
        if primary.user:
            shutil.chown(data, primary.user, "nogroup")
        environment = container["environment"] | {
            "PATH": f"{Path(primary.command[0]).parent}:{os.environ['PATH']}",
            "PGDATA": str(data), "PGPORT": str(port), "PGDATABASE": "postgres", "PGPASSWORD": "secret",
        }  # fmt: skip
        for replacement in (
            ("$$", "$"),
            ("--host=db", f"--host=127.0.0.1 --port={primary.port}"),
            ("exec postgres", f"exec postgres -k {folder}"),
        ):
            assert replacement[0] in script
            script = script.replace(*replacement)
        url = f"postgres://deals@127.0.0.1:{port}/postgres"
        replica = services.Service([*shell, script], port, primary.user, environment, database_url=url)
        for start in (1, 2):
            execute_each(primary_url, f"CREATE TABLE copied{start} ()")
            replica.start()
            try:
                wait_until(lambda: succeeds(container["healthcheck"]["test"][1], environment))
                execute_each(primary_url, f"CREATE TABLE followed{start} ()")
                wait_until(lambda start=start: exists(url, f"followed{start}"))
                assert exists(url, f"copied{start}")
            finally:
                replica.stop()
        assert rules.read_text().count("replication") == 1


def exists(url: str, table: str) -> bool:
    return query(url, f"SELECT to_regclass('{table}') IS NOT NULL") == [(True,)]


def succeeds(command: str, environment: dict[str, str]) -> bool:
    return subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=False).returncode == 0
