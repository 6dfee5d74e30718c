"""Clients that repeat one request: plain sockets in threads, which use little CPU time compared with the server."""

from __future__ import annotations

import json
import re
import socket
import threading
import time

from tests.proxy import Proxy
from tests.servers import Server

SECONDS = 2.0
CONNECTIONS = 8
END_OF_HEADERS = b"\r\n\r\n"


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()


def post(path: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    headers = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + content


def requests_per_second(server: Server | Proxy, request: bytes, seconds: float = SECONDS) -> float:
    """Return the responses per second over all connections."""
    counts: list[int] = []
    deadline = time.monotonic() + seconds

    def repeat() -> None:
        count = 0
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            expected = len(response_body(client, request))
            while time.monotonic() < deadline:
                client.sendall(request)
                # The headers arrive in one piece; their size varies with the times in them.
                received = client.recv(65536)
                missing = received.index(END_OF_HEADERS) + len(END_OF_HEADERS) + expected - len(received)
                while missing:
                    size = len(client.recv(missing))
                    assert size, "the service closed the connection"
                    missing -= size
                count += 1
        counts.append(count)

    threads = [threading.Thread(target=repeat) for _ in range(CONNECTIONS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def response_body(client: socket.socket, request: bytes) -> bytes:
    """Send the request and return the body of its response, which must have the status 200."""
    client.sendall(request)
    received = b""
    while END_OF_HEADERS not in received:
        received += client.recv(65536)
    headers, _, body = received.partition(END_OF_HEADERS)
    assert headers.startswith(b"HTTP/1.1 200"), headers
    size = int(re.findall(rb"Content-Length: (\d+)", headers)[0])
    while len(body) < size:
        body += client.recv(size - len(body))
    return body


def body_size(server: Server, request: bytes) -> int:
    """Return the size of the response body in bytes."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        return len(response_body(client, request))
