"""Builders of small deals files."""

from __future__ import annotations

import io
from collections.abc import Iterable

from deals_api.ingest.service import ingest_deals
from deals_api.models import Upload

HEADER = "customer,item,total,quantity,date"


def deal(
    customer: str = "ann", item: str = "ruby", total: str = "10", quantity: str = "1", date: str = "2020-01-02 03:04:05"
) -> str:
    return f"{customer},{item},{total},{quantity},{date}"


def csv_of(*deals: str) -> bytes:
    return "\n".join([HEADER, *deals, ""]).encode()


def load(*deals: str, name: str = "deals.csv") -> Upload:
    """Load a file with these deals."""
    return ingest_deals(io.BytesIO(csv_of(*deals)), name)


def many(count: int, customers: Iterable[str] = ("ann", "bob", "cid")) -> list[str]:
    """Return ``count`` deals with a total of 1, of each customer in turn."""
    names = list(customers)
    return [deal(names[number % len(names)], total="1") for number in range(count)]
