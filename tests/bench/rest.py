"""How fast REST answers, from the cache and without it."""

from __future__ import annotations

import statistics

from tests.bench.clients import get, requests_per_second
from tests.bench.environment import BenchEnvironment
from tests.bench.files import write_deals
from tests.bench.table import in_turns, ms, row, timed
from tests.servers import REAL_FILE

RANKING = "/api/top-clients/"


def bench(environment: BenchEnvironment) -> None:
    bench_cached(environment)
    bench_cold(environment)


def bench_cached(environment: BenchEnvironment) -> None:
    environment.server.upload(REAL_FILE.read_bytes())
    yardstick, measured = in_turns(
        lambda: requests_per_second(environment.server, get("/constant/")),
        lambda: requests_per_second(environment.server, get(RANKING)),
    )
    row(
        "cached GET", f"{measured:,.0f} req/s", f"a view that returns a constant: {yardstick:,.0f} req/s",
        f"{100 * measured / yardstick:.0f} %", "≥ 50 %",
    )  # fmt: skip


def bench_cold(environment: BenchEnvironment) -> None:
    few = environment.folder / "few.csv"
    write_deals(few, 1000, seed=7)
    environment.server.upload(few.read_bytes())
    at_a_thousand = cold_get(environment)
    environment.show("ordinary")
    at_many = cold_get(environment)
    row(
        f"uncached GET at {environment.rows:,} deals", ms(at_many), f"at 1,000 deals: {ms(at_a_thousand)}",
        f"{1000 * (at_many - at_a_thousand):+.1f} ms", "≤ +20 ms",
    )  # fmt: skip


def cold_get(environment: BenchEnvironment) -> float:
    """Return the median seconds of an uncached response; each request is new."""
    times = []
    for limit in range(5, 5 + 20):
        environment.clear_cache()
        times.append(timed(lambda limit=limit: environment.server.get(f"{RANKING}?limit={limit}")))  # type: ignore[misc]
    return statistics.median(times)
