"""gunicorn's gthread worker, in which a slow client costs the others nothing.

gunicorn itself hands a connection to a thread with its first byte, and waits there for the rest of the request as
long as that takes; eight clients that send a byte a minute would be all that a process serves. Here a request gets
a thread when it has arrived. One with a large body, which nobody can hold, arrives in its thread: at a least rate,
and never in more than half of the threads. Knows nothing of what is sent but where it ends.
"""

from __future__ import annotations

import contextlib
import re
import select
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

#: A request may take so long to arrive, and longer by what it has brought at the least rate.
GRACE_SECONDS: Final = 20.0
LEAST_BYTES_PER_SECOND: Final = 4096
#: One piece of an answer may wait so long for a client to take it.
SEND_SECONDS: Final = 60.0
#: A large request may wait so long for another one to end.
LINE_SECONDS: Final = 30.0

#: What the kernel holds for us without a doubt; a body over it arrives in its thread.
SMALL_BYTES: Final = 16 * 1024
#: gunicorn refuses a longer head.
_HEAD_BYTES: Final = 32 * 1024
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?:\r\n|$)", re.IGNORECASE)
#: What a client may wait for before it sends the body, and what has no length.
_COMES_LATER: Final = re.compile(rb"\r\n(?:expect|transfer-encoding):", re.IGNORECASE)


class Arrival(Enum):
    """How much of a request is there."""

    PART = auto()
    WHOLE = auto()
    #: All of a head, and a body that may take long.
    LARGE = auto()


class PatientSocket(socket.socket):
    """A client's connection that ends when it has kept a thread waiting too long."""

    def begin_request(self) -> None:
        self._begun = time.monotonic()
        self._received = 0

    def end_patience(self) -> None:
        """What has not come by now does not come."""
        self._begun = float("-inf")

    def arrival(self) -> Arrival:
        """Of the next request, without taking it. What nobody can know is for a thread to find out."""
        try:
            data = super().recv(_HEAD_BYTES + SMALL_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return Arrival.WHOLE
        head, end, error_body = data.partition(b"\r\n\r\n")
        if not end:
            return Arrival.PART if 0 < len(data) < _HEAD_BYTES else Arrival.WHOLE
        if _COMES_LATER.search(head):
            return Arrival.LARGE
        length = _LENGTH.search(head)
        if length is None:
            return Arrival.WHOLE
        if int(length[1]) > SMALL_BYTES:
            return Arrival.LARGE
        return Arrival.PART if len(error_body) < int(length[1]) else Arrival.WHOLE

    def recv(self, *arguments: Any) -> bytes:
        """As a socket's; a client out of time looks like one that hung up."""
        allowed = GRACE_SECONDS + self._received / LEAST_BYTES_PER_SECOND
        with self._within(self._begun + allowed - time.monotonic()):
            data = super().recv(*arguments)
            self._received += len(data)
            return data
        return b""

    def sendall(self, *arguments: Any) -> None:
        with self._within(SEND_SECONDS):
            return super().sendall(*arguments)
        raise BrokenPipeError("the client does not take its answer")

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Goes on after the block, if it takes longer."""
        before = self.gettimeout()
        self.settimeout(max(seconds, 0.001))
        try:
            yield
        except TimeoutError:
            self.given_up = True
        finally:
            self.settimeout(before)

    # What a class with attributes of its own must say of a C type's instances
    _begun: float = 0.0
    _received: int = 0
    #: What still comes belongs to no request.
    given_up: bool = False


class _Listener:
    """Accepts connections as ``PatientSocket``."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener

    def accept(self) -> tuple[PatientSocket, Any]:
        accepted, address = self._listener.accept()
        client = PatientSocket(accepted.family, accepted.type, accepted.proto, accepted.detach())
        return client, address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


def _one_too_many() -> bytes:
    """The answer to who has waited in line for nothing: as the service refuses, though nothing of it was asked."""
    from deals_api.errors import DatabaseBusy  # which need Django, and gunicorn reads this module before that is there
    from deals_api.formats import dump_json
    from deals_api.rest.exception_handler import error_body, error_headers

    busy = DatabaseBusy("Too many files are being received; try again in a moment.")
    told = dump_json(error_body(busy.message, busy.code))
    headers = {
        "Content-Type": "application/json", "Content-Length": str(len(told)), "Connection": "close",
        **error_headers(busy),
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{head}\r\n".encode() + told


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    def run(self) -> None:
        #: Connections with a part of a request, by their number; ``news`` tells when more of one has come.
        self.arriving: dict[int, Any] = {}
        self.news = select.epoll()
        self.poller.register(self.news.fileno(), selectors.EVENT_READ, self.on_news)
        #: Connections with a large request: in a thread, and waiting for one.
        self.large: set[Any] = set()
        self.in_line: deque[Any] = deque()
        super().run()

    def accept(self, listener: Any) -> None:
        super().accept(_Listener(listener))

    def enqueue_req(self, conn: Any) -> None:
        """A connection gets a thread when a request has arrived on it; a new one has not begun to say anything."""
        if conn.initialized or conn.data_ready:
            conn.sock.begin_request()
            self.look_at(conn, conn.sock.arrival())
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def look_at(self, conn: Any, arrival: Arrival) -> None:
        if arrival is Arrival.PART:
            conn.timeout = time.monotonic() + GRACE_SECONDS
            self.arriving[conn.sock.fileno()] = conn
            # Told once of each piece that comes, not for as long as any piece lies there.
            self.news.register(conn.sock, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        elif arrival is Arrival.WHOLE:
            super().enqueue_req(conn)
        elif len(self.large) < max(1, self.cfg.threads // 2):
            self.large.add(conn)
            super().enqueue_req(conn)
        else:
            conn.timeout = time.monotonic() + LINE_SECONDS
            self.in_line.append(conn)

    def on_news(self, _fileno: int) -> None:
        for number, event in self.news.poll(0):
            conn = self.arriving[number]
            arrival = conn.sock.arrival()
            if arrival is Arrival.PART and event & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                arrival = Arrival.WHOLE  # no more will come
            if arrival is not Arrival.PART:
                self.leave(number)
                self.look_at(conn, arrival)

    def leave(self, number: int) -> None:
        self.news.unregister(number)
        del self.arriving[number]

    def finish_request(self, conn: Any, fs: Any) -> None:
        was_large = conn in self.large
        self.large.discard(conn)
        super().finish_request(conn, fs)
        if was_large and self.in_line:
            following = self.in_line.popleft()
            following.sock.begin_request()
            self.look_at(following, Arrival.LARGE)

    def murder_pending(self) -> None:
        """Called every second: ends the waiting of those who have waited long enough."""
        super().murder_pending()
        now = time.monotonic()
        for number, conn in list(self.arriving.items()):
            if conn.timeout < now:
                self.leave(number)
                conn.sock.end_patience()
                super().enqueue_req(conn)  # the thread says so, as it does of any broken request
        while self.in_line and self.in_line[0].timeout < now:
            conn = self.in_line.popleft()
            with contextlib.suppress(OSError):
                conn.sock.send(_one_too_many(), socket.MSG_DONTWAIT)
            self.nr_conns -= 1
            conn.close(graceful=True)

    def _cap_keepalive(self, deadline: float) -> None:
        """Called once, when the worker is told to stop."""
        super()._cap_keepalive(deadline)
        for conn in (*self.pending_conns, *self.arriving.values(), *self.in_line):
            conn.timeout = min(conn.timeout, deadline)

    def handle(self, conn: Any) -> Any:
        goes_on = super().handle(conn)
        return goes_on if not conn.sock.given_up else False
