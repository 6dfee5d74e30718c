"""The measured environment: a running service with its database and generated files."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2
from redis import Redis

from tests.bench.cpu import cpu_seconds_of, cpu_seconds_of_postgres
from tests.bench.files import DATASETS, LONG_NAME_ROWS, write_deals
from tests.servers import Server, serving
from tests.services import Service

_numbers = itertools.count()


@dataclass(frozen=True)
class Backends:
    """The servers that a service needs, and a folder for its files."""

    folder: Path
    database_url: str
    #: None if the database is SQLite.
    postgres: Service | None
    redis: Service
    redis_url: str

    @contextlib.contextmanager
    def environment(self, settings: Mapping[str, str], rows: int = 0) -> Iterator[BenchEnvironment]:
        """Start a service with these settings; generated files have ``rows`` deals."""
        with serving(self.folder, DATABASE_URL=self.database_url, REDIS_URL=self.redis_url, **settings) as server:
            environment = BenchEnvironment(server, self.folder, rows, self.database_url, self.postgres, self.redis.port)
            with environment.client:
                yield environment

    def with_new_database(self, name: str) -> Backends:
        """Create another database on the same PostgreSQL server."""
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {name}")
        return replace(self, database_url=f"{self.database_url.rpartition('/')[0]}/{name}")

    def with_sqlite(self, name: str) -> Backends:
        """Use a new SQLite file."""
        return replace(self, database_url=f"sqlite:///{self.folder / name}.sqlite3", postgres=None)


@dataclass
class BenchEnvironment:
    """The service, its servers, and the generated files that are loaded."""

    server: Server
    folder: Path
    rows: int
    database_url: str
    #: None if the database is SQLite.
    postgres: Service | None
    redis_port: int
    #: Id of the upload by dataset.
    _uploads: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.server.url, timeout=600)

    def file(self, dataset: str) -> Path:
        path = self.folder / f"{dataset}.csv"
        if not path.exists():
            options = DATASETS[dataset]
            write_deals(path, min(self.rows, LONG_NAME_ROWS) if "long_names" in options else self.rows, **options)
        return path

    def activate(self, dataset: str) -> None:
        """Make this dataset current: load it the first time, roll back to it later."""
        if dataset not in self._uploads:
            self.upload(self.file(dataset))
            self.vacuum()
            self._uploads[dataset] = self.data("{currentUpload {id}}")["currentUpload"]["id"]
        self.data("mutation ($id: ID!) {activateUpload(id: $id) {__typename}}", id=self._uploads[dataset])

    def upload(self, file: Path) -> None:
        with file.open("rb") as content:
            response = self.server.upload(content, timeout=1800)
        assert response.status_code == 200, response.text

    def vacuum(self) -> None:
        """Vacuum and analyze PostgreSQL; autovacuum would do so during the measurements."""
        if self.postgres is not None:
            with contextlib.closing(psycopg2.connect(self.database_url)) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("VACUUM ANALYZE")

    def post(self, query: str, variables: dict[str, Any]) -> httpx.Response:
        """Return the response, which no cache contains."""
        body = {"query": f"{query} # {next(_numbers)}", "variables": variables}
        try:
            return self.client.post("/graphql/", json=body)
        except httpx.RemoteProtocolError:  # the server closed the idle connection
            return self.client.post("/graphql/", json=body)

    def data(self, query: str, **variables: Any) -> Any:
        result = self.post(query, variables).json()
        assert "errors" not in result, result["errors"]
        return result["data"]

    def worker_cpu_seconds(self) -> float:
        """Return the total CPU time of the service's workers."""
        return sum(map(cpu_seconds_of, self.server.workers()))

    def postgres_cpu_seconds(self) -> float:
        """Return the total CPU time of PostgreSQL; 0 if the database is SQLite."""
        if self.postgres is None:
            return 0.0
        assert self.postgres.process is not None
        return cpu_seconds_of_postgres(self.postgres.process.pid)

    def cpu_seconds(self) -> float:
        """Return the total CPU time of the service's workers and of PostgreSQL."""
        return self.worker_cpu_seconds() + self.postgres_cpu_seconds()

    def peak_megabytes(self) -> float:
        """Return the highest memory that a worker process has used so far."""
        return max(peak_megabytes_of(worker) for worker in self.server.workers())

    def wait_until_pruned(self, retained: int) -> None:
        """Wait until no more than this number of uploads has rows."""
        uploads_with_rows = "SELECT count(*) FROM deals_api_upload WHERE state IN ('loaded', 'retired')"
        with self.cursor() as cursor:
            while True:
                cursor.execute(uploads_with_rows)
                if cursor.fetchone()[0] <= retained:
                    return
                time.sleep(0.005)

    def count_deals(self) -> int:
        """Count the deals of the current upload in SQL: the baseline of queries."""
        sql = (
            "SELECT count(*) FROM deals_api_deal, deals_api_currentupload pointer"
            " WHERE deals_api_deal.upload_id = pointer.upload_id"
        )
        with self.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        connect: Any = sqlite3.connect if self.postgres is None else psycopg2.connect
        address = self.database_url.removeprefix("sqlite:///")
        with contextlib.closing(connect(address)) as connection, contextlib.closing(connection.cursor()) as cursor:
            if self.postgres is not None:
                connection.autocommit = True
            yield cursor

    def clear_cache(self) -> None:
        with Redis(port=self.redis_port) as redis:
            redis.flushall()


def peak_megabytes_of(process: psutil.Process) -> float:
    """Return the highest resident memory of a process since its start."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
