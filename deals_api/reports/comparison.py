"""Differences between two uploads: the customers and gems that were added, removed or changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, Sum

from deals_api.models import MAX_NAME_LENGTH, Customer, Gem, SnapshotQuerySet, SnapshotRow, Upload


class ChangeKind(Enum):
    """Differences between the rows of two uploads with the same name."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class ComparedRows:
    """Rows that are compared: they are the same customer or gem if the names are equal."""

    model: type[SnapshotRow]
    name: str
    #: A row is changed if at least one of these columns differs.
    values: tuple[str, ...]


CUSTOMERS: Final = ComparedRows(
    Customer, "username", ("spent_money", "deal_count", "gem_count", "first_deal", "last_deal")
)
GEMS: Final = ComparedRows(Gem, "name", ("total", "deal_count", "buyer_count", "first_deal", "last_deal"))


@dataclass(frozen=True, slots=True)
class RowChange:
    """A customer or gem that differs; ``base`` is None if it was added, ``head`` is None if it was removed."""

    name: str
    base: Any
    head: Any

    @property
    def kind(self) -> ChangeKind:
        if self.base is None:
            return ChangeKind.ADDED
        return ChangeKind.REMOVED if self.head is None else ChangeKind.CHANGED

    def difference(self, column: str) -> Any:
        """Return the value of the head minus that of the base; a missing row counts as 0."""
        base, head = (0 if row is None else getattr(row, column) for row in (self.base, self.head))
        return head - base


@dataclass(frozen=True, slots=True)
class ChangeCounts:
    """The numbers of rows by their difference."""

    added: int
    removed: int
    changed: int
    unchanged: int

    def of(self, kinds: Collection[ChangeKind]) -> int:
        """Return the number of rows with these differences."""
        return sum(getattr(self, kind.value) for kind in set(kinds))


class RowComparison:
    """The comparison of the customers or gems of two uploads."""

    def __init__(self, rows: ComparedRows, base: Upload, head: Upload) -> None:
        self.rows = rows
        self.base = base
        self.head = head

    def rows_of_head(self, kinds: Collection[ChangeKind]) -> SnapshotQuerySet[Any] | None:
        """Return the rows of the head with these differences; None if no row of the head can have them."""
        heads = self._rows_of(self.head)
        if ChangeKind.CHANGED not in kinds:
            return heads.filter(~self._exists_in(self.base)) if ChangeKind.ADDED in kinds else None
        if ChangeKind.ADDED in kinds:
            return heads.filter(~self._exists_in(self.base, self._equal_values()))
        return heads.filter(self._exists_in(self.base, ~self._equal_values()))

    def rows_of_base(self, kinds: Collection[ChangeKind]) -> SnapshotQuerySet[Any] | None:
        """Return the removed rows; None if ``kinds`` does not contain this difference."""
        bases = self._rows_of(self.base)
        return bases.filter(~self._exists_in(self.head)) if ChangeKind.REMOVED in kinds else None

    def changes(self, rows: Sequence[SnapshotRow], kinds: Collection[ChangeKind]) -> list[RowChange]:
        """Return the differences of rows of ``rows_of_head`` and ``rows_of_base``, in the same order."""
        heads = {self.name_of(row): row for row in rows if row.upload_id == self.head.pk}
        bases = {self.name_of(row): row for row in rows if row.upload_id == self.base.pk}
        if heads and ChangeKind.CHANGED in kinds:
            same_names = self._rows_of(self.base).filter((f"{self.rows.name}__in", list(heads)))
            bases |= {self.name_of(row): row for row in same_names}
        return [RowChange(name, bases.get(name), heads.get(name)) for name in map(self.name_of, rows)]

    def name_of(self, row: SnapshotRow) -> str:
        name: str = getattr(row, self.rows.name)
        return name

    @cached_property
    def counts(self) -> ChangeCounts:
        """The numbers of rows, counted in two statements."""
        # In the order of the table; with a condition on the upload, SQLite looks each row up through an index.
        heads = self.rows.model._default_manager.in_pk_range(self.head)  # type: ignore[attr-defined]
        common = heads.filter(self._exists_in(self.base)).count()
        unchanged = heads.filter(self._exists_in(self.base, self._equal_values())).count()
        added, removed = self.row_count(self.head) - common, self.row_count(self.base) - common
        return ChangeCounts(added, removed, common - unchanged, unchanged)

    def row_count(self, upload: Upload) -> int:
        """Return the number of all rows of an upload, which is stored."""
        return upload.customer_count if self.rows is CUSTOMERS else upload.gem_count

    def characters(self, upload: Upload) -> int:
        """Return the total length of the names, or an upper bound for uploads of an old release."""
        characters = upload.customer_characters if self.rows is CUSTOMERS else upload.gem_characters
        return self.row_count(upload) * MAX_NAME_LENGTH if characters is None else characters

    def _rows_of(self, upload: Upload) -> SnapshotQuerySet[Any]:
        manager: Any = self.rows.model._default_manager
        rows: SnapshotQuerySet[Any] = manager.for_upload(upload)
        return rows

    def _exists_in(self, upload: Upload, condition: Q | None = None) -> Exists:
        """Match rows whose name occurs in the other upload, in a row that meets the condition."""
        return Exists(self._rows_of(upload).filter(Q((self.rows.name, OuterRef(self.rows.name))), condition or Q()))

    def _equal_values(self) -> Q:
        return Q(*((column, OuterRef(column)) for column in self.rows.values))


def total_difference(base: Upload, head: Upload) -> Decimal:
    """Return the total of all deals of the head minus that of the base, from the stored totals of their gems."""
    totals = Gem.objects.filter(upload__in=(base, head)).values("upload").annotate(sum=Sum("total")).order_by()
    by_upload: dict[int, Decimal] = dict(totals.values_list("upload", "sum"))
    return by_upload[head.pk] - by_upload[base.pk]
