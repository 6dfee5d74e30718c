"""What can be read: the types, their fields, and how each leads to the others.

Relations are read for all peers of a row at once (``peers``), and every list is a page (``pages``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Generic, TypeVar

import strawberry
import strawberry_django
from django.conf import settings
from django.db.models import Model, QuerySet
from strawberry_django.fields.field import StrawberryDjangoField

from deals_api import models
from deals_api.errors import BadInput, LimitExceeded
from deals_api.global_ids import write_row_id, write_upload_id
from deals_api.limits import Limits
from deals_api.reports import deal_stats
from deals_api.reports import top_clients as top_clients_report
from graphql_schema.execution.batching import peers_of, related_object
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.pagination import (
    CursorSide,
    Order,
    Page,
    PageArguments,
    counts_by_parent,
    cursor_prefix,
    has_rows_outside,
    pages_by_parent,
)
from graphql_schema.inputs import CustomerOrder, DealFilter, DealOrder, GemOrder, PurchaseOrder
from graphql_schema.scalars import BigInt, register_enum

Info = strawberry.Info[OperationContext, None]


class AttributeField(StrawberryDjangoField):
    """A column of a row, taken from it as it is.

    The library's field looks for relations and querysets first, which took half the time of an answer.
    """

    is_basic_field = True  # a property there, which says False

    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:
        return getattr(source, self.python_name)


class BatchedForeignKey(AttributeField):
    """The one row that a column of this row names, read for all its peers at once."""

    model: type[Model]

    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:
        return related_object(source, f"{self.python_name}_id", self.model)


def column(description: str) -> Any:
    return AttributeField(description=description)


def related_row(model: type[Model], description: str) -> Any:
    field = BatchedForeignKey(description=description)
    field.model = model
    return field


# What every list and every node has

NodeType = TypeVar("NodeType")


@strawberry.interface(description="Anything with an id of its own.")
class Node:
    @strawberry.field(description="Opaque; good for node(id) as long as the upload it belongs to is retained.")
    @staticmethod
    def id(root: strawberry.Parent[Any], info: Info) -> strawberry.ID:
        if isinstance(root, models.Upload):
            return strawberry.ID(write_upload_id(root.snapshot))
        upload = info.context.upload_of(root)
        return strawberry.ID(write_row_id(info._raw_info.parent_type.name, root.pk, upload.snapshot))


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    page: strawberry.Private[Page[Any]]

    @strawberry.field(description="Whether rows follow the page.")
    def has_next_page(self) -> bool:
        return self.page.has_next_page

    @strawberry.field(description="Whether rows stand before the page.")
    def has_previous_page(self) -> bool:
        return self.page.has_previous_page

    @strawberry.field(description="Cursor of the page's first row; null where it is empty.")
    def start_cursor(self) -> str | None:
        rows = self.page.rows
        return self.page.cursor(rows[0]) if rows else None

    @strawberry.field(description="Cursor of the page's last row; null where it is empty.")
    def end_cursor(self) -> str | None:
        rows = self.page.rows
        return self.page.cursor(rows[-1]) if rows else None


@strawberry.type(description="A row and its place in the list.")
class Edge(Generic[NodeType]):
    node: NodeType = strawberry.field(description="The row.")
    cursor: str = strawberry.field(
        description="Its place: good for after and before in the same order of the same upload."
    )


@strawberry.type(description="One page of a list.")
class Connection(Generic[NodeType]):
    page: strawberry.Private[Page[Any]]

    @strawberry.field(description="The rows of the page.")
    def nodes(self) -> list[NodeType]:
        return self.page.rows

    @strawberry.field(description="The rows of the page with their cursors.")
    def edges(self) -> list[Edge[NodeType]]:
        return [Edge(node=row, cursor=self.page.cursor(row)) for row in self.page.rows]

    @strawberry.field(description="Where the page stands in its list.")
    def page_info(self) -> PageInfo:
        return PageInfo(page=self.page)

    @strawberry.field(
        description="Number of rows in the whole list. Stored for lists without a filter; "
        "with one, the database counts them."
    )
    def total_count(self) -> BigInt:
        return BigInt(self.page.total_count)


# Which page


def page_arguments(first: int | None, after: str | None, last: int | None, before: str | None) -> PageArguments:
    """The page that the four arguments of every list ask for.

    Raises: BadInput, LimitExceeded.
    """
    if first is not None and last is not None:
        raise BadInput("Ask for the first rows or for the last ones, not for both.")
    name, size = ("last", last) if last is not None else ("first", first)
    return PageArguments(page_size(name, size), last is not None, after, before)


def page_size(name: str, size: int | None) -> int:
    limits = settings.DEALS_LIMITS
    return (
        min(limits.page_size, limits.max_page_size)
        if size is None
        else check_range(name, size, 0, limits.max_page_size)
    )


def check_range(name: str, size: int, least: int, most: int) -> int:
    if not least <= size <= most:
        raise LimitExceeded(f"{name} may be {least} to {most}, not {size}.")
    return size


_PUBLISHED: Final = Limits()

First = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many rows from the start, 0 to {_PUBLISHED.max_page_size}; "
        f"{_PUBLISHED.page_size} if neither first nor last is given."
    ),
]
After = Annotated[str | None, strawberry.argument(description="Only rows after this cursor.")]
Last = Annotated[
    int | None, strawberry.argument(description=f"How many rows from the end, 0 to {_PUBLISHED.max_page_size}.")
]
Before = Annotated[str | None, strawberry.argument(description="Only rows before this cursor.")]
#: For ``orderBy`` and ``filter`` of every list.
ORDERED: Final = strawberry.argument(description="The order of the rows; cursors are good in the order they came in.")
FILTERED: Final = strawberry.argument(description="Only rows that meet these conditions.")


def related(
    info: Info,
    row: models.SnapshotRow,
    model: type[Model],
    parent: str,
    stored_count: str,
    order: Enum,
    page: PageArguments,
    filtered: Callable[[], QuerySet[Any]] | None = None,
) -> Connection[Any]:
    """A list of each peer of ``row``, read for all of them at once.

    ``parent`` is the path from a row of the list to the id of its peer, ``stored_count`` the column of
    the peer that tells how many rows its list has without a filter, ``filtered`` makes the rows that pass one.
    """
    peers = peers_of(row)
    place = id(info._raw_info.field_nodes[0])  # alike for all peers, and so are the arguments there
    version = cursor_prefix(info.context.upload_of(row))
    total = Order.named(order.value)
    page.places(total, version, model)  # a wrong cursor is refused, whatever is asked of the list
    rows = filtered or model._default_manager.all

    def ids_of(some: list[Any], *, ranked: bool = False) -> list[int]:
        """The ids of the peers, whose lists are about to be read. (Two lists may have brought the same row.)"""
        different = {one.pk: getattr(one, stored_count) for one in some}
        account, number = info.context.budget, sum(different.values())
        if ranked and len(different) > 1:
            account.rank_rows(number, elsewhere="__" in parent)
        else:
            account.fetch_rows(number)
        return list(different)

    def read_pages(some: list[Any]) -> dict[int, list[Any]]:
        return pages_by_parent(rows(), parent, ids_of(some, ranked=True), version, total, page)

    def read_counts(some: list[Any]) -> dict[int, int]:
        return counts_by_parent(rows(), parent, ids_of(some))

    def count() -> int:
        return peers.once((place, "count"), read_counts)[row.pk] if filtered else int(getattr(row, stored_count))

    def left_out(side: CursorSide) -> bool:
        def read(some: list[Any]) -> set[int]:
            return has_rows_outside(rows(), parent, ids_of(some), version, total, page, side)

        return row.pk in peers.once((place, side), read)

    return Connection(
        page=Page(version, total, page, lambda: peers.once((place, "rows"), read_pages)[row.pk], count, left_out)
    )


# What is in a file


@strawberry_django.type(models.Customer, name="Customer", description="A buyer in one upload.")
class Customer(Node):
    username: str = column("The buyer's login, 1 to 255 characters, unique in its upload.")
    spent_money: Decimal = column("Sum of all the customer's deals, exact.")
    deal_count: BigInt = column("Number of the customer's deals.")
    gem_count: BigInt = column("Number of different gems that the customer bought.")
    first_deal: datetime = column("When the earliest deal was registered.")
    last_deal: datetime = column("When the latest deal was registered.")

    @strawberry.field(description="The customer's deals.")
    @staticmethod
    def deals(
        root: strawberry.Parent[models.Customer],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[DealOrder, ORDERED] = DealOrder.DATE_DESC,
        filter: Annotated[DealFilter | None, FILTERED] = None,
    ) -> Connection[Deal]:
        page = page_arguments(first, after, last, before)
        if filter is None:
            return related(info, root, models.Deal, "customer_id", "deal_count", order_by, page)

        def selected() -> QuerySet[models.Deal]:
            upload, selection = info.context.upload_of(root), filter.selection()
            info.context.budget.read_names(selection.names_to_read(upload))
            return selection.deals_of(upload)

        return related(info, root, models.Deal, "customer_id", "deal_count", order_by, page, selected)

    @strawberry.field(description="What the customer bought of each gem.")
    @staticmethod
    def purchases(
        root: strawberry.Parent[models.Customer],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[PurchaseOrder, ORDERED] = PurchaseOrder.TOTAL_DESC,
    ) -> Connection[Purchase]:
        page = page_arguments(first, after, last, before)
        return related(info, root, models.Purchase, "customer_id", "gem_count", order_by, page)

    @strawberry.field(description="The gems that the customer bought.")
    @staticmethod
    def gems(
        root: strawberry.Parent[models.Customer],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[GemOrder, ORDERED] = GemOrder.NAME_ASC,
    ) -> Connection[Gem]:
        page = page_arguments(first, after, last, before)
        return related(info, root, models.Gem, "purchases__customer_id", "gem_count", order_by, page)


@strawberry_django.type(models.Gem, name="Gem", description="A kind of goods in one upload.")
class Gem(Node):
    name: str = column("The gem's name, 1 to 255 characters, unique in its upload.")
    total: Decimal = column("Sum of all deals in this gem, exact.")
    deal_count: BigInt = column("Number of deals in this gem.")
    buyer_count: BigInt = column("Number of different customers who bought it.")
    first_deal: datetime = column("When the earliest deal was registered.")
    last_deal: datetime = column("When the latest deal was registered.")

    @strawberry.field(description="The customers who bought the gem.")
    @staticmethod
    def buyers(
        root: strawberry.Parent[models.Gem],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[CustomerOrder, ORDERED] = CustomerOrder.SPENT_MONEY_DESC,
    ) -> Connection[Customer]:
        page = page_arguments(first, after, last, before)
        return related(info, root, models.Customer, "purchases__gem_id", "buyer_count", order_by, page)

    @strawberry.field(description="What each customer bought of the gem.")
    @staticmethod
    def purchases(
        root: strawberry.Parent[models.Gem],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        order_by: Annotated[PurchaseOrder, ORDERED] = PurchaseOrder.TOTAL_DESC,
    ) -> Connection[Purchase]:
        page = page_arguments(first, after, last, before)
        return related(info, root, models.Purchase, "gem_id", "buyer_count", order_by, page)


@strawberry_django.type(models.Purchase, name="Purchase", description="What one customer bought of one gem.")
class Purchase(Node):
    customer: Customer = related_row(models.Customer, "Who bought.")
    gem: Gem = related_row(models.Gem, "What was bought.")
    deal_count: BigInt = column("Number of deals.")
    quantity: BigInt = column("Pieces in all these deals.")
    total: Decimal = column("Sum of all these deals, exact, not a price a piece.")


@strawberry_django.type(models.Deal, name="Deal", description="One line of the file.")
class Deal(Node):
    customer: Customer = related_row(models.Customer, "The buyer.")
    gem: Gem = related_row(models.Gem, "What was bought.")
    total: Decimal = column("Sum of the deal, not a price a piece; up to 999999999999.99.")
    quantity: int = column("Pieces, 1 to 999999999.")
    date: datetime = column("When the deal was registered.")


# What files add up to


@strawberry.type(description="A place in the ranking of clients who spent most.")
class TopClient:
    customer_id: strawberry.Private[int]
    gem_names: strawberry.Private[list[str]]
    username: str = strawberry.field(description="The client's login.")
    spent_money: Decimal = strawberry.field(description="Sum of all the client's deals, exact.")

    @strawberry.field(
        description="Names of the gems that at least two of the listed clients bought, this one among them; by name."
    )
    def gems(self, info: Info) -> list[str]:
        info.context.budget.list_names(len(self.gem_names))
        return self.gem_names

    @strawberry.field(description="The client with everything else that is known.")
    def customer(self) -> Customer:
        return related_object(self, "customer_id", models.Customer)

    @classmethod
    def of(cls, client: top_clients_report.TopClient) -> TopClient:
        return cls(
            customer_id=client.customer_id,
            gem_names=client.gems,
            username=client.username,
            spent_money=client.spent_money,
        )


@strawberry.type(description="The deals of one group, and what they add up to. A key not grouped by is null.")
class DealStats:
    customer_id: strawberry.Private[int | None]
    gem_id: strawberry.Private[int | None]
    year: int | None = strawberry.field(description="The year, in UTC; null where it is not grouped by.")
    month: date | None = strawberry.field(
        description="The month, in UTC, by its first day; null where it is not grouped by."
    )
    day: date | None = strawberry.field(description="The day, in UTC; null where it is not grouped by.")
    deal_count: BigInt = strawberry.field(description="Number of deals.")
    quantity: BigInt = strawberry.field(description="Pieces in all deals.")
    total: Decimal = strawberry.field(description="Sum of all deals, exact.")
    min_total: Decimal = strawberry.field(description="Sum of the smallest deal.")
    max_total: Decimal = strawberry.field(description="Sum of the largest deal.")
    average_total: Decimal = strawberry.field(description="Average sum of a deal, rounded half up to two decimals.")

    @strawberry.field(description="The customer; null where it is not grouped by.")
    def customer(self) -> Customer | None:
        return None if self.customer_id is None else related_object(self, "customer_id", models.Customer)

    @strawberry.field(description="The gem; null where it is not grouped by.")
    def gem(self) -> Gem | None:
        return None if self.gem_id is None else related_object(self, "gem_id", models.Gem)

    @classmethod
    def of(cls, group: deal_stats.DealStats) -> DealStats:
        return cls(**asdict(group))


# The history of files


register_enum(
    models.Upload.State,
    {state.name: f"{state.label.capitalize()}." for state in models.Upload.State},
    description="What became of a file.",
    name="UploadState",
)


@strawberry_django.type(
    models.Upload, name="Upload", description="One file that arrived: a version of the data, or a refusal."
)
class Upload(Node):
    file_name: str = column("The file's name, as the client gave it, up to 255 characters.")
    sha256: str = column("SHA-256 of the file's bytes, 64 hexadecimal digits.")
    size: BigInt = column("The file's size in bytes.")
    deal_count: BigInt = column("Number of deals in the file; 0 where it was refused.")
    customer_count: BigInt = column("Number of different customers in the file; 0 where it was refused.")
    gem_count: BigInt = column("Number of different gems in the file; 0 where it was refused.")
    error: str = column("Why the file was refused; empty where it was not.")
    arrived_at: datetime = column("When the file arrived.")

    @strawberry.field(
        description="Holder of the token that the file was sent with, or the command that loaded it. Empty where "
        "neither is known, and for requests without a token: the history is public, the names of people are not."
    )
    @staticmethod
    def uploaded_by(root: strawberry.Parent[models.Upload], info: Info) -> str:
        return root.uploaded_by if info.context.has_token else ""

    finished_at: datetime | None = column("When it was loaded or refused; null while it is being loaded.")

    @strawberry.field(description="What became of the file.")
    @staticmethod
    def state(root: strawberry.Parent[models.Upload]) -> models.Upload.State:
        return models.Upload.State(root.state)

    @strawberry.field(description="Whether this operation reads from it where it asks for no other.")
    @staticmethod
    def is_current(root: strawberry.Parent[models.Upload], info: Info) -> bool:
        current = info.context.upload
        return current is not None and current.pk == root.pk


# What may be refused as data


@strawberry.interface(description="A refusal that a client is expected to handle.")
class Problem:
    code: str = strawberry.field(description="A stable word for programs, such as upload_not_retained.")
    message: str = strawberry.field(description="One sentence for people.")


@strawberry.type(description="There is no such upload, or its rows are no longer retained.")
class UploadNotRetained(Problem):
    pass


@strawberry.type(description="The upload is current now.")
class UploadActivated:
    upload: Upload = strawberry.field(description="The upload that is current now.")


ActivateUploadResult = Annotated[
    UploadActivated | UploadNotRetained,
    strawberry.union("ActivateUploadResult", description="What became of a roll-back."),
]
