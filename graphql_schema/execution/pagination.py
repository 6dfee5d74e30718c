"""Pages of rows by true keyset cursors: a page at the end costs what the first one does.

Answers for what a cursor is, and for cutting a page out of one queryset, or out of one queryset a
parent. A snapshot never changes, so a position in it stays a position; a cursor names the upload and
the order that it was made for, and is refused anywhere else. Knows Django's querysets and no GraphQL.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Generic, Literal, TypeVar

from django.db.models import Count, DateTimeField, F, Model, OrderBy, Q, QuerySet, Window
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from django.db.models.functions import RowNumber

from deals_api.errors import BadInput, CursorOutdated
from deals_api.global_ids import snapshot_prefix
from deals_api.models import MoneyField, NameField, Upload
from graphql_schema.execution.batching import link_peers

M = TypeVar("M", bound=Model)
#: The two cursors that a page may be asked for by.
CursorSide = Literal["after", "before"]

_DESCENDING: Final = "-"
#: Larger than any id, and than any sum in hundredths.
_MAX: Final = 2**63
#: As ``_written`` writes it.
_MONEY: Final = re.compile(r"[0-9]{1,17}\.[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Order:
    """A total order: columns, the last of them unique within an upload, ``-`` before a falling one."""

    name: str
    columns: tuple[str, ...]

    @classmethod
    def named(cls, columns: str) -> Order:
        return cls(columns, tuple(columns.split(",")))

    @property
    def fields(self) -> list[str]:
        return [column.removeprefix(_DESCENDING) for column in self.columns]

    def expressions(self, *, backwards: bool = False) -> list[OrderBy]:
        return [
            OrderBy(F(column.removeprefix(_DESCENDING)), descending=column.startswith(_DESCENDING) != backwards)
            for column in self.columns
        ]

    def beyond(self, position: Sequence[Any], *, backwards: bool = False) -> Q:
        """Holds of the rows after a position, or before it."""
        falling = {column.startswith(_DESCENDING) != backwards for column in self.columns}
        if len(self.columns) > 1 and len(falling) == 1:
            # As one comparison of rows, which an index answers at any depth.
            compare = TupleLessThan if falling.pop() else TupleGreaterThan
            return Q(compare(Tuple(*map(F, self.fields)), tuple(position)))
        condition, equal = Q(), Q()
        for column, field, value in zip(self.columns, self.fields, position, strict=True):
            less = column.startswith(_DESCENDING) != backwards
            condition |= equal & Q((f"{field}__{'lt' if less else 'gt'}", value))
            equal &= Q((field, value))
        return condition

    def at(self, position: Sequence[Any]) -> Q:
        """Holds of the row at a position, if there is one."""
        return Q(*zip(self.fields, position, strict=True))


@dataclass(frozen=True, slots=True)
class PageArguments:
    """Which page is asked for: the first ``size`` rows after one cursor and before another, or the last."""

    size: int
    from_the_end: bool = False
    after: str | None = None
    before: str | None = None

    def places(self, order: Order, version: str, model: type[Model]) -> dict[CursorSide, list[Any]]:
        """The positions of the cursors that are given.

        Raises: as ``read_cursor`` does.
        """
        cursors: dict[CursorSide, str | None] = {"after": self.after, "before": self.before}
        return {side: read_cursor(one, order, version, model) for side, one in cursors.items() if one is not None}


# Cursors


def cursor_prefix(upload: Upload | None) -> str:
    """What cursors into this upload's rows carry."""
    return "" if upload is None else snapshot_prefix(upload.snapshot)


def write_cursor(row: Model, order: Order, version: str) -> str:
    position = [_written(getattr(row, field)) for field in order.fields]
    text = json.dumps([version, order.name, *position], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, order: Order, version: str, model: type[Model]) -> list[Any]:
    """The position that a cursor stands for.

    Raises: CursorOutdated where it was made for another upload or order; BadInput where it is no cursor.
    """
    not_ours = BadInput("Invalid cursor; take it from pageInfo or edges.")
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        made_for, name, *position = json.loads(text)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise not_ours from None
    if made_for != version:
        raise CursorOutdated("The cursor belongs to another upload; start again from the first page.")
    if name != order.name:
        raise CursorOutdated("The cursor belongs to another order; start again from the first page.")
    try:
        return [_read(model, field, value) for field, value in zip(order.fields, position, strict=True)]
    except (ValueError, TypeError, ArithmeticError):
        raise not_ours from None


def _written(value: Any) -> int | str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int) else str(value)


def _read(model: type[Model], field: str, value: Any) -> Any:
    column: Any = model._meta.get_field(field)
    if isinstance(column, DateTimeField):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)  # which not every moment has
    if isinstance(column, NameField):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError
        value.encode()  # no half of a surrogate pair
        return value
    if isinstance(column, MoneyField):
        if not _MONEY.fullmatch(value) or Decimal(value) * 100 >= _MAX:
            raise ValueError
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _MAX:
        raise ValueError
    return value


