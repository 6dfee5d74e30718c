"""What can be taken out whole: the deals of one upload and its ranking, some rows at a time.

Answers for reading any number of rows in little memory, with no transaction open between two reads,
and for never ending early unnoticed. Knows neither HTTP nor how a row is written.
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

#: Deals that are read by one statement.
CHUNK_ROWS: Final = 2_000
#: What a spreadsheet would take for a formula: at the beginning of a cell, and after a semicolon, where the
#: spreadsheets of half of the world cut a line; also after blanks, and in full width or as small forms (OWASP's list).
FORMULA: Final = "(^|;)([ \u00a0\u3000]*[-=+@\uff0d\uff1d\uff0b\uff20\ufe63\ufe66\ufe62\ufe6b\t\r])"

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their columns, read as they are asked for; all cells of a column are of one type."""

    columns: tuple[str, ...]
    chunks: Iterator[Rows]


def deals(upload: Upload | None) -> Table:
    """All deals, in the columns and the order of the file."""
    return Table(COLUMNS, iter(()) if upload is None else _deals(upload))


def _deals(upload: Upload) -> Iterator[Rows]:
    """Raises: SnapshotGone, where rows are missing: the upload has been pruned, or a restore has replaced it."""
    readable = Exists(Upload.objects.readable().matching(upload))
    for first in range(1, upload.deal_count + 1, CHUNK_ROWS):
        beyond = min(first + CHUNK_ROWS, upload.deal_count + 1)
        chunk = Deal.objects.rows_between(upload, first, beyond).filter(readable).order_by("pk")
        rows = list(chunk.values_list("customer__username", "gem__name", "total", "quantity", "date"))
        if len(rows) < beyond - first:
            raise SnapshotGone
        yield rows


def top_clients(upload: Upload | None, limit: int) -> Table:
    """The ranking of ``top_clients``."""
    columns = ("username", "spent_money", "gems")
    return Table(columns, iter(()) if upload is None else _top_clients(upload, limit))


def _top_clients(upload: Upload, limit: int) -> Iterator[Rows]:
    """Raises: SnapshotGone."""
    ranking = top_clients_report.top_clients(upload, limit, bounded=False)
    if not upload.is_readable():
        raise SnapshotGone
    yield [(client.username, client.spent_money, client.gems) for client in ranking]


def has_formulas(upload: Upload | None) -> bool:
    """Whether a spreadsheet would take a name in this upload for a formula."""
    if upload is None:
        return False
    customers = Customer.objects.for_upload(upload).filter(Q(username__regex=FORMULA))
    return customers.exists() or Gem.objects.for_upload(upload).filter(name__regex=FORMULA).exists()
