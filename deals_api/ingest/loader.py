"""Bulk load of a snapshot: its rows and the change of the pointer, in one transaction.

Rows are written by ``COPY`` on PostgreSQL and by one prepared statement on SQLite, with the names of the models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from deals_api.db_vendor import analyze_tables, disable_statement_timeout, has_citus, larger_page_cache
from deals_api.errors import DatabaseBusy, UploadChanged
from deals_api.ingest.aggregates import Columns, DealAggregator, NameAggregates
from deals_api.ingest.copy_formats import (
    BINARY_END,
    BINARY_HEADER,
    Column,
    binary_row,
    binary_rows,
    python_values,
    text_rows,
)
from deals_api.ingest.deal_batch import DealBatch, Integers
from deals_api.ingest.numpy_setup import np
from deals_api.limits import Limits
from deals_api.models import (
    FORMAT_FIELDS,
    CurrentUpload,
    Customer,
    Deal,
    Gem,
    GemDay,
    GemMonth,
    Purchase,
    SnapshotRow,
    Upload,
    row_id,
)
from deals_api.snapshots.current import lock_pointer, move_pointer
from deals_api.snapshots.lease import PointerChangeIntent

log = logging.getLogger(__name__)

_CHUNK_ROWS: Final = 2048
#: Smaller uploads are fast with any query plan.
_ANALYZE_MIN_ROWS: Final = 1_000
_ANALYZED: Final = (Deal, Purchase, Customer, Gem, GemDay, GemMonth)

#: Returns whether the client expects this upload, or None, to be current.
Expectation = Callable[[Upload | None], bool]


def store_snapshot(
    upload: Upload, batches: Iterable[DealBatch], limits: Limits, is_expected: Expectation | None = None
) -> None:
    """Store all deals of an upload and their sums, and move the pointer last, in one transaction.

    Raises: UploadChanged, if the current upload is not the expected one, or any exception of ``batches``; nothing is
            stored then.
    """
    while True:
        intent = PointerChangeIntent()  # the committed row of a LOADING upload announces the change
        with transaction.atomic():
            disable_statement_timeout()
            if _lock_loading(upload):
                _load(upload, batches, limits)
                intent.wait()
                pointer = lock_pointer()
                if is_expected is not None:
                    _require_expected(pointer, upload, is_expected)
                if upload.pk > pointer.highest_upload_id:
                    move_pointer(pointer, upload, upload.pk)
                break
        _announce_again(upload)
    if upload.deal_count >= _ANALYZE_MIN_ROWS and has_citus():
        _analyze_after_commit(upload)


def _analyze_after_commit(upload: Upload) -> None:
    """Update the statistics of an upload that is stored, so a failure is only logged."""
    try:
        for model in _ANALYZED:
            analyze_tables(model)
    except DatabaseError as error:
        log.warning("The statistics of upload %s were not updated: %s", upload.pk, error)


def _require_expected(pointer: CurrentUpload, upload: Upload, is_expected: Expectation) -> None:
    """Raises: UploadChanged, unless the file became current during the load.

    An upload that arrived earlier than the current one would not replace it.
    """
    current = pointer.upload
    if current is not None and current.sha256 == upload.sha256:
        return
    if not is_expected(current) or upload.pk <= pointer.highest_upload_id:
        raise UploadChanged


def _lock_loading(upload: Upload) -> bool:
    """Lock the upload until the transaction ends; return False if its state has changed."""
    loading = Upload.objects.matching(upload).filter(state=Upload.State.LOADING)
    return loading.select_for_update().first() is not None


def _announce_again(upload: Upload) -> None:
    """Set the state to LOADING again after a sweep.

    Raises: DatabaseBusy, if the database was restored and has no such upload, or if another worker loads it.
    """
    swept = Upload.objects.matching(upload).filter(state__in=[Upload.State.INTERRUPTED, Upload.State.QUEUED])
    if not swept.update(state=Upload.State.LOADING, finished_at=None):
        raise DatabaseBusy("The database was restored during the upload; send the file again.")


def _load(upload: Upload, batches: Iterable[DealBatch], limits: Limits) -> None:
    aggregator = DealAggregator(limits)
    _write(Deal, _deal_columns(upload, batches, aggregator))
    # Completes the sums of customers and gems.
    upload.purchase_count = _write(Purchase, _sum_columns(upload, aggregator.purchases(), 2))
    _write(Customer, _name_columns(upload, aggregator.customers))
    _write(Gem, _name_columns(upload, aggregator.gems))
    upload.gem_day_count = _write(GemDay, _sum_columns(upload, aggregator.gem_days(), 1))
    upload.gem_month_count = _write(GemMonth, _sum_columns(upload, aggregator.gem_months(), 1))
    upload.deal_count = aggregator.rows
    upload.customer_count = aggregator.customers.names.count
    upload.gem_count = aggregator.gems.names.count
    upload.customer_characters = aggregator.customers.characters
    upload.gem_characters = aggregator.gems.characters
    upload.names_folded = True
    upload.state = Upload.State.LOADED
    upload.finished_at = Now()
    upload.save(
        update_fields=[
            "deal_count", "customer_count", "gem_count", "customer_characters", "gem_characters", "names_folded",
            "purchase_count", "gem_day_count", "gem_month_count", *FORMAT_FIELDS, "state", "finished_at",
        ]
    )  # fmt: skip
    upload.refresh_from_db(fields=["finished_at"])
    # Before the upload becomes current: with old statistics, the first page of deals by customer took over a minute.
    # Citus rejects an ANALYZE of several tables in the transaction that has written them.
    if upload.deal_count >= _ANALYZE_MIN_ROWS and not has_citus():
        analyze_tables(*_ANALYZED)


# Columns in the order of the model's fields


def _deal_columns(upload: Upload, batches: Iterable[DealBatch], aggregator: DealAggregator) -> Iterator[list[Column]]:
    for batch in batches:
        first = aggregator.rows + 1
        aggregator.add(batch)
        yield [
            *_keys(upload, first, len(batch)),
            _ids(upload, batch.customers),
            _ids(upload, batch.gems),
            batch.totals,
            batch.quantities,
            batch.dates,
        ]


def _sum_columns(upload: Upload, sums: Iterator[Columns], numbers: int) -> Iterator[list[Column]]:
    """Yield the columns of sums, of which the first ones are ``numbers`` columns of numbers of customers or gems."""
    row_number = 1
    for columns in sums:
        count = len(columns[0])
        ids = (_ids(upload, column) for column in columns[:numbers])
        yield [*_keys(upload, row_number, count), *ids, *columns[numbers:]]
        row_number += count


def _name_columns(upload: Upload, names: NameAggregates) -> Iterator[list[Column]]:
    texts = names.names.texts()
    start = 0
    while listed := list(islice(texts, _CHUNK_ROWS)):
        chunk = slice(start, start + len(listed))
        yield [
            *_keys(upload, start + 1, len(listed)),
            listed,
            names.fold(listed),
            names.totals[chunk],
            names.deal_counts[chunk],
            names.purchase_counts[chunk],
            names.first_deals[chunk].view("M8[us]"),
            names.last_deals[chunk].view("M8[us]"),
        ]
        start += len(listed)


def _keys(upload: Upload, row_number: int, count: int) -> tuple[Integers, Integers]:
    """Return the ids of consecutive rows, and the id of the upload in each of them."""
    first = row_id(upload.pk, row_number)
    return np.arange(first, first + count), np.full(count, upload.pk)


def _ids(upload: Upload, numbers: Integers) -> Integers:
    return numbers + row_id(upload.pk, 1)


# Writing rows


def _write(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> int:
    """Write chunks of columns to the table of a model; return the number of rows."""
    row_count = 0

    def counted() -> Iterator[list[Column]]:
        nonlocal row_count
        for columns in chunks:
            row_count += len(columns[0])
            yield columns

    if connection.vendor == "postgresql":
        _copy(model, counted())
    else:
        _insert(model, counted())
    return row_count


def _table_and_columns(model: type[SnapshotRow]) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in model._meta.concrete_fields)
    return f"{quote(model._meta.db_table)} ({columns})"


def _copy(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    row = binary_row([str(field.db_type(connection)) for field in model._meta.concrete_fields])
    options = "" if row is None else "(FORMAT binary)"
    stream = _CopyStream(map(text_rows, chunks) if row is None else _binary_stream(row, chunks))
    try:
        with connection.cursor() as cursor, connection.wrap_database_errors:
            cursor.copy_expert(f"COPY {_table_and_columns(model)} FROM STDIN {options}", stream)
    except DatabaseError:
        # psycopg2 reports an exception of the stream as the text of a cancelled COPY.
        if stream.error is not None:
            raise stream.error from None
        raise


def _binary_stream(row: Any, chunks: Iterator[list[Column]]) -> Iterator[bytes]:
    yield BINARY_HEADER
    for columns in chunks:
        yield binary_rows(row, columns)
    yield BINARY_END


class _CopyStream:
    """A file object for psycopg2: one chunk of rows at a time.

    PostgreSQL stores a chunk that it receives while this process reads the next one.
    """

    def __init__(self, chunks: Iterator[bytes | str]) -> None:
        self.chunks = chunks
        self.error: BaseException | None = None

    def read(self, _size: int) -> bytes | str:
        try:
            return next(self.chunks, b"")
        except BaseException as error:
            self.error = error
            raise


def _insert(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    placeholders = ", ".join(["%s"] * len(model._meta.concrete_fields))
    statement = f"INSERT INTO {_table_and_columns(model)} VALUES ({placeholders})"  # noqa: S608
    with connection.cursor() as cursor, larger_page_cache():
        for columns in chunks:
            cursor.executemany(statement, list(zip(*map(python_values, columns), strict=True)))
