"""Slow clients, and what they may cost the others: with real sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from project.worker import GRACE_SECONDS
from tests.servers import Server

pytestmark = pytest.mark.alike_on_both

#: More than the service has threads.
MANY = 40
HALF_A_HEAD = b"GET /api/top"
HALF_A_BODY = (
    b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 100000\r\n\r\n--b\r\n"
)


@contextlib.contextmanager
def clients(server: Server, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Clients that say so much and no more."""
    with contextlib.ExitStack() as stack:
        connected = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60)) for _ in range(count)
        ]
        for client in connected:
            client.sendall(sent)
        yield connected


def test_clients_that_say_nothing_hold_no_thread(server: Server) -> None:
    """gunicorn's own worker lets each hold one for five seconds."""
    with clients(server, MANY) as silent:
        begin = time.monotonic()
        for _ in range(10):  # so that each process is asked
            assert server.get().status_code == 200
        assert time.monotonic() - begin < 5
        silent[0].sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert silent[0].recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_a_stop_does_not_wait_for_clients_that_say_nothing(server: Server) -> None:
    with clients(server, MANY):
        time.sleep(0.5)
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    ("sent", "answer"),
    [(HALF_A_HEAD, b""), (HALF_A_BODY, b"HTTP/1.1 400 Bad Request")],
    ids=["half a head", "half a body"],
)
def test_a_client_that_stops_in_the_middle_is_hung_up_on(server: Server, sent: bytes, answer: bytes) -> None:
    """Were the connection kept, the rest of a body would be read as the next request."""
    with clients(server, 1, sent) as (client,):
        begin = time.monotonic()
        received = client.makefile("rb").read()
        assert GRACE_SECONDS - 1 < time.monotonic() - begin < 2 * GRACE_SECONDS
        assert received.partition(b"\r\n")[0] == answer
