"""Tables of one upload for export: all or selected deals, and its ranking.

The rows are read in chunks; no transaction is open between two reads. An export that cannot be completed raises an
error. The module is independent of HTTP and of file formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Exists, Q, QuerySet

from deals_api.db_vendor import StatementsTimedOut, StatementTimer, read_pks
from deals_api.errors import LimitExceeded
from deals_api.formats import COLUMNS
from deals_api.models import Customer, Deal, Gem, Upload
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.deal_filter import ALL_DEALS, DealSelection, SelectedDeals
from deals_api.reports.orders import DealOrder
from deals_api.snapshots.lease import SnapshotGone

#: Deals that one statement reads.
CHUNK_ROWS: Final = 2_000
#: The beginning of a formula in spreadsheets, from OWASP's list: at the beginning of a cell or after a semicolon, which
#: separates cells in many locales; also after blanks, and in full-width or small forms of the characters.
FORMULA: Final = "(^|;)([ \u00a0\u3000]*[-=+@\uff0d\uff1d\uff0b\uff20\ufe63\ufe66\ufe62\ufe6b\t\r])"

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that are read in chunks, on demand; all cells of a column have the same type."""

    columns: tuple[str, ...]
    chunks: Iterator[Rows]


def deals(upload: Upload | None, selection: DealSelection = ALL_DEALS, order: DealOrder = DealOrder.FILE_ASC) -> Table:
    """Return the selected deals, in the columns of the file."""
    if upload is None:
        return Table(COLUMNS, iter(()))
    if selection or order is not DealOrder.FILE_ASC:
        return Table(COLUMNS, _selected_deals(upload, selection, order))
    return Table(COLUMNS, _deals(upload))


def _deals(upload: Upload) -> Iterator[Rows]:
    """Raises: SnapshotGone, if rows are missing because the upload was pruned or a restore replaced it."""
    for start in range(1, upload.deal_count + 1, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, upload.deal_count + 1)
        chunk = Deal.objects.rows_between(upload, start, stop).order_by("pk")
        yield [row for _, *row in _read_chunk(upload, chunk, stop - start)]


def _selected_deals(upload: Upload, selection: DealSelection, order: DealOrder) -> Iterator[Rows]:
    """Sort the ids once, because each chunk would otherwise search and sort all deals again.

    Raises: LimitExceeded; SnapshotGone, as ``_deals``.
    """
    with _time_limit():
        selected = SelectedDeals(upload, selection).deals(by_date="date" in order.value)
        pks = read_pks(selected.order_by(*order.value.split(",")))
    _ensure_readable(upload)
    for start in range(0, len(pks), CHUNK_ROWS):
        chunk = pks[start : start + CHUNK_ROWS].tolist()
        rows = {pk: row for pk, *row in _read_chunk(upload, Deal.objects.filter(pk__in=chunk), len(chunk))}
        yield [rows[pk] for pk in chunk]


def _read_chunk(upload: Upload, deals: QuerySet[Deal], count: int) -> list[tuple[Any, ...]]:
    """Return the ids and the columns of ``count`` deals. Raises: SnapshotGone."""
    readable = Exists(Upload.objects.readable().matching(upload))
    columns = ("pk", "customer__username", "gem__name", "total", "quantity", "date")
    rows = list(deals.filter(readable).values_list(*columns))
    if len(rows) < count:
        raise SnapshotGone
    return rows


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raises: LimitExceeded."""
    seconds: int = settings.DEALS_LIMITS.max_export_seconds
    timer = StatementTimer(seconds)
    try:
        with timer.installed(), connection.execute_wrapper(timer.execute):
            yield
    except StatementsTimedOut:
        raise LimitExceeded(f"The database needs more than {seconds} s to select these deals.") from None


def top_clients(upload: Upload | None, limit: int) -> Table:
    """Return the ranking of ``reports.top_clients``."""
    columns = ("username", "spent_money", "gems")
    return Table(columns, iter(()) if upload is None else _top_clients(upload, limit))


def _top_clients(upload: Upload, limit: int) -> Iterator[Rows]:
    """Raises: SnapshotGone, if the upload was pruned or a restore replaced it."""
    for clients in top_clients_report.iter_top_clients(upload, limit):
        _ensure_readable(upload)
        yield [(client.username, client.spent_money, client.gems) for client in clients]
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
    return customers.exists() or Gem.objects.for_upload(upload).filter(name__regex=FORMULA).exists()
