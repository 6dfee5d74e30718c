"""Soak test, ``python -m tests.soak``: large uploads every few seconds for ten minutes, with concurrent readers.

PostgreSQL, Redis and the service are real. Every response is compared with the possible ones (``history``), and
memory and connections with their values after the warm-up. The result is a table.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg2
from redis import Redis

from tests import services
from tests.bench.files import write_deals
from tests.bench.table import begin_table, print_row, save_tables
from tests.history import History, Operation
from tests.servers import NO_TLS, TIMEOUT, Server, serving

#: Seconds from one upload to the next.
UPLOAD_INTERVAL: Final = 3.0
#: Pause of a reader between two requests in seconds, which leaves processor time for the uploads.
READ_PAUSE: Final = 0.005
THREADS: Final = 8
QUERIES: Final = (
    "topClients(limit: 1) {username spentMoney}",
    "deals(first: 20, orderBy: TOTAL_DESC) {nodes {total customer {username} gem {name}}}",
    "dealStats(by: [GEM, MONTH], limit: 50) {nodes {gem {name} month total}}",
    "customers(first: 5) {nodes {username gems(first: 3) {nodes {name}}}}",
)


@dataclass
class Sample:
    """Resources of the service at one moment."""

    megabytes: float
    database_connections: int
    redis_connections: int


@dataclass
class Soak:
    """One run of the soak test and its results."""

    server: Server
    database_url: str
    redis_port: int
    body: bytes
    history: History = field(default_factory=History)
    done: threading.Event = field(default_factory=threading.Event)
    errors: list[str] = field(default_factory=list)
    upload_seconds: list[float] = field(default_factory=list)
    read_seconds: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def run(self, seconds: float) -> None:
        clients = [self.upload, self.read_rest, self.read_rest, self.read_graphql, self.read_graphql]
        threads = [threading.Thread(target=self.repeat, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for fraction in (0.3, 0.2, 0.2, 0.2):
            self.done.wait(seconds * fraction)
            self.samples.append(self.sample())
        self.done.wait(seconds * 0.1)
        self.done.set()
        for thread in threads:
            thread.join()

    def repeat(self, client: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self.server.url, timeout=TIMEOUT, verify=NO_TLS) as connection:
            while not self.done.is_set():
                try:
                    client(connection)
                except (AssertionError, LookupError, ValueError, httpx.HTTPError) as error:
                    self.errors.append(repr(error))

    def upload(self, client: httpx.Client) -> None:
        """Upload a file whose top client has the number of the file in its name."""
        number = next(self.numbers)
        content = self.body + f"c{number},g{number},900000000000,1,2020-01-01 00:00:00\n".encode()
        sent = time.monotonic()
        response = client.post("/api/upload/", files={"deals": (f"{number}.csv", content)})
        received = time.monotonic()
        assert response.status_code == 200, response.text
        self.history.writes.append(Operation(f"c{number}", sent, received))
        self.upload_seconds.append(received - sent)
        self.done.wait(UPLOAD_INTERVAL - (received - sent))

    def read_rest(self, client: httpx.Client) -> None:
        self.read(lambda: client.get("/api/top-clients/"), lambda body: body["response"])

    def read_graphql(self, client: httpx.Client) -> None:
        query = f"{{topClients {{username}} more: {QUERIES[len(self.read_seconds) % len(QUERIES)]}}}"
        self.read(lambda: client.post("/graphql/", json={"query": query}), lambda body: body["data"]["topClients"])

    def read(self, send: Callable[[], httpx.Response], clients_in: Callable[[Any], Any]) -> None:
        sent = time.monotonic()
        response = send()
        received = time.monotonic()
        assert response.status_code == 200, response.text
        body = response.json()
        assert "errors" not in body, body
        if clients := clients_in(body):
            self.history.reads.append(Operation(clients[0]["username"], sent, received))
        self.read_seconds.append(received - sent)
        self.done.wait(READ_PAUSE)

    def sample(self) -> Sample:
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            (database_connections,) = cursor.fetchone() or (0,)
        with Redis(port=self.redis_port) as redis:
            redis_connections = redis.info("clients")["connected_clients"]
        memory = sum(worker.memory_info().rss for worker in self.server.workers()) / 2**20
        # Without the two connections of this method.
        return Sample(memory, database_connections - 1, redis_connections - 1)

    def failures(self) -> list[str]:
        """Return a message for each failure."""
        warm, last = self.samples[0], self.samples[-1]
        messages = [*self.errors[:10], *self.history.violations()[:10]]
        if last.megabytes > 1.25 * warm.megabytes + 20:
            messages.append(f"memory grew from {warm.megabytes:.0f} to {last.megabytes:.0f} MB")
        limit = len(self.server.workers()) * THREADS
        messages += [
            f"too many connections: {sample}"
            for sample in self.samples
            if max(sample.database_connections, sample.redis_connections) > limit
        ]
        if "Traceback" in self.server.log.read_text():
            messages.append("the log has a traceback")
        return messages

    def results(self) -> list[tuple[str, str]]:
        warm, last = self.samples[0], self.samples[-1]
        return [
            ("uploads", f"{len(self.upload_seconds)}, median {statistics.median(self.upload_seconds):.2f} s"),
            (
                "reads", f"{len(self.read_seconds):,}, median {1000 * statistics.median(self.read_seconds):.1f} ms,"
                f" 99th percentile {1000 * statistics.quantiles(self.read_seconds, n=100)[98]:.0f} ms"
            ),
            ("errors", str(len(self.errors))),
            ("inconsistent responses", str(len(self.history.violations()))),
            (
                "memory of the worker processes after warming up, and at the end",
                f"{warm.megabytes:.0f}, {last.megabytes:.0f} MB",
            ),
            ("connections to PostgreSQL", f"{warm.database_connections}, {last.database_connections}"),
            ("connections to Redis", f"{warm.redis_connections}, {last.redis_connections}"),
        ]  # fmt: skip


@contextlib.contextmanager
def soaking(folder: Path, rows: int) -> Any:
    """Start PostgreSQL, Redis and the service, ready for a run."""
    file = folder / "large.csv"
    write_deals(file, rows)
    with services.postgres() as (_, database_url), services.redis() as (redis, redis_url):
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "WEB_THREADS": str(THREADS)}
        no_limits = {"UPLOADS_PER_MINUTE": "0", "COMPUTATIONS_PER_MINUTE": "0"}
        with serving(folder, **environment, **no_limits) as server:
            yield Soak(server, database_url, redis.port, file.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--save", action="store_true", help="store the table in results.json and tests/README.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, soaking(Path(folder), arguments.rows) as soak:
        soak.run(arguments.seconds)
        begin_table("Soak test", [f"{arguments.seconds:.0f} s, files of {arguments.rows:,} deals", "result"])
        for measurement, result in soak.results():
            print_row(measurement, result)
        failures = soak.failures()
    if arguments.save:
        save_tables()
    print("\n".join(failures))  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
