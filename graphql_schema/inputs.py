"""Filter and order inputs: those of ``deals_api.reports``, declared for GraphQL."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import strawberry

from deals_api.reports.filters import (
    CustomerFilter,
    DateFilter,
    DealFilter,
    DealStatsFilter,
    GemFilter,
    MoneyFilter,
    NameFilter,
    NumberFilter,
    PurchaseFilter,
    external_name,
)
from deals_api.reports.orders import CustomerOrder, DealOrder, DealStatsOrder, GemOrder, PurchaseOrder, describe
from graphql_schema.scalars import register_enum

__all__ = [
    "CustomerFilter", "CustomerOrder", "DealFilter", "DealOrder", "DealStatsFilter", "DealStatsOrder", "GemFilter",
    "GemOrder", "PurchaseFilter", "PurchaseOrder",
]  # fmt: skip


def register_input(cls: Any) -> None:
    """Declare a filter of ``deals_api.reports.filters`` as an input type, described by its docstring."""
    for filter_field in fields(cls):
        name, metadata = external_name(filter_field), filter_field.metadata
        declared: Any = strawberry.field(
            default=None, name=name, description=metadata["description"], metadata=metadata
        )
        setattr(cls, filter_field.name, declared)
    strawberry.input(cls, description=" ".join(cls.__doc__.split()))


for _filter in (
    NameFilter, MoneyFilter, NumberFilter, DateFilter,
    CustomerFilter, GemFilter, PurchaseFilter, DealFilter, DealStatsFilter,
):  # fmt: skip
    register_input(_filter)

for _order in (CustomerOrder, GemOrder, PurchaseOrder, DealOrder, DealStatsOrder):
    register_enum(
        _order, {value.name: describe(value) for value in _order}, description=" ".join((_order.__doc__ or "").split())
    )
