"""The root type of queries."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from enum import Enum
from typing import Annotated, Any, Final

import strawberry
from django.conf import settings
from django.db.models import Q, QuerySet
from graphql.pyutils import camel_to_snake

from deals_api import models
from deals_api.global_ids import RowId, read_id, read_upload_id, snapshot_prefix
from deals_api.limits import Limits
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.deal_filter import DealSelection, customers_scan, gems_scan
from deals_api.reports.deal_stats import DealStatsKey, Grouping, orders_by_name
from deals_api.reports.top_clients import DEFAULT_LIMIT
from graphql_schema.connections import (
    FILTER,
    ORDER_BY,
    Connection,
    check_range,
    connection_field,
    snapshot_connection,
)
from graphql_schema.execution.batching import link_peers
from graphql_schema.execution.document_limits import fields_within
from graphql_schema.execution.pagination import CursorScope, Order, Page, PageArguments, PageSpec, QuerySetRows
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
    clean_name,
    needs_substring_search,
)
from graphql_schema.scalars import register_enum
from graphql_schema.types import Customer, Deal, DealStats, Gem, Info, Node, TopClient, Upload

UploadId = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        name="upload",
        description="The id of a retained upload, whose state is LOADED, to read instead of the current one.",
    ),
]

_LIMITS: Final = Limits()
_NEWEST_FIRST: Final = Order.parse("-id")
_MODELS: Final[dict[str, type[models.SnapshotRow]]] = {
    "Customer": models.Customer,
    "Deal": models.Deal,
    "Gem": models.Gem,
    "Purchase": models.Purchase,
}

register_enum(
    DealStatsKey,
    {
        "CUSTOMER": "The customer.",
        "GEM": "The gem.",
        "YEAR": "The year of the deal, in UTC.",
        "MONTH": "The month of the deal, in UTC, with its year.",
        "DAY": "The day of the deal, in UTC.",
    },
    description="The keys that deals can be grouped by.",
)


def limit_argument(items: str, maximum: int) -> Any:
    return strawberry.argument(description=f"Maximum number of {items}, 1 to {maximum}.")


def requested_fields(info: Info) -> set[str]:
    """Return the Python names of the fields that the document selects below this one."""
    nodes, fragments = info._raw_info.field_nodes, info._raw_info.fragments
    selected = fields_within((node.selection_set for node in nodes if node.selection_set), fragments)
    return {camel_to_snake(node.name.value) for node in selected}


def customer_rows(info: Info, upload: models.Upload | None, filter_: CustomerFilter | None) -> QuerySetRows[Any]:
    if upload is None:
        return QuerySetRows(models.Customer.objects.none())
    condition = filter_.condition() if filter_ else Q()
    scan = customers_scan(upload, search=filter_ is not None and needs_substring_search(filter_.username))
    return NameRows(models.Customer.objects.for_upload(upload), condition, scan, info.context.budget)


def gem_rows(info: Info, upload: models.Upload | None, filter_: GemFilter | None) -> QuerySetRows[Any]:
    if upload is None:
        return QuerySetRows(models.Gem.objects.none())
    condition = filter_.condition() if filter_ else Q()
    scan = gems_scan(upload, search=filter_ is not None and needs_substring_search(filter_.name))
    return NameRows(models.Gem.objects.for_upload(upload), condition, scan, info.context.budget)


def deal_rows(
    info: Info, upload: models.Upload | None, filter_: DealFilter | None, order_by: Enum
) -> QuerySetRows[models.Deal]:
    if upload is None:
        return QuerySetRows(models.Deal.objects.none())
    selection = filter_.selection() if filter_ else DealSelection()
    selected = select_deals(upload, selection, info.context.budget)
    return DealRows(selected, Order.parse(order_by.value), info.context.budget)


@strawberry.type(
    description="The queries of the service. All fields of one operation read from the same upload. A field is null if "
    "it is rejected with an error; the other fields are not affected."
)
class Query:
    @strawberry.field(
        description="Clients by the sum of their deals, highest first; equal sums are sorted by username."
    )
    def top_clients(
        self,
        info: Info,
        limit: Annotated[int, limit_argument("clients", _LIMITS.max_top_clients)] = DEFAULT_LIMIT,
        upload_id: UploadId = None,
    ) -> list[TopClient] | None:
        upload = info.context.get_upload(upload_id)
        check_range("limit", limit, 1, settings.DEALS_LIMITS.max_top_clients)
        if upload is None:
            return []
        ranking = top_clients_report.top_clients(
            upload, limit, with_gems="gems" in requested_fields(info), charge=info.context.budget.list_names
        )
        return link_peers(map(TopClient.of, ranking))

    @connection_field("The customers in the file.")
    def customers(
        self,
        info: Info,
        page: PageArguments,
        order_by: Annotated[CustomerOrder, ORDER_BY] = CustomerOrder.SPENT_MONEY_DESC,
        filter: Annotated[CustomerFilter | None, FILTER] = None,
        upload_id: UploadId = None,
    ) -> Connection[Customer] | None:
        upload = info.context.get_upload(upload_id)
        return snapshot_connection(customer_rows(info, upload, filter), order_by, page, upload)

    @connection_field("The gems in the file.")
    def gems(
        self,
        info: Info,
        page: PageArguments,
        order_by: Annotated[GemOrder, ORDER_BY] = GemOrder.TOTAL_DESC,
        filter: Annotated[GemFilter | None, FILTER] = None,
        upload_id: UploadId = None,
    ) -> Connection[Gem] | None:
        upload = info.context.get_upload(upload_id)
        return snapshot_connection(gem_rows(info, upload, filter), order_by, page, upload)

    @connection_field("The deals in the file.")
    def deals(
        self,
        info: Info,
        page: PageArguments,
        order_by: Annotated[DealOrder, ORDER_BY] = DealOrder.FILE_ASC,
        filter: Annotated[DealFilter | None, FILTER] = None,
        upload_id: UploadId = None,
    ) -> Connection[Deal] | None:
        upload = info.context.get_upload(upload_id)
        return snapshot_connection(deal_rows(info, upload, filter, order_by), order_by, page, upload)

    @strawberry.field(
        description="Totals of the deals, grouped by any combination of customer, gem, year, month and day; "
        "without keys, one group of all deals."
    )
    def deal_stats(
        self,
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
                description="Sort order of the groups. Ties are sorted by customer and gem, as in the file, and date."
            ),
        ] = DealStatsOrder.TOTAL_DESC,
        limit: Annotated[int, limit_argument("groups", _LIMITS.max_page_size)] = 20,
        upload_id: UploadId = None,
    ) -> list[DealStats] | None:
        upload = info.context.get_upload(upload_id)
        check_range("limit", limit, 1, settings.DEALS_LIMITS.max_page_size)
        if upload is None:
            return []
        measures = (
            requested_fields(info) | {order_by.value.removeprefix("-")} | (having.measures() if having else set())
        )
        selected = select_deals(upload, filter.selection() if filter else DealSelection(), info.context.budget)
        grouping = Grouping(selected, set(by or ()), measures)
        charge_for_groups(info, grouping, order_by.value)
        groups = grouping.groups(having.condition() if having else Q(), order_by.value, limit)
        return link_peers(map(DealStats.of, groups))

    @strawberry.field(description="The customer with this username; null if there is none.")
    def customer(
        self,
        info: Info,
        username: Annotated[str, strawberry.argument(description="The username, exactly as in the file.")],
        upload_id: UploadId = None,
    ) -> Customer | None:
        upload = info.context.get_upload(upload_id)
        return find_row(models.Customer.objects.all(), upload, username=clean_name(username))

    @strawberry.field(description="The gem with this name; null if there is none.")
    def gem(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="The name, exactly as in the file.")],
        upload_id: UploadId = None,
    ) -> Gem | None:
        upload = info.context.get_upload(upload_id)
        return find_row(models.Gem.objects.all(), upload, name=clean_name(name))

    @connection_field("All uploads, newest first, including rejected ones and those that are no longer retained.")
    def uploads(self, info: Info, page: PageArguments) -> Connection[Upload] | None:
        info.context.cacheable = False
        spec = PageSpec.of(page, _NEWEST_FIRST, CursorScope("Upload"), models.Upload)
        return Connection(page=Page(QuerySetRows(models.Upload.objects.all()), spec))

    @strawberry.field(description="The upload with this id; null if there is none.")
    def upload(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id of an upload.")]
    ) -> Upload | None:
        return find_upload(info, read_upload_id(id))

    @strawberry.field(description="The upload that this operation reads; null before the first upload.")
    def current_upload(self, info: Info) -> Upload | None:
        current: Any = info.context.upload
        return current

    @strawberry.field(
        description="The objects with these ids, in the same order; null in place of an object that does not exist or "
        "is no longer retained."
    )
    def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(description=f"The ids of any objects, at most {_LIMITS.max_list_argument}."),
        ],
    ) -> list[Node | None] | None:
        decoded = list(map(read_id, ids))
        found: dict[Any, Any] = find_uploads(info, {key for key in decoded if isinstance(key, uuid.UUID)})
        found |= find_rows(info, {key for key in decoded if isinstance(key, RowId)})
        return [found.get(key) for key in decoded]

    @strawberry.field(description="The object with this id; null if it does not exist or is no longer retained.")
    def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id of any object.")]
    ) -> Node | None:
        decoded = read_id(id)
        if isinstance(decoded, RowId):
            return find_rows(info, {decoded}).get(decoded)
        return find_upload(info, decoded)


def charge_for_groups(info: Info, grouping: Grouping, order: str) -> None:
    selected, budget = grouping.selected, info.context.budget
    budget.read_names(selected.names_to_search_again)
    budget.group_rows(
        grouping.rows, grouping.max_groups, sets=selected.lookup_set_sizes, by_period=bool(grouping.periods)
    )
    if orders_by_name(order):
        budget.sort_groups_by_name(grouping.max_groups)


def find_row(rows: QuerySet[Any], upload: models.Upload | None, **lookup: Any) -> Any:
    """Return the row of an upload that matches a unique lookup, or None."""
    return None if upload is None else rows.filter(upload=upload, **lookup).first()


def find_rows(info: Info, ids: Collection[RowId]) -> dict[RowId, Any]:
    """Return the rows with these ids that exist, in one statement for each type and upload."""
    uploads = info.context.read_uploads({models.upload_id_of(id_.pk) for id_ in ids})
    by_list: dict[tuple[str, int], dict[int, RowId]] = {}
    for id_ in ids:
        upload = uploads.get(models.upload_id_of(id_.pk))
        if upload is not None and snapshot_prefix(upload.snapshot) == id_.snapshot_prefix:
            by_list.setdefault((id_.type_name, upload.pk), {})[id_.pk] = id_
    found: dict[RowId, Any] = {}
    for (type_name, upload_pk), by_pk in by_list.items():
        rows = _MODELS[type_name]._default_manager.filter(upload=upload_pk, pk__in=list(by_pk))
        found.update((by_pk[row.pk], row) for row in link_peers(rows))
    return found


def find_upload(info: Info, snapshot: uuid.UUID) -> Any:
    return find_uploads(info, {snapshot}).get(snapshot)


def find_uploads(info: Info, snapshots: Collection[uuid.UUID]) -> dict[uuid.UUID, models.Upload]:
    """Return the uploads of these snapshots that exist, including those that are not readable."""
    current = info.context.upload
    known = {current.snapshot: current} if current is not None and current.snapshot in snapshots else {}
    unknown = set(snapshots) - known.keys()
    if unknown:
        info.context.cacheable = False
        known.update((upload.snapshot, upload) for upload in models.Upload.objects.filter(snapshot__in=unknown))
    return known
