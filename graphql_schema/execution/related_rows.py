"""Lists of child rows, such as the deals of a customer, loaded for all peers of the parent at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import strawberry
from django.db.models import QuerySet, Sum

from deals_api.models import SnapshotQuerySet, SnapshotRow
from deals_api.reports.deal_filter import NAME_TABLES, DealSelection, NameTable
from deals_api.reports.filters import DealFilter
from graphql_schema.execution.batching import peers_of
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.filtered_rows import FilteredRows, filtered_rows
from graphql_schema.execution.pagination import CursorSide, Order, PageSpec, RowsByParent, RowSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Relation:
    """A one-to-many relation."""

    model: type[SnapshotRow]
    #: The lookup path from a child row to the id of its parent.
    parent_path: str
    #: The column of the parent that stores the number of its child rows.
    count_column: str
    #: Whether the child rows of a parent are found through an index; otherwise all rows of the upload are read.
    has_index: bool = True

    @property
    def is_joined(self) -> bool:
        """Whether the id of the parent is in another table than the child rows."""
        return "__" in self.parent_path

    @property
    def name_tables(self) -> list[NameTable]:
        """The tables of the child rows that are joined with the ids of their parents."""
        return [table for table in NAME_TABLES.values() if self.is_joined and table.model is self.model]


class RelatedRows(RowSource[Any]):
    """The child rows of one parent.

    ``filtered_rows`` returns the child rows that match the filter of the list. It is called before each statement,
    because it charges for the filter, and for the scan of a relation without an index.
    """

    def __init__(
        self,
        relation: Relation,
        parent: SnapshotRow,
        info: strawberry.Info[OperationContext, None],
        filtered_rows: FilteredRows | None = None,
    ) -> None:
        self.relation = relation
        self.list_name = f"{type(parent).__name__}.{info.field_name}"
        self.upload = info.context.upload_of(parent)
        self._parent = parent
        self._budget = info.context.budget
        #: Peers of the parent with the same field node have the same arguments.
        self._field_key = id(info._raw_info.field_nodes[0])
        self._filtered_rows = filtered_rows

    def read_page(self, spec: PageSpec[Any]) -> list[Any]:
        def load(parents: list[Any]) -> dict[int, list[Any]]:
            return self._read_rows(parents, spec.order).pages(spec)

        return self._load_once("page", load)[self._parent.pk]

    def count(self) -> int:
        if self._filtered_rows is None:
            return int(getattr(self._parent, self.relation.count_column))
        return self._load_once("count", self._count_rows)[self._parent.pk]

    def _count_rows(self, parents: list[Any]) -> dict[int, int]:
        return self._read_rows(parents).counts()

    def has_rows_outside(self, spec: PageSpec[Any], side: CursorSide) -> bool:
        def load(parents: list[Any]) -> set[int]:
            return self._read_rows(parents).with_rows_outside(spec, side)

        return self._parent.pk in self._load_once(side, load)

    def _load_once(self, part: Hashable, load: Callable[[list[Any]], T]) -> T:
        return peers_of(self._parent).load_once((self._field_key, part), load)

    def _read_rows(self, parents: list[Any], order: Order | None = None) -> RowsByParent[Any]:
        """Charge for reading the child rows of these parents, and return them.

        ``order``: the order in which the statement sorts the rows of each parent.
        """
        # The same parent may occur several times.
        counts = {parent.pk: getattr(parent, self.relation.count_column) for parent in parents}
        self._charge(sum(counts.values()), order if len(counts) > 1 else None, order)
        rows: Any = self._all_rows(sum(counts.values()))
        if self.relation.is_joined:  # PostgreSQL would join the rows of all uploads
            rows = rows.in_pk_range(self.upload)
        if order is not None:
            rows = rows.joined_with_names(self.upload, order.relations)
        return RowsByParent(rows, self.relation.parent_path, list(counts), sort_ids=self.relation.has_index)

    def _charge(self, row_count: int, ranked_by: Order | None, order: Order | None) -> None:
        """Charge for reading ``row_count`` child rows, which are found through an index or by a scan, and sorting them.

        ``ranked_by``: the order in which the rows of each parent are ranked.
        """
        relation = self.relation
        if ranked_by:
            tables = {*ranked_by.name_tables, *relation.name_tables}
            extra_characters = sum(table.extra_characters(row_count, self.upload) for table in tables)
            self._budget.rank_rows(row_count, joined=bool(tables), extra_characters=extra_characters)
            return
        if relation.has_index:
            self._budget.fetch_rows(row_count)
        for table in relation.name_tables:
            self._budget.look_up_names(row_count, all_names=table.count(self.upload))
        for table in order.name_tables if order else ():
            self._budget.sort_by_name(row_count, table.count(self.upload), table.characters(self.upload))

    def _all_rows(self, row_count: int) -> QuerySet[Any]:
        """Return the rows from which those of the parents are selected, and charge for a filter or a scan."""
        if self._filtered_rows:
            return self._filtered_rows(row_count)
        rows: SnapshotQuerySet[Any] = self.relation.model._default_manager.all()  # type: ignore[assignment]
        if self.relation.has_index:
            return rows
        self._budget.read_rows(self.upload.deal_count)
        return rows.in_pk_range(self.upload)


class RelatedDeals(RelatedRows):
    """The deals of one customer or gem, which a filter on names counts from their ``purchases``."""

    def __init__(
        self,
        relation: Relation,
        purchases: Relation,
        parent: SnapshotRow,
        info: strawberry.Info[OperationContext, None],
        filter_: DealFilter | None,
    ) -> None:
        scans = not relation.has_index
        super().__init__(
            relation, parent, info, filtered_rows(info, parent, filter_, DealSelection.deals_of, scans=scans)
        )
        self._purchases, self._info, self._filter = purchases, info, filter_

    def _count_rows(self, parents: list[Any]) -> dict[int, int]:
        if self._filter is None or not self._filter.selection().names_only:
            return super()._count_rows(parents)
        matching = filtered_rows(self._info, self._parent, self._filter, DealSelection.purchases_of)
        purchases = RelatedRows(self._purchases, self._parent, self._info, matching)
        return purchases._read_rows(parents).counts(Sum("deal_count"))
