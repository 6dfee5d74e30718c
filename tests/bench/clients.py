"""Clients that repeat one request: plain sockets in threads, which use little CPU time compared with the server."""

from __future__ import annotations

import json
import re
import socket
import threading
import time

from tests.servers import Server

SECONDS = 2.0
CONNECTIONS = 8
END = b"\r\n\r\n"


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()


def post(path: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    headers = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + content


def requests_per_second(server: Server, request: bytes) -> float:
    """Return the responses per second over all connections."""
    counts: list[int] = []
    until = time.monotonic() + SECONDS

    def ask() -> None:
        count = 0
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            body = len(whole_answer(client, request).partition(END)[2])
            while time.monotonic() < until:
                client.sendall(request)
                answer = client.recv(
                    65536
                )  # the headers arrive in one piece; their length varies with the times in them
                left = answer.index(END) + len(END) + body - len(answer)
                while left:
                    received = len(client.recv(left))
                    assert received, "the service closed the connection"
                    left -= received
                count += 1
        counts.append(count)

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begin)


def whole_answer(client: socket.socket, request: bytes) -> bytes:
    client.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
    while len(body) < length:
        body += client.recv(length - len(body))
    return head + b"\r\n\r\n" + body


def size_of(server: Server, request: bytes) -> int:
    """Return the size of the response body in bytes."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        return len(whole_answer(client, request).partition(b"\r\n\r\n")[2])
