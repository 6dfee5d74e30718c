"""Batch loading: one statement loads a relation for all rows that were read together.

The first access to a relation loads it for all peers of the row, so a relation costs one statement and not one per
row. This needs no look-ahead in the document, so aliases, fragments and arguments make no difference. "Peers" is
the term of Django's own fetch modes (``FETCH_PEERS``); Strawberry's DataLoader works in asynchronous code only.
This module does not depend on GraphQL.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar
from weakref import ref

from django.db import models

T = TypeVar("T")
Row = TypeVar("Row")


class Peers:
    """Rows that were read together, and the results loaded for all of them.

    The rows refer to this object, which has weak references to them. In a reference cycle, megabytes of names would
    stay in memory until the garbage collector runs, which depends on the number of objects and not on their size.
    """

    def __init__(self, rows: list[Any]) -> None:
        self._rows = [ref(row) for row in rows]
        self._results: dict[Hashable, Any] = {}

    def load_once(self, key: Hashable, load: Callable[[list[Any]], T]) -> T:
        """Call ``load`` with all rows, once per key, and return its result."""
        if key not in self._results:
            rows = [row for reference in self._rows if (row := reference()) is not None]
            self._results[key] = load(rows)
        result: T = self._results[key]
        return result


def link_peers(rows: Iterable[Row]) -> list[Row]:
    """Make the rows peers of each other and return them."""
    batch = list(rows)
    peers = Peers(batch)
    for row in batch:
        row.peers = peers  # type: ignore[attr-defined]  # Read by ``peers_of``.
    return batch


def peers_of(row: Any) -> Peers:
    """Return the peers of a row, including the row itself."""
    if not hasattr(row, "peers"):
        link_peers([row])
    peers: Peers = row.peers
    return peers


def related_object(row: Any, column: str, model: type[models.Model]) -> Any:
    """Return the ``model`` instance whose primary key is in ``column``, loaded for all peers of the row."""

    def load(rows: list[Any]) -> dict[Any, Any]:
        keys = {getattr(peer, column) for peer in rows}
        found = link_peers(model._default_manager.filter(pk__in=keys))
        return {instance.pk: instance for instance in found}

    return peers_of(row).load_once(column, load)[getattr(row, column)]
