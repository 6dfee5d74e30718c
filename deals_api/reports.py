"""What the service answers: one function per question, alike for every face.

Each is handed the upload that the request saw first and reads nothing but its rows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from django.db import InterfaceError, OperationalError, connection

from deals_api.cache import Lease
from deals_api.models import Customer, Purchase, Upload


def _read_pointer() -> tuple[Upload | None, bool]:
    try:
        return Upload.objects.current_and_change()
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()  # it was kept open since the last request, and the database may have restarted
        return Upload.objects.current_and_change()


#: The upload to answer from, to be called once in each request; None before the first upload.
current_upload: Lease[Upload] = Lease(_read_pointer)


@dataclass(frozen=True, slots=True)
class TopClient:
    """A place in the ranking."""

    customer_id: int
    username: str
    spent_money: Decimal
    gems: list[str]


def top_clients(upload: Upload, limit: int) -> list[TopClient]:
    """Clients who spent most in one upload, in two statements whatever its size.

    Shape:  richest first, at most ``limit`` places, equal sums by username; ``gems`` are those that
            at least two of these clients bought, by name.
    Units:  spent_money in the file's currency, exact to two decimals.
    Source: the brief, "GET, the processed data".
    """
    richest = list(Customer.objects.of(upload).by_spending().only("username", "spent_money")[:limit])
    shared = Purchase.objects.shared_by([customer.pk for customer in richest])
    gems: dict[int, list[str]] = defaultdict(list)
    for customer_id, gem in shared.values_list("customer", "gem__name"):
        gems[customer_id].append(gem)
    return [
        TopClient(customer.pk, customer.username, customer.spent_money, sorted(gems[customer.pk]))
        for customer in richest
    ]
