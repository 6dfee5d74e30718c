"""The customers, gems and deals of one upload as lists, with the cost of reading them."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Sum

from deals_api.models import Deal, Upload
from deals_api.reports.conditions import Condition
from deals_api.reports.deal_filter import DealSelection, NameTable, SelectedDeals
from graphql_schema.execution.cost import CostBudget
from graphql_schema.execution.pagination import Order, QuerySetRows

#: Orders with an index: a page without a filter reads only its own rows.
_INDEXED_ORDERS: Final = {
    "id",
    "-id",
    "date,id",
    "-date,-id",
    "-spent_money,username",
    "username",
    "-username",
    "name",
    "-name",
}


class NameRows(QuerySetRows[Any]):
    """The customers or gems of one upload that meet a condition."""

    def __init__(self, table: NameTable, upload: Upload, condition: Condition, budget: CostBudget) -> None:
        super().__init__(table.select(upload, condition))
        self._is_filtered = bool(condition)
        self._scan = table.scan(upload, condition)
        self._count = table.count(upload)
        self._budget = budget

    def charge(self, order: Order) -> None:
        is_indexed = order.name in _INDEXED_ORDERS
        if self._is_filtered or not is_indexed:
            self._budget.read_names(self._scan)
        if not is_indexed:
            self._budget.sort_names(self._count)

    def count(self) -> int:
        if not self._is_filtered:
            return self._count
        self._budget.read_names(self._scan)
        return super().count()


class DealRows(QuerySetRows[Deal]):
    """The selected deals of one upload."""

    def __init__(self, selected: SelectedDeals, order: Order, budget: CostBudget) -> None:
        deals = selected.deals(by_date="date" in order.fields)
        deals = deals.joined_with_names(selected.upload, order.relations)
        super().__init__(deals, sort_ids=selected.have_few_customers)
        self._selected = selected
        self._budget = budget

    def charge(self, order: Order) -> None:
        if self._selected.selection or order.name not in _INDEXED_ORDERS:
            self._charge_for_all()
        upload = self._selected.upload
        for table in order.name_tables:
            self._budget.sort_by_name(self._selected.rows_to_read, table.count(upload), table.characters(upload))

    def count(self) -> int:
        if (stored := self._selected.stored_deal_count) is not None:
            return stored
        if self._selected.selection.names_only:
            self._charge_for(self._selected.purchases_to_read)
            return int(self._selected.purchases().aggregate(deals=Sum("deal_count", default=0))["deals"])
        self._charge_for_all()
        return self._selected.deals().count()

    def _charge_for_all(self) -> None:
        self._charge_for(self._selected.rows_to_read)

    def _charge_for(self, rows: int) -> None:
        self._budget.read_names(self._selected.names_to_search_again)
        self._budget.read_rows(rows, sets=self._selected.lookup_set_sizes)
        self._budget.compare(rows, self._selected.selection.comparisons)


def select_deals(upload: Upload, selection: DealSelection, budget: CostBudget) -> SelectedDeals:
    """Look up the names of a selection, and charge for the lookup."""
    budget.read_names(selection.names_to_read(upload))
    selected = SelectedDeals(upload, selection)
    budget.read_names(selected.names_to_search_again)
    return selected
