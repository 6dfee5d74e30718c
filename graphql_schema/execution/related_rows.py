"""Lists of child rows, such as the deals of a customer, loaded for all peers of the parent row at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import strawberry
from django.db.models import Model, QuerySet

from deals_api.models import SnapshotRow
from graphql_schema.execution.batching import peers_of
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.pagination import CursorSide, PageSpec, RowsByParent, RowSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Relation:
    """A one-to-many relation."""

    model: type[Model]
    #: The lookup path from a child row to the id of its parent.
    parent_path: str
    #: The column of the parent that stores the number of its child rows.
    count_column: str


class RelatedRows(RowSource[Any]):
    """The child rows of one parent.

    ``filtered`` returns the queryset of the child rows if the list has a filter. It is called when a statement
    is about to be executed.
    """

    def __init__(
        self,
        relation: Relation,
        parent: SnapshotRow,
        info: strawberry.Info[OperationContext, None],
        filtered: Callable[[], QuerySet[Any]] | None = None,
    ) -> None:
        self.relation = relation
        self.upload = info.context.upload_of(parent)
        self._parent = parent
        self._budget = info.context.budget
        #: The peers of the parent share the field in the document, and so its arguments.
        self._field_key = id(info._raw_info.field_nodes[0])
        self._filtered = filtered

    def read_page(self, spec: PageSpec[Any]) -> list[Any]:
        def load(parents: list[Any]) -> dict[int, list[Any]]:
            return self._rows_of(parents, ranked=True).pages(spec)

        return self._load_once("page", load)[self._parent.pk]

    def count(self) -> int:
        if self._filtered is None:
            return int(getattr(self._parent, self.relation.count_column))
        return self._load_once("count", lambda parents: self._rows_of(parents).counts())[self._parent.pk]

    def has_rows_outside(self, spec: PageSpec[Any], side: CursorSide) -> bool:
        def load(parents: list[Any]) -> set[int]:
            return self._rows_of(parents).with_rows_outside(spec, side)

        return self._parent.pk in self._load_once(side, load)

    def _load_once(self, part: Hashable, load: Callable[[list[Any]], T]) -> T:
        return peers_of(self._parent).load_once((self._field_key, part), load)

    def _rows_of(self, parents: list[Any], *, ranked: bool = False) -> RowsByParent[Any]:
        """Charge for reading the lists of these parents, and return them.

        ``ranked``: the statement sorts the rows of each parent.
        """
        # Several rows may have led to the same parent.
        counts = {parent.pk: getattr(parent, self.relation.count_column) for parent in parents}
        number = sum(counts.values())
        if ranked and len(counts) > 1:
            self._budget.rank_rows(number, elsewhere="__" in self.relation.parent_path)
        else:
            self._budget.fetch_rows(number)
        rows = self._filtered() if self._filtered else self.relation.model._default_manager.all()
        return RowsByParent(rows, self.relation.parent_path, list(counts))
