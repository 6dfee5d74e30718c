"""A real primary with two streaming standbys, and services that read them as replicas."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2

from tests import services
from tests.server_actions import query
from tests.servers import Server, serving, wait_until
from tests.services import Service
from tests.test_metrics import SAMPLE

_numbers = itertools.count()


@dataclass
class Cluster:
    """Servers and their URLs."""

    primary: Service
    primary_url: str
    standbys: list[Service]
    standby_urls: list[str]
    redis_url: str

    def with_new_database(self) -> Cluster:
        """Create an empty database on all servers."""
        name = f"empty{next(_numbers)}"
        execute_each(self.primary_url, f"CREATE DATABASE {name}")
        self.wait_until_replicated()
        primary, *standbys = (f"{url.rpartition('/')[0]}/{name}" for url in (self.primary_url, *self.standby_urls))
        return replace(self, primary_url=primary, standby_urls=standbys)

    @contextlib.contextmanager
    def serving(self, folder: Path, **settings: str) -> Iterator[Server]:
        """Run a service with these replicas; every computation is allowed."""
        defaults = {
            "DATABASE_URL": self.primary_url,
            "DATABASE_REPLICA_URLS": " ".join(self.standby_urls),
            "REDIS_URL": self.redis_url,
            "WEB_WORKERS": "1",
            "WEB_THREADS": "8",
            "COMPUTATIONS_PER_MINUTE": "0",
            "UPLOADS_PER_MINUTE": "0",
        }
        with serving(folder, **defaults | settings) as server:
            yield server

    def wait_until_replicated(self) -> None:
        ((position,),) = query(self.primary_url, "SELECT pg_current_wal_flush_lsn()")
        for url in self.standby_urls:
            wait_until(lambda url=url: query(url, f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == [(True,)])

    def execute_on_standbys(self, *statements: str) -> None:
        for url in self.standby_urls:
            execute_each(url, *statements)

    def configure_standbys(self, setting: str) -> None:
        """Change a setting (``name = value``) of the running standbys."""
        self.execute_on_standbys(f"ALTER SYSTEM SET {setting}", "SELECT pg_reload_conf()")

    def reset_standbys(self) -> None:
        """Start the standbys that are not running, and reset the settings that tests change."""
        for standby in self.standbys:
            assert standby.process is not None
            if standby.process.poll() is not None:
                standby.start()
        self.execute_on_standbys(
            *(f"ALTER SYSTEM RESET {name}" for name in ("recovery_min_apply_delay", "max_standby_streaming_delay")),
            "SELECT pg_reload_conf()",
            "SELECT pg_wal_replay_resume()",
        )
        self.wait_until_replicated()


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    with services.postgres() as (primary, primary_url), contextlib.ExitStack() as stack:
        standbys = [stack.enter_context(services.standby(primary)) for _ in range(2)]
        _, redis_url = stack.enter_context(services.redis())
        yield Cluster(
            primary, primary_url, [standby for standby, _ in standbys], [url for _, url in standbys], redis_url
        )


def execute_each(url: str, *statements: str) -> None:
    """Execute statements, each outside a transaction."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def computed(server: Server, document: str, **variables: Any) -> Any:
    """Return the body of a GraphQL response that no cache contains."""
    return server.get("/graphql/", params={"query": f"{document} # {next(_numbers)}", **variables}).json()


def snapshot_reads(server: Server) -> Counter[tuple[str, str]]:
    """Return the number of reads by database and result."""
    samples = SAMPLE.findall(server.get("/metrics").text)
    counts: Counter[tuple[str, str]] = Counter()
    for name, labels, value in samples:
        if name == "deals_snapshot_reads_total":
            values = dict(label.split("=") for label in labels.replace('"', "").split(","))
            counts[values["database"], values["result"]] = int(float(value))
    return counts
