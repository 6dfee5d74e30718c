"""Failover: the service uses the promoted standby without a restart, and never reads from a server that lags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from tests import services
from tests.builders import csv_of, deal
from tests.server_actions import GRAPHQL, REST, query, top_client, upload
from tests.servers import Server, serving, wait_until

pytestmark = pytest.mark.usefixtures("postgresql_only")


@dataclass
class Cluster:
    """A primary and a streaming standby, and a service that knows both; the standby is the first one in its list."""

    primary: services.Service
    primary_url: str
    standby_url: str
    server: Server

    def promote(self) -> None:
        execute(self.standby_url, "SELECT pg_promote()")

    def wait_until_replicated(self) -> None:
        ((position,),) = query(self.primary_url, "SELECT pg_current_wal_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: query(self.standby_url, replayed) == [(True,)])


def execute(url: str, *statements: str) -> None:
    """Execute statements outside a transaction."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with (
        services.postgres() as (primary, primary_url),
        services.standby(primary) as (standby, standby_url),
        services.redis() as (_, redis_url),
    ):
        url = f"postgres://deals@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/postgres"
        with serving(tmp_path, DATABASE_URL=url, REDIS_URL=redis_url, WEB_WORKERS="2", WEB_THREADS="2") as server:
            wait_until(lambda: len(server.workers()) == 2)
            workers = server.workers()
            yield Cluster(primary, primary_url, standby_url, server)
            assert server.workers() == workers


def test_promoted_standby_is_used_without_a_restart(cluster: Cluster) -> None:
    upload(cluster.server, "ann")
    cluster.wait_until_replicated()
    services.kill_postgres(cluster.primary)
    for api in (REST, GRAPHQL):
        wait_until(lambda api=api: cluster.server.get(api).status_code == 503)
    responses = [cluster.server.get(REST), cluster.server.get(GRAPHQL), cluster.server.upload(csv_of(deal("bob")))]
    assert [(response.status_code, response.headers["Retry-After"]) for response in responses] == [(503, "2")] * 3
    cluster.promote()
    cluster.server.wait_until_ready()
    for _ in range(10):  # each thread of both processes
        assert [top_client(cluster.server, api) for api in (REST, GRAPHQL)] == ["ann", "ann"]
    upload(cluster.server, "bob")
    for _ in range(10):
        assert [top_client(cluster.server, api) for api in (REST, GRAPHQL)] == ["bob", "bob"]


def test_lost_upload_is_never_returned_again(cluster: Cluster) -> None:
    """The standby has not received the last upload, whose responses are cached."""
    upload(cluster.server, "ann")
    cluster.wait_until_replicated()
    execute(cluster.standby_url, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
    wait_until(lambda: query(cluster.standby_url, "SELECT * FROM pg_stat_wal_receiver") == [])
    upload(cluster.server, "lost")
    cached = [cluster.server.get(api) for api in (REST, GRAPHQL) for _ in range(10)]
    assert all("lost" in response.text for response in cached)
    services.kill_postgres(cluster.primary)
    cluster.promote()
    cluster.server.wait_until_ready()
    for name in ("ann", "bob", "cid"):  # new uploads may get the id of the lost one
        if name != "ann":
            upload(cluster.server, name)
        for api, etag in ((REST, cached[0].headers["ETag"]), (GRAPHQL, cached[-1].headers["ETag"])):
            for _ in range(5):
                response = cluster.server.get(api, headers={"If-None-Match": etag})
                assert response.status_code == 200
                assert name in response.text


def test_primary_that_became_read_only_is_not_used(cluster: Cluster) -> None:
    """The old primary lives on and keeps its connections."""
    upload(cluster.server, "ann")
    cluster.wait_until_replicated()
    execute(
        cluster.primary_url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
    )  # fmt: skip
    for api in (REST, GRAPHQL):
        wait_until(lambda api=api: cluster.server.get(api).status_code == 503)
    assert cluster.server.upload(csv_of(deal("bob"))).status_code == 503
    cluster.promote()
    cluster.server.wait_until_ready()
    upload(cluster.server, "bob")
    for _ in range(10):
        assert [top_client(cluster.server, api) for api in (REST, GRAPHQL)] == ["bob", "bob"]
    assert query(cluster.standby_url, "SELECT max(id) > 1 FROM deals_api_upload") == [(True,)]
    assert query(cluster.primary_url, "SELECT count(*) FROM deals_api_upload") == [(1,)]
