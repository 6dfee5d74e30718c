"""Tables of one upload for export: all or selected deals, and its ranking.

The rows are read in chunks; no transaction is open between two reads. An export that cannot be completed raises an
error. The module is independent of HTTP and of file formats.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db.models import Exists, Q, TextField
from django.db.models.functions import Cast

from deals_api.db_vendor import AmountText, StatementsTimedOut, StatementTimer, UtcText, read_pks
from deals_api.errors import LimitExceeded
from deals_api.formats import COLUMNS, format_hundredths
from deals_api.models import Customer, Deal, Gem, SnapshotQuerySet, Upload, hundredths_of, to_hundredths
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.deal_filter import ALL_DEALS, DealSelection, SelectedDeals
from deals_api.reports.orders import DealOrder
from deals_api.snapshots import replicas
from deals_api.snapshots.lease import SnapshotGone

#: Deals that one statement reads.
CHUNK_ROWS: Final = 4_000
#: The beginning of a formula in spreadsheets, from OWASP's list: at the beginning of a cell or after a semicolon, which
#: separates cells in many locales; also after blanks, and in full-width or small forms of the characters.
FORMULA: Final = "(^|;)([ \u00a0\u3000]*[-=+@\uff0d\uff1d\uff0b\uff20\ufe63\ufe66\ufe62\ufe6b\t\r])"

Row = tuple[Any, ...]


class CellType(Enum):
    """Types of cells. The database writes numbers and dates as text, because Python needs most of the time for it."""

    TEXT = auto()
    TEXTS = auto()
    #: A number as text, such as ``100.5``, that CSV and JSON contain unchanged.
    NUMBER = auto()
    #: A date as text in UTC, such as ``2018-12-14 08:29:52.506166``; without the fraction if it is zero.
    DATE = auto()


@dataclass(frozen=True, slots=True)
class Table:
    """The columns, and their values in chunks that are read on demand: a sequence of values for each column.

    No chunk is empty.
    """

    columns: dict[str, CellType]
    chunks: Iterator[Sequence[Sequence[Any]]]


_DEAL_COLUMNS: Final = dict(
    zip(
        COLUMNS,
        (CellType.TEXT, CellType.TEXT, CellType.NUMBER, CellType.NUMBER, CellType.DATE),
        strict=True,
    )
)


def deals(upload: Upload | None, selection: DealSelection = ALL_DEALS, order: DealOrder = DealOrder.FILE_ASC) -> Table:
    """Return the selected deals, in the columns of the file."""
    if upload is None:
        return Table(_DEAL_COLUMNS, iter(()))
    if selection or order is not DealOrder.FILE_ASC:
        return Table(_DEAL_COLUMNS, _selected_deals(upload, selection, order))
    return Table(_DEAL_COLUMNS, _deals(upload))


def _deals(upload: Upload) -> Iterator[Sequence[Sequence[Any]]]:
    """Raises: SnapshotGone, if rows are missing because the upload was pruned or a restore replaced it."""
    for start in range(1, upload.deal_count + 1, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, upload.deal_count + 1)
        chunk = Deal.objects.rows_between(upload, start, stop).order_by("pk")
        yield _transposed(_read_chunk(upload, chunk, stop - start))


def _selected_deals(upload: Upload, selection: DealSelection, order: DealOrder) -> Iterator[Sequence[Sequence[Any]]]:
    """Sort the ids once, because each chunk would otherwise search and sort all deals again.

    Raises: LimitExceeded; SnapshotGone, as ``_deals``.
    """
    pks = replicas.read(upload, partial(_sorted_pks, upload, selection, order))
    _ensure_readable(upload)
    for start in range(0, len(pks), CHUNK_ROWS):
        chunk = pks[start : start + CHUNK_ROWS].tolist()
        deals = _read_chunk(upload, Deal.objects.filter(pk__in=chunk), len(chunk), "pk")
        rows = {pk: row for *row, pk in deals}
        yield _transposed(rows[pk] for pk in chunk)


def _sorted_pks(upload: Upload, selection: DealSelection, order: DealOrder) -> array[int]:
    with _time_limit():
        selected = SelectedDeals(upload, selection).deals(by_date="date" in order.value)
        return read_pks(selected.order_by(*order.value.split(",")))


def _read_chunk(upload: Upload, deals: SnapshotQuerySet[Deal], count: int, *more: str) -> list[Row]:
    """Return the columns of the file, and more fields, of ``count`` deals. Raises: SnapshotGone."""
    readable = Exists(Upload.objects.readable().matching(upload))
    numbers = (AmountText(hundredths_of("total")), Cast("quantity", TextField()))
    columns = ("customer__username", "gem__name", *numbers, UtcText("date"))
    chunk = deals.joined_with_names(upload, ["customer", "gem"]).filter(readable).values_list(*columns, *more)
    rows = replicas.read(upload, lambda: list(chunk.all()))
    if len(rows) < count:
        raise SnapshotGone
    return rows


def _transposed(rows: Iterable[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True))


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raises: LimitExceeded."""
    seconds: int = settings.DEALS_LIMITS.max_export_seconds
    timer = StatementTimer(seconds)
    try:
        with timer.installed(), replicas.execute_wrapper(timer.execute):
            yield
    except StatementsTimedOut:
        raise LimitExceeded(f"The database needs more than {seconds} s to select these deals.") from None


def top_clients(upload: Upload | None, limit: int) -> Table:
    """Return the ranking of ``reports.top_clients``."""
    columns = {"username": CellType.TEXT, "spent_money": CellType.NUMBER, "gems": CellType.TEXTS}
    return Table(columns, iter(()) if upload is None else _top_clients(upload, limit))


def _top_clients(upload: Upload, limit: int) -> Iterator[Sequence[Sequence[Any]]]:
    """Raises: SnapshotGone, if the upload was pruned or a restore replaced it."""
    for clients in top_clients_report.iter_top_clients(upload, limit):
        _ensure_readable(upload)
        yield [
            [client.username for client in clients],
            [format_hundredths(to_hundredths(client.spent_money)) for client in clients],
            [client.gems for client in clients],
        ]
    _ensure_readable(upload)


def _ensure_readable(upload: Upload) -> None:
    """Check, after rows were read, that they were rows of this upload. Raises: SnapshotGone."""
    if not upload.is_readable():
        raise SnapshotGone


def has_formulas(upload: Upload | None) -> bool:
    """Return whether a name in this upload contains the beginning of a formula."""
    if upload is None:
        return False
    customers = Customer.objects.for_upload(upload).filter(Q(username__regex=FORMULA))
    gems = Gem.objects.for_upload(upload).filter(name__regex=FORMULA)
    return replicas.read(upload, lambda: customers.exists() or gems.exists())
