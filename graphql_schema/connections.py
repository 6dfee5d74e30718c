"""Relay connections: types, and the pagination arguments of every connection field."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Generic, TypeVar

import strawberry
from django.conf import settings
from strawberry.annotation import StrawberryAnnotation
from strawberry.extensions import FieldExtension
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from deals_api.errors import BadInput, LimitExceeded
from deals_api.limits import Limits
from deals_api.models import Upload
from graphql_schema.execution.cost import SIZE_LIMIT
from graphql_schema.execution.pagination import (
    CursorScope,
    Order,
    Page,
    PageArguments,
    PageSpec,
    QuerySetRows,
)
from graphql_schema.execution.related_rows import RelatedRows
from graphql_schema.scalars import BigInt

NodeType = TypeVar("NodeType")


@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    page: strawberry.Private[Page[Any]]

    @strawberry.field(description="Whether rows follow the page.")
    def has_next_page(self) -> bool:
        return self.page.has_next_page

    @strawberry.field(description="Whether rows precede the page.")
    def has_previous_page(self) -> bool:
        return self.page.has_previous_page

    @strawberry.field(description="The cursor of the first row of the page; null if the page is empty.")
    def start_cursor(self) -> str | None:
        rows = self.page.rows
        return self.page.cursor(rows[0]) if rows else None

    @strawberry.field(description="The cursor of the last row of the page; null if the page is empty.")
    def end_cursor(self) -> str | None:
        rows = self.page.rows
        return self.page.cursor(rows[-1]) if rows else None


@strawberry.type(description="A row and its position in the list.")
class Edge(Generic[NodeType]):
    node: NodeType = strawberry.field(description="The row.")
    cursor: str = strawberry.field(
        description="The position of the row: valid for after and before of the same field in the same order of the "
        "same upload, with any filter and any parent."
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

    @strawberry.field(description="The position of the page in its list.")
    def page_info(self) -> PageInfo:
        return PageInfo(page=self.page)

    @strawberry.field(
        description="Number of rows in the whole list. Stored for lists without a filter; "
        "otherwise the database counts them."
    )
    def total_count(self) -> BigInt:
        return BigInt(self.page.total_count)


# Arguments

_LIMITS: Final = Limits()
_PAGE_ARGUMENTS: Final[dict[str, tuple[Any, str]]] = {
    "first": (
        int | None,
        f"Number of rows from the start, 0 to {_LIMITS.max_page_size}; "
        f"{_LIMITS.page_size} if neither first nor last is given.",
    ),
    "after": (str | None, "Return only the rows after this cursor."),
    "last": (int | None, f"Number of rows from the end, 0 to {_LIMITS.max_page_size}."),
    "before": (str | None, "Return only the rows before this cursor."),
}
#: For the argument ``orderBy`` of connection fields.
ORDER_BY: Final = strawberry.argument(description="The sort order of the rows. A cursor is valid in one order only.")
#: For the argument ``filter`` of connection fields.
FILTER: Final = strawberry.argument(description="Return only the rows that meet these conditions.")


class PageArgumentsExtension(FieldExtension):
    """Replace the resolver parameter ``page`` with Relay's pagination arguments in the schema."""

    def apply(self, field: StrawberryField) -> None:
        page_arguments = [
            StrawberryArgument(
                name,
                None,
                StrawberryAnnotation(type_),
                description=description,
                default=None,
                metadata={SIZE_LIMIT: "max_page_size"} if type_ == int | None else {},
            )
            for name, (type_, description) in _PAGE_ARGUMENTS.items()
        ]
        other_arguments = [argument for argument in field.arguments if argument.python_name != "page"]
        field.arguments = [*page_arguments, *other_arguments]

    def map_arguments(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        others = {name: value for name, value in kwargs.items() if name not in _PAGE_ARGUMENTS}
        return {**others, "page": read_page_arguments(**{name: kwargs.get(name) for name in _PAGE_ARGUMENTS})}


def limit_argument(items: str, limit: str) -> Any:
    """Return the argument ``limit`` of a field; ``limit`` is the name of the setting that bounds it."""
    return strawberry.argument(
        description=f"Maximum number of {items}, 1 to {getattr(_LIMITS, limit)}.", metadata={SIZE_LIMIT: limit}
    )


def connection_field(description: str) -> Callable[[Any], Any]:
    """Return the decorator of a resolver that takes ``page: PageArguments`` and returns a connection."""
    return strawberry.field(description=description, extensions=[PageArgumentsExtension()])


def read_page_arguments(first: int | None, after: str | None, last: int | None, before: str | None) -> PageArguments:
    """Validate Relay's pagination arguments.

    Raises: BadInput, LimitExceeded.
    """
    if first is not None and last is not None:
        raise BadInput("Use either first or last, not both.")
    limits = settings.DEALS_LIMITS
    name, size = ("last", last) if last is not None else ("first", first)
    if size is None:
        size = min(limits.page_size, limits.max_page_size)
    check_range(name, size, 0, limits.max_page_size)
    return PageArguments(size, last is not None, after, before)


def check_range(name: str, value: int, minimum: int, maximum: int) -> None:
    """Raises: LimitExceeded."""
    if not minimum <= value <= maximum:
        raise LimitExceeded(f"{name} may be {minimum} to {maximum}, not {value}.")


# Results


def snapshot_connection(
    rows: QuerySetRows[Any], order_by: Enum, page: PageArguments, upload: Upload | None
) -> Connection[Any]:
    """Return a page of the rows of one upload.

    Raises: see ``read_cursor``.
    """
    model = rows.queryset.model
    spec = PageSpec.of(page, Order.parse(order_by.value), CursorScope.of(model.__name__, upload), model)
    return Connection(page=Page(rows, spec))


def related_connection(rows: RelatedRows, order_by: Enum, page: PageArguments) -> Connection[Any]:
    """Return a page of the child rows of one parent.

    Raises: see ``read_cursor``.
    """
    scope = CursorScope.of(rows.list_name, rows.upload)
    spec = PageSpec.of(page, Order.parse(order_by.value), scope, rows.relation.model)
    return Connection(page=Page(rows, spec))
