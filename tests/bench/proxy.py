"""Three services behind nginx: latency while slow clients occupy it, and the CPU time of a cached GET."""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.bench.clients import SECONDS, get, requests_per_second
from tests.bench.cpu import cpu_seconds_of
from tests.bench.table import interleaved_medians, ms, print_row, timed
from tests.name_server import NameServer, name_server
from tests.proxy import Proxy, nginx
from tests.servers import REAL_FILE, TIMEOUT, Server, serving
from tests.services import free_port
from tests.slow_clients import PARTIAL_UPLOAD, clients, slow_senders

ADDRESSES: Final = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
BUILD: Final = "0123456789abcdef"
STATIC_BYTES: Final = 1_600_000
GETS: Final = 200
#: The usual limit of open files of a process.
DESCRIPTORS: Final = 1024


def bench(folder: Path, database_url: str, redis_url: str) -> None:
    port = free_port()
    settings = {
        "PORT": str(port),
        "WEB_WORKERS": "1",
        "PROXIES": "1",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }
    with (
        name_server(*ADDRESSES) as names,
        nginx(folder, f"web:{port}", resolver=f"127.0.0.1:{names.port}") as proxy,
        contextlib.ExitStack() as stack,
    ):
        servers = [stack.enter_context(serving(folder, BIND=address, **settings)) for address in ADDRESSES]
        for process in processes_of(servers):
            process.rlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        assert proxy.upload(REAL_FILE.read_bytes()).status_code == 200
        bench_slow_clients(proxy)
        bench_cpu(proxy, names, servers)


def processes_of(servers: list[Server]) -> list[psutil.Process]:
    return [process for server in servers for process in (psutil.Process(server.process.pid), *server.workers())]


def bench_slow_clients(proxy: Proxy) -> None:
    file = proxy.static / BUILD / "large.js"
    file.parent.mkdir()
    file.write_bytes(b"x" * STATIC_BYTES)
    without = latencies(proxy)
    upload_without = timed(lambda: proxy.upload(REAL_FILE.read_bytes()))
    unread = get(f"/static/{BUILD}/large.js") * 4
    with (
        clients(proxy.port, 24, unread, receive_buffer=2048),
        clients(proxy.port, 2300),
        clients(proxy.port, 40, PARTIAL_UPLOAD) as uploading,
        slow_senders(uploading, bytes_per_second=5000),
    ):
        time.sleep(2)
        during = latencies(proxy)
        upload_during = timed(lambda: proxy.upload(REAL_FILE.read_bytes()))
    crowd = "24 clients that do not read, 2,300 idle connections, 40 uploads at 5 kB/s"
    print_row(
        f"GET through nginx with {crowd}: median; slowest of {GETS}",
        f"{ms(statistics.median(during))}; {ms(max(during))}",
        f"without them: {ms(statistics.median(without))}; {ms(max(without))}",
        "", "≤ 100 ms; ≤ 1 s",
    )  # fmt: skip
    print_row("upload of 767 deals at the same time", ms(upload_during), f"without: {ms(upload_without)}", "", "≤ 2 s")


def latencies(proxy: Proxy) -> list[float]:
    with httpx.Client(base_url=proxy.url, timeout=TIMEOUT) as client:
        return [timed(lambda: client.get("/api/top-clients/").raise_for_status()) for _ in range(GETS)]


def bench_cpu(proxy: Proxy, names: NameServer, servers: list[Server]) -> None:
    processes = processes_of(servers)

    def cpu_per_get(count: int) -> float:
        """Return the CPU time of the services for one cached GET with this number of services."""
        names.addresses[:] = ADDRESSES[:count]
        time.sleep(2)  # nginx resolves the name again
        before = sum(map(cpu_seconds_of, processes))
        rate = requests_per_second(proxy, get("/api/top-clients/"))
        return (sum(map(cpu_seconds_of, processes)) - before) / (rate * SECONDS)

    one, three = interleaved_medians(lambda: cpu_per_get(1), lambda: cpu_per_get(3))
    print_row(
        "CPU of the services for a cached GET through nginx, three services", f"{1e6 * three:,.0f} µs",
        f"one service: {1e6 * one:,.0f} µs", f"{three / one:.2f}×", "≤ 1.2×",
    )  # fmt: skip
