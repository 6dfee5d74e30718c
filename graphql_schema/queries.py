"""The roots of the graph: what can be asked first, and the one thing that can be changed."""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Annotated, Any, Final

import strawberry
from django.conf import settings
from django.db.models import Q, QuerySet
from graphql.pyutils import camel_to_snake

from deals_api import models
from deals_api.errors import UploadNotRetained as NotRetained
from deals_api.global_ids import RowId, read_id, read_upload_id, snapshot_prefix
from deals_api.limits import Limits
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.deal_filter import DealSelection, NameScan, SelectedDeals, customers_scan, gems_scan
from deals_api.reports.deal_stats import DealStatsKey, Grouping
from deals_api.reports.top_clients import DEFAULT_LIMIT
from deals_api.security.permissions import require_write_permission
from deals_api.snapshots import current as current_snapshot
from graphql_schema.execution.batching import link_peers
from graphql_schema.execution.document_limits import fields_within
from graphql_schema.execution.pagination import Order, PageArguments, cursor_prefix, fetch_page
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
    searches,
)
from graphql_schema.scalars import register_enum
from graphql_schema.types import (
    FILTERED,
    ORDERED,
    ActivateUploadResult,
    After,
    Before,
    Connection,
    Customer,
    Deal,
    DealStats,
    First,
    Gem,
    Info,
    Last,
    Node,
    TopClient,
    Upload,
    UploadActivated,
    UploadNotRetained,
    check_range,
    page_arguments,
)

UploadId = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="A retained upload, whose state is LOADED, to read instead of the current one; by id."
    ),
]

