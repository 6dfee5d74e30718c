"""Random files, with ties, equal dates, extreme amounts, and names that databases may compare differently."""

from __future__ import annotations

import random
import unicodedata
from datetime import UTC, datetime, timedelta

from tests.oracle.model import HEADER, Deal, File


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


NAMES = [
    "ann", "Ann", "ANN", "anna", "bob", "Zoe", "zoe", "Ёлка", "Елка", "ёлка", "яшма", "Яшма", "straße", "STRASSE",
    "İda", "ida", "Ida", "ﬁre", "fire", "é", "É", "e", "naïve", "a b", "a_b", "a%b", "100%", "a*b", "a\\b", "a'b",
    "👩\u200d🔬", "\uffee", "😀", "Σίσυφος", "ΣΊΣΥΦΟΣ", "x" * 40, "x" * 41, "~", "!", "Ω", "ω",
]  # fmt: skip
AMOUNTS = [0, 1, 50, 99, 100, 101, 10_000, 61_200, 99_999_999_999_999]
DATES = [
    utc(1, 1, 1), utc(1, 1, 3), utc(999, 12, 31, 23, 59, 59, 999_999), utc(1900, 1, 1), utc(1969, 12, 31, 12),
    utc(2018, 12, 31), utc(2019, 1, 1, 0, 0, 0, 1), utc(2020, 2, 29, 3, 4, 5, 500_000), utc(2020, 3, 1),
    utc(2020, 3, 31, 23, 59, 59, 999_999), utc(2020, 4, 1), utc(2021, 1, 3, 23), utc(2021, 1, 4),
    utc(9999, 12, 29), utc(9999, 12, 31, 23, 59, 59, 999_999),
]  # fmt: skip


def random_file(rng: random.Random, number: int) -> tuple[File, bytes]:
    """Return a file and its bytes."""
    deals = _random_deals(rng)
    content = "\n".join([HEADER, *(_line(rng, deal) for deal in deals), ""]).encode()
    return File(f"{number}.csv", content, deals), content


def _random_deals(rng: random.Random) -> list[Deal]:
    names = rng.sample(NAMES, rng.randint(2, 12))
    customers, gems = names[: rng.randint(1, len(names) - 1)], names[rng.randint(0, 1) :]
    amounts = rng.sample(AMOUNTS, rng.randint(1, 4)) + [rng.randrange(10**6) for _ in range(rng.randint(0, 3))]
    dates = rng.sample(DATES, rng.randint(1, 4)) + [
        utc(2019, 1, 1) + timedelta(seconds=rng.randrange(5 * 10**7)) for _ in range(rng.randint(0, 6))
    ]
    return [
        Deal(
            number, rng.choice(customers), rng.choice(gems), rng.choice(amounts), rng.choice([1, 1, 2, 3, 999_999_999]),
            rng.choice(dates),
        )
        for number in range(1, rng.choice([1, 3, 10, 30, 60]) + 1)
    ]  # fmt: skip


def _line(rng: random.Random, deal: Deal) -> str:
    """Return the line of a deal, with one of several spellings of its names and its date."""
    names = (rng.choice([name, f" {name} ", unicodedata.normalize("NFD", name)]) for name in (deal.customer, deal.gem))
    hours = rng.choice([0, 0, 0, 3, -5])
    try:
        local, offset = deal.date + timedelta(hours=hours), f"{hours:+03}:00" if hours else ""
    except OverflowError:
        local, offset = deal.date, ""
    money = f"{deal.total // 100}.{deal.total % 100:02}"
    return ",".join([*names, money, str(deal.quantity), local.replace(tzinfo=None).isoformat(" ") + offset])
