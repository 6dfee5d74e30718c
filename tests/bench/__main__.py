"""``python -m tests.bench``: how fast, beside a yardstick in the same run. Prints a table.

PostgreSQL, Redis and the service are real processes on this machine. Every figure is a median, measured in
turns with its yardstick, because machines are noisy; read the ratios. ``--rows`` changes the million.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
from redis import Redis

from tests import services
from tests.bench.files import write_deals
from tests.servers import REAL_FILE, Server, serving

ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = 8


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def row(what: str, measured: str, yardstick: str, ratio: str, goal: str) -> None:
    print(f"| {what} | {measured} | {yardstick} | {ratio} | {goal} |", flush=True)


# Loading


def copy_into_a_bare_table(psql: Path, database_url: str, file: Path) -> float:
    """The yardstick: psql's ``\\copy`` of the same file into typed columns without an index."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare")
        cursor.execute(
            "CREATE TABLE bare (customer text, item text, total numeric(14,2), quantity integer, date timestamptz)"
        )
    copy = rf"\copy bare FROM '{file}' WITH (FORMAT csv, HEADER)"
    return timed(lambda: subprocess.run([psql, database_url, "-qc", copy], check=True))


def post(server: Server, file: Path) -> float:
    content = file.read_bytes()

    def upload() -> None:
        answer = server.upload(content)
        assert answer.status_code == 200, answer.text

    return timed(upload)


def bench_loading(server: Server, psql: Path, database_url: str, folder: Path, rows: int) -> None:
    files = [folder / f"{number}.csv" for number in range(3)]
    for number, file in enumerate(files):
        write_deals(file, rows, seed=number)
    pairs = [(copy_into_a_bare_table(psql, database_url, file), post(server, file)) for file in files]
    yardstick = statistics.median(copied for copied, _ in pairs)
    measured = statistics.median(posted for _, posted in pairs)
    ratio = statistics.median(posted / copied for copied, posted in pairs)
    row(
        f"POST of {rows:,} rows", f"{measured:.1f} s", rf"`\copy`, no index: {yardstick:.1f} s", f"{ratio:.1f}×", "≤ 7×"
    )
    peak = max(peak_memory(worker.pid) for worker in server.workers())
    row("peak memory of the process that loads", f"{peak:.0f} MB", "", "", "< 150 MB")


def peak_memory(pid: int) -> float:
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


# Asking


def requests_per_second(server: Server, path: str) -> float:
    """Plain sockets in threads: next to nothing beside the server's own work."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()
    counts: list[int] = []
    until = time.monotonic() + SECONDS

    def ask() -> None:
        count = 0
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(request)
            whole_answer(client)  # the first may say more than the ready ones after it
            client.sendall(request)
            length = len(whole_answer(client))
            while time.monotonic() < until:
                client.sendall(request)
                left = length
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


def whole_answer(client: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
    while len(body) < length:
        body += client.recv(length - len(body))
    return head + b"\r\n\r\n" + body


def bench_cached(server: Server) -> None:
    server.upload(REAL_FILE.read_bytes())
    pairs = [
        (requests_per_second(server, "/constant/"), requests_per_second(server, "/api/top-clients/"))
        for _ in range(ROUNDS)
    ]
    yardstick = statistics.median(constant for constant, _ in pairs)
    measured = statistics.median(cached for _, cached in pairs)
    row(
        "cached GET", f"{measured:,.0f} req/s", f"a view that returns a constant: {yardstick:,.0f} req/s",
        f"{100 * measured / yardstick:.0f} %", "≥ 50 %",
    )  # fmt: skip


def cold_get(server: Server, redis_port: int) -> float:
    """Median seconds of an answer that no cache has; each question is one that was not asked before."""
    with Redis(port=redis_port) as client:
        times = []
        for limit in range(5, 5 + 20):
            client.flushall()
            times.append(timed(lambda limit=limit: server.get(f"/api/top-clients/?limit={limit}")))  # type: ignore[misc]
    return statistics.median(times)


def bench_cold(server: Server, redis_port: int, folder: Path, rows: int) -> None:
    few, many = folder / "few.csv", folder / "many.csv"
    write_deals(few, 1000, seed=7)
    write_deals(many, rows, seed=8)
    post(server, few)
    at_a_thousand = cold_get(server, redis_port)
    post(server, many)
    at_many = cold_get(server, redis_port)
    row(
        f"uncached GET at {rows:,} deals", f"{1000 * at_many:.1f} ms", f"at 1,000 deals: {1000 * at_a_thousand:.1f} ms",
        f"{1000 * (at_many - at_a_thousand):+.1f} ms", "≤ +20 ms",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with (
        tempfile.TemporaryDirectory() as name,
        services.postgres() as (_, database_url),
        services.redis() as (redis, redis_url),
    ):
        folder = Path(name)
        folder.chmod(0o755)
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        print(f"{os.cpu_count()} cores for client, service, PostgreSQL and Redis together\n")
        print("| what | measured | yardstick | ratio | goal |\n| --- | --- | --- | --- | --- |")
        with serving(folder, **environment, WEB_WORKERS="1") as server:
            bench_loading(server, services.postgres_binaries() / "psql", database_url, folder, rows)
        with serving(folder, **environment, DJANGO_SETTINGS_MODULE="tests.bench.settings") as server:
            bench_cached(server)
            bench_cold(server, redis.port, folder, rows)


if __name__ == "__main__":
    main()
