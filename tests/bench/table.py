"""Tables of results: medians, measured alternately with their baselines; and their copies in files."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.servers import ROOT

ROUNDS: Final = 5
#: After a first round of more seconds, fewer rounds are enough.
LONG_ROUND_SECONDS: Final = 20
FEW_ROUNDS: Final = 3
COLUMNS: Final = ("measurement", "result", "baseline", "ratio", "goal")
#: Headings of the tables.
SHORT_FORM, LONG_FORM, GROWTH = "Short form", "Long form", "Growth"
RESULTS: Final = Path(__file__).with_name("results.json")
DOCUMENT: Final = ROOT / "tests" / "README.md"


@dataclass
class _Table:
    """A printed table; ``heading`` is that of its section in the document."""

    heading: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)


_tables: list[_Table] = []


def begin_table(heading: str, columns: Sequence[str] = COLUMNS) -> None:
    """Print the header of a table, to which ``print_row`` adds rows."""
    _tables.append(_Table(heading, columns))
    print(f"\n{heading}\n\n{_header(columns)}", flush=True)


def print_row(*cells: str) -> None:
    _tables[-1].rows.append(cells)
    print(_line(cells), flush=True)


def _header(columns: Sequence[str]) -> str:
    return f"{_line(columns)}\n{_line(['---'] * len(columns))}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# Files


def save_tables() -> None:
    """Store the printed tables, with the date, in the file of results and in the document."""
    results, document = json.loads(RESULTS.read_text()), DOCUMENT.read_text()
    for table in _tables:
        results[table.heading] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "columns": table.columns, "rows": table.rows}
        document = replace_table(document, table.heading, results[table.heading])
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    DOCUMENT.write_text(document)


def replace_table(document: str, heading: str, results: Mapping[str, Any]) -> str:
    """Replace the table at the end of the section with this heading, or add it if the section has none."""
    lines = [f"Measured on {results['date']}:", "", _header(results["columns"]), *map(_line, results["rows"])]
    table = "".join(f"{line}\n" for line in lines)
    text = rf"^#+ {re.escape(heading)}\n(?:[^#|\n].*\n|\n)*?"
    section = re.compile(rf"({text})(?:Measured on [-0-9]+:\n\n(?:\|.*\n)+|(?=^#|\Z))", re.MULTILINE)
    replaced, count = section.subn(lambda found: found[1] + table + "\n" * (found[0] == found[1]), document)
    if count != 1:
        raise ValueError(f"{heading!r} is not the heading of one section that can end with a table")
    return replaced


# Measurements


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that the call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[list[float]]:
    """Return the figures of each round; each round takes all measures, because the speed of machines varies."""
    figures: list[list[float]] = []
    start = time.perf_counter()
    while len(figures) < rounds:
        figures.append([measure() for measure in measures])
        if len(figures) == 1 and time.perf_counter() - start > LONG_ROUND_SECONDS:
            rounds = FEW_ROUNDS
    return figures


def interleaved_medians(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """Return the median of each measure over all rounds."""
    return [statistics.median(figures) for figures in zip(*interleaved(*measures, rounds=rounds), strict=True)]


def median_of(action: Callable[[], object], times: int = 10) -> Callable[[], float]:
    """Return a function that returns the median time of several calls."""
    return lambda: statistics.median(timed(action) for _ in range(times))


def ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"


def ms_or_seconds(seconds: float) -> str:
    return ms(seconds) if seconds < 1 else f"{seconds:,.1f} s"
