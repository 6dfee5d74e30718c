"""gunicorn's gthread worker, whose threads a slow client can hold for a bounded time only.

gunicorn itself waits for the rest of a request, or for a client to take its answer, as long as that takes;
eight clients that send a byte a minute would be all that a process serves. Knows nothing of what is sent.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

#: A request may take so long to arrive, and longer by what it has brought at the least rate.
GRACE_SECONDS: Final = 20.0
LEAST_BYTES_PER_SECOND: Final = 4096
#: One piece of an answer may wait so long for a client to take it.
SEND_SECONDS: Final = 60.0


class PatientSocket(socket.socket):
    """A client's connection that ends when it has kept a thread waiting too long."""

    def begin_request(self) -> None:
        self._begun = time.monotonic()
        self._received = 0

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
        client.begin_request()
        return client, address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    def accept(self, listener: Any) -> None:
        super().accept(_Listener(listener))

    def enqueue_req(self, conn: Any) -> None:
        """A new connection gets a thread with its first byte; gunicorn would have one wait five seconds for it."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _cap_keepalive(self, deadline: float) -> None:
        """Called once, when the worker is told to stop."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def handle(self, conn: Any) -> Any:
        conn.sock.begin_request()
        goes_on = super().handle(conn)
        return goes_on if not conn.sock.given_up else False
