"""Asynchronous uploads: time and CPU of the response, and time and memory of the worker."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from tests.bench.environment import Backends, BenchEnvironment, peak_megabytes_of
from tests.bench.files import write_deals
from tests.bench.table import ROUNDS, ms_or_seconds, print_row
from tests.bench.uploads import SETTINGS
from tests.servers import worker_process

#: Those of the largest documented files.
_LIMITS: Final = {"MAX_ROWS": "30000000", "MAX_UPLOAD_BYTES": str(2**31)}


def bench(backends: Backends, rows: int) -> None:
    """Measure the response to an asynchronous upload; the load is cancelled then."""
    file = backends.folder / "asynchronous.csv"
    write_deals(file, rows)
    with running(backends, "asynchronous") as (environment, _):
        seconds, cpu_seconds = [], []
        for _ in range(ROUNDS):
            cpu, start = environment.worker_cpu_seconds(), time.perf_counter()
            location = queue(environment, file)
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(environment.worker_cpu_seconds() - cpu)
            environment.client.delete(location)
    print_row(
        f"response to an asynchronous POST of {rows:,} rows", ms_or_seconds(statistics.median(seconds)),
        f"CPU of the service: {ms_or_seconds(statistics.median(cpu_seconds))}", "", "< 2 s; CPU < 0.5 s",
    )  # fmt: skip


def bench_large(backends: Backends, rows: int) -> None:
    """Measure loads of the ordinary file and of one that is ten times as large."""
    seconds, peaks = {}, {}
    for size in (rows, 10 * rows):
        file = backends.folder / f"large_{size}.csv"
        write_deals(file, size)
        with running(backends, f"worker_{size}") as (environment, worker):
            start = time.perf_counter()
            wait_until_loaded(environment, queue(environment, file))
            seconds[size] = time.perf_counter() - start
            peaks[size] = peak_megabytes_of(worker)
        file.unlink()
    small, large = seconds.values()
    print_row(
        f"load of {10 * rows:,} rows by a worker", ms_or_seconds(large),
        f"{rows:,} rows: {ms_or_seconds(small)}", f"{large / small:.1f}×", "≤ 15× (linear: 10×)",
    )  # fmt: skip
    print_row(
        f"peak memory of the worker, {10 * rows:,} rows", f"{peaks[10 * rows]:.0f} MB",
        f"{rows:,} rows: {peaks[rows]:.0f} MB", "", "< 200 MB",
    )  # fmt: skip


@contextlib.contextmanager
def running(backends: Backends, name: str) -> Iterator[tuple[BenchEnvironment, psutil.Process]]:
    """Start a service and its worker on a new database."""
    folder = backends.folder / f"{name}_uploads"
    folder.mkdir()
    settings = SETTINGS | _LIMITS | {"UPLOADS_DIR": str(folder)}
    new = backends.with_new_database(name)
    with (
        new.environment(settings) as environment,
        worker_process(folder.with_suffix(".log"), settings | {"DATABASE_URL": new.database_url}) as worker,
    ):
        yield environment, psutil.Process(worker.pid)


def queue(environment: BenchEnvironment, file: Path) -> str:
    """Send a file asynchronously; return the URL of its state."""
    with file.open("rb") as content:
        response = environment.client.post(
            "/api/upload/", files={"deals": (file.name, content)}, headers={"Prefer": "respond-async"}
        )
    assert response.status_code == 202, response.text
    return str(response.headers["Location"])


def wait_until_loaded(environment: BenchEnvironment, location: str) -> None:
    while (state := environment.client.get(location).json())["Status"] == "Accepted":
        time.sleep(0.1)
    assert state["State"] == "loaded", state
