"""Requests to a running server, and queries of its database."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import httpx
import psycopg2
import pytest

from tests.builders import csv_of, many
from tests.servers import NO_TLS, TIMEOUT, Server

#: Paths of the top clients in both APIs.
REST, GRAPHQL = "/api/top-clients/", "/graphql/?query=%7BtopClients%7Busername%7D%7D"
BOTH_APIS = pytest.mark.parametrize("api", [REST, GRAPHQL], ids=["REST", "GraphQL"])


def upload(server: Server, username: str, rows: int = 1) -> None:
    response = server.upload(csv_of(*many(rows, [username])))
    assert (response.status_code, response.text) == (200, '{"Status":"OK"}')


def top_client(server: Server, api: str = REST) -> str:
    return next(iter(usernames_in(server.get(api).json())), "")


def usernames_in(body: Any) -> list[str]:
    """Return the user names in the top clients of either API."""
    clients = body["data"]["topClients"] if "data" in body else body["response"]
    return [client["username"] for client in clients]


def graphql(server: Server, query: str) -> Any:
    """Send a GraphQL query; return its data."""
    return httpx.post(server.url + "/graphql/", json={"query": query}, timeout=TIMEOUT, verify=NO_TLS).json()["data"]


def activate(server: Server, upload_id: str) -> None:
    data = graphql(server, f'mutation {{activateUpload(id: "{upload_id}") {{__typename}}}}')
    assert data == {"activateUpload": {"__typename": "UploadActivated"}}


def query(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """Query the database of a server without the service."""
    opened = (
        sqlite3.connect(database_url.removeprefix("sqlite:///"))
        if database_url.startswith("sqlite")
        else psycopg2.connect(database_url)
    )
    with contextlib.closing(opened) as connection, contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def execute(database_url: str, statement: str) -> None:
    """Execute a statement in the database of a server without the service."""
    opened: Any = (
        sqlite3.connect(database_url.removeprefix("sqlite:///"))
        if database_url.startswith("sqlite")
        else psycopg2.connect(database_url)
    )
    with contextlib.closing(opened), opened:
        opened.cursor().execute(statement)


def is_loading(database_url: str) -> bool:
    return bool(query(database_url, "SELECT id FROM deals_api_upload WHERE state = 'loading'"))
