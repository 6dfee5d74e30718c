"""Print the table of results: medians, measured in turns with their baselines."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

ROUNDS = 5


def heading() -> None:
    print("| what | measured | yardstick | ratio | goal |\n| --- | --- | --- | --- | --- |")


def row(what: str, measured: str, yardstick: str, ratio: str, goal: str) -> None:
    print(f"| {what} | {measured} | {yardstick} | {ratio} | {goal} |", flush=True)


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def in_turns(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """The median of each measure, all taken in each round, since machines are noisy."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return [statistics.median(figures) for figures in zip(*taken, strict=True)]


def ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"
