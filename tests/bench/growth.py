"""Growth of load, memory, reads, exports and deletion with the number of deals, on both databases."""

from __future__ import annotations

import statistics
from functools import partial
from typing import Final

from tests.bench import exports, graphql, rest, uploads
from tests.bench.environment import Backends, BenchEnvironment
from tests.bench.files import write_deals
from tests.bench.table import GROWTH, begin_table, interleaved_medians, median_of, ms_or_seconds, print_row, timed

#: The published limits reject the largest file, or some of the queries.
_LIMITS: Final = {
    "MAX_ROWS": "100000000",
    "MAX_UPLOAD_BYTES": str(2**34),
    "MAX_NODES": "1000000000",
    "MAX_GROUPS": "100000000",
    "MAX_QUERY_SECONDS": "3600",
    "MAX_EXPORT_SECONDS": "3600",
}
_SMALLEST: Final = 1_000


def bench(backends: Backends, rows: int) -> None:
    """Measure files of up to ten times ``rows`` deals; print the goals for the large ones, then the table of growth."""
    sizes = sorted({max(_SMALLEST, rows // 1000), max(_SMALLEST, rows // 10), rows})
    columns = {}
    for size in [*sizes, 10 * rows]:
        write_deals(backends.folder / f"{size}.csv", size)
        with backends.with_new_database(f"growth_{size}").environment(uploads.SETTINGS | _LIMITS, size) as large:
            columns[f"PostgreSQL, {size:,}"] = measure(large, "")
            if size > rows:
                graphql.bench_large_stats(large)
    for size in sizes:
        with backends.with_sqlite(f"growth_{size}").environment(uploads.SETTINGS | _LIMITS, size) as environment:
            columns[f"SQLite, {size:,}"] = measure(environment, "≤ 15× (aim: 6×)" if size == rows else "")
    begin_table(GROWTH, ["measurement", *columns])
    for measurement in next(iter(columns.values())):
        print_row(measurement, *(column[measurement] for column in columns.values()))


def measure(environment: BenchEnvironment, goal: str) -> dict[str, str]:
    """Return the cells of a column by measurement; print the row of a load that has a goal."""
    loads = uploads.measure_loads(environment, environment.folder / f"{environment.rows}.csv")
    peak = environment.peak_megabytes()
    if goal:
        loads.print_row(f"{environment.rows:,} rows, SQLite", goal)
    environment.vacuum()
    uncached = rest.uncached_seconds(environment)
    first_page, last_page, *_ = graphql.ends_of_list(environment, "DATE_ASC")
    by_gem, by_gem_and_month = interleaved_medians(
        median_of(partial(environment.data, graphql.BY_GEM), 3),
        median_of(partial(environment.data, graphql.BY_GEM_AND_MONTH), 3),
    )
    cpu: list[float] = []

    def export_seconds() -> float:
        before = environment.worker_cpu_seconds()
        seconds = timed(lambda: exports.download(environment, exports.CSV))
        cpu.append(environment.worker_cpu_seconds() - before)
        return seconds

    (export,) = interleaved_medians(export_seconds)
    return {
        "POST; relative to the load without an index":
            f"{ms_or_seconds(statistics.median(loads.uploads))}; {loads.ratio:.1f}×",
        "peak memory of the loading process": f"{peak:.0f} MB",
        "uncached GET": ms_or_seconds(uncached),
        "first page of deals by date; last page": f"{ms_or_seconds(first_page)}; {ms_or_seconds(last_page)}",
        "`dealStats` by gem": ms_or_seconds(by_gem),
        "`dealStats` by gem and month": ms_or_seconds(by_gem_and_month),
        "export as CSV; CPU of the service": f"{ms_or_seconds(export)}; {ms_or_seconds(statistics.median(cpu))}",
        "deletion of the rows of an upload": ms_or_seconds(statistics.median(loads.prunes)),
    }  # fmt: skip
