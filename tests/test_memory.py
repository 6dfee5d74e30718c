"""Many different large responses do not fill the memory of a worker."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from tests import services
from tests.builders import csv_of, deal
from tests.servers import NO_TLS, Server, serving

#: The documented limit: 24 MB of caches, and memory fragmentation.
MAX_GROWTH: Final = 50 * 2**20
#: 250 characters of four bytes each; with a number, close to the maximum length of a name.
LONG_NAME: Final = "\N{GEM STONE}" * 250


@pytest.fixture(params=["without Redis", "with Redis"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, psutil.Process]]:
    """A service with one worker, and 100 customers who share ten gems."""
    with services.redis() as (_, url):
        shared = {"REDIS_URL": url} if request.param == "with Redis" else {}
        with serving(tmp_path, WEB_WORKERS="1", **shared) as server:
            file = csv_of(*(deal(f"{c:03}{LONG_NAME}", f"{g:03}{LONG_NAME}") for c in range(100) for g in range(10)))
            assert server.upload(file).status_code == 200
            (process,) = server.workers()
            yield server, process


def query(client: httpx.Client, number: int, limit: int, fields: str) -> httpx.Response:
    document = f"query Q{number} {{topClients(limit: {limit}) {{{fields}}}}}"
    return client.post("/graphql/", json={"query": document})


@pytest.mark.database_independent
def test_memory_of_a_worker_is_bounded_under_many_large_responses(worker: tuple[Server, psutil.Process]) -> None:
    server, process = worker
    seven = " ".join(f"a{number}: gems" for number in range(7))
    thirty = " ".join(f"a{number}: gems" for number in range(30))
    with httpx.Client(base_url=server.url, timeout=120, verify=NO_TLS) as client:
        for number in range(20):
            assert query(client, number, 5, "username gems").status_code == 200
        before = process.memory_info().rss
        for number in range(40):
            rejected = query(client, 100 + number, 100, thirty).json()
            assert rejected["errors"][0]["extensions"]["code"] == "limit_exceeded"
        for number in range(40):
            assert 7_000_000 < len(query(client, 200 + number, 100, seven).content) < 8 * 2**20
        for number in range(120):
            assert 800_000 < len(query(client, 300 + number, 80, "gems").content) < 2**20
        growth = process.memory_info().rss - before
        assert growth < MAX_GROWTH
        assert client.get("/health/ready").json() == {"status": "ok"}


@pytest.mark.database_independent
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory for each thread")
def test_threads_of_a_worker_share_freed_memory(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_WORKERS="1", WEB_THREADS="8") as server, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: server.upload(csv_of(deal("ann"))), range(16)))
        (process,) = server.workers()
        assert heaps_of_threads(process.pid) == []


def heaps_of_threads(pid: int) -> list[str]:
    """Return the addresses of glibc's heaps of threads: each begins at a multiple of 64 MiB and reserves as much."""
    size = 2**26
    mappings = re.findall(r"^(\w+)-(\w+) (\S+) ", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
    reserved = {start: int(end, 16) for start, end, access in mappings if access == "---p"}
    return [
        start
        for start, end, access in mappings
        if access == "rw-p" and int(start, 16) % size == 0 and reserved.get(end) == int(start, 16) + size
    ]
