"""The use cases of a file: store its deals, or record why it was rejected; or only check it (dry run).

REST and ``manage.py load_deals`` call the same functions. Modules that need numpy are imported by the first call,
because most processes never load a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

from django.conf import settings

from deals_api import request_context
from deals_api.errors import DatabaseBusy, DealsError, UploadChanged, UploadTooLarge
from deals_api.ingest.rejections import Rejection, record_rejection
from deals_api.ingest.report import UploadReport, report_file
from deals_api.limits import Limits
from deals_api.models import Upload
from deals_api.snapshots import current as current_snapshot
from deals_api.snapshots import interruption
from deals_api.snapshots.progress import heartbeat

if TYPE_CHECKING:
    from deals_api.ingest.csv_reader import DealsReader
    from deals_api.ingest.deal_batch import DealBatch
    from deals_api.ingest.loader import Expectation

#: Called repeatedly with the number of deals read and the number of bytes read from the file.
Progress = Callable[[int, int], None]


def ingest_deals(
    file: IO[bytes],
    file_name: str,
    uploaded_by: str = "",
    progress: Progress | None = None,
    is_expected: Expectation | None = None,
) -> Upload:
    """Store all deals of a file and make them current, or store nothing.

    If the file is that of the current upload, nothing changes: the current upload is returned with ``is_duplicate``
    set, and keeps the first uploader in ``uploaded_by``. Otherwise, if ``is_expected`` is given, the file replaces only
    an upload for which it is true.

    Raises: DealsError; only the rejection itself is then recorded.
    """
    upload = receive_deals(file, file_name, uploaded_by, is_expected)
    if not upload.is_duplicate:
        upload.save()
        load_deals(upload, file, progress, is_expected)
    return upload


def receive_deals(
    file: IO[bytes], file_name: str, uploaded_by: str = "", is_expected: Expectation | None = None
) -> Upload:
    """Return the history entry of a file, not saved yet; for the file of the current upload, that one.

    Raises: UploadTooLarge, UploadChanged.
    """
    size = _accepted_size(file, settings.DEALS_LIMITS)
    sha256 = _digest(file)
    if same := current_snapshot.confirm_current(sha256):
        same.is_duplicate = True
        request_context.get_request_context().upload_outcome = "duplicate"
        return same
    _require_expected(sha256, is_expected)
    return Upload(file_name=_clean(file_name), sha256=sha256, size=size, uploaded_by=uploaded_by)


def load_deals(
    upload: Upload, file: IO[bytes], progress: Progress | None = None, is_expected: Expectation | None = None
) -> None:
    """Store all deals of an upload that is LOADING, and make them current, or store nothing.

    Raises: DealsError; only the rejection itself is then recorded.
    """
    from deals_api.ingest import loader
    from deals_api.ingest.csv_reader import DealsReader

    limits: Limits = settings.DEALS_LIMITS
    try:
        with heartbeat(upload) as record_progress:
            reader = DealsReader(file, limits)  # rejects an empty file at once
            batches = _record_format(upload, reader, _batches(reader, file, record_progress, progress))
            loader.store_snapshot(upload, batches, limits, is_expected)
    except DatabaseBusy:
        raise  # the database has no such upload, or another worker loads it
    except DealsError as rejection:
        record_rejection(upload, Rejection.of(rejection))
        request_context.get_request_context().upload_outcome = "refused"
        raise
    except BaseException:
        interruption.mark_interrupted(upload)
        raise
    context = request_context.get_request_context()
    context.upload_outcome, context.stored_deals = "loaded", upload.deal_count or 0


def check_deals(
    file: IO[bytes], progress: Progress | None = None, is_expected: Expectation | None = None
) -> UploadReport:
    """Read a file with all checks of ``ingest_deals``, but store nothing (dry run).

    Uses the database only for ``is_expected``.

    Raises: DealsError.
    """
    from deals_api.ingest.aggregates import DealAggregator
    from deals_api.ingest.csv_reader import DealsReader

    limits: Limits = settings.DEALS_LIMITS
    _accepted_size(file, limits)
    if is_expected is not None:
        _require_expected(_digest(file), is_expected)
    request_context.get_request_context().upload_outcome = "checked"
    reader, aggregator = DealsReader(file, limits), DealAggregator(limits)
    for batch in _batches(reader, file, progress):
        aggregator.add(batch)
    return report_file(aggregator, reader.file_format)


def _accepted_size(file: IO[bytes], limits: Limits) -> int:
    """Return the size of the file, and rewind it.

    Raises: UploadTooLarge.
    """
    size = file.seek(0, 2)
    if size > limits.max_upload_bytes:
        raise UploadTooLarge(f"The file is over {limits.max_upload_bytes} bytes.")
    file.seek(0)
    return size


def _digest(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _require_expected(sha256: str, is_expected: Expectation | None) -> None:
    """Check the current upload before the file is read; the loader repeats the check when it moves the pointer.

    Raises: UploadChanged, unless the file is already current.
    """
    if is_expected is not None:
        current = Upload.objects.current()
        if not is_expected(current) and (current is None or current.sha256 != sha256):
            raise UploadChanged


def _batches(reader: DealsReader, file: IO[bytes], *progress: Progress | None) -> Iterator[DealBatch]:
    rows = 0
    for batch in reader:
        yield batch
        rows += len(batch)
        for record in filter(None, progress):
            record(rows, file.tell())


def _record_format(upload: Upload, reader: DealsReader, batches: Iterator[DealBatch]) -> Iterator[DealBatch]:
    """Yield the batches, then set the detected format of the upload, also if the file is rejected."""
    try:
        yield from batches
    finally:
        found = reader.file_format
        upload.encoding, upload.delimiter = found.encoding, found.delimiter
        upload.decimal_separator, upload.date_format = found.decimal_separator, found.date_format


def _clean(file_name: str) -> str:
    """Return a file name that every database can store."""
    return "".join(character for character in file_name if character.isprintable())[:255]
