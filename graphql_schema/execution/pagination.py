"""Keyset pagination according to the Relay specification: the last page costs as much as the first.

A cursor contains the name of its list, the snapshot of its row, the name of the order, and the position of the row.
Snapshots are immutable, so positions stay valid; a cursor of another list, snapshot or order is rejected. A position is
meaningful in any subset of a list, so a cursor is valid for every filter and every parent. This module depends on
Django's querysets and not on GraphQL.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from django.db.models import Aggregate, Case, Count, DateTimeField, F, Model, OrderBy, Q, QuerySet, When, Window
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from django.db.models.functions import RowNumber

from deals_api.db_vendor import id_without_index
from deals_api.errors import BadInput, CursorOutdated
from deals_api.global_ids import snapshot_prefix
from deals_api.models import MoneyField, NameField, Upload
from deals_api.reports.deal_filter import NAME_TABLES, NameTable
from graphql_schema.execution.batching import link_peers

M = TypeVar("M", bound=Model)
#: The two arguments that take a cursor.
CursorSide = Literal["after", "before"]

_DESCENDING: Final = "-"
#: Exclusive upper bound of ids, counts, and amounts in hundredths.
_MAX: Final = 2**63
#: The format of money in a cursor, as ``_to_json`` writes it.
_MONEY: Final = re.compile(r"[0-9]{1,17}\.[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Order:
    """A total order of rows: the last column is unique within an upload. The prefix ``-`` marks a descending column."""

    name: str
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, name: str) -> Order:
        """Parse comma-separated columns, which are also the name of the order."""
        return cls(name, tuple(name.split(",")))

    @property
    def fields(self) -> list[str]:
        """The lookup paths of the columns, which may be those of a related row: ``customer__username``."""
        return [column.removeprefix(_DESCENDING) for column in self.columns]

    @property
    def relations(self) -> set[str]:
        """The relations of the columns of other tables: ``customer`` for ``customer__username``."""
        return {path.partition("__")[0] for path in self.fields if "__" in path}

    @property
    def name_tables(self) -> list[NameTable]:
        """The tables of the names that rows are sorted by."""
        return [NAME_TABLES[relation] for relation in self.relations]

    def annotate(self, rows: QuerySet[M]) -> QuerySet[M]:
        """Add the columns of related rows, so that cursors contain them."""
        joined = {_attribute(path): F(path) for path in self.fields if "__" in path}
        return rows.annotate(**joined) if joined else rows

    def expressions(self, *, reverse: bool = False) -> list[OrderBy]:
        return [
            OrderBy(F(column.removeprefix(_DESCENDING)), descending=column.startswith(_DESCENDING) != reverse)
            for column in self.columns
        ]

    def without_index(self, *, reverse: bool, sort_ids: bool = False) -> list[OrderBy]:
        """Return the same order, with an expression that no index contains for each name of a related row.

        ``sort_ids``: whether ids are such an expression, too; see ``id_without_index``.
        """
        return [
            OrderBy(
                id_without_index() if sort_ids and path == "id" else _without_index(path), descending=order.descending
            )
            for path, order in zip(self.fields, self.expressions(reverse=reverse), strict=True)
        ]

    def at(self, position: Sequence[Any]) -> Q:
        """Return the condition for the row at a position, which may not exist."""
        return Q(*zip(self.fields, position, strict=True))

    def following(self, position: Sequence[Any], *, reverse: bool = False) -> Q:
        """Return the condition for the rows after a position, or before it if ``reverse`` is true."""
        directions = {column.startswith(_DESCENDING) != reverse for column in self.columns}
        if len(self.columns) > 1 and len(directions) == 1:
            # One comparison of row values can use an index for any page.
            compare = TupleLessThan if directions.pop() else TupleGreaterThan
            return Q(compare(Tuple(*map(_without_index, self.fields)), tuple(position)))
        condition, equal = Q(), Q()
        for column, field, value in zip(self.columns, self.fields, position, strict=True):
            descending = column.startswith(_DESCENDING) != reverse
            condition |= equal & Q((f"{field}__{'lt' if descending else 'gt'}", value))
            equal &= Q((field, value))
        return condition


def _without_index(path: str) -> Any:
    """Return a column, or an expression of both tables that is equal to the name of a related row.

    PostgreSQL would read or sort all names first, and search the rows of each name for the first ones (measured: two
    minutes). An expression of both tables can only be sorted after the join.
    """
    return Case(When(pk__gt=0, then=F(path)), output_field=NameField()) if "__" in path else F(path)


def _attribute(path: str) -> str:
    """Return the attribute of a row with the column at a lookup path."""
    return path.replace("__", "_")


@dataclass(frozen=True, slots=True)
class PageArguments:
    """The first ``size`` rows between two optional cursors, or the last ``size`` rows if ``from_end`` is true."""

    size: int
    from_end: bool = False
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class CursorScope:
    """What the cursors of a list have in common: the name of the list, and the snapshot of its rows."""

    list_name: str
    #: Empty if the list does not belong to an upload.
    snapshot: str = ""

    @classmethod
    def of(cls, list_name: str, upload: Upload | None) -> CursorScope:
        return cls(list_name, "" if upload is None else snapshot_prefix(upload.snapshot))


@dataclass(frozen=True, slots=True)
class PageSpec(Generic[M]):
    """A page of a list: size, order, and the decoded positions of the cursor arguments."""

    size: int
    from_end: bool
    order: Order
    scope: CursorScope
    positions: dict[CursorSide, list[Any]]

    @classmethod
    def of(cls, arguments: PageArguments, order: Order, scope: CursorScope, model: type[M]) -> PageSpec[M]:
        """Decode the cursors of the arguments.

        Raises: see ``read_cursor``.
        """
        cursors: dict[CursorSide, str | None] = {"after": arguments.after, "before": arguments.before}
        positions = {
            side: read_cursor(cursor, order, scope, model) for side, cursor in cursors.items() if cursor is not None
        }
        return cls(arguments.size, arguments.from_end, order, scope, positions)

    def between_cursors(self, rows: QuerySet[M]) -> QuerySet[M]:
        """Filter ``rows`` to those after the ``after`` cursor and before the ``before`` cursor."""
        for side, position in self.positions.items():
            rows = rows.filter(self.order.following(position, reverse=side == "before"))
        return rows

    def beyond_cursor(self, side: CursorSide) -> Q:
        """Return the condition for the rows that a cursor excludes from the page, except the row at the cursor."""
        return self.order.following(self.positions[side], reverse=side == "after")

    def order_by(self) -> list[OrderBy]:
        """Return the order in which the rows are read: reversed for a page from the end."""
        return self.order.expressions(reverse=self.from_end)

    def read_first(self, rows: QuerySet[M], *, sort_ids: bool = False) -> QuerySet[M]:
        """Limit ``rows`` to the page size plus one; the additional row shows whether more rows follow.

        ``sort_ids``: see ``Order.without_index``.
        """
        order = self.order.without_index(reverse=self.from_end, sort_ids=sort_ids)
        return self.order.annotate(rows).order_by(*order)[: self.size + 1]


# Cursors


def write_cursor(row: Model, order: Order, scope: CursorScope) -> str:
    """Encode the position of a row as a cursor."""
    position = [_to_json(getattr(row, _attribute(path))) for path in order.fields]
    parts = [scope.list_name, scope.snapshot, order.name, *position]
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, order: Order, scope: CursorScope, model: type[Model]) -> list[Any]:
    """Return the position that a cursor contains: one value per column of the order.

    Raises: CursorOutdated for a cursor of another list, upload or order; BadInput for any other text.
    """
    invalid = BadInput("Invalid cursor; take it from pageInfo or edges.")
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        list_name, snapshot, order_name, *position = json.loads(text)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise invalid from None
    expected = {"list": scope.list_name, "upload": scope.snapshot, "order": order.name}
    for name, value in zip(expected, (list_name, snapshot, order_name), strict=True):
        if value != expected[name]:
            raise CursorOutdated(f"The cursor belongs to another {name}; start again from the first page.")
    try:
        return [_from_json(model, field, value) for field, value in zip(order.fields, position, strict=True)]
    except (ValueError, TypeError, ArithmeticError):
        raise invalid from None


def _to_json(value: Any) -> int | str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)


def _from_json(model: type[Model], field: str, value: Any) -> Any:
    """Convert a value of a cursor back to a value of the field.

    Raises: ValueError, TypeError or ArithmeticError for a value that ``_to_json`` cannot have written.
    """
    column: Any = model
    for name in field.split("__"):
        column = getattr(column, "related_model", None) or column
        column = column._meta.get_field(name)
    if isinstance(column, DateTimeField):
        timestamp = datetime.fromisoformat(value)
        if timestamp.tzinfo is None:
            raise ValueError
        return timestamp.astimezone(UTC)  # Raises OverflowError near the minimum and maximum of datetime.
    if isinstance(column, NameField):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError
        value.encode()  # Raises UnicodeEncodeError, a ValueError, for an unpaired surrogate.
        return value
    if isinstance(column, MoneyField):
        if not _MONEY.fullmatch(value) or Decimal(value) * 100 >= _MAX:
            raise ValueError
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _MAX:
        raise ValueError
    return value


# Pages


class RowSource(Protocol[M]):
    """A list that can be read page by page."""

    def read_page(self, spec: PageSpec[M]) -> list[M]:
        """Return the rows of the page and the next row, if it exists, in the order of ``spec.order_by``."""

    def count(self) -> int:
        """Return the number of rows of the whole list."""

    def has_rows_outside(self, spec: PageSpec[M], side: CursorSide) -> bool:
        """Return whether the list has rows at the cursor or beyond it, outside of the page."""


class Page(Generic[M]):
    """A page of a list. Rows and counts are read lazily, on first use, and then stored."""

    def __init__(self, source: RowSource[M], spec: PageSpec[M]) -> None:
        self._source = source
        self._spec = spec

    @cached_property
    def _rows_read(self) -> list[M]:
        return self._source.read_page(self._spec)

    @cached_property
    def rows(self) -> list[M]:
        rows = self._rows_read[: self._spec.size]
        return rows[::-1] if self._spec.from_end else rows

    @cached_property
    def total_count(self) -> int:
        return self._source.count()

    @property
    def has_next_page(self) -> bool:
        return (not self._spec.from_end and self._has_more) or self._has_rows_outside("before")

    @property
    def has_previous_page(self) -> bool:
        return (self._spec.from_end and self._has_more) or self._has_rows_outside("after")

    @property
    def _has_more(self) -> bool:
        return len(self._rows_read) > self._spec.size

    def _has_rows_outside(self, side: CursorSide) -> bool:
        return side in self._spec.positions and self._source.has_rows_outside(self._spec, side)

    def cursor(self, row: M) -> str:
        return write_cursor(row, self._spec.order, self._spec.scope)


class QuerySetRows(RowSource[M]):
    """All rows of a queryset."""

    def __init__(self, queryset: QuerySet[M], *, sort_ids: bool = False) -> None:
        """``sort_ids``: see ``Order.without_index``."""
        self.queryset = queryset
        self._sort_ids = sort_ids

    def charge(self, order: Order) -> None:
        """Charge for a statement that may scan more rows than it returns; free unless overridden."""

    def read_page(self, spec: PageSpec[M]) -> list[M]:
        self.charge(spec.order)
        rows = list(spec.read_first(spec.between_cursors(self.queryset), sort_ids=self._sort_ids))
        link_peers(rows[: spec.size])  # The additional row is not returned, so its relations are not loaded.
        return rows

    def count(self) -> int:
        return self.queryset.count()

    def has_rows_outside(self, spec: PageSpec[M], side: CursorSide) -> bool:
        # Usually the row at the cursor exists, and an index lookup finds it.
        if self.queryset.filter(spec.order.at(spec.positions[side])).exists():
            return True
        self.charge(spec.order)
        return self.queryset.filter(spec.beyond_cursor(side)).exists()


class RowsByParent(Generic[M]):
    """The child rows of several parents; each method reads those of all parents in one statement."""

    def __init__(
        self, rows: QuerySet[M], parent_path: str, parent_ids: Sequence[int], *, sort_ids: bool = False
    ) -> None:
        """``parent_path``: the lookup path from a child row to the id of its parent.

        ``sort_ids``: see ``Order.without_index``.
        """
        self.parent_ids = parent_ids
        self.sort_ids = sort_ids
        # The filter comes first, so that the join is an inner one: SQLite scans the whole table of an outer join.
        self.rows: Any = rows.filter((f"{parent_path}__in", parent_ids)).annotate(parent=F(parent_path))

    def pages(self, spec: PageSpec[M]) -> dict[int, list[M]]:
        """Return one page for each parent id, with an additional row as described in ``RowSource.read_page``."""
        rows: Any = spec.between_cursors(self.rows)
        if len(self.parent_ids) == 1:
            rows = spec.read_first(rows, sort_ids=self.sort_ids)
        else:
            rank = Window(RowNumber(), F("parent"), spec.order_by())
            rows = (
                spec.order.annotate(rows).annotate(rank=rank).filter(rank__lte=spec.size + 1).order_by(*spec.order_by())
            )
        pages: dict[int, list[M]] = {parent_id: [] for parent_id in self.parent_ids}
        for row in rows:
            pages[row.parent].append(row)
        link_peers(row for page in pages.values() for row in page[: spec.size])
        return pages

    def counts(self, number: Aggregate | None = None) -> dict[int, int]:
        """Return the number of rows for each parent id, or another ``number`` of them."""
        counts = self.rows.values("parent").annotate(number=number or Count("pk")).order_by()
        return dict.fromkeys(self.parent_ids, 0) | dict(counts.values_list("parent", "number"))

    def with_rows_outside(self, spec: PageSpec[M], side: CursorSide) -> set[int]:
        """Return the ids of the parents that have rows at the cursor or beyond it, outside of the page."""
        outside = spec.order.at(spec.positions[side]) | spec.beyond_cursor(side)
        return set(self.rows.filter(outside).values_list("parent", flat=True).distinct())
