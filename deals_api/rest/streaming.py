"""Exports of tables as CSV or NDJSON streams; a client can detect an incomplete stream."""

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
from deals_api.formats import dump_json
from deals_api.models import Upload
from deals_api.reports import exports
from deals_api.reports.exports import FORMULA, CellType, Table
from deals_api.security.throttling import count_computation
from deals_api.snapshots.lease import SnapshotGone

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 64 * 1024
_RETRY_AFTER_SECONDS: Final = 5
#: A slow client occupies a thread for a long time, so exports may occupy at most half of the threads of a process.
_export_slots: Final = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))

#: Functions that convert all cells of a column, by the type of the cells.
CellFormats = dict[CellType, Callable[[Sequence[Any]], Iterable[str]]]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format of exports."""

    name: str
    suffix: str
    media_type: str
    write: Callable[[Table], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Export:
    """A table of one upload; ``params`` are the query parameters that select its rows."""

    name: str
    upload: Upload | None
    params: Sequence[object]
    table: Table


# Formats


def _rows(table: Table, formats: CellFormats) -> Iterator[Iterator[tuple[str, ...]]]:
    """Yield chunks of rows of formatted cells."""
    convert = [formats[cell_type] for cell_type in table.columns.values()]
    for columns in table.chunks:
        yield zip(*(function(column) for function, column in zip(convert, columns, strict=True)), strict=True)


def _write_csv(table: Table, formats: CellFormats, byte_order_mark: str = "") -> Iterator[bytes]:
    header = byte_order_mark + ",".join(table.columns) + "\r\n"
    for rows in _rows(table, formats):
        yield (header + "\r\n".join(map(",".join, rows)) + "\r\n").encode()
        header = ""
    if header:
        yield header.encode()  # the table has no rows


def _write_ndjson(table: Table) -> Iterator[bytes]:
    line = ",".join(f"{_to_json(name)}:%s" for name in table.columns)
    for rows in _rows(table, _JSON):
        yield "".join(map(f"{{{line}}}\n".__mod__, rows)).encode()


def _to_csv(text: str) -> str:
    """Quote a cell if necessary."""
    if text.isalnum():
        return text
    row = io.StringIO()
    csv.writer(row).writerow([text, ""])  # an empty text would be quoted if it were the only cell
    return row.getvalue().removesuffix(",\r\n")


_FORMULA_PATTERN: Final = re.compile(FORMULA)


def _neutralize(text: str) -> str:
    """Insert an apostrophe before every character that could start a formula in a spreadsheet."""
    return text if text.isalnum() else _FORMULA_PATTERN.sub(r"\1'\2", text)


def _to_json(value: object) -> str:
    return dump_json(value).decode()


def _each_distinct(function: Callable[[str], str], column: Sequence[str]) -> Iterable[str]:
    """Convert each different text once, because few names repeat in many deals."""
    converted = {text: function(text) for text in set(column)}
    return map(converted.__getitem__, column)


_RAW: Final[CellFormats] = {
    CellType.TEXT: partial(_each_distinct, _to_csv),
    CellType.TEXTS: partial(map, lambda names: _to_csv(", ".join(names))),
    CellType.NUMBER: iter,
    CellType.DATE: iter,
}
_NEUTRALIZED: Final[CellFormats] = {
    **_RAW,
    CellType.TEXT: partial(_each_distinct, lambda name: _to_csv(_neutralize(name))),
    CellType.TEXTS: partial(map, lambda names: _to_csv(_neutralize(", ".join(names)))),
}
_JSON: Final[CellFormats] = {
    **_RAW,
    CellType.TEXT: partial(_each_distinct, _to_json),
    CellType.TEXTS: partial(map, _to_json),
    CellType.DATE: partial(map, lambda date: f'"{date.replace(" ", "T")}+00:00"'),
}

_CSV_TYPE: Final = "text/csv; charset=utf-8"
#: For spreadsheets, which detect UTF-8 by the byte-order mark.
CSV: Final = Format("spreadsheet", "csv", _CSV_TYPE, lambda table: _write_csv(table, _NEUTRALIZED, "\ufeff"))
#: For programs and for uploading again, with unchanged names.
RAW_CSV: Final = Format("csv", "csv", _CSV_TYPE, lambda table: _write_csv(table, _RAW))
NDJSON: Final = Format("ndjson", "ndjson", "application/x-ndjson", _write_ndjson)


# Responses


def stream(request: HttpRequest, export: Export, format: Format) -> HttpResponseBase:
    """Return the file, or 304 if the client already has it.

    Raises: TooManyRequests, or any error of reading the first rows.
    """
    query = CacheableQuery(f"rest:export:{export.name}", [format.name, *export.params], format.media_type)
    key = query.key(export.upload)
    return not_modified(request, key) or set_cache_headers(_file_response(request, export, format), key)


def _file_response(request: HttpRequest, export: Export, format: Format) -> HttpResponseBase:
    headers = {
        "Content-Type": format.media_type,
        "Content-Disposition": f'attachment; filename="{_file_name(export, format)}"',
    }
    if request.method == "HEAD":
        return StreamingHttpResponse((), headers=headers)
    count_computation(request.META)
    with contextlib.ExitStack() as resources:
        resources.enter_context(_export_slot())
        chunks = format.write(export.table)
        if request.META.get("SERVER_PROTOCOL") == "HTTP/1.0":
            # HTTP/1.0 clients, such as nginx by default, cannot detect an aborted stream without a Content-Length.
            file = resources.enter_context(tempfile.TemporaryFile())
            headers["Content-Length"] = str(_spool(chunks, file))
            body = iter(partial(file.read, _CHUNK_BYTES), b"")
        else:
            # The first rows are read before the response starts, so that their errors become error responses.
            body = chain([next(chunks, b"")], _abort_on_error(chunks))
        return _ExportResponse(body, headers, resources.pop_all())


def _file_name(export: Export, format: Format) -> str:
    """Return a name with the table, the date and snapshot of the upload, and "neutralised" if names were changed."""
    parts = [export.name]
    if export.upload is not None:
        parts += [f"{export.upload.arrived_at:%Y-%m-%d}", export.upload.snapshot.hex[:8]]
    if format is CSV and exports.has_formulas(export.upload):
        parts.append("neutralised")
    return f"{'-'.join(parts)}.{format.suffix}"


def _spool(chunks: Iterator[bytes], file: IO[bytes]) -> int:
    """Write all chunks to a temporary file, and return its length."""
    file.writelines(chunks)
    length = file.tell()
    file.seek(0)
    return length


def _abort_on_error(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Raises: BrokenPipeError, after which the server closes the connection without a last chunk or a traceback."""
    try:
        yield from chunks
    except (Error, SnapshotGone) as error:
        if isinstance(error, Error) and not is_temporary(error):
            raise
        log.warning("Export aborted: %s", error)
        raise BrokenPipeError(errno.EPIPE, "export aborted") from error


@contextlib.contextmanager
def _export_slot() -> Iterator[None]:
    """Raises: TooManyRequests."""
    if not _export_slots.acquire(blocking=False):
        raise TooManyRequests("Too many exports are running; try again later.", _RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _export_slots.release()


class _ExportResponse(StreamingHttpResponse):
    """A stream that releases its resources when it is closed or garbage-collected."""

    def __init__(self, body: Iterator[bytes], headers: dict[str, str], resources: contextlib.ExitStack) -> None:
        super().__init__(body, headers=headers)
        self._release = weakref.finalize(self, resources.close)

    def close(self) -> None:
        super().close()
        self._release()
