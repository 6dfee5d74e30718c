"""A name server that answers each question with a list of IPv4 addresses, like the one of Docker's networks."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class NameServer:
    """``addresses`` may be changed while the server runs; if it is empty, no name exists."""

    addresses: list[str] = field(default_factory=list)
    socket: socket.socket = field(default_factory=lambda: socket.socket(type=socket.SOCK_DGRAM))

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the socket is closed at the end
            while True:
                query, client = self.socket.recvfrom(512)
                self.socket.sendto(response_to(query, list(self.addresses)), client)


def response_to(query: bytes, addresses: list[str]) -> bytes:
    """Return the response (RFC 1035, section 4.1) to a query with one question of type A."""
    question = query[12 : query.index(b"\0", 12) + 5]
    flags = 0x8180 if addresses else 0x8183  # NXDOMAIN
    header = query[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0)
    # Each answer: a pointer to the name in the question, type A, class IN, one second to live, four bytes.
    answers = [struct.pack("!HHHLH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address) for address in addresses]
    return header + question + b"".join(answers)


@contextlib.contextmanager
def name_server(*addresses: str) -> Iterator[NameServer]:
    server = NameServer(list(addresses))
    server.socket.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.socket.close()
