"""Connections stay usable after a rejected request, or the response announces that they close."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests

from project.server.request_body import DISCARD_SECONDS
from tests import slow_clients
from tests.builders import csv_of, deal, many
from tests.servers import NO_TLS, TIMEOUT, Server, serving

pytestmark = pytest.mark.database_independent

SECRET = "correct horse battery"  # noqa: S105
MEGABYTE = 1024 * 1024
FORM = "multipart/form-data; boundary=b"
BODY = b"x" * (3 * MEGABYTE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that accepts uploads with a token only, up to 8 MiB."""
    environment = {"API_TOKENS": f"ann:{SECRET}", "MAX_UPLOAD_BYTES": str(8 * MEGABYTE), "WEB_WORKERS": "1"}
    with serving(tmp_path_factory.mktemp("connections"), **environment) as server:
        yield server


#: Rejected requests whose body the application does not read: method, path, headers and status.
REJECTED: dict[str, tuple[str, str, dict[str, str], int]] = {
    "no token": ("POST", "/api/upload/", {"Content-Type": FORM}, 401),
    "foreign host": ("POST", "/api/upload/", {"Content-Type": FORM, "Host": "evil.org"}, 400),
    "unknown path": ("POST", "/api/nothing/", {"Content-Type": FORM}, 404),
    "method": ("PUT", "/api/upload/", {"Content-Type": FORM, "Authorization": f"Bearer {SECRET}"}, 405),
    "media type": ("POST", "/api/upload/", {"Content-Type": "text/plain", "Authorization": f"Bearer {SECRET}"}, 415),
    "parameter": ("POST", "/api/upload/?dry_run=1", {"Content-Type": FORM, "Authorization": f"Bearer {SECRET}"}, 400),
    "graphql size": ("POST", "/graphql/", {"Content-Type": "application/json"}, 413),
    "graphql method": ("PUT", "/graphql/", {"Content-Type": "application/json"}, 405),
    "health": ("POST", "/health/live", {}, 405),
    "admin": ("PUT", "/admin/", {}, 403),
    "page": ("POST", "/", {}, 405),
    "static file": ("POST", "/static/nothing.js", {}, 404),
    "a GET with a body": ("GET", "/api/top-clients/", {}, 200),
    "a HEAD with a body": ("HEAD", "/api/top-clients/", {}, 200),
}


@pytest.mark.parametrize("size", [100_000, len(BODY)])
@pytest.mark.parametrize(("method", "path", "headers", "status"), REJECTED.values(), ids=REJECTED)
def test_connection_carries_another_request_after_an_unread_body(
    server: Server, method: str, path: str, headers: dict[str, str], status: int, size: int
) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)) as connection:
        for _ in range(2):
            connection.request(method, path, BODY[:size], headers)
            response = connection.getresponse()
            response.read()
            assert (response.status, response.getheader("Connection")) == (status, "keep-alive")
            used = connection.sock
            connection.request("GET", "/api/top-clients/")
            assert connection.getresponse().read() == b'{"response":[]}'
            assert connection.sock is used


def test_rejected_uploads_do_not_break_following_requests(server: Server) -> None:
    """``requests`` fails if a body was not discarded; httpx would open a new connection instead."""
    upload = {"deals": ("d.csv", BODY)}
    with requests.Session() as session:
        statuses = [
            (
                session.post(f"{server.url}/api/upload/", files=upload, timeout=TIMEOUT).status_code,
                session.get(f"{server.url}/api/top-clients/", timeout=TIMEOUT).status_code,
            )
            for _ in range(30)
        ]
    assert statuses == [(401, 200)] * 30


def chunked(path: str, *chunks: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@contextlib.contextmanager
def sending(server: Server, data: bytes) -> Iterator[socket.socket]:
    """Yield a connection on which a thread sends ``data``."""
    with socket.create_connection(("127.0.0.1", server.port), 2 * DISCARD_SECONDS) as client:
        sender = threading.Thread(target=_send, args=(client, data))
        sender.start()
        try:
            yield client
        finally:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)  # unblocks the sender
            sender.join()


