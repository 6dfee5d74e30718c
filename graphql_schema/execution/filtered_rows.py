"""The child rows that the filter of a nested list matches, with the cost of finding them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import strawberry
from django.db.models import QuerySet

from deals_api.models import SnapshotRow, Upload
from deals_api.reports.deal_filter import DealSelection, NameTable
from deals_api.reports.filters import CustomerFilter, DealFilter, GemFilter, PurchaseFilter
from graphql_schema.execution.context import OperationContext

Info = strawberry.Info[OperationContext, None]
#: Returns the rows that match; called before each statement with the number of child rows that it compares.
FilteredRows = Callable[[int], QuerySet[Any]]


def filtered_rows(
    info: Info,
    parent: SnapshotRow,
    filter_: DealFilter | PurchaseFilter | None,
    select: Callable[[DealSelection, Upload], QuerySet[Any]],
    *,
    scans: bool = False,
) -> FilteredRows | None:
    """Return the deals or purchases of the parent's upload that match; ``select`` translates the selection.

    ``scans``: all deals of the upload are read. PostgreSQL may look up each of them in the sets of matching names
    before it compares the parent.
    """
    if filter_ is None:
        return None
    budget = info.context.budget

    def rows(child_rows: int) -> QuerySet[Any]:
        upload, selection = info.context.upload_of(parent), filter_.selection()
        budget.read_names(selection.names_to_read(upload))
        if scans:
            budget.read_rows(upload.deal_count, sets=selection.max_lookup_set_sizes(upload))
        budget.compare(upload.deal_count if scans else child_rows, selection.comparisons)
        return select(selection, upload)

    return rows


def filtered_names(
    info: Info, parent: SnapshotRow, filter_: CustomerFilter | GemFilter | None, table: NameTable
) -> FilteredRows | None:
    """Return the customers or gems of the parent's upload that match."""
    if filter_ is None:
        return None
    budget = info.context.budget

    def rows(child_rows: int) -> QuerySet[Any]:
        upload = info.context.upload_of(parent)
        condition = filter_.condition(upload, budget.read_names)
        budget.read_names(table.scan_of(child_rows, upload, condition))
        matching: QuerySet[Any] = table.model._default_manager.filter(condition.q)
        return matching

    return rows
