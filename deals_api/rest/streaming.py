"""A table on its way out: written as CSV or NDJSON while it is read, and whole or visibly broken.

Answers for the bytes of a row and for the HTTP of a stream; knows nothing of what the tables hold.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import logging
import re
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import IO, Any, Final

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from deals_api.caching.conditional import not_modified, set_cache_headers
from deals_api.caching.response_cache import CacheableQuery
from deals_api.db_vendor import is_temporary
from deals_api.errors import TooManyRequests
from deals_api.formats import dump_json, format_money
from deals_api.models import Upload
from deals_api.reports import exports
from deals_api.reports.exports import FORMULA, Rows, Table
from deals_api.security.throttling import count_computation
from deals_api.snapshots.lease import SnapshotGone

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 64 * 1024
_RETRY_AFTER_SECONDS: Final = 5
#: A client that reads slowly holds a thread, so these may hold no more than half of a process' threads.
_export_slots: Final = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))

CellFormats = dict[type, Callable[[Any], object]]


@dataclass(frozen=True, slots=True)
class Format:
    """How a table is written."""

    name: str
    suffix: str
    media_type: str
    write: Callable[[Table], Iterator[bytes]]


# What a row looks like


def _cells(rows: Rows, written: CellFormats) -> Iterable[tuple[Any, ...]]:
    """The rows with every cell as its type is written; goes column by column, which is quicker."""
    return zip(*(map(written[type(column[0])], column) for column in zip(*rows, strict=True)), strict=True)


def _as_csv(table: Table, cells: CellFormats, mark: str = "") -> Iterator[bytes]:
    text = io.StringIO(mark)
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text)
    writer.writerow(table.columns)
    for rows in table.chunks:
        writer.writerows(_cells(rows, cells))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    if not_yet := text.getvalue():
        yield not_yet.encode()  # the header, where there are no rows


def _neutralize(text: str) -> str:
    """With an apostrophe before what a spreadsheet would take for a formula."""
    return _formula.sub(r"\1'\2", text)


_formula: Final = re.compile(FORMULA)


def _format_utc(moment: datetime) -> str:
    """As in the files that come in."""
    return moment.replace(tzinfo=None).isoformat(" ")


_RAW: Final[CellFormats] = {str: str, int: int, Decimal: format_money, datetime: _format_utc, list: ", ".join}
_NEUTRAL: Final[CellFormats] = {**_RAW, str: _neutralize, list: lambda names: _neutralize(", ".join(names))}
_IN_JSON: Final[CellFormats] = {str: str, int: int, Decimal: format_money, datetime: datetime.isoformat, list: list}


def _as_ndjson(table: Table) -> Iterator[bytes]:
    for rows in table.chunks:
        objects = (dict(zip(table.columns, row, strict=True)) for row in _cells(rows, _IN_JSON))
        yield b"".join(dump_json(one) + b"\n" for one in objects)


_CSV_TYPE: Final = "text/csv; charset=utf-8"
#: For spreadsheets: the mark tells them that it is UTF-8.
CSV: Final = Format("spreadsheet", "csv", _CSV_TYPE, lambda table: _as_csv(table, _NEUTRAL, "\ufeff"))
#: For programs, and for an upload: every name as it is.
RAW_CSV: Final = Format("csv", "csv", _CSV_TYPE, lambda table: _as_csv(table, _RAW))
NDJSON: Final = Format("ndjson", "ndjson", "application/x-ndjson", _as_ndjson)


# How it travels


def stream_table(
    request: HttpRequest, upload: Upload | None, name: str, question: Sequence[object], form: Format, table: Table
) -> HttpResponseBase:
    """The table as a file, or 304 if the client has it already.

    Raises: TooManyRequests, and whatever reading the first rows raises.
    """
    key = CacheableQuery(f"rest:export:{name}", [form.name, *question], form.media_type).key(upload)
    response = not_modified(request, key)
    return response or set_cache_headers(_file_response(request, upload, name, form, table), key)


def _file_response(
    request: HttpRequest, upload: Upload | None, name: str, form: Format, table: Table
) -> HttpResponseBase:
    headers = {
        "Content-Type": form.media_type,
        "Content-Disposition": f'attachment; filename="{_file_name(upload, name, form)}"',
    }
    if request.method == "HEAD":
        return StreamingHttpResponse((), headers=headers)
    count_computation(request.META)
    with contextlib.ExitStack() as held:
        held.enter_context(_export_slot())
        chunks = form.write(table)
        if request.META.get("SERVER_PROTOCOL") == "HTTP/1.0":
            file = held.enter_context(tempfile.TemporaryFile())
            headers["Content-Length"] = str(_spool(chunks, file))
            body = iter(partial(file.read, _CHUNK_BYTES), b"")
        else:
            # The first rows are read before the answer begins, so that a refusal can still be told as one.
            body = chain([next(chunks, b"")], _abort_on_error(chunks))
        return _ExportResponse(body, headers, held.pop_all())


def _file_name(upload: Upload | None, name: str, form: Format) -> str:
    """Which table of which upload, and whether names in it may have been changed."""
    parts = [name]
    if upload is not None:
        parts += [f"{upload.arrived_at:%Y-%m-%d}", upload.snapshot.hex[:8]]
    if form is CSV and exports.has_formulas(upload):
        parts.append("neutralised")
    return f"{'-'.join(parts)}.{form.suffix}"


def _spool(chunks: Iterator[bytes], file: IO[bytes]) -> int:
    """Its length. Whoever speaks HTTP/1.0, as nginx does by default, cannot see that a stream broke off."""
    file.writelines(chunks)
    length = file.tell()
    file.seek(0)
    return length


def _abort_on_error(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Raises: BrokenPipeError, upon which the server hangs up without the last chunk, and without a traceback."""
    try:
        yield from chunks
    except (Error, SnapshotGone) as error:
        if isinstance(error, Error) and not is_temporary(error):
            raise
        log.warning("A download was broken off: %s", error)
        raise BrokenPipeError(errno.EPIPE, "broken off") from error


@contextlib.contextmanager
def _export_slot() -> Iterator[None]:
    """Raises: TooManyRequests."""
    if not _export_slots.acquire(blocking=False):
        raise TooManyRequests("Other downloads are on their way; try again in a moment.", _RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _export_slots.release()


class _ExportResponse(StreamingHttpResponse):
    """A stream that lets go of what it holds when it ends, however that comes about."""

    def __init__(self, body: Iterator[bytes], headers: dict[str, str], held: contextlib.ExitStack) -> None:
        super().__init__(body, headers=headers)
        self._let_go = weakref.finalize(self, held.close)

    def close(self) -> None:
        super().close()
        self._let_go()
