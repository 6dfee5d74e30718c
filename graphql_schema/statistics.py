"""The groups of ``dealStats``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import date
from decimal import Decimal

import strawberry
from django.db.models import Q
from graphql.pyutils import camel_to_snake

from deals_api import models
from deals_api.reports import deal_stats
from deals_api.reports.conditions import EVERYTHING
from deals_api.reports.deal_filter import SelectedDeals
from deals_api.reports.deal_stats import DealStatsKey, Grouping, orders_by_name
from graphql_schema.execution.batching import link_peers, related_object
from graphql_schema.execution.cost import CostBudget
from graphql_schema.execution.document_limits import fields_within
from graphql_schema.inputs import DealStatsFilter
from graphql_schema.scalars import BigInt, register_enum
from graphql_schema.types import Customer, Gem, Info

register_enum(
    DealStatsKey,
    {
        "CUSTOMER": "The customer.",
        "GEM": "The gem.",
        "YEAR": "The year of the deal, in UTC.",
        "QUARTER": "The quarter of the deal, in UTC, with its year.",
        "MONTH": "The month of the deal, in UTC, with its year.",
        "WEEK": "The week of the deal, in UTC. It begins on Monday, as in ISO 8601.",
        "DAY": "The day of the deal, in UTC.",
    },
    description="The keys that deals can be grouped by.",
)


@strawberry.type(description="Totals of one group of deals. A key that the deals are not grouped by is null.")
class DealStats:
    customer_id: strawberry.Private[int | None]
    gem_id: strawberry.Private[int | None]
    year: int | None = strawberry.field(description="The year, in UTC; null if the deals are not grouped by it.")
    quarter: date | None = strawberry.field(
        description="The first day of the quarter, in UTC; null if the deals are not grouped by it."
    )
    month: date | None = strawberry.field(
        description="The first day of the month, in UTC; null if the deals are not grouped by it."
    )
    week: date | None = strawberry.field(
        description="The Monday of the week in ISO 8601, in UTC; null if the deals are not grouped by it."
    )
    day: date | None = strawberry.field(description="The day, in UTC; null if the deals are not grouped by it.")
    deal_count: BigInt = strawberry.field(description="Number of deals.")
    quantity: BigInt = strawberry.field(description="Total quantity of all deals.")
    total: Decimal = strawberry.field(description="Sum of all deals, exact.")
    min_total: Decimal = strawberry.field(description="Sum of the smallest deal.")
    max_total: Decimal = strawberry.field(description="Sum of the largest deal.")
    average_total: Decimal = strawberry.field(description="Average sum of a deal, rounded half up to two decimals.")

    share: float = strawberry.field(
        description="The total of the group divided by the total of all deals that meet the argument filter, from 0 to "
        "1, rounded half up to six decimals; 0 if that total is 0. Conditions on groups and pages do not change it."
    )

    @strawberry.field(description="The customer; null if the deals are not grouped by it.")
    def customer(self) -> Customer | None:
        return None if self.customer_id is None else related_object(self, "customer_id", models.Customer)

    @strawberry.field(description="The gem; null if the deals are not grouped by it.")
    def gem(self) -> Gem | None:
        return None if self.gem_id is None else related_object(self, "gem_id", models.Gem)

    @classmethod
    def of(cls, group: deal_stats.DealStats, whole: Decimal) -> DealStats:
        return cls(**asdict(group), share=deal_stats.share(group.total, whole))


class DealGroups:
    """The groups of selected deals, which are charged for and computed on demand.

    Raises: see ``Grouping.check``.
    """

    def __init__(
        self,
        selected: SelectedDeals,
        by: Collection[DealStatsKey],
        having: DealStatsFilter | None,
        order: str,
        budget: CostBudget,
    ) -> None:
        self._selected = selected
        self._grouping = Grouping(selected, by)
        self._grouping.check(order)
        self._having = having.condition() if having else EVERYTHING
        self._having_measures = having.measures() if having else set()
        self._order = order
        self._budget = budget

    def page(self, measures: Collection[str], rows: slice) -> list[deal_stats.DealStats]:
        """Return the groups at these positions; ``measures`` are the names of those that are returned."""
        measures = self._having_measures | {*measures, self._order.removeprefix("-")}
        self._charge(self._grouping, measures)
        if orders_by_name(self._order):
            self._budget.sort_groups_by_name(self._grouping.max_groups)
        return self._grouping.groups(measures, self._having.q, self._order, rows)

    def count(self) -> int:
        self._charge(self._grouping, self._having_measures)
        return self._grouping.count(self._having_measures, self._having.q)

    def total(self) -> Decimal:
        """Return the total of all selected deals, including those of groups without the conditions of ``having``."""
        whole = Grouping(self._selected, ())
        self._charge(whole, ())
        return sum((group.total for group in whole.groups((), Q(), "total", slice(1))), Decimal(0))

    def _charge(self, grouping: Grouping, measures: Collection[str]) -> None:
        self._budget.read_names(self._selected.names_to_search_again)
        self._budget.group_rows(
            grouping.rows_to_read(measures),
            grouping.max_groups,
            names=len(grouping.names),
            periods=grouping.periods,
            sets=self._selected.lookup_set_sizes,
        )
        self._budget.compare(grouping.rows_to_read(measures), self._selected.selection.comparisons)
        self._budget.compare(grouping.max_groups, self._having.comparisons)


@strawberry.type(description="A page of groups of deals.")
class DealStatsPage:
    #: None before the first upload.
    groups: strawberry.Private[DealGroups | None]
    rows: strawberry.Private[slice]

    @strawberry.field(description="The groups of the page.")
    def nodes(self, info: Info) -> list[DealStats]:
        if self.groups is None:
            return []
        fields = requested_fields(info)
        groups = self.groups.page(fields, self.rows)
        whole = self.groups.total() if "share" in fields else Decimal(0)
        return link_peers(DealStats.of(group, whole) for group in groups)

    @strawberry.field(description="Number of groups on all pages. The database computes all groups to count them.")
    def total_count(self) -> BigInt:
        return BigInt(0 if self.groups is None else self.groups.count())


def requested_fields(info: Info) -> set[str]:
    """Return the Python names of the fields that the document selects below this one."""
    nodes, fragments = info._raw_info.field_nodes, info._raw_info.fragments
    selected = fields_within((node.selection_set for node in nodes if node.selection_set), fragments)
    return {camel_to_snake(node.name.value) for node in selected}
