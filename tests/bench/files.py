"""Deal files of any size, the same for the same arguments."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

_KINDS = ["Цаворит", "Сапфир", "Рубин", "Яшма", "Танзанит", "Петерсит", "Изумруд", "Алмаз", "Опал", "Гранат", "Топаз"]
_LOGINS = ["resplendent", "bellwether", "buckaroo", "zygote4id3n", "turophile"]


def write_deals(path: Path, rows: int, *, customers: int = 2_000, seed: int = 1) -> None:
    """``rows`` deals of ``customers`` clients in 55 gems, in the order of their dates."""
    chance = random.Random(seed)  # noqa: S311
    gems = [f"{kind}{cut}" for kind in _KINDS for cut in ("", "-2", " III", " звёздчатый", "-5")]
    logins = [f"{chance.choice(_LOGINS)}{number}" for number in range(customers)]
    begin = datetime(2018, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("customer,item,total,quantity,date\n")
        for number in range(rows):
            date = begin + timedelta(seconds=number * 97 + chance.random() * 90)
            file.write(
                f"{chance.choice(logins)},{chance.choice(gems)},{chance.randrange(1, 9000)},"
                f"{chance.randrange(1, 50)},{date.isoformat(' ')}\n"
            )