def _send(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the server may close the connection, as it has announced
        client.sendall(data)


def read_response(client: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(client)
    response.begin()
    response.read()
    return response


GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def test_connection_carries_another_request_after_an_unread_chunked_body(server: Server) -> None:
    with sending(server, chunked("/api/nothing/", BODY, b"y" * 1000)) as client:
        assert read_response(client).status == 404
        client.sendall(GET)
        assert read_response(client).status == 200


@pytest.mark.parametrize(
    "data",
    [
        chunked("/api/nothing/", *[BODY] * 4),
        b"POST /api/nothing/ HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n" + BODY,
        chunked("/api/nothing/", BODY)[:-5] + b"zz\r\n",
    ],
    ids=["too many chunks", "too long", "a malformed chunk"],
)
def test_response_announces_the_end_of_a_connection_that_cannot_continue(server: Server, data: bytes) -> None:
    with sending(server, data) as client:
        response = read_response(client)
        assert (response.status, response.getheader("Connection")) == (404, "close")


@pytest.mark.second_run
def test_body_that_never_arrives_is_answered_and_the_connection_closes(server: Server) -> None:
    """More than 64 KiB arrive at first; gunicorn by default would then wait for the rest for hours."""
    start = time.monotonic()
    head = b"POST /api/nothing/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
    with sending(server, head + BODY) as client:
        response = read_response(client)
        assert (response.status, response.getheader("Connection")) == (404, "close")
        assert time.monotonic() - start < DISCARD_SECONDS + 60


def test_new_connection_is_served_as_long_as_any_process_has_a_free_thread(tmp_path: Path) -> None:
    processes, threads = 2, 2
    workers = {"WEB_WORKERS": str(processes), "WEB_THREADS": str(threads)}
    with (
        serving(tmp_path, **workers) as server,
        slow_clients.clients(server.port, processes * threads - 1, slow_clients.PARTIAL_UPLOAD),
    ):
        assert [server.get("/health/live").status_code for _ in range(40)] == [200] * 40


def test_client_that_expects_100_continue_keeps_its_connection(server: Server) -> None:
    head = b"POST /api/nothing/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 200000\r\n\r\n"
    with sending(server, head) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY[:200_000])
        assert read_response(client).status == 404
        client.sendall(GET)
        assert read_response(client).status == 200


def test_rejected_file_keeps_the_connection(server: Server) -> None:
    """The form is read to its end; the file in it is rejected."""
    with httpx.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {SECRET}"}, timeout=TIMEOUT, verify=NO_TLS
    ) as client:
        for _ in range(3):
            files = {"deals": ("d.csv", csv_of(*many(2000), deal(total="x")))}
            response = client.post("/api/upload/", files=files)
            assert (response.status_code, response.headers["Connection"]) == (400, "keep-alive")


@pytest.mark.parametrize(
    "header",
    ["SCRIPT_NAME: /evil", "SCRIPT_NAME: /", "PATH_INFO: /admin/", "REMOTE_ADDR: 192.0.2.1", "REMOTE_USER: root",
     "X_FORWARDED_FOR: 192.0.2.1", "CONTENT_LENGTH: 5", "WSGI.URL_SCHEME: https", "HTTP_HOST: evil.example",
     "X-Forwarded-Proto: https", "X-Forwarded-Protocol: ssl", "X-Forwarded-Ssl: on", "X-Script-Name: /evil"],
)  # fmt: skip
def test_forwarder_headers_do_not_become_wsgi_variables(server: Server, header: str) -> None:
    request = b"GET /api/top-clients/ HTTP/1.1\r\nHost: x\r\n" + header.encode() + b"\r\n\r\n"
    with sending(server, request) as client:
        assert read_response(client).status == 200
