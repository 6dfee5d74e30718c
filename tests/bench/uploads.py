"""Time and memory of uploads, compared with a load by the database's client into a table without an index."""

from __future__ import annotations

import contextlib
import csv
import shutil
import sqlite3
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Final

import psycopg2

from deals_api.limits import Limits
from tests import services
from tests.bench.environment import Backends, BenchEnvironment
from tests.bench.files import DATASETS, LONG_NAME_ROWS, write_deals, write_swapped
from tests.bench.table import interleaved, ms_or_seconds, print_row, timed

#: The smallest accepted value: the third upload deletes the rows of the first one.
RETAINED: Final = 2
SETTINGS: Final = {"WEB_WORKERS": "1", "KEEP_UPLOADS": str(RETAINED), "COMPUTATIONS_PER_MINUTE": "0"}
_ROUNDS: Final = 7
_CUSTOMERS: Final = 100_000
_numbers = count()


def bench(backends: Backends, rows: int) -> None:
    """Load the ordinary file."""
    file = backends.folder / "loading.csv"
    write_deals(file, rows)
    bench_file(backends, file, f"{rows:,} rows", "≤ 3.5× (aim: 3×)")


def bench_demanding(backends: Backends, rows: int) -> None:
    """Load the accepted files that need most time or memory."""
    file = backends.folder / "demanding.csv"
    write_deals(file, rows, customers=_CUSTOMERS, gems=100)
    bench_file(backends, file, f"{rows:,} rows, 100,000 customers × 100 gems", "≤ 9× (aim: 6×)")
    long_names = min(rows, LONG_NAME_ROWS)
    write_deals(file, long_names, **DATASETS["long names"])
    bench_file(backends, file, f"{long_names:,} rows, names of 255 characters", "")
    pairs = min(2 * rows, Limits().max_rows)
    write_deals(file, pairs, customers=_CUSTOMERS, gems=_CUSTOMERS, distinct_pairs=True, equal_dates=True)
    bench_file(backends, file, f"{pairs:,} rows with distinct pairs of customer and gem", "")


def bench_file(backends: Backends, file: Path, name: str, goal: str) -> None:
    with backends.with_new_database(f"loads_{next(_numbers)}").environment(SETTINGS) as environment:
        idle = environment.peak_megabytes()
        measure_loads(environment, file).print_row(name, goal)
        peak = environment.peak_megabytes()
    print_row(
        f"peak memory of the loading process, {name}", f"{peak:.0f} MB", f"before the first load: {idle:.0f} MB",
        "", "≤ 150 MB (aim: 120 MB)",
    )  # fmt: skip


@dataclass(frozen=True)
class Loads:
    """Seconds of several uploads of a file."""

    baseline: str
    baselines: list[float]
    uploads: list[float]
    #: From the response to the third and each later upload until the rows of an older one are deleted.
    prunes: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(upload / base for base, upload in zip(self.baselines, self.uploads, strict=True))

    def print_row(self, name: str, goal: str) -> None:
        result, baseline = statistics.median(self.uploads), statistics.median(self.baselines)
        print_row(
            f"POST of {name}", ms_or_seconds(result), f"{self.baseline}: {ms_or_seconds(baseline)}",
            f"{self.ratio:.1f}×", goal,
        )  # fmt: skip


def measure_loads(environment: BenchEnvironment, file: Path) -> Loads:
    """Load the file repeatedly into a service with ``SETTINGS``; it is current at the end."""
    swapped = file.with_suffix(".swapped.csv")  # the service does not load the current file again
    write_swapped(file, swapped)
    baseline, bare_load_seconds = bare_load(environment)
    files, uploads = cycle((file, swapped)), cycle((file, swapped))
    figures = interleaved(
        lambda: bare_load_seconds(next(files)),
        lambda: timed(lambda: environment.upload(next(uploads))),
        lambda: timed(lambda: environment.wait_until_pruned(RETAINED)),
        rounds=_ROUNDS,
    )
    bare, loads, prunes = map(list, zip(*figures, strict=True))
    return Loads(baseline, bare, loads, prunes[RETAINED:])


# Baselines

_BARE_TABLE: Final = (
    "DROP TABLE IF EXISTS bare;"
    "CREATE TABLE bare (customer text, item text, total numeric(14,2), quantity integer, date {timestamp})"
)


def bare_load(environment: BenchEnvironment) -> tuple[str, Callable[[Path], float]]:
    """Return the name of the baseline, and a function that loads a file into a table with typed columns and no index.

    The function returns the seconds of the load.
    """
    if environment.postgres is not None:
        return r"`\copy`, no index", lambda file: copy_seconds(environment.database_url, file)
    database = environment.folder / "bare.sqlite3"
    if program := shutil.which("sqlite3"):
        return "`sqlite3 .import`, no index", lambda file: import_seconds(program, database, file)
    return (
        "`executemany` of Python's `sqlite3` with `csv.reader`, because `sqlite3` is not installed, no index",
        lambda file: executemany_seconds(database, file),
    )


def copy_seconds(database_url: str, file: Path) -> float:
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_BARE_TABLE.format(timestamp="timestamptz"))
    copy = rf"\copy bare FROM '{file}' WITH (FORMAT csv, HEADER)"
    psql = services.postgres_binaries() / "psql"
    return timed(lambda: subprocess.run([psql, database_url, "-qc", copy], check=True))


def import_seconds(program: str, database: Path, file: Path) -> float:
    _create_bare_table(database)
    load = f'.import --csv --skip 1 "{file}" bare'
    return timed(lambda: subprocess.run([program, database, load], check=True))


def executemany_seconds(database: Path, file: Path) -> float:
    _create_bare_table(database)

    def load() -> None:
        with contextlib.closing(sqlite3.connect(database)) as connection, file.open(newline="") as text, connection:
            rows = csv.reader(text)
            next(rows)
            connection.executemany("INSERT INTO bare VALUES (?, ?, ?, ?, ?)", rows)

    return timed(load)


def _create_bare_table(database: Path) -> None:
    database.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(_BARE_TABLE.format(timestamp="text"))
