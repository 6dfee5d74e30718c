"""Rows into tables, and which upload is current: every write to the database.

Answers for transactions, for the order of arrivals and for how rows travel: ``COPY`` where the
database has it, ``bulk_create`` elsewhere. Knows neither files nor faces.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice, repeat
from typing import Any, Final

from django.db import DatabaseError, Error, connection, models, transaction
from django.db.models import Exists, Max
from django.db.models.functions import Now

from deals_api.cache import LEASE_SECONDS
from deals_api.csv_rows import DealBatch
from deals_api.database import count_anew, no_wait_for_writers, take_as_long_as_needed
from deals_api.errors import DatabaseBusy, UploadNotKept
from deals_api.limits import Limits
from deals_api.models import (
    CurrentUpload,
    Customer,
    Deal,
    Gem,
    MoneyField,
    Purchase,
    SnapshotRow,
    Upload,
    from_hundredths,
    row_id,
)
from deals_api.tally import NameTally, Tally

log = logging.getLogger(__name__)

_CHUNK_ROWS: Final = 2048
_DELETED_AT_ONCE: Final = 20_000
#: Rows of an upload that no bad plan makes slow.
_WORTH_COUNTING: Final = 1_000
#: Far longer than an upload usually takes from its registration to the lock on its row.
_UNHELD_SECONDS: Final = 10

#: A column of values as the database keeps them: numbers, names, or dates as ISO 8601 in UTC.
Column = Iterable[int] | Iterable[str]


# Stories


def store_snapshot(upload: Upload, batches: Iterable[DealBatch], limits: Limits) -> None:
    """All deals of one upload, their sums, and the pointer last: everything or nothing.

    Raises: whatever the batches raise, after which nothing was stored.
    """
    while True:
        announced = Announcement()  # by the row of a LOADING upload, which is committed
        with transaction.atomic():
            take_as_long_as_needed()
            if _lock_loading(upload):
                _load(upload, batches, limits)
                announced.wait()
                pointer = _locked_pointer()
                if upload.pk > pointer.arrival:
                    pointer.upload, pointer.arrival = upload, upload.pk
                    pointer.save()
                return
        _announce_again(upload)


def _lock_loading(upload: Upload) -> bool:
    """Lock its row until the transaction ends; False where it was taken for a crashed load before."""
    loading = Upload.objects.matching(upload).filter(state=Upload.State.LOADING)
    return loading.select_for_update().first() is not None


def _announce_again(upload: Upload) -> None:
    """Raises: DatabaseBusy, where the database has been restored, and does not know the upload."""
    interrupted = Upload.objects.matching(upload).filter(state=Upload.State.INTERRUPTED)
    if not interrupted.update(state=Upload.State.LOADING, finished_at=None):
        raise DatabaseBusy("The database was restored during the upload; send the file again.")


def _load(upload: Upload, batches: Iterable[DealBatch], limits: Limits) -> None:
    tally = Tally(limits)
    _write(Deal, _deal_columns(upload, batches, tally))
    _write(Purchase, _purchase_columns(upload, tally))  # completes the sums of names
    _write(Customer, _name_columns(upload, tally.customers))
    _write(Gem, _name_columns(upload, tally.gems))
    upload.rows = tally.rows
    upload.customer_count = len(tally.customers.numbers)
    upload.gem_count = len(tally.gems.numbers)
    upload.customer_characters = tally.customers.characters
    upload.gem_characters = tally.gems.characters
    upload.state = Upload.State.LOADED
    upload.finished_at = Now()
    upload.save(
        update_fields=[
            "rows", "customer_count", "gem_count", "customer_characters", "gem_characters", "state", "finished_at"
        ]
    )  # fmt: skip
    upload.refresh_from_db(fields=["finished_at"])
    if upload.rows >= _WORTH_COUNTING:
        count_anew(Deal, Purchase, Customer, Gem)


class Announcement:
    """The time since a change of the pointer was announced; see ``cache.Lease``."""

    def __init__(self) -> None:
        self.made = time.monotonic()

    def wait(self) -> None:
        """Wait until no reader holds a lease from before.

        A suspended machine does not count: the wait then takes longer than the leases, which is safe.
        """
        time.sleep(max(0.0, self.made + LEASE_SECONDS * 1.1 - time.monotonic()))


def confirm_current(sha256: str) -> Upload | None:
    """The current upload, if these are its bytes; then they count as having arrived again.

    That matters while an older upload is still loading: it must not replace what was sent after it.
    """
    current = Upload.objects.current()
    if current is None or current.sha256 != sha256:
        return None
    with transaction.atomic():
        pointer = _locked_pointer()
        if pointer.upload is None or pointer.upload.snapshot != current.snapshot:
            return None
        pointer.arrival = _last_arrival()
        pointer.save()
    return current


def activate(snapshot: uuid.UUID) -> Upload:
    """Points at a kept upload again: roll-back. It counts as having arrived now.

    Raises: UploadNotKept.
    """
    CurrentUpload.objects.get_or_create(pk=CurrentUpload.ONLY)
    arrival = _last_arrival()
    while True:
        announced = _announce()
        Announcement().wait()
        with transaction.atomic():
            pointer = _locked_pointer()
            if announced is None or pointer.announced != announced:
                continue  # somebody cleared it, so a lease may have been given
            upload = Upload.objects.readable().filter(snapshot=snapshot).first()
            pointer.announced = None
            if upload and arrival >= pointer.arrival:
                pointer.upload, pointer.arrival = upload, arrival
            pointer.save()
        if upload is None:
            raise UploadNotKept("There is no such upload, or its rows are no longer kept.")
        if pointer.upload_id == upload.pk:
            log.info("Upload %d activated.", upload.pk)
        return upload


def _announce() -> uuid.UUID | None:
    """What announces a change of the pointer now: a roll-back that is under way, or else this one.

    None where that one ended just now. (If each announced itself, they would keep undoing each other's.)
    """
    CurrentUpload.objects.filter(announced=None).update(announced=uuid.uuid4())
    return CurrentUpload.objects.values_list("announced", flat=True).get()


def _last_arrival() -> int:
    return Upload.objects.aggregate(last=Max("pk"))["last"] or 0


def note_refusal(upload: Upload, sentence: str) -> None:
    Upload.objects.matching(upload).update(state=Upload.State.REFUSED, error=sentence, finished_at=Now())


def note_interruption(upload: Upload) -> None:
    """Mark an upload that failed, unless it was loaded already; without a database, ``sweep`` does it later."""
    try:
        with no_wait_for_writers():
            _interrupt(Upload.objects.matching(upload))
    except Error as error:
        log.warning("Upload %s could not be marked as interrupted: %s", upload.pk, error)


def _interrupt(uploads: models.QuerySet[Upload]) -> None:
    """Mark those that are LOADING and that no transaction holds."""
    with transaction.atomic():
        loading = uploads.filter(state=Upload.State.LOADING).select_for_update(skip_locked=True)
        abandoned = [upload.pk for upload in loading]
        Upload.objects.filter(pk__in=abandoned).update(state=Upload.State.INTERRUPTED, finished_at=Now())


def sweep() -> None:
    """End what killed processes have announced: uploads that no transaction holds, and roll-backs.

    Safe at any moment: a process that is alive finds its announcement gone, and makes it again.
    """
    with transaction.atomic():
        _interrupt(Upload.objects.filter(arrived_at__lt=Now() - timedelta(seconds=_UNHELD_SECONDS)))
        CurrentUpload.objects.exclude(announced=None).update(announced=None)


_sweeping: Final = threading.Lock()


def sweep_in_background() -> None:
    """``sweep`` in a thread with a connection of its own, so that no reader waits for it or fails with it."""
    if not _sweeping.acquire(blocking=False):
        return
    try:
        threading.Thread(target=_sweep_and_release, name="sweep", daemon=True).start()
    except RuntimeError:  # no more threads; the next reader tries again
        _sweeping.release()


def _sweep_and_release() -> None:
    try:
        # On SQLite a load that is alive holds the write lock; then there is nothing to sweep.
        with no_wait_for_writers():
            sweep()
    except Error as error:
        log.info("Interrupted uploads were not marked now: %s", error)
    finally:
        connection.close()
        _sweeping.release()


def tidy(limits: Limits) -> None:
    """Mark interrupted uploads, and delete the rows of uploads that are no longer kept.

    Housekeeping: correct at any moment, in any number of processes, and after a crash in its middle.
    """
    sweep()
    with transaction.atomic():
        _locked_pointer()
        Upload.objects.beyond(limits.keep_uploads).update(state=Upload.State.RETIRED)
    # From here on no new reader reads those rows, and earlier ones notice: see Upload.is_readable.
    retired = Upload.objects.filter(state=Upload.State.RETIRED)
    for upload in list(retired):
        # Each statement checks it: after a restore these ids may belong to rows that are read.
        still_retired = Exists(retired.matching(upload))
        for first in range(0, upload.rows + 1, _DELETED_AT_ONCE):
            for model in (Deal, Purchase, Customer, Gem):
                model.objects.places(upload, first, first + _DELETED_AT_ONCE).filter(still_retired).delete()
        retired.matching(upload).update(state=Upload.State.PRUNED)


def tidy_if_possible(limits: Limits) -> None:
    """``tidy``, whose failure harms nobody: the next upload tidies again."""
    try:
        tidy(limits)
    except DatabaseError as error:
        log.warning("Old uploads were not tidied away now: %s", error)


def _locked_pointer() -> CurrentUpload:
    CurrentUpload.objects.get_or_create(pk=CurrentUpload.ONLY)
    return CurrentUpload.objects.select_for_update().get(pk=CurrentUpload.ONLY)


# Columns, in the order of the model's fields


def _deal_columns(upload: Upload, batches: Iterable[DealBatch], tally: Tally) -> Iterator[list[Column]]:
    for batch in batches:
        first = row_id(upload.pk, tally.rows + 1)
        customers, gems = tally.add(batch)
        yield [
            range(first, first + len(batch)),
            repeat(upload.pk, len(batch)),
            _ids(upload, customers),
            _ids(upload, gems),
            batch.totals,
            batch.quantities,
            batch.dates,
        ]


def _purchase_columns(upload: Upload, tally: Tally) -> Iterator[list[Column]]:
    purchases = tally.purchases()
    place = 1
    while some := list(islice(purchases, _CHUNK_ROWS)):
        customers, gems, deal_counts, quantities, totals = zip(*some, strict=True)
        first = row_id(upload.pk, place)
        yield [
            range(first, first + len(some)),
            repeat(upload.pk, len(some)),
            _ids(upload, customers),
            _ids(upload, gems),
            deal_counts,
            quantities,
            totals,
        ]
        place += len(some)


def _name_columns(upload: Upload, names: NameTally) -> Iterator[list[Column]]:
    first = row_id(upload.pk, 1)
    yield [
        range(first, first + len(names.numbers)),
        repeat(upload.pk, len(names.numbers)),
        names.names,
        names.totals,
        names.deal_counts,
        names.purchase_counts,
        names.first_deals,
        names.last_deals,
    ]


def _ids(upload: Upload, numbers: Sequence[int]) -> list[int]:
    first = row_id(upload.pk, 1)
    return [first + number for number in numbers]


# How rows travel


def _write(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    """Rows, given as chunks of columns, into their table."""
    if connection.vendor == "postgresql":
        _copy(model, chunks)
    else:
        _bulk_create(model, chunks)


def _copy(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in model._meta.concrete_fields)
    stream = _CopyStream(chunks)
    try:
        with connection.cursor() as cursor, connection.wrap_database_errors:
            cursor.copy_expert(f"COPY {quote(model._meta.db_table)} ({columns}) FROM STDIN", stream)
    except DatabaseError:
        # What the rows raised while they were read reaches us as the text of a cancelled COPY.
        if stream.refused is not None:
            raise stream.refused from None
        raise


class _CopyStream:
    """What psycopg2 reads from: one chunk of rows at a time, in COPY's text format."""

    def __init__(self, chunks: Iterator[list[Column]]) -> None:
        self.chunks = chunks
        self.refused: BaseException | None = None

    def read(self, _size: int) -> str:
        try:
            columns = next(self.chunks, None)
        except BaseException as error:
            self.refused = error
            raise
        if columns is None:
            return ""
        line = "\t".join(["%s"] * len(columns)) + "\n"
        # Names have no control characters, so the backslash is all that needs escaping.
        return "".join(map(line.__mod__, zip(*columns, strict=True))).replace("\\", "\\\\")


def _bulk_create(model: type[SnapshotRow], chunks: Iterator[list[Column]]) -> None:
    makers = [_maker(field) for field in model._meta.concrete_fields]
    make_row: Callable[..., SnapshotRow] = model
    for columns in chunks:
        values = zip(*(map(make, column) for make, column in zip(makers, columns, strict=True)), strict=True)
        model._default_manager.bulk_create(make_row(*row) for row in values)


def _maker(field: models.Field[Any, Any]) -> Callable[[Any], Any]:
    """From a value as the database keeps it to the one that the model speaks."""
    if isinstance(field, MoneyField):
        return from_hundredths
    if isinstance(field, models.DateTimeField):
        return lambda text: datetime.fromisoformat(text + "+00:00")
    return lambda value: value
