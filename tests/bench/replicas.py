"""Read replicas: the CPU time of the primary for statistics that replicas compute."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final

from tests import services
from tests.bench.environment import Backends, BenchEnvironment
from tests.bench.table import interleaved_medians, ms, print_row

_QUESTIONS: Final = 20
_STATS: Final = {
    "month": "{dealStats(by: [MONTH], orderBy: DATE_ASC, limit: 100) {nodes {month total dealCount}}}",
    "customer and year": "{dealStats(by: [CUSTOMER, YEAR], limit: 100) {nodes {year total dealCount}}}",
}


def bench(servers: Backends, settings: Mapping[str, str], rows: int) -> None:
    """Measure a service with two replicas, alternately with one that reads the primary."""
    assert servers.postgres is not None
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(servers.environment(settings, rows))
        primary.activate("ordinary")
        urls = [stack.enter_context(services.standby(servers.postgres))[1] for _ in range(2)]
        replicated = stack.enter_context(
            servers.environment({**settings, "DATABASE_REPLICA_URLS": " ".join(urls)}, rows)
        )
        for name, query in _STATS.items():
            baseline, result = interleaved_medians(primary_seconds(primary, query), primary_seconds(replicated, query))
            print_row(
                f"processor time of the primary for `dealStats` by {name} of {rows:,} deals, uncached, two replicas",
                ms(result), f"no replica: {ms(baseline)}", f"{result / baseline:.3f}×", "< 5 ms",
            )  # fmt: skip


def primary_seconds(environment: BenchEnvironment, query: str) -> Callable[[], float]:
    """Return a function that measures the CPU time of the primary for one query."""

    def measure() -> float:
        wait_until_replicated(environment)
        before = environment.postgres_cpu_seconds()
        for _ in range(_QUESTIONS):
            environment.data(query)
        return (environment.postgres_cpu_seconds() - before) / _QUESTIONS

    return measure


def wait_until_replicated(environment: BenchEnvironment) -> None:
    with environment.cursor() as cursor:
        while True:
            cursor.execute("SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication")
            if cursor.fetchone() == (True,):
                return
            time.sleep(0.05)
