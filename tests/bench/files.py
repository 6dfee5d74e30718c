"""Generated files of deals, the same for the same arguments."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

_KINDS = ["Цаворит", "Сапфир", "Рубин", "Яшма", "Танзанит", "Петерсит", "Изумруд", "Алмаз", "Опал", "Гранат", "Топаз"]
_CUTS = ["", "-2", " III", " звёздчатый", "-5"]
_USERNAMES = ["resplendent", "bellwether", "buckaroo", "zygote4id3n", "turophile"]
_FIRST_DATE = datetime(2018, 1, 1, tzinfo=UTC).replace(tzinfo=None)

#: Files that are expensive in different ways: the arguments of ``write_deals`` by name.
DATASETS: Final[dict[str, dict[str, Any]]] = {
    "ordinary": {},
    "equal dates": {"equal_dates": True},
    "skewed": {"skewed": True, "shuffled": True},
    "many names": {"customers": 100_000, "gems": 100_000},
    "long names": {"customers": 100_000, "long_names": True},
    "many names, half changed": {"customers": 100_000, "gems": 100_000, "half_changed": True},
    "many gems per customer": {"customers": 100, "gems": 10_000},
    "one customer after the other": {"customers": 100, "by_customer": True},
}

#: Rows with names of the maximum length that fit the published limit of 128 MiB.
LONG_NAME_ROWS: Final = 120_000


def write_deals(
    path: Path,
    rows: int,
    *,
    customers: int = 2_000,
    gems: int = 55,
    equal_dates: bool = False,
    skewed: bool = False,
    shuffled: bool = False,
    long_names: bool = False,
    half_changed: bool = False,
    distinct_pairs: bool = False,
    by_customer: bool = False,
    seed: int = 1,
) -> None:
    """Write ``rows`` deals in the order of their dates, or in random order if ``shuffled``.

    ``equal_dates``: all dates are equal. ``skewed``: one customer and one gem have nearly all deals.
    ``long_names``: usernames have the maximum length in characters and in bytes, and differ in their last characters.
    ``half_changed``: the totals of every second customer are higher by 1. ``distinct_pairs``: no two deals have the
    same customer and gem, up to the square of the number of customers, which equals that of gems. ``by_customer``: all
    deals of one customer, then those of the next one.
    """
    rng = random.Random(seed)  # noqa: S311
    gem_count = min(rows, gems)
    names = [f"{kind}{cut}" for kind in _KINDS for cut in _CUTS]
    names += [f"{_KINDS[number % 11]} {number}" for number in range(len(names), gem_count)]
    usernames = [f"{rng.choice(_USERNAMES)}{number}" for number in range(min(rows, customers))]
    if long_names:
        usernames = [f"{'💎' * 249}{number:06d}" for number in range(len(usernames))]
    choose = _mostly_first if skewed else _uniform
    username, gem = choose(rng, usernames), choose(rng, names[:gem_count])
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("customer,item,total,quantity,date\n")
        for number in range(rows):
            position = rng.randrange(rows) if shuffled else number
            seconds = 0 if equal_dates else position * 97 + rng.random() * 90
            date = _FIRST_DATE + timedelta(seconds=seconds)
            name, item, total = username(), gem(), rng.randrange(1, 9000)
            if distinct_pairs:
                row, column = divmod(number, len(usernames))
                name, item = usernames[column], names[(row + column) % gem_count]
            if by_customer:
                name = usernames[number * len(usernames) // rows]
            total += half_changed and int(name[-1]) % 2
            file.write(f"{name},{item},{total},{rng.randrange(1, 50)},{date.isoformat(' ')}\n")


def write_swapped(source: Path, target: Path) -> None:
    """Write the same deals as another file, with the first two in the opposite order."""
    with source.open("rb") as deals, target.open("wb") as file:
        header, first, second = (deals.readline() for _ in range(3))
        file.write(header + second + first)
        shutil.copyfileobj(deals, file)


def _uniform(rng: random.Random, names: Sequence[str]) -> Callable[[], str]:
    return lambda: rng.choice(names)


def _mostly_first(rng: random.Random, names: Sequence[str]) -> Callable[[], str]:
    return lambda: names[0] if rng.random() < 0.99 else rng.choice(names)
