"""Complete tables of one upload for export: its deals and its ranking.

The rows are read in chunks; no transaction is open between two reads. An export that cannot be completed raises an
error. The module is independent of HTTP and of file formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Exists, Q

from deals_api.formats import COLUMNS
from deals_api.models import Customer, Deal, Gem, Upload
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots.lease import SnapshotGone

#: Deals that one statement reads.
CHUNK_ROWS: Final = 2_000
#: The beginning of a formula in spreadsheets, from OWASP's list: at the beginning of a cell or after a semicolon, which
#: separates cells in many locales; also after blanks, and in full-width or small forms of the characters.
FORMULA: Final = "(^|;)([ \u00a0\u3000]*[-=+@\uff0d\uff1d\uff0b\uff20\ufe63\ufe66\ufe62\ufe6b\t\r])"

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that are read in chunks, on demand; all cells of a column have the same type."""

    columns: tuple[str, ...]
    chunks: Iterator[Rows]


def deals(upload: Upload | None) -> Table:
    """Return all deals, in the columns and the order of the file."""
    return Table(COLUMNS, iter(()) if upload is None else _deals(upload))


def _deals(upload: Upload) -> Iterator[Rows]:
    """Raises: SnapshotGone, if rows are missing because the upload was pruned or a restore replaced it."""
    readable = Exists(Upload.objects.readable().matching(upload))
    for start in range(1, upload.deal_count + 1, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, upload.deal_count + 1)
        chunk = Deal.objects.rows_between(upload, start, stop).filter(readable).order_by("pk")
        rows = list(chunk.values_list("customer__username", "gem__name", "total", "quantity", "date"))
        if len(rows) < stop - start:
            raise SnapshotGone
        yield rows


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
