"""The comparison of two uploads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final

import strawberry
from django.db.models import QuerySet

from deals_api import models
from deals_api.errors import UploadNotRetained
from deals_api.global_ids import snapshot_prefix
from deals_api.reports import comparison
from deals_api.reports.comparison import CUSTOMERS, GEMS, ChangeKind, RowChange, RowComparison
from graphql_schema.connections import Connection, connection_field
from graphql_schema.execution.batching import link_peers
from graphql_schema.execution.cost import CostBudget
from graphql_schema.execution.pagination import (
    CursorScope,
    CursorSide,
    Order,
    Page,
    PageArguments,
    PageSpec,
    RowSource,
)
from graphql_schema.scalars import BigInt, register_enum
from graphql_schema.types import Customer, Gem, Info
from graphql_schema.uploads import Upload

register_enum(
    ChangeKind,
    {
        "ADDED": "The name occurs in the head only.",
        "REMOVED": "The name occurs in the base only.",
        "CHANGED": "The name occurs in both uploads, and at least one field of the row other than its id and its lists "
        "differs.",
    },
    description="The differences of customers and gems between two uploads.",
)


# Changes


@strawberry.type(description="A customer that differs between two uploads. Differences are head minus base.")
class CustomerChange:
    row: strawberry.Private[RowChange]
    change: ChangeKind = strawberry.field(description="The kind of the difference.")
    username: str = strawberry.field(description="The customer's username.")
    base: Customer | None = strawberry.field(description="The customer in the base; null if the customer was added.")
    head: Customer | None = strawberry.field(description="The customer in the head; null if the customer was removed.")

    @strawberry.field(description="Difference of the sums of all deals of the customer.")
    def spent_money_difference(self) -> Decimal:
        return self.row.difference("spent_money")

    @strawberry.field(description="Difference of the numbers of deals.")
    def deal_count_difference(self) -> BigInt:
        return self.row.difference("deal_count")

    @strawberry.field(description="Difference of the numbers of different gems that the customer bought.")
    def gem_count_difference(self) -> BigInt:
        return self.row.difference("gem_count")

    @classmethod
    def of(cls, row: RowChange) -> CustomerChange:
        return cls(row=row, change=row.kind, username=row.name, base=row.base, head=row.head)


@strawberry.type(description="A gem that differs between two uploads. Differences are head minus base.")
class GemChange:
    row: strawberry.Private[RowChange]
    change: ChangeKind = strawberry.field(description="The kind of the difference.")
    name: str = strawberry.field(description="The gem's name.")
    base: Gem | None = strawberry.field(description="The gem in the base; null if the gem was added.")
    head: Gem | None = strawberry.field(description="The gem in the head; null if the gem was removed.")

    @strawberry.field(description="Difference of the sums of all deals for the gem.")
    def total_difference(self) -> Decimal:
        return self.row.difference("total")

    @strawberry.field(description="Difference of the numbers of deals.")
    def deal_count_difference(self) -> BigInt:
        return self.row.difference("deal_count")

    @strawberry.field(description="Difference of the numbers of different customers who bought the gem.")
    def buyer_count_difference(self) -> BigInt:
        return self.row.difference("buyer_count")

    @classmethod
    def of(cls, row: RowChange) -> GemChange:
        return cls(row=row, change=row.kind, name=row.name, base=row.base, head=row.head)


class PricedComparison:
    """The comparison of the customers or gems of two uploads; each statement is charged."""

    def __init__(self, compared: RowComparison, budget: CostBudget) -> None:
        self.rows = compared
        self._budget = budget

    @cached_property
    def counts(self) -> comparison.ChangeCounts:
        for _ in range(2):
            self.charge()
        return self.rows.counts

    def charge(self) -> None:
        """Charge for one statement that looks up all rows of an upload in the other one."""
        uploads = (self.rows.base, self.rows.head)
        self._budget.match_names(sum(map(self.rows.row_count, uploads)), sum(map(self.rows.characters, uploads)))


class ChangedRows(RowSource[Any]):
    """The customers or gems with these differences, by name; the rows of both uploads are merged."""

    def __init__(
        self, comparison: PricedComparison, kinds: Collection[ChangeKind], to_node: Callable[[RowChange], Any]
    ) -> None:
        self._comparison = comparison
        self._kinds = kinds
        self._to_node = to_node

    def read_page(self, spec: PageSpec[Any]) -> list[Any]:
        rows: list[models.SnapshotRow] = []
        for queryset in self._querysets():
            rows += spec.read_first(spec.between_cursors(queryset))
        compared = self._comparison.rows
        rows.sort(key=compared.name_of, reverse=spec.from_end)
        changes = compared.changes(rows[: spec.size + 1], self._kinds)
        for side in ("base", "head"):  # The additional row is not returned, so its relations are not loaded.
            link_peers(row for change in changes[: spec.size] if (row := getattr(change, side)) is not None)
        return list(map(self._to_node, changes))

    def count(self) -> int:
        return self._comparison.counts.of(self._kinds) if self._kinds else 0

    def has_rows_outside(self, spec: PageSpec[Any], side: CursorSide) -> bool:
        outside = spec.order.at(spec.positions[side]) | spec.beyond_cursor(side)
        return any(queryset.filter(outside).exists() for queryset in self._querysets())

    def _querysets(self) -> Iterator[QuerySet[Any]]:
        """Charge for and yield the rows of each upload."""
        compared = self._comparison.rows
        if (heads := compared.rows_of_head(self._kinds)) is not None:
            self._comparison.charge()
            yield heads
        if (bases := compared.rows_of_base(self._kinds)) is not None:
            self._comparison.charge()
            yield bases


# The comparison


@strawberry.type(description="Numbers of customers or gems by their difference between two uploads.")
class ChangeCounts:
    added: BigInt = strawberry.field(description="Names in the head only.")
    removed: BigInt = strawberry.field(description="Names in the base only.")
    changed: BigInt = strawberry.field(description="Names in both uploads, with different values.")
    unchanged: BigInt = strawberry.field(description="Names in both uploads, with equal values.")

    @classmethod
    def of(cls, comparison: PricedComparison) -> ChangeCounts:
        return cls(**asdict(comparison.counts))


KINDS: Final = strawberry.argument(description="Return only these kinds of differences; null for all kinds.")


@strawberry.type(description="The differences between two uploads. Numeric differences are head minus base.")
class UploadComparison:
    compared_customers: strawberry.Private[PricedComparison]
    compared_gems: strawberry.Private[PricedComparison]
    base: Upload = strawberry.field(description="The upload that the other one is compared with.")
    head: Upload = strawberry.field(description="The upload that is compared.")

    @strawberry.field(description="Difference of the numbers of deals.")
    def deal_count_difference(self) -> BigInt:
        return BigInt(self.head.deal_count - self.base.deal_count)

    @strawberry.field(description="Difference of the numbers of customers.")
    def customer_count_difference(self) -> BigInt:
        return BigInt(self.head.customer_count - self.base.customer_count)

    @strawberry.field(description="Difference of the numbers of gems.")
    def gem_count_difference(self) -> BigInt:
        return BigInt(self.head.gem_count - self.base.gem_count)

    @strawberry.field(description="Difference of the sums of all deals.")
    def total_difference(self, info: Info) -> Decimal:
        base: Any = self.base
        head: Any = self.head
        info.context.budget.read_rows(base.gem_count + head.gem_count)
        return comparison.total_difference(base, head)

    @strawberry.field(description="Numbers of customers by their difference.")
    def customer_counts(self) -> ChangeCounts:
        return ChangeCounts.of(self.compared_customers)

    @strawberry.field(description="Numbers of gems by their difference.")
    def gem_counts(self) -> ChangeCounts:
        return ChangeCounts.of(self.compared_gems)

    @connection_field("The customers that differ, by username.")
    def customers(
        self, page: PageArguments, change: Annotated[list[ChangeKind] | None, KINDS] = None
    ) -> Connection[CustomerChange]:
        return changes_connection(self.compared_customers, change, CustomerChange.of, page)

    @connection_field("The gems that differ, by name.")
    def gems(
        self, page: PageArguments, change: Annotated[list[ChangeKind] | None, KINDS] = None
    ) -> Connection[GemChange]:
        return changes_connection(self.compared_gems, change, GemChange.of, page)


def compare_uploads(base: Any, head: Any, budget: CostBudget) -> UploadComparison:
    """Return the comparison of two readable uploads.

    Raises: UploadNotRetained before the first upload.
    """
    if base is None or head is None:
        raise UploadNotRetained
    customers, gems = (PricedComparison(RowComparison(rows, base, head), budget) for rows in (CUSTOMERS, GEMS))
    return UploadComparison(base=base, head=head, compared_customers=customers, compared_gems=gems)


def changes_connection(
    comparison: PricedComparison,
    kinds: Collection[ChangeKind] | None,
    to_node: Callable[[RowChange], Any],
    page: PageArguments,
) -> Connection[Any]:
    """Return a page of differences. A cursor is valid for the same pair of uploads.

    Raises: see ``read_cursor``.
    """
    compared = comparison.rows
    snapshots = "-".join(snapshot_prefix(upload.snapshot) for upload in (compared.base, compared.head))
    scope = CursorScope(f"changed {compared.rows.model.__name__}", snapshots)
    spec = PageSpec.of(page, Order.parse(compared.rows.name), scope, compared.rows.model)
    source = ChangedRows(comparison, set(ChangeKind) if kinds is None else set(kinds), to_node)
    return Connection(page=Page(source, spec))
