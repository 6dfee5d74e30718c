"""What is measured: a running service with its PostgreSQL and Redis, and the files it is given."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from redis import Redis

from tests.bench.files import SHAPES, write_deals
from tests.servers import Server
from tests.services import Service

_numbers = itertools.count()


@dataclass
class Stage:
    """One service, and which of the files it shows."""

    server: Server
    folder: Path
    rows: int
    database_url: str
    postgres: Service
    redis_port: int
    _loaded: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.server.url, timeout=60)

    def file(self, shape: str) -> Path:
        path = self.folder / f"{shape}.csv"
        if not path.exists():
            write_deals(path, self.rows, **SHAPES[shape])
        return path

    def show(self, shape: str) -> None:
        """Make this file the current one: loaded once, and rolled back to from then on."""
        if shape not in self._loaded:
            answer = self.server.upload(self.file(shape).read_bytes())
            assert answer.status_code == 200, answer.text
            self._settle()
            self._loaded[shape] = self.data("{currentUpload {id}}")["currentUpload"]["id"]
        self.data("mutation ($id: ID!) {activateUpload(id: $id) {__typename}}", id=self._loaded[shape])

    def _settle(self) -> None:
        """What PostgreSQL does by itself within minutes of a load, and then it would disturb the figures."""
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer to a question that no cache knows."""
        return self.post(query, variables).json()

    def post(self, query: str, variables: dict[str, Any]) -> httpx.Response:
        body = {"query": f"{query} # {next(_numbers)}", "variables": variables}
        try:
            return self.client.post("/graphql/", json=body)
        except httpx.RemoteProtocolError:  # the connection was idle for so long that it was hung up
            return self.client.post("/graphql/", json=body)

    def data(self, query: str, **variables: Any) -> Any:
        answer = self.ask(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def count_of_deals(self) -> None:
        """The yardstick of what the database does: one walk through the current file's deals."""
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM deals_api_deal, deals_api_currentupload current"
                " WHERE deals_api_deal.upload_id = current.upload_id"
            )
            assert cursor.fetchone() == (self.rows,)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection, connection.cursor() as cursor:
            yield cursor

    def forget(self) -> None:
        with Redis(port=self.redis_port) as redis:
            redis.flushall()
