"""The ranking of the clients who spent most: one report for REST, GraphQL, the exports and the command line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final

from django.conf import settings
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce, Length

from deals_api.models import Customer, Purchase, Upload
from deals_api.response_size import check_response_size
from deals_api.snapshots import replicas

DEFAULT_LIMIT: Final = 5
#: Names of gems that an export reads in one statement.
CHUNK_GEMS: Final = 10_000
#: Bytes of the quotation marks and the comma around a name in a JSON list.
_NAME_DELIMITERS: Final = 3
_MAX_NAME_BYTES: Final = 4 * 255 + _NAME_DELIMITERS


@dataclass(frozen=True, slots=True)
class TopClient:
    """One client in the ranking; ``gems`` is empty if the report was computed without gems."""

    customer_id: int
    username: str
    spent_money: Decimal
    gems: list[str]


def top_clients(
    upload: Upload,
    limit: int,
    *,
    with_gems: bool = True,
    charge: Callable[[int], None] | None = None,
) -> list[TopClient]:
    """Rank the clients of one upload by money spent, in two statements, or three if there may be many gems.

    Shape:  at most ``limit`` clients, highest spending first, equal sums by username; ``gems`` are those
            that at least two of these clients bought, by name.
    Units:  spent_money in the file's currency, exact to two decimals.
    Source: the brief, "GET, the processed data".
    Raises: ResponseTooLarge, if the names of the gems alone exceed ``MAX_RESPONSE_BYTES``;
            any error of ``charge``, which receives the number of purchases before they are read.
    """
    customers = _ranked_customers(upload, limit)
    gems: dict[int, list[str]] = {customer.pk: [] for customer in customers}
    if with_gems:
        purchase_count = sum(customer.gem_count for customer in customers)
        if charge is not None:
            charge(purchase_count)
        may_be_large = purchase_count * _MAX_NAME_BYTES > settings.DEALS_LIMITS.max_response_bytes
        gems |= _shared_gems(upload, list(gems), measure_first=may_be_large)
    return _clients_with_gems(customers, gems)


def iter_top_clients(upload: Upload, limit: int) -> Iterator[list[TopClient]]:
    """Yield the ranking of ``top_clients`` in chunks, so that only the gem names of one chunk are in memory."""
    customers, shared = replicas.read(upload, partial(_ranked_customers_and_shared_gems, upload, limit))
    for chunk in _chunks_by_gem_count(customers):
        yield replicas.read(upload, partial(_with_shared_gems, upload, chunk, shared))


def _ranked_customers_and_shared_gems(upload: Upload, limit: int) -> tuple[list[Customer], set[int]]:
    customers = _ranked_customers(upload, limit)
    purchases = Purchase.objects.filter(customer__in=[customer.pk for customer in customers])
    by_gem = purchases.values("gem").annotate(buyers=Count("pk")).filter(buyers__gte=2)
    return customers, set(by_gem.values_list("gem", flat=True))


def _with_shared_gems(upload: Upload, customers: list[Customer], shared: Collection[int]) -> list[TopClient]:
    gems: dict[int, list[str]] = {customer.pk: [] for customer in customers}
    purchases = Purchase.objects.filter(customer__in=list(gems)).joined_with_names(upload, ["gem"])
    for customer_id, gem_id, name in purchases.values_list("customer", "gem", "gem__name"):
        if gem_id in shared:
            gems[customer_id].append(name)
    return _clients_with_gems(customers, gems)


def _ranked_customers(upload: Upload, limit: int) -> list[Customer]:
    customers = Customer.objects.for_upload(upload).by_spending()
    return list(customers.only("username", "spent_money", "gem_count")[:limit])


def _chunks_by_gem_count(customers: list[Customer]) -> Iterator[list[Customer]]:
    """Split the customers into chunks with at most ``CHUNK_GEMS`` gems each, or one customer with more."""
    chunk: list[Customer] = []
    gem_count = 0
    for customer in customers:
        if chunk and gem_count + customer.gem_count > CHUNK_GEMS:
            yield chunk
            chunk, gem_count = [], 0
        chunk.append(customer)
        gem_count += customer.gem_count
    if chunk:
        yield chunk


def _clients_with_gems(customers: list[Customer], gems: dict[int, list[str]]) -> list[TopClient]:
    return [
        TopClient(customer.pk, customer.username, customer.spent_money, sorted(gems[customer.pk]))
        for customer in customers
    ]


def _shared_gems(upload: Upload, customer_ids: list[int], *, measure_first: bool) -> dict[int, list[str]]:
    """Return, by customer, the names of the gems that at least two of these customers bought.

    Raises: as ``top_clients``.
    """
    purchases = Purchase.objects.shared_by(customer_ids).joined_with_names(upload, ["gem"])
    if measure_first:
        # The database first adds up the lengths, because two million names of 255 emoji would need 2 GB of memory.
        total = purchases.aggregate(characters=Coalesce(Sum(Length("gem__name") + _NAME_DELIMITERS), 0))
        check_response_size(total["characters"])
    gems: dict[int, list[str]] = {}
    for customer_id, gem in purchases.values_list("customer", "gem__name"):
        gems.setdefault(customer_id, []).append(gem)
    return gems
