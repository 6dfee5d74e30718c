"""Slow clients do not delay other clients; tested with real sockets."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from project.worker import GRACE_SECONDS, PatientSocket, PatientWorker
from tests.builders import csv_of, deal
from tests.servers import TIMEOUT, Server, serving

pytestmark = pytest.mark.database_independent

#: Many more clients than the service has threads.
CLIENT_COUNT = 200
PARTIAL_HEAD = b"GET /api/top"
QUERY = b'{"query": "{currentUpload {dealCount}}"}'
POST_QUERY = b"POST /graphql/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(QUERY), QUERY,
)  # fmt: skip
PARTIAL_QUERY = POST_QUERY[:-10]
PARTIAL_UPLOAD = (
    b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 100000\r\n\r\n--b\r\n"
)
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with one worker process, shared by all tests of the module."""
    with serving(tmp_path_factory.mktemp("worker"), WEB_WORKERS="1") as server:
        yield server


@contextlib.contextmanager
def clients(server: Server, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connect clients that have sent only these bytes."""
    with contextlib.ExitStack() as stack:
        connected = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), TIMEOUT)) for _ in range(count)
        ]
        for client in connected:
            client.sendall(data)
        yield connected


def status_line_of(client: socket.socket) -> bytes:
    """Return the first line of the response."""
    return client.recv(1000).partition(b"\r\n")[0]


def assert_responds_quickly(server: Server) -> None:
    for _ in range(10):
        start = time.monotonic()
        assert server.get().status_code == 200
        assert time.monotonic() - start < GRACE_SECONDS / 2


@pytest.mark.parametrize(
    "data",
    [b"", PARTIAL_HEAD, PARTIAL_QUERY, PARTIAL_UPLOAD],
    ids=["no bytes", "partial head", "partial query", "partial upload"],
)
def test_incomplete_requests_do_not_delay_others(server: Server, data: bytes) -> None:
    with clients(server, CLIENT_COUNT if data != PARTIAL_UPLOAD else 20, data):
        time.sleep(0.3)
        assert_responds_quickly(server)


def test_request_in_pieces_gets_a_response_when_complete(server: Server) -> None:
    for request in (HEALTH, POST_QUERY):
        with clients(server, 1) as (client,):
            for position in range(len(request)):
                client.sendall(request[position : position + 1])
                time.sleep(0.002)
            assert status_line_of(client) == b"HTTP/1.1 200 OK"
            client.sendall(request[:20])
            time.sleep(0.05)
            client.sendall(request[20:] + request)  # two more requests on the same connection
            received = b""
            while len(re.findall(rb"HTTP/1\.1 200 OK", received)) < 2:
                received += client.recv(10_000)


def test_client_that_expects_100_continue_receives_it(server: Server) -> None:
    head = POST_QUERY.replace(b"Host: x", b"Host: x\r\nExpect: 100-continue").partition(b"{")[0]
    with clients(server, 1, head) as (client,):
        start = time.monotonic()
        assert status_line_of(client) == b"HTTP/1.1 100 Continue"
        assert time.monotonic() - start < GRACE_SECONDS / 2
        client.sendall(QUERY)
        assert status_line_of(client) == b"HTTP/1.1 200 OK"


def test_client_that_closes_during_a_request_gets_a_400(server: Server) -> None:
    with clients(server, 1, PARTIAL_QUERY) as (client,):
        start = time.monotonic()
        client.shutdown(socket.SHUT_WR)
        assert status_line_of(client) == b"HTTP/1.1 400 Bad Request"
        assert time.monotonic() - start < GRACE_SECONDS / 2


def test_upload_waits_while_slow_uploads_are_received(server: Server) -> None:
    """There are more slow uploads than may be received concurrently. When their clients close, the next one starts."""
    with clients(server, 20, PARTIAL_UPLOAD):
        time.sleep(0.3)
        statuses: list[int] = []
        file = csv_of(*[deal("x" * 200)] * 99)
        sender = threading.Thread(target=lambda: statuses.append(server.upload(file).status_code))
        sender.start()
        time.sleep(0.5)
        assert statuses == []
    sender.join(TIMEOUT)
    assert statuses == [200]


def test_request_that_waits_too_long_in_the_queue_gets_503() -> None:
    server_end, client_end = socket.socketpair()
    queued = PatientSocket(fileno=server_end.detach())
    conn = SimpleNamespace(timeout=time.monotonic() - 1, sock=queued, close=lambda **_: None)
    worker = PatientWorker.__new__(PatientWorker)
    worker.pending_conns, worker.arriving, worker.in_line, worker.nr_conns = deque(), {}, deque([conn]), 1
    worker.murder_pending()
    assert (len(worker.in_line), worker.nr_conns) == (0, 0)
    head, _, body = client_end.recv(10_000).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert {b"Retry-After: 2", b"Content-Length: %d" % len(body)} <= set(head.splitlines())
    assert json.loads(body).keys() == {"Status", "Desc", "Code"}
    queued.close()
    client_end.close()


def test_client_that_stops_sending_is_disconnected(server: Server) -> None:
    """If the connection stayed open, the rest of a body would be read as the next request.

    Three clients stop sending, and one sends a byte a second. They run concurrently, because each waits for a timeout.
    """
    start = time.monotonic()
    with (
        clients(server, 1, PARTIAL_HEAD) as (head,),
        clients(server, 1, PARTIAL_QUERY) as (query,),
        clients(server, 1, PARTIAL_UPLOAD) as (upload,),
        clients(server, 1, PARTIAL_UPLOAD) as (trickle,),
    ):
        responses: dict[str, tuple[bytes, float]] = {}

        def watch(name: str, client: socket.socket) -> None:
            responses[name] = (client.makefile("rb").read().partition(b"\r\n")[0], time.monotonic() - start)

        sockets = {"head": head, "query": query, "upload": upload, "trickle": trickle}
        threads = [threading.Thread(target=watch, args=item) for item in sockets.items()]
        for thread in threads:
            thread.start()
        with contextlib.suppress(OSError):
            while "trickle" not in responses and time.monotonic() - start < 5 * GRACE_SECONDS:
                trickle.sendall(b"x")
                time.sleep(1)
        for thread in threads:
            thread.join()
    assert {name: status_line for name, (status_line, _) in responses.items()} == {
        "head": b"", "query": b"HTTP/1.1 400 Bad Request", "upload": b"HTTP/1.1 400 Bad Request",
        "trickle": b"HTTP/1.1 400 Bad Request",
    }  # fmt: skip
    durations = [seconds for _, seconds in responses.values()]
    assert min(durations) > GRACE_SECONDS - 1
    assert max(durations) < 5 * GRACE_SECONDS


def test_stop_does_not_wait_for_incomplete_requests(tmp_path: Path) -> None:
    with (
        serving(tmp_path, WEB_WORKERS="1") as server,
        clients(server, 40),
        clients(server, 40, PARTIAL_HEAD),
        clients(server, 40, PARTIAL_QUERY),
    ):
        time.sleep(0.5)
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 60  # gunicorn itself would wait 120 s