# Pages


class Page(Generic[M]):
    """Some rows of a list, read when they are asked for; so is the number of all of them.

    ``left_out`` tells whether the list has rows at one of the cursors or on its other side.
    """

    def __init__(
        self,
        version: str,
        order: Order,
        cut: PageArguments,
        read: Callable[[], list[M]],
        count: Callable[[], int],
        left_out: Callable[[CursorSide], bool],
    ) -> None:
        self.version = version
        self.order = order
        self.cut = cut
        self._read = read
        self._count = count
        self._left_out = left_out

    @cached_property
    def _found(self) -> list[M]:
        """One more row than asked for, if there are."""
        return self._read()

    @cached_property
    def rows(self) -> list[M]:
        rows = self._found[: self.cut.size]
        return rows[::-1] if self.cut.from_the_end else rows

    @cached_property
    def total_count(self) -> int:
        return self._count()

    @property
    def _more(self) -> bool:
        return len(self._found) > self.cut.size

    @property
    def has_next_page(self) -> bool:
        more = not self.cut.from_the_end and self._more
        return more or (self.cut.before is not None and self._left_out("before"))

    @property
    def has_previous_page(self) -> bool:
        more = self.cut.from_the_end and self._more
        return more or (self.cut.after is not None and self._left_out("after"))

    def cursor(self, row: M) -> str:
        return write_cursor(row, self.order, self.version)


def fetch_page(
    queryset: QuerySet[M],
    version: str,
    order: Order,
    cut: PageArguments,
    count: Callable[[], int],
    charge: Callable[[], None],
) -> Page[M]:
    """One page of all these rows; ``charge`` is called before they are read."""
    places = cut.places(order, version, queryset.model)
    rows = _between(queryset, order, places)

    def read() -> list[M]:
        charge()
        found = list(_first(rows, order, cut))
        link_peers(found[: cut.size])  # nobody asks anything of the one more
        return found

    def left_out(side: CursorSide) -> bool:
        if queryset.filter(order.at(places[side])).exists():
            return True  # the cursor was taken from this very list, as most are, and an index finds its row
        charge()
        return queryset.filter(order.beyond(places[side], backwards=side == "after")).exists()

    return Page(version, order, cut, read, count, left_out)


def pages_by_parent(
    queryset: QuerySet[M], parent: str, parents: Sequence[int], version: str, order: Order, cut: PageArguments
) -> dict[int, list[M]]:
    """The rows of a page for each parent, all read in one statement; ``parent`` is the path to its id."""
    queryset = _with_parents(queryset, parent, parents)
    queryset = _between(queryset, order, cut.places(order, version, queryset.model))
    if len(parents) == 1:
        found: Any = _first(queryset, order, cut)
    else:
        expressions = order.expressions(backwards=cut.from_the_end)
        place = Window(RowNumber(), F("parent"), expressions)
        found = queryset.annotate(place=place).filter(place__lte=cut.size + 1).order_by(*expressions)
    by_parent: dict[int, list[M]] = {one: [] for one in parents}
    for row in found:
        by_parent[row.parent].append(row)
    link_peers(row for rows in by_parent.values() for row in rows[: cut.size])
    return by_parent


def counts_by_parent(queryset: QuerySet[M], parent: str, parents: Sequence[int]) -> dict[int, int]:
    """The number of rows of each parent, in one statement."""
    counted = _with_parents(queryset, parent, parents).values("parent").annotate(number=Count("pk")).order_by()
    return dict.fromkeys(parents, 0) | dict(counted.values_list("parent", "number"))


def has_rows_outside(
    queryset: QuerySet[M],
    parent: str,
    parents: Sequence[int],
    version: str,
    order: Order,
    cut: PageArguments,
    side: CursorSide,
) -> set[int]:
    """The parents with rows at one of the cursors or on its other side, in one statement."""
    place = cut.places(order, version, queryset.model)[side]
    outside = order.at(place) | order.beyond(place, backwards=side == "after")
    return set(_with_parents(queryset, parent, parents).filter(outside).values_list("parent", flat=True).distinct())


def _with_parents(queryset: QuerySet[M], parent: str, parents: Sequence[int]) -> Any:
    return queryset.annotate(parent=F(parent)).filter(parent__in=parents)


def _between(queryset: QuerySet[M], order: Order, places: dict[CursorSide, list[Any]]) -> QuerySet[M]:
    for side, place in places.items():
        queryset = queryset.filter(order.beyond(place, backwards=side == "before"))
    return queryset


def _first(queryset: QuerySet[M], order: Order, cut: PageArguments) -> QuerySet[M]:
    """One row more than the page has, so that it shows whether there are more."""
    return queryset.order_by(*order.expressions(backwards=cut.from_the_end))[: cut.size + 1]
