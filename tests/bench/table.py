"""The table of results: medians, measured alternately with their baselines."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

ROUNDS = 5


def print_header() -> None:
    print("| measurement | result | baseline | ratio | goal |\n| --- | --- | --- | --- | --- |")


def print_row(measurement: str, result: str, baseline: str, ratio: str, goal: str) -> None:
    print(f"| {measurement} | {result} | {baseline} | {ratio} | {goal} |", flush=True)


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
