"""Clients that occupy connections: silent ones, slow senders, and clients that do not read."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from tests.servers import wait_until

PARTIAL_HEAD: Final = b"GET /api/top"
_QUERY: Final = b'{"query": "{currentUpload {dealCount}}"}'
PARTIAL_QUERY: Final = (
    b"POST /graphql/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_QUERY), _QUERY[:-10])
)
PARTIAL_UPLOAD: Final = (
    b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 1000000\r\n\r\n--b\r\n"
)


@contextlib.contextmanager
def clients(
    port: int, count: int, data: bytes = b"", *, receive_buffer: int = 0, address: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    """Connect clients from an address, which send only these bytes; in the end, wait until the server has noticed.

    ``receive_buffer`` in bytes bounds what arrives without a read.
    """
    allow_descriptors(count)
    with contextlib.ExitStack() as stack:
        connected = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.bind((address, 0))
            client.connect(("127.0.0.1", port))
            client.sendall(data)
            connected.append(client)
        yield connected
        addresses = {client.getsockname() for client in connected}
    wait_until(lambda: not addresses & connected_clients(port))


def connected_clients(port: int) -> set[tuple[str, int]]:
    """Return the addresses of the clients whose connections the server on this port has not closed."""
    connections: Any = psutil.net_connections("tcp4")
    return {tuple(each.raddr) for each in connections if each.laddr.port == port and each.raddr and each.pid}


@contextlib.contextmanager
def slow_senders(connected: list[socket.socket], bytes_per_second: int) -> Iterator[None]:
    """Send bytes over each connection at this rate."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(1):
            for client in connected:
                with contextlib.suppress(OSError):
                    client.sendall(b"x" * bytes_per_second)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def allow_descriptors(count: int) -> None:
    """Raise the limit of open files of this process, so that it may open this number of files, and some more.

    Raises: ValueError if the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(list(Path("/proc/self/fd").iterdir())) + count + 500
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
