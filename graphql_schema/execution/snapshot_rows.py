"""The customers, gems and deals of one upload as lists, with the cost of reading them."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Q

from deals_api.models import Deal, SnapshotQuerySet, Upload
from deals_api.reports.deal_filter import DealSelection, NameScan, SelectedDeals
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
    """The customers or gems of one upload that meet a condition; ``scan`` describes reading all of them."""

    def __init__(self, rows: SnapshotQuerySet[Any], condition: Q, scan: NameScan, budget: CostBudget) -> None:
        super().__init__(rows.filter(condition))
        self._is_filtered = bool(condition)
        self._scan = scan
        self._budget = budget

    def charge(self, order: Order) -> None:
        is_indexed = order.name in _INDEXED_ORDERS
        if self._is_filtered or not is_indexed:
            self._budget.read_names(self._scan)
        if not is_indexed:
            self._budget.sort_names(self._scan.names)

    def count(self) -> int:
        if not self._is_filtered:
            return self._scan.names
        self._budget.read_names(self._scan)
        return super().count()


class DealRows(QuerySetRows[Deal]):
    """The selected deals of one upload."""

    def __init__(self, selected: SelectedDeals, order: Order, budget: CostBudget) -> None:
        super().__init__(selected.deals(by_date="date" in order.fields))
        self._selected = selected
        self._budget = budget

    def charge(self, order: Order) -> None:
        if self._selected.selection or order.name not in _INDEXED_ORDERS:
            self._charge_for_all()

    def count(self) -> int:
        if not self._selected.selection:
            return self._selected.upload.deal_count
        self._charge_for_all()
        return self._selected.deals().count()

    def _charge_for_all(self) -> None:
        self._budget.read_names(self._selected.names_to_search_again)
        self._budget.read_rows(self._selected.rows_to_read, sets=self._selected.lookup_set_sizes)


def select_deals(upload: Upload, selection: DealSelection, budget: CostBudget) -> SelectedDeals:
    """Look up the names of a selection, and charge for the lookup."""
    budget.read_names(selection.names_to_read(upload))
    selected = SelectedDeals(upload, selection)
    budget.read_names(selected.names_to_search_again)
    return selected
