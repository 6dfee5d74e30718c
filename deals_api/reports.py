"""What the service answers: one function per question, alike for every face.

Each is handed the upload that the request saw first and reads nothing but its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from deals_api import store
from deals_api.cache import Lease
from deals_api.models import Customer, Purchase, Upload

#: The upload to answer from, to be called once in each request; None before the first upload.
current_upload: Lease[Upload] = Lease(Upload.objects.current_and_change, store.sweep_in_background)


@dataclass(frozen=True, slots=True)
class TopClient:
    """A place in the ranking."""

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
    clients = richest(upload, limit)
    gems = shared_gems([client.pk for client in clients])
    return [TopClient(client.username, client.spent_money, gems[client.pk]) for client in clients]


def richest(upload: Upload, limit: int) -> list[Customer]:
    """The customers of the ranking, in its order, with no more than it needs."""
    return list(Customer.objects.of(upload).by_spending().only("username", "spent_money", "gem_count")[:limit])


def shared_gems(customer_ids: list[int]) -> dict[int, list[str]]:
    """The names of the gems that each of these customers shares with another of them, sorted."""
    gems: dict[int, list[str]] = {customer_id: [] for customer_id in customer_ids}
    for customer_id, gem in Purchase.objects.shared_by(customer_ids).values_list("customer", "gem__name"):
        gems[customer_id].append(gem)
    return {customer_id: sorted(names) for customer_id, names in gems.items()}
