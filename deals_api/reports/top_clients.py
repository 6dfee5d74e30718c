"""What the service answers: one function per question, alike for every face.

Each is handed the upload that the request saw first and reads nothing but its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Coalesce, Length

from deals_api.models import Customer, Purchase, Upload
from deals_api.response_size import check_response_size

#: The quotation marks and the comma of a name in a list.
_AROUND_A_NAME: Final = 3
_MAX_NAME_BYTES: Final = 4 * 255 + _AROUND_A_NAME


@dataclass(frozen=True, slots=True)
class TopClient:
    """A place in the ranking."""

    username: str
    spent_money: Decimal
    gems: list[str]


def top_clients(upload: Upload, limit: int, *, bounded: bool = True) -> list[TopClient]:
    """Clients who spent most in one upload, in two statements, or three where the gems may be many.

    Shape:  richest first, at most ``limit`` places, equal sums by username; ``gems`` are those that
            at least two of these clients bought, by name.
    Units:  spent_money in the file's currency, exact to two decimals.
    Source: the brief, "GET, the processed data".
    Raises: ResponseTooLarge, if ``bounded`` and the names of the gems alone are over ``MAX_RESPONSE_BYTES``.
    """
    clients = richest(upload, limit)
    gems = shared_gems({client.pk: client.gem_count for client in clients}, bounded=bounded)
    return [TopClient(client.username, client.spent_money, gems[client.pk]) for client in clients]


def richest(upload: Upload, limit: int) -> list[Customer]:
    """The customers of the ranking, in its order, with no more than it needs."""
    return list(Customer.objects.of(upload).by_spending().only("username", "spent_money", "gem_count")[:limit])


def shared_gems(gem_counts: dict[int, int], *, bounded: bool = True) -> dict[int, list[str]]:
    """The names of the gems that each of these customers shares with another of them, sorted.

    ``gem_counts`` has the number of different gems of each customer, by id.
    Raises: as ``top_clients``.
    """
    purchases = Purchase.objects.shared_by(list(gem_counts))
    if bounded and sum(gem_counts.values()) * _MAX_NAME_BYTES > settings.DEALS_LIMITS.max_response_bytes:
        # Measured before they are read: two million names of 255 emoji are 2 GB.
        measured = purchases.aggregate(characters=Coalesce(Sum(Length("gem__name") + _AROUND_A_NAME), 0))
        check_response_size(measured["characters"])
    gems: dict[int, list[str]] = {customer_id: [] for customer_id in gem_counts}
    for customer_id, gem in purchases.values_list("customer", "gem__name"):
        gems[customer_id].append(gem)
    return {customer_id: sorted(names) for customer_id, names in gems.items()}
