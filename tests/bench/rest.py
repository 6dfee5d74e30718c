"""Throughput of cached responses and latency of uncached ones in REST."""

from __future__ import annotations

import statistics

from tests.bench.clients import get, requests_per_second
from tests.bench.environment import BenchEnvironment
from tests.bench.files import write_deals
from tests.bench.table import interleaved_medians, ms, print_row, timed
from tests.servers import REAL_FILE

TOP_CLIENTS = "/api/top-clients/"


def bench(environment: BenchEnvironment) -> None:
    bench_cached(environment)
    bench_uncached(environment)


def bench_cached(environment: BenchEnvironment) -> None:
    environment.server.upload(REAL_FILE.read_bytes())
    baseline, result = interleaved_medians(
        lambda: requests_per_second(environment.server, get("/constant/")),
        lambda: requests_per_second(environment.server, get(TOP_CLIENTS)),
    )
    print_row(
        "cached GET", f"{result:,.0f} req/s", f"view that returns a constant: {baseline:,.0f} req/s",
        f"{100 * result / baseline:.0f} %", "≥ 50 %",
    )  # fmt: skip


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