_NEWEST_FIRST: Final = Order.named("-id")
#: Orders that an index gives, so that a page takes no more than its own rows.
_INDEXED: Final = {
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
_ROWS: Final[dict[str, type[models.SnapshotRow]]] = {
    "Customer": models.Customer,
    "Deal": models.Deal,
    "Gem": models.Gem,
    "Purchase": models.Purchase,
}

register_enum(
    DealStatsKey,
    {
        "CUSTOMER": "Who bought.",
        "GEM": "What was bought.",
        "YEAR": "The year of the deal, in UTC.",
        "MONTH": "The month of the deal, in UTC, with its year.",
        "DAY": "The day of the deal, in UTC.",
    },
    description="What deals may be grouped by.",
)


def _max_description(what: str, most: int) -> str:
    return f"How many {what}, 1 to {most}."


def requested_fields(info: Info) -> set[str]:
    """Return the Python names of the fields that the document selects below this one."""
    nodes, fragments = info._raw_info.field_nodes, info._raw_info.fragments
    selected = fields_within((node.selection_set for node in nodes if node.selection_set), fragments)
    return {camel_to_snake(node.name.value) for node in selected}


def free_of_charge() -> None:
    """For what costs no more than the rows it returns."""


def empty_connection(rows: QuerySet[Any], order: Order, page: PageArguments) -> Connection[Any]:
    """A list before the first upload."""
    return Connection(page=fetch_page(rows.none(), cursor_prefix(None), order, page, int, free_of_charge))


def select_deals(info: Info, version: models.Upload, selection: DealSelection) -> SelectedDeals:
    """The deals of a selection, whose names are looked up here."""
    account = info.context.budget
    account.read_names(selection.names_to_read(version))
    selected = SelectedDeals(version, selection)
    account.read_names(selected.names_to_search_again)
    return selected


def snapshot_connection(
    info: Info,
    rows: QuerySet[Any],
    version: models.Upload | None,
    condition: Q,
    order_by: Enum,
    page: PageArguments,
    scan: NameScan,
) -> Connection[Any]:
    """A list of an upload's customers or gems; ``scan`` is of all of them."""
    order = Order.named(order_by.value)
    if version is None:
        return empty_connection(rows, order, page)
    found = rows.filter(condition, upload=version)

    def charge() -> None:
        info.context.budget.read_names(scan)
        if order.name not in _INDEXED:
            info.context.budget.sort_names(scan.names)

    def count() -> int:
        if not condition:
            return scan.names
        info.context.budget.read_names(scan)
        return found.count()

    free = not condition and order.name in _INDEXED
    return Connection(
        page=fetch_page(found, cursor_prefix(version), order, page, count, free_of_charge if free else charge)
    )


@strawberry.type(description="Everything there is to read. All of one operation is read from one upload.")
class Query:
    @strawberry.field(description="Clients who spent most, richest first; equal sums by username.")
    def top_clients(
        self,
        info: Info,
        limit: Annotated[
            int, strawberry.argument(description=_max_description("places", Limits().max_top_clients))
        ] = DEFAULT_LIMIT,
        upload: UploadId = None,
    ) -> list[TopClient]:
        version = info.context.get_upload(upload)
        check_range("limit", limit, 1, settings.DEALS_LIMITS.max_top_clients)
        if version is None:
            return []
        ranking = top_clients_report.top_clients(
            version, limit, with_gems="gems" in requested_fields(info), charge=info.context.budget.list_names
        )
        return link_peers(map(TopClient.of, ranking))

    @strawberry.field(description="The customers of the file.")
    def customers(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[CustomerOrder, ORDERED] = CustomerOrder.SPENT_MONEY_DESC,
        filter: Annotated[CustomerFilter | None, FILTERED] = None,
        upload: UploadId = None,
    ) -> Connection[Customer]:
        version = info.context.get_upload(upload)
        condition = filter.condition() if filter else Q()
        return snapshot_connection(
            info,
            models.Customer.objects.all(),
            version,
            condition,
            order_by,
            page_arguments(first, after, last, before),
            customers_scan(version, search=filter is not None and searches(filter.username)) if version else NameScan(),
        )

    @strawberry.field(description="The gems of the file.")
    def gems(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[GemOrder, ORDERED] = GemOrder.TOTAL_DESC,
        filter: Annotated[GemFilter | None, FILTERED] = None,
        upload: UploadId = None,
    ) -> Connection[Gem]:
        version = info.context.get_upload(upload)
        condition = filter.condition() if filter else Q()
        return snapshot_connection(
            info,
            models.Gem.objects.all(),
            version,
            condition,
            order_by,
            page_arguments(first, after, last, before),
            gems_scan(version, search=filter is not None and searches(filter.name)) if version else NameScan(),
        )

    @strawberry.field(description="The deals of the file.")
    def deals(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[DealOrder, ORDERED] = DealOrder.FILE_ASC,
        filter: Annotated[DealFilter | None, FILTERED] = None,
        upload: UploadId = None,
    ) -> Connection[Deal]:
        version = info.context.get_upload(upload)
        selection = filter.selection() if filter else DealSelection()
        order, page = Order.named(order_by.value), page_arguments(first, after, last, before)
        if version is None:
            return empty_connection(models.Deal.objects.all(), order, page)
        selected = select_deals(info, version, selection)
        rows = selected.deals(by_date="date" in order.fields)

        def charge() -> None:
            info.context.budget.read_names(selected.names_to_search_again)
            info.context.budget.read_rows(selected.rows_to_read, sets=selected.sets_to_look_in)

        def count() -> int:
            if not selection:
                return version.deal_count
            charge()
            return selected.deals().count()

        free = not selection and order.name in _INDEXED
        return Connection(
            page=fetch_page(rows, cursor_prefix(version), order, page, count, free_of_charge if free else charge)
        )

    @strawberry.field(
        description="What the deals add up to, by customer, gem, year, month and day in any combination; "
        "without a key, all of them together."
    )
    def deal_stats(
        self,
        info: Info,
        by: Annotated[
            list[DealStatsKey] | None, strawberry.argument(description="What to group by, in any combination.")
        ] = None,
        filter: Annotated[DealFilter | None, strawberry.argument(description="Which deals to add up.")] = None,
        having: Annotated[
            DealStatsFilter | None, strawberry.argument(description="Which groups to return, by what they add up to.")
        ] = None,
        order_by: Annotated[
            DealStatsOrder,
            strawberry.argument(
                description="The order of the groups; equal ones by customer and gem, as in the file, and by date."
            ),
        ] = DealStatsOrder.TOTAL_DESC,
        limit: Annotated[int, strawberry.argument(description=_max_description("groups", Limits().max_page_size))] = 20,
        upload: UploadId = None,
    ) -> list[DealStats]:
        version = info.context.get_upload(upload)
        check_range("limit", limit, 1, settings.DEALS_LIMITS.max_page_size)
        if version is None:
            return []
        needed = requested_fields(info) | (having.measures() if having else set()) | {order_by.value.removeprefix("-")}
        selection = filter.selection() if filter else DealSelection()
        selected = select_deals(info, version, selection)
        grouping = Grouping(selected, set(by or ()), needed)
        info.context.budget.read_names(selected.names_to_search_again)
        info.context.budget.group_rows(
            grouping.rows, grouping.most, sets=selected.sets_to_look_in, by_period=bool(grouping.periods)
        )
        groups = grouping.groups(having.condition() if having else Q(), order_by.value, limit)
        return link_peers(map(DealStats.of, groups))

    @strawberry.field(description="The customer of this login; null if there is none.")
    def customer(
        self,
        info: Info,
        username: Annotated[str, strawberry.argument(description="The login, as it is written in the file.")],
        upload: UploadId = None,
    ) -> Customer | None:
        version = info.context.get_upload(upload)
        return _one(models.Customer.objects.all(), version, username=clean_name(username))

    @strawberry.field(description="The gem of this name; null if there is none.")
    def gem(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="The name, as it is written in the file.")],
        upload: UploadId = None,
    ) -> Gem | None:
        version = info.context.get_upload(upload)
        return _one(models.Gem.objects.all(), version, name=clean_name(name))

    @strawberry.field(description="The files that arrived, newest first: accepted, refused, kept or not.")
    def uploads(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Upload]:
        info.context.cacheable = False
        rows = models.Upload.objects.all()
        page = page_arguments(first, after, last, before)
        return Connection(page=fetch_page(rows, "uploads", _NEWEST_FIRST, page, rows.count, free_of_charge))

    @strawberry.field(description="One file that arrived; null if there is none of this id.")
    def upload(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id of an upload.")]
    ) -> Upload | None:
        return _upload(info, read_upload_id(id))

    @strawberry.field(description="The upload that this operation reads; null before the first.")
    def current_upload(self, info: Info) -> Upload | None:
        current: Any = info.context.upload
        return current

    @strawberry.field(description="Anything by its id; null where there is nothing of it, or no longer.")
    def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Any id of ours.")]
    ) -> Node | None:
        decoded = read_id(id)
        if not isinstance(decoded, RowId):
            return _upload(info, decoded)
        upload = info.context.find_readable("pk", models.upload_id_of(decoded.pk))
        if upload is None or snapshot_prefix(upload.snapshot) != decoded.snapshot_prefix:
            return None
        return _one(_ROWS[decoded.type_name]._default_manager.all(), upload, pk=decoded.pk)


def _one(rows: QuerySet[Any], version: models.Upload | None, **names: Any) -> Any:
    """The row of this name in an upload, if there are both."""
    return None if version is None else rows.filter(upload=version, **names).first()


def _upload(info: Info, snapshot: uuid.UUID) -> Any:
    if info.context.upload is not None and info.context.upload.snapshot == snapshot:
        return info.context.upload
    info.context.cacheable = False
    return models.Upload.objects.filter(snapshot=snapshot).first()


@strawberry.type(description="What can be changed.")
class Mutation:
    @strawberry.mutation(
        description="Makes a retained upload current again: roll-back. Every question after the answer reads from it."
    )
    def activate_upload(
        self,
        info: Info,
        id: Annotated[
            strawberry.ID, strawberry.argument(description="The id of a retained upload, whose state is LOADED.")
        ],
    ) -> ActivateUploadResult:
        require_write_permission(info.context.headers)
        try:
            upload: Any = current_snapshot.activate(read_upload_id(id))
        except NotRetained as refusal:
            return UploadNotRetained(code=refusal.code, message=refusal.message)
        info.context.upload = upload
        return UploadActivated(upload=upload)
