"""Slow clients, and what they may cost the others: with real sockets."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from project.worker import GRACE_SECONDS, PatientSocket, PatientWorker
from tests.builders import csv_of, deal
from tests.servers import TIMEOUT, Server, serving

pytestmark = pytest.mark.database_independent

#: Far more than the service has threads.
MANY = 200
HALF_A_HEAD = b"GET /api/top"
QUESTION = b'{"query": "{currentUpload {dealCount}}"}'
ASKED = b"POST /graphql/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(QUESTION), QUESTION,
)  # fmt: skip
HALF_A_QUESTION = ASKED[:-10]
HALF_A_FILE = (
    b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 100000\r\n\r\n--b\r\n"
)
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process, which all of them meet."""
    with serving(tmp_path_factory.mktemp("worker"), WEB_WORKERS="1") as server:
        yield server


@contextlib.contextmanager
def clients(server: Server, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Clients that say so much and no more."""
    with contextlib.ExitStack() as stack:
        connected = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), TIMEOUT)) for _ in range(count)
        ]
        for client in connected:
            client.sendall(sent)
        yield connected


def answer_of(client: socket.socket) -> bytes:
    """The first line of what comes."""
    return client.recv(1000).partition(b"\r\n")[0]


def must_be_quick(server: Server) -> None:
    for _ in range(10):  # so that each process is asked
        begin = time.monotonic()
        assert server.get().status_code == 200
        assert time.monotonic() - begin < GRACE_SECONDS / 2


@pytest.mark.parametrize(
    "sent", [b"", HALF_A_HEAD, HALF_A_QUESTION, HALF_A_FILE], ids=["nothing", "a head", "a question", "a file"]
)
def test_clients_that_send_a_half_hold_up_nobody(server: Server, sent: bytes) -> None:
    with clients(server, MANY if sent != HALF_A_FILE else 20, sent):
        time.sleep(0.3)
        must_be_quick(server)


def test_what_comes_in_pieces_is_answered_when_it_is_there(server: Server) -> None:
    for request in (HEALTH, ASKED):
        with clients(server, 1) as (client,):
            for place in range(len(request)):
                client.sendall(request[place : place + 1])
                time.sleep(0.002)
            assert answer_of(client) == b"HTTP/1.1 200 OK"
            client.sendall(request[:20])
            time.sleep(0.05)
            client.sendall(request[20:] + request)  # two more on the same connection
            answered = b""
            while len(re.findall(rb"HTTP/1\.1 200 OK", answered)) < 2:
                answered += client.recv(10_000)


def test_a_client_that_is_told_to_go_on_goes_on(server: Server) -> None:
    with clients(server, 1, ASKED.replace(b"Host: x", b"Host: x\r\nExpect: 100-continue").partition(b"{")[0]) as (one,):
        begin = time.monotonic()
        assert answer_of(one) == b"HTTP/1.1 100 Continue"
        assert time.monotonic() - begin < GRACE_SECONDS / 2
        one.sendall(QUESTION)
        assert answer_of(one) == b"HTTP/1.1 200 OK"


def test_a_client_that_hangs_up_in_the_middle_is_let_go(server: Server) -> None:
    with clients(server, 1, HALF_A_QUESTION) as (client,):
        begin = time.monotonic()
        client.shutdown(socket.SHUT_WR)
        assert answer_of(client) == b"HTTP/1.1 400 Bad Request"
        assert time.monotonic() - begin < GRACE_SECONDS / 2


def test_files_wait_in_line_while_slow_ones_are_received(server: Server) -> None:
    """More of them than may be received at once; when they are gone, the next one is taken."""
    with clients(server, 20, HALF_A_FILE):
        time.sleep(0.3)
        answers: list[int] = []
        file = csv_of(*[deal("x" * 200)] * 99)
        sending = threading.Thread(target=lambda: answers.append(server.upload(file).status_code))
        sending.start()
        time.sleep(0.5)
        assert answers == []
    sending.join(TIMEOUT)
    assert answers == [200]


def test_who_has_waited_too_long_in_line_is_asked_to_come_again() -> None:
    ours, theirs = socket.socketpair()
    waiting = PatientSocket(fileno=ours.detach())
    conn = SimpleNamespace(timeout=time.monotonic() - 1, sock=waiting, close=lambda **_: None)
    worker = PatientWorker.__new__(PatientWorker)
    worker.pending_conns, worker.arriving, worker.in_line, worker.nr_conns = deque(), {}, deque([conn]), 1
    worker.murder_pending()
    assert (len(worker.in_line), worker.nr_conns) == (0, 0)
    head, _, body = theirs.recv(10_000).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert {b"Retry-After: 2", b"Content-Length: %d" % len(body)} <= set(head.splitlines())
    assert json.loads(body).keys() == {"Status", "Desc", "Code"}
    waiting.close()
    theirs.close()


def test_who_stops_in_the_middle_is_hung_up_on(server: Server) -> None:
    """Were the connection kept, the rest of a body would be read as the next request.

    All at once, as each takes its time: who sends nothing more, who sends a byte a second, and who waits in line for
    the files of the others.
    """
    begin = time.monotonic()
    with (
        clients(server, 1, HALF_A_HEAD) as (head,),
        clients(server, 1, HALF_A_QUESTION) as (question,),
        clients(server, 1, HALF_A_FILE) as (file,),
        clients(server, 1, HALF_A_FILE) as (trickle,),
    ):
        ended: dict[str, tuple[bytes, float]] = {}

        def watch(name: str, client: socket.socket) -> None:
            ended[name] = (client.makefile("rb").read().partition(b"\r\n")[0], time.monotonic() - begin)

        watched = {"head": head, "question": question, "file": file, "trickle": trickle}
        threads = [threading.Thread(target=watch, args=one) for one in watched.items()]
        for thread in threads:
            thread.start()
        with contextlib.suppress(OSError):
            while "trickle" not in ended and time.monotonic() - begin < 5 * GRACE_SECONDS:
                trickle.sendall(b"x")
                time.sleep(1)
        for thread in threads:
            thread.join()
    assert {name: answer for name, (answer, _) in ended.items()} == {
        "head": b"", "question": b"HTTP/1.1 400 Bad Request", "file": b"HTTP/1.1 400 Bad Request",
        "trickle": b"HTTP/1.1 400 Bad Request",
    }  # fmt: skip
    waited = [seconds for _, seconds in ended.values()]
    assert min(waited) > GRACE_SECONDS - 1
    assert max(waited) < 5 * GRACE_SECONDS


def test_a_stop_does_not_wait_for_clients_that_send_a_half(server: Server) -> None:
    with clients(server, 40), clients(server, 40, HALF_A_HEAD), clients(server, 40, HALF_A_QUESTION):
        time.sleep(0.5)
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 60  # gunicorn itself would wait 120 s
