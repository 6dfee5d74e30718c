"""Throughput of cached responses and latency of uncached ones in REST."""

from __future__ import annotations

import statistics
import threading
import time
from functools import partial
from typing import Final

from tests.bench.clients import CONNECTIONS, get, requests_per_second
from tests.bench.environment import BenchEnvironment
from tests.bench.files import write_deals
from tests.bench.table import interleaved_medians, ms, print_row, timed
from tests.servers import REAL_FILE

TOP_CLIENTS = "/api/top-clients/"
_POINTER_READS: Final = (
    "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'deals_api_currentupload'"
)
_COUNTING_SECONDS: Final = 8
#: A connection in use reports its scans every second.
_DELAY_SECONDS: Final = 2


def bench_cached(environment: BenchEnvironment) -> None:
    """Measure cached responses of a service with one process and many threads."""
    environment.upload(REAL_FILE)
    bench_throughput(environment)
    bench_pointer_reads(environment)


def bench_throughput(environment: BenchEnvironment) -> None:
    baseline, result = interleaved_medians(
        lambda: requests_per_second(environment.server, get("/constant/")),
        lambda: requests_per_second(environment.server, get(TOP_CLIENTS)),
        rounds=9,
    )
    print_row(
        f"cached GET, one process, {CONNECTIONS} threads", f"{result:,.0f} req/s",
        f"view that returns a constant: {baseline:,.0f} req/s", f"{100 * result / baseline:.0f} %",
        "≥ 90 % (aim: 95 %)",
    )  # fmt: skip


def bench_pointer_reads(environment: BenchEnvironment) -> None:
    """Count the scans of the pointer's table during cached responses."""
    (reads,) = interleaved_medians(partial(pointer_reads_per_second, environment))
    print_row(
        "reads of the pointer to the current upload during cached GETs, per second and process", f"{reads:.1f}",
        "", "", "≤ 25 (aim: 20)",
    )  # fmt: skip


def pointer_reads_per_second(environment: BenchEnvironment) -> float:
    """Return the rate in the middle of a load, because connections report their scans with a delay."""
    seconds = 2 * _DELAY_SECONDS + _COUNTING_SECONDS
    load = threading.Thread(target=requests_per_second, args=(environment.server, get(TOP_CLIENTS), seconds))
    load.start()
    time.sleep(_DELAY_SECONDS)
    with environment.cursor() as cursor:
        cursor.execute(_POINTER_READS)
        (before,), start = cursor.fetchone(), time.perf_counter()
        time.sleep(_COUNTING_SECONDS)
        cursor.execute(_POINTER_READS)
        rate = (cursor.fetchone()[0] - before) / (time.perf_counter() - start)
    load.join()
    return float(rate)


def bench_uncached(environment: BenchEnvironment) -> None:
    file = environment.folder / "small.csv"
    write_deals(file, 1000, seed=7)
    environment.server.upload(file.read_bytes())
    small = uncached_seconds(environment)
    environment.activate("ordinary")
    large = uncached_seconds(environment)
    print_row(
        f"uncached GET at {environment.rows:,} deals", ms(large), f"at 1,000 deals: {ms(small)}",
        f"{1000 * (large - small):+.1f} ms", "≤ +20 ms",
    )  # fmt: skip


def uncached_seconds(environment: BenchEnvironment) -> float:
    """Return the median time of uncached responses to different requests."""
    times = []
    for limit in range(5, 5 + 20):
        environment.clear_cache()
        times.append(timed(lambda limit=limit: environment.server.get(f"{TOP_CLIENTS}?limit={limit}")))  # type: ignore[misc]
    return statistics.median(times)
