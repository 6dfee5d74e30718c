"""Two machines that serve one database and whose clocks differ by one hour."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from tests.builders import csv_of, deal
from tests.long_form import IS_LONG
from tests.servers import Server, serving

UPLOADS: Final = 500 if IS_LONG else 60
#: A ``sitecustomize`` module, which every Python process of the server imports at its start.
ONE_HOUR_AHEAD: Final = """
import time
from datetime import timedelta
from django.utils import timezone
def shift(clock, by):
    return lambda: clock() + by
time.time, timezone.now = shift(time.time, 3600), shift(timezone.now, timedelta(hours=1))
"""


def test_uploads_succeed_although_clocks_differ(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "sitecustomize.py").write_text(ONE_HOUR_AHEAD)
    settings = environment | {"UPLOADS_PER_MINUTE": "0", "COMPUTATIONS_PER_MINUTE": "0"}
    with (
        serving(tmp_path, **settings) as behind,
        serving(tmp_path, **settings, PYTHONPATH=str(tmp_path)) as ahead,
        ThreadPoolExecutor(8) as pool,
    ):
        assert date_of(ahead) - date_of(behind) > 3000
        numbers = range(UPLOADS)
        statuses = list(pool.map(upload, itertools.cycle([behind, ahead]), numbers))
    assert statuses == [200] * UPLOADS


def upload(server: Server, number: int) -> int:
    return server.upload(csv_of(deal(f"client {number}"))).status_code


def date_of(server: Server) -> float:
    return parsedate_to_datetime(server.get("/health/live").headers["Date"]).timestamp()
