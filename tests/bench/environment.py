"""The measured environment: a running service with its database and generated files."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from redis import Redis

from tests.bench.cpu import cpu_seconds_of, cpu_seconds_of_postgres
from tests.bench.files import DATASETS, LONG_NAME_ROWS, write_deals
from tests.servers import Server
from tests.services import Service

_numbers = itertools.count()


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
        self._workers = self.server.workers()

    def file(self, dataset: str) -> Path:
        path = self.folder / f"{dataset}.csv"
        if not path.exists():
            options = DATASETS[dataset]
            write_deals(path, min(self.rows, LONG_NAME_ROWS) if "long_names" in options else self.rows, **options)
        return path

    def activate(self, dataset: str) -> None:
        """Make this dataset current: load it the first time, roll back to it later."""
        if dataset not in self._uploads:
            response = self.server.upload(self.file(dataset).read_bytes(), timeout=1800)
            assert response.status_code == 200, response.text
            self._vacuum()
            self._uploads[dataset] = self.data("{currentUpload {id}}")["currentUpload"]["id"]
        self.data("mutation ($id: ID!) {activateUpload(id: $id) {__typename}}", id=self._uploads[dataset])

    def _vacuum(self) -> None:
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

    def cpu_seconds(self) -> float:
        """Return the total CPU time of the service's workers and of PostgreSQL."""
        seconds = sum(map(cpu_seconds_of, self._workers))
        if self.postgres is not None:
            assert self.postgres.process is not None
            seconds += cpu_seconds_of_postgres(self.postgres.process.pid)
        return seconds

    def count_deals(self) -> None:
        """Count the deals of the current upload in SQL: the baseline of queries."""
        sql = (
            "SELECT count(*) FROM deals_api_deal, deals_api_currentupload pointer"
            " WHERE deals_api_deal.upload_id = pointer.upload_id"
        )
        with self.cursor() as cursor:
            cursor.execute(sql)
            assert cursor.fetchone() == (self.rows,)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        connect: Any = sqlite3.connect if self.postgres is None else psycopg2.connect
        address = self.database_url.removeprefix("sqlite:///")
        with contextlib.closing(connect(address)) as connection, contextlib.closing(connection.cursor()) as cursor:
            yield cursor

    def clear_cache(self) -> None:
        with Redis(port=self.redis_port) as redis:
            redis.flushall()
