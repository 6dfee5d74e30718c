"""Deal files of any size and shape, the same for the same arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

_KINDS = ["Цаворит", "Сапфир", "Рубин", "Яшма", "Танзанит", "Петерсит", "Изумруд", "Алмаз", "Опал", "Гранат", "Топаз"]
_CUTS = ["", "-2", " III", " звёздчатый", "-5"]
_LOGINS = ["resplendent", "bellwether", "buckaroo", "zygote4id3n", "turophile"]
_BEGIN = datetime(2018, 1, 1, tzinfo=UTC).replace(tzinfo=None)

#: Files that are hard in different ways, by what ``write_deals`` takes.
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "ordinary": {},
    "one moment": {"one_moment": True},
    "lopsided": {"lopsided": True, "shuffled": True},
    "many names": {"customers": 100_000, "gems": 100_000},
    "long names": {"customers": 100_000, "long_names": True},
    "many gems each": {"customers": 100, "gems": 10_000},
}

#: Rows with names of the maximum length that fit the published limit of 128 MiB.
LONG_NAME_ROWS: Final = 120_000


def write_deals(
    path: Path,
    rows: int,
    *,
    customers: int = 2_000,
    gems: int = 55,
    one_moment: bool = False,
    lopsided: bool = False,
    shuffled: bool = False,
    long_names: bool = False,
    seed: int = 1,
) -> None:
    """``rows`` deals of ``customers`` clients in ``gems`` gems, in the order of their dates unless ``shuffled``.

    ``one_moment``: all dates are equal. ``lopsided``: one client and one gem have nearly all deals.
    ``long_names``: clients' names are as long as they may be, in characters and in bytes, and differ at their ends.
    """
    chance = random.Random(seed)  # noqa: S311
    every = min(rows, gems)
    names = [f"{kind}{cut}" for kind in _KINDS for cut in _CUTS]
    names += [f"{_KINDS[number % 11]} {number}" for number in range(len(names), every)]
    logins = [f"{chance.choice(_LOGINS)}{number}" for number in range(min(rows, customers))]
    if long_names:
        logins = [f"{'💎' * 249}{number:06d}" for number in range(len(logins))]
    choose = _mostly_one if lopsided else _any
    login, gem = choose(chance, logins), choose(chance, names[:every])
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("customer,item,total,quantity,date\n")
        for number in range(rows):
            place = chance.randrange(rows) if shuffled else number
            seconds = 0 if one_moment else place * 97 + chance.random() * 90
            date = _BEGIN + timedelta(seconds=seconds)
            file.write(
                f"{login()},{gem()},{chance.randrange(1, 9000)},{chance.randrange(1, 50)},{date.isoformat(' ')}\n"
            )


def _any(chance: random.Random, names: Sequence[str]) -> Callable[[], str]:
    return lambda: chance.choice(names)


def _mostly_one(chance: random.Random, names: Sequence[str]) -> Callable[[], str]:
    return lambda: names[0] if chance.random() < 0.99 else chance.choice(names)
