"""The fields that read the rows of one upload: on ``Upload``, and with the argument ``upload`` on ``Query``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Final

import strawberry
from django.conf import settings
from django.db.models import QuerySet
from strawberry.annotation import StrawberryAnnotation
from strawberry.extensions import FieldExtension
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from deals_api import models
from deals_api.limits import Limits
from deals_api.names import clean_name
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.conditions import EVERYTHING
from deals_api.reports.deal_filter import CUSTOMERS, GEMS, DealSelection, NameTable
from deals_api.reports.deal_stats import DealStatsKey
from deals_api.reports.top_clients import DEFAULT_LIMIT
from graphql_schema.connections import (
    FILTER,
    ORDER_BY,
    Connection,
    PageArgumentsExtension,
    check_range,
    limit_argument,
    snapshot_connection,
)
from graphql_schema.execution.batching import link_peers
from graphql_schema.execution.pagination import Order, PageArguments, QuerySetRows
from graphql_schema.execution.snapshot_rows import DealRows, NameRows, select_deals
from graphql_schema.inputs import (
    CustomerFilter,
    CustomerOrder,
    DealFilter,
    DealOrder,
    DealStatsFilter,
    DealStatsOrder,
    GemFilter,
    GemOrder,
)
from graphql_schema.statistics import DealGroups, DealStatsPage, requested_fields
from graphql_schema.types import Customer, Deal, Gem, Info, TopClient

_LIMITS: Final = Limits()

# Fields of two types

#: The parameter of a resolver for the upload to read; None before the first upload.
ReadUpload = strawberry.Parent[models.Upload | None]


class _SelectedUpload(FieldExtension):
    """Add the argument ``upload`` to a field of ``Query``, and read the upload that it selects."""

    def apply(self, field: StrawberryField) -> None:
        argument = StrawberryArgument(
            "upload_id",
            "upload",
            StrawberryAnnotation(strawberry.ID | None),
            description="The id of a retained upload, whose state is LOADED, to read instead of the current one.",
            default=None,
        )
        field.arguments = [*field.arguments, argument]

    def resolve(self, next_: Callable[..., Any], source: Any, info: Info, **kwargs: Any) -> Any:
        upload = info.context.get_upload(kwargs.pop("upload_id", None))
        return next_(source, info, **kwargs | {"upload": upload})


class _OwnUpload(FieldExtension):
    """Read the upload that has the field."""

    def resolve(self, next_: Callable[..., Any], source: Any, info: Info, **kwargs: Any) -> Any:
        return next_(source, info, **kwargs | {"upload": info.context.read_upload(source)})


def snapshot_field(description: str, *extensions: FieldExtension) -> Callable[[Any], StrawberryField]:
    """Return the decorator of a resolver with the parameter ``upload: ReadUpload``.

    The field is nullable, so that an error, such as that of an upload that is not retained, affects this field only.
    """
    decorator: Any = strawberry.field(description=description, extensions=list(extensions))
    return decorator


def with_upload_argument(field: Any) -> Any:
    """Return a snapshot field as a field of ``Query``."""
    return _extend(field, _SelectedUpload())


def of_own_upload(field: Any) -> Any:
    """Return a snapshot field as a field of ``Upload``."""
    return _extend(field, _OwnUpload())


def _extend(field: StrawberryField, extension: FieldExtension) -> StrawberryField:
    field = copy.copy(field)
    field.extensions = [*field.extensions, extension]
    return field


# Rankings and lists


@snapshot_field("Clients by the sum of their deals, highest first; equal sums are sorted by username.")
def top_clients(
    upload: ReadUpload,
    info: Info,
    limit: Annotated[int, limit_argument("clients", "max_top_clients")] = DEFAULT_LIMIT,
) -> list[TopClient] | None:
    check_range("limit", limit, 1, settings.DEALS_LIMITS.max_top_clients)
    if upload is None:
        return []
    budget, gem_count = info.context.budget, upload.gem_count

    def charge(names: int) -> None:
        budget.look_up_names(names, all_names=gem_count)
        budget.list_names(names)

    ranking = top_clients_report.top_clients(upload, limit, with_gems="gems" in requested_fields(info), charge=charge)
    return link_peers(map(TopClient.of, ranking))


@snapshot_field("The customers in the file.", PageArgumentsExtension())
def customers(
    upload: ReadUpload,
    info: Info,
    page: PageArguments,
    order_by: Annotated[CustomerOrder, ORDER_BY] = CustomerOrder.SPENT_MONEY_DESC,
    filter: Annotated[CustomerFilter | None, FILTER] = None,
) -> Connection[Customer] | None:
    return snapshot_connection(name_rows(CUSTOMERS, info, upload, filter), order_by, page, upload)


def name_rows(
    table: NameTable, info: Info, upload: models.Upload | None, filter_: CustomerFilter | GemFilter | None
) -> QuerySetRows[Any]:
    if upload is None:
        return QuerySetRows(table.model._default_manager.none())
    budget = info.context.budget
    condition = filter_.condition(upload, budget.read_names) if filter_ else EVERYTHING
    return NameRows(table, upload, condition, budget)


@snapshot_field("The gems in the file.", PageArgumentsExtension())
def gems(
    upload: ReadUpload,
    info: Info,
    page: PageArguments,
    order_by: Annotated[GemOrder, ORDER_BY] = GemOrder.TOTAL_DESC,
    filter: Annotated[GemFilter | None, FILTER] = None,
) -> Connection[Gem] | None:
    return snapshot_connection(name_rows(GEMS, info, upload, filter), order_by, page, upload)


@snapshot_field("The deals in the file.", PageArgumentsExtension())
def deals(
    upload: ReadUpload,
    info: Info,
    page: PageArguments,
    order_by: Annotated[DealOrder, ORDER_BY] = DealOrder.FILE_ASC,
    filter: Annotated[DealFilter | None, FILTER] = None,
) -> Connection[Deal] | None:
    return snapshot_connection(deal_rows(info, upload, filter, order_by), order_by, page, upload)


def deal_rows(
    info: Info, upload: models.Upload | None, filter_: DealFilter | None, order_by: Enum
) -> QuerySetRows[models.Deal]:
    if upload is None:
        return QuerySetRows(models.Deal.objects.none())
    selection = filter_.selection() if filter_ else DealSelection()
    selected = select_deals(upload, selection, info.context.budget)
    return DealRows(selected, Order.parse(order_by.value), info.context.budget)


# Statistics


@snapshot_field(
    "Totals of the deals, grouped by any combination of customer, gem and periods; without keys, one group of all "
    "deals. The order is total, so the pages of one upload do not overlap."
)
def deal_stats(
    upload: ReadUpload,
    info: Info,
    by: Annotated[
        list[DealStatsKey] | None,
        strawberry.argument(description="The keys to group by; none for one group of all deals."),
    ] = None,
    filter: Annotated[
        DealFilter | None, strawberry.argument(description="Aggregate only the deals that meet these conditions.")
    ] = None,
    having: Annotated[
        DealStatsFilter | None,
        strawberry.argument(description="Return only the groups whose totals meet these conditions."),
    ] = None,
    order_by: Annotated[
        DealStatsOrder,
        strawberry.argument(
            description="Sort order of the groups. Ties are sorted by customer and gem, as in the file, and periods."
        ),
    ] = DealStatsOrder.TOTAL_DESC,
    limit: Annotated[int, limit_argument("groups", "max_stats_groups")] = 20,
    offset: Annotated[
        int, strawberry.argument(description=f"Number of groups before the page, 0 to {_LIMITS.max_groups}.")
    ] = 0,
) -> DealStatsPage | None:
    limits = settings.DEALS_LIMITS
    check_range("limit", limit, 1, limits.max_stats_groups)
    check_range("offset", offset, 0, limits.max_groups)
    page = slice(offset, offset + limit)
    if upload is None:
        return DealStatsPage(groups=None, rows=page)
    selected = select_deals(upload, filter.selection() if filter else DealSelection(), info.context.budget)
    groups = DealGroups(selected, set(by or ()), having, order_by.value, info.context.budget)
    return DealStatsPage(groups=groups, rows=page)


# Single rows


@snapshot_field("The customer with this username; null if there is none.")
def customer(
    upload: ReadUpload,
    username: Annotated[str, strawberry.argument(description="The username, exactly as in the file.")],
) -> Customer | None:
    return find_row(models.Customer.objects.all(), upload, username=clean_name(username))


@snapshot_field("The gem with this name; null if there is none.")
def gem(
    upload: ReadUpload,
    name: Annotated[str, strawberry.argument(description="The name, exactly as in the file.")],
) -> Gem | None:
    return find_row(models.Gem.objects.all(), upload, name=clean_name(name))


def find_row(rows: QuerySet[Any], upload: models.Upload | None, **lookup: Any) -> Any:
    """Return the row of an upload that matches a unique lookup, or None."""
    return None if upload is None else rows.filter(upload=upload, **lookup).first()
