"""Rows that were read together, and what is read once for all of them.

That is what keeps every relation from costing a statement a row: whoever first asks a row for its
relation has it read for all rows of the batch, and the others find it ready. It takes no look-ahead,
so aliases, fragments and arguments of any kind are alike to it. Knows no GraphQL.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar
from weakref import ref

from django.db import models

T = TypeVar("T")
Row = TypeVar("Row")


class Peers:
    """One batch of rows, and what was read for all of them, by what was asked.

    The rows refer to it, and it refers to them weakly: a cycle would keep megabytes of names until the garbage
    collector looks for cycles, which it does by the number of objects and not by their size.
    """

    def __init__(self, rows: list[Any]) -> None:
        self._rows = [ref(row) for row in rows]
        self._ready: dict[Hashable, Any] = {}

    def once(self, question: Hashable, read: Callable[[list[Any]], T]) -> T:
        """What ``read`` makes of all rows, read once for each question."""
        if question not in self._ready:
            self._ready[question] = read([row for one in self._rows if (row := one()) is not None])
        answer: T = self._ready[question]
        return answer


def link_peers(rows: Iterable[Row]) -> list[Row]:
    """The rows, made peers of each other."""
    batch = list(rows)
    peers = Peers(batch)
    for row in batch:
        row.peers = peers  # type: ignore[attr-defined]  # they are ours, and live as long as one operation
    return batch


def peers_of(row: Any) -> Peers:
    """The batch that a row came in; a row that came alone is its own."""
    if not hasattr(row, "peers"):
        link_peers([row])
    peers: Peers = row.peers
    return peers


def related_object(row: Any, column: str, model: type[models.Model]) -> Any:
    """The row of ``model`` that ``column`` names; one statement for all peers."""

    def read(rows: list[Any]) -> dict[Any, Any]:
        keys = {getattr(one, column) for one in rows}
        found = link_peers(model._default_manager.filter(pk__in=keys))
        return {one.pk: one for one in found}

    return peers_of(row).once(column, read)[getattr(row, column)]
