"""Bulk load of a snapshot: its rows and the change of the pointer, in one transaction.

Rows are written by ``COPY`` on PostgreSQL and by one prepared statement on SQLite, with the names of the models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice, repeat
from typing import Final

from django.db import DatabaseError, connection, models, transaction
from django.db.models.functions import Now

from deals_api.db_vendor import analyze_tables, disable_statement_timeout, larger_page_cache
from deals_api.errors import DatabaseBusy, UploadChanged
from deals_api.ingest.aggregates import DealAggregator, NameAggregates, PeriodSums
from deals_api.ingest.csv_reader import DealBatch
from deals_api.limits import Limits
from deals_api.models import (
    FORMAT_FIELDS,
    CurrentUpload,
    Customer,
    Deal,
    Gem,
    GemDay,
    GemMonth,
    GemPeriod,
    Purchase,
    SnapshotRow,
    Upload,
    row_id,
)
from deals_api.snapshots.current import lock_pointer
from deals_api.snapshots.lease import PointerChangeIntent

log = logging.getLogger(__name__)

_CHUNK_ROWS: Final = 2048
#: Smaller uploads are fast with any query plan.
_ANALYZE_MIN_ROWS: Final = 1_000

_LENGTH_WITH_MICROSECONDS: Final = len("2018-12-14 08:29:52.506166")

#: A column of database values: numbers, names, or dates as ISO 8601 in UTC.
Column = Iterable[int] | Iterable[str]

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
                    pointer.upload, pointer.highest_upload_id = upload, upload.pk
                    pointer.save()
                return
        _announce_again(upload)


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
    """Lock the upload until the transaction ends; return False if it is marked as interrupted."""
    loading = Upload.objects.matching(upload).filter(state=Upload.State.LOADING)
    return loading.select_for_update().first() is not None


def _announce_again(upload: Upload) -> None:
    """Set the state to LOADING again.

    Raises: DatabaseBusy, if the database was restored and has no such upload.
    """
    interrupted = Upload.objects.matching(upload).filter(state=Upload.State.INTERRUPTED)
    if not interrupted.update(state=Upload.State.LOADING, finished_at=None):
        raise DatabaseBusy("The database was restored during the upload; send the file again.")


def _load(upload: Upload, batches: Iterable[DealBatch], limits: Limits) -> None:
    aggregator = DealAggregator(limits)
    _write(Deal, _deal_columns(upload, batches, aggregator))
    _write(Purchase, _purchase_columns(upload, aggregator))  # completes the sums of customers and gems
    _write(Customer, _name_columns(upload, aggregator.customers))
    _write(Gem, _name_columns(upload, aggregator.gems))
    upload.gem_day_count = _write_periods(GemDay, upload, aggregator.gem_days())
    upload.gem_month_count = _write_periods(GemMonth, upload, aggregator.gem_months())
    upload.purchase_count = sum(aggregator.customers.purchase_counts)
    upload.deal_count = aggregator.rows
    upload.customer_count = len(aggregator.customers.numbers)
    upload.gem_count = len(aggregator.gems.numbers)
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
    if upload.deal_count >= _ANALYZE_MIN_ROWS:
        analyze_tables(Deal, Purchase, Customer, Gem, GemDay, GemMonth)


def mark_rejected(upload: Upload, message: str) -> None:
    detected = {name: getattr(upload, name) for name in FORMAT_FIELDS}
    Upload.objects.matching(upload).update(state=Upload.State.REFUSED, error=message, finished_at=Now(), **detected)


# Columns in the order of the model's fields


def _deal_columns(upload: Upload, batches: Iterable[DealBatch], aggregator: DealAggregator) -> Iterator[list[Column]]:
    for batch in batches:
        first = row_id(upload.pk, aggregator.rows + 1)
        customers, gems = aggregator.add(batch)
        yield [
            range(first, first + len(batch)),
            repeat(upload.pk, len(batch)),
            _ids(upload, customers),
            _ids(upload, gems),
            batch.totals,
            batch.quantities,
            batch.dates,
        ]


def _purchase_columns(upload: Upload, aggregator: DealAggregator) -> Iterator[list[Column]]:
    purchases = aggregator.purchases()
    row_number = 1
    while chunk := list(islice(purchases, _CHUNK_ROWS)):
        customers, gems, *sums = zip(*chunk, strict=True)
        first = row_id(upload.pk, row_number)
        yield [
            range(first, first + len(chunk)),
            repeat(upload.pk, len(chunk)),
            _ids(upload, customers),
            _ids(upload, gems),
            *sums,
        ]
        row_number += len(chunk)


def _write_periods(model: type[GemPeriod], upload: Upload, periods: Iterator[PeriodSums]) -> int:
    """Write the sums by gem and period; return the number of rows."""
    row_count = 0

    def columns() -> Iterator[list[Column]]:
        nonlocal row_count
        while chunk := list(islice(periods, _CHUNK_ROWS)):
            gems, *others = zip(*chunk, strict=True)
            first = row_id(upload.pk, row_count + 1)
            yield [range(first, first + len(chunk)), repeat(upload.pk, len(chunk)), _ids(upload, gems), *others]
            row_count += len(chunk)

    _write(model, columns())
    return row_count


def _name_columns(upload: Upload, names: NameAggregates) -> Iterator[list[Column]]:
    listed = names.names
    for start in range(0, len(listed), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        first = row_id(upload.pk, start + 1)
        yield [
            range(first, first + len(listed[chunk])),
            repeat(upload.pk, len(listed[chunk])),
            listed[chunk],
            names.fold(listed[chunk]),
            names.totals[chunk],
            names.deal_counts[chunk],
            names.purchase_counts[chunk],
            names.first_deals[chunk],
            names.last_deals[chunk],
        ]


def _ids(upload: Upload, numbers: Sequence[int]) -> list[int]:
    first = row_id(upload.pk, 1)
    return [first + number for number in numbers]


# Writing rows


def _write(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    """Write chunks of columns to the table of a model."""
    if connection.vendor == "postgresql":
        _copy(model, chunks)
    else:
        _insert(model, chunks)


def _table_and_columns(model: type[SnapshotRow]) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in model._meta.concrete_fields)
    return f"{quote(model._meta.db_table)} ({columns})"


def _copy(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    stream = _CopyStream(chunks)
    try:
        with connection.cursor() as cursor, connection.wrap_database_errors:
            cursor.copy_expert(f"COPY {_table_and_columns(model)} FROM STDIN", stream)
    except DatabaseError:
        # psycopg2 reports an exception of the stream as the text of a cancelled COPY.
        if stream.error is not None:
            raise stream.error from None
        raise


class _CopyStream:
    """A file object for psycopg2: one chunk of rows at a time, in COPY's text format."""

    def __init__(self, chunks: Iterator[list[Column]]) -> None:
        self.chunks = chunks
        self.error: BaseException | None = None

    def read(self, _size: int) -> str:
        try:
            columns = next(self.chunks, None)
        except BaseException as error:
            self.error = error
            raise
        if columns is None:
            return ""
        line = "\t".join(["%s"] * len(columns)) + "\n"
        # Names contain no control characters, so only the backslash needs escaping.
        return "".join(map(line.__mod__, zip(*columns, strict=True))).replace("\\", "\\\\")


def _insert(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    fields = model._meta.concrete_fields
    placeholders = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {_table_and_columns(model)} VALUES ({placeholders})"  # noqa: S608
    dates = [position for position, field in enumerate(fields) if isinstance(field, models.DateTimeField)]
    with connection.cursor() as cursor, larger_page_cache():
        for columns in chunks:
            for position in dates:
                columns[position] = [_stored_date(str(date)) for date in columns[position]]
            cursor.executemany(statement, list(zip(*columns, strict=True)))


def _stored_date(date: str) -> str:
    """Return the text that Django stores on SQLite, which has six decimals or none, because it is compared as text."""
    if len(date) == _LENGTH_WITH_MICROSECONDS and not date.endswith("000000"):
        return date
    return datetime.fromisoformat(date).isoformat(" ")
