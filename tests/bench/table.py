"""The table of results: medians, measured alternately with their baselines."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

ROUNDS = 5
COLUMNS = ["measurement", "result", "baseline", "ratio", "goal"]
#: The printed rows.
_rows: list[list[str]] = []


def print_header() -> None:
    print(f"| {' | '.join(COLUMNS)} |\n| --- | --- | --- | --- | --- |")


def print_row(measurement: str, result: str, baseline: str, ratio: str, goal: str) -> None:
    row = [measurement, result, baseline, ratio, goal]
    _rows.append(row)
    print(f"| {' | '.join(row)} |", flush=True)


def save_rows(path: Path) -> None:
    """Replace the results of the benchmark in a JSON file with the printed rows."""
    results = json.loads(path.read_text())
    results["benchmark"] |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "columns": COLUMNS, "rows": _rows}
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that the call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved_medians(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """Return the median of each measure; each round takes all of them, because the speed of machines varies."""
    results = [[measure() for measure in measures] for _ in range(rounds)]
    return [statistics.median(figures) for figures in zip(*results, strict=True)]


def ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"
