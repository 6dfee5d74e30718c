"""The story of an upload: from a file to stored deals, or to a refusal.

Knows no face: whoever has a file may call it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from django.conf import settings

from deals_api import request_context
from deals_api.errors import DealsError, UploadTooLarge
from deals_api.ingest import loader
from deals_api.ingest.csv_reader import DealBatch, read_deals
from deals_api.limits import Limits
from deals_api.models import Upload
from deals_api.snapshots import current as current_snapshot
from deals_api.snapshots import interruption

#: Told, again and again, how many deals are stored and how many of the file's bytes are read.
Progress = Callable[[int, int], None]


def ingest_deals(file: IO[bytes], file_name: str, uploaded_by: str = "", progress: Progress | None = None) -> Upload:
    """One upload from bytes to stored deals; stores all of it or nothing.

    The same bytes as the current upload's change nothing and are no new upload: it ``came_again``,
    and its ``uploaded_by`` stays the first uploader.

    Raises: DealsError, and then only the refusal itself is on record.
    """
    limits: Limits = settings.DEALS_LIMITS
    size = file.seek(0, 2)
    if size > limits.max_upload_bytes:
        raise UploadTooLarge(f"The file is over {limits.max_upload_bytes} bytes.")
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    if same := current_snapshot.confirm_current(sha256):
        same.came_again = True
        request_context.get_request_context().upload = "again"
        return same
    upload = Upload.objects.create(file_name=_clean(file_name), sha256=sha256, size=size, uploaded_by=uploaded_by)
    try:
        batches = read_deals(file, limits)  # which refuses an empty file at once
        loader.store_snapshot(upload, _report_progress(batches, file, progress) if progress else batches, limits)
    except DealsError as refusal:
        loader.mark_rejected(upload, refusal.message)
        request_context.get_request_context().upload = "refused"
        raise
    except BaseException:
        interruption.mark_interrupted(upload)
        raise
    its = request_context.get_request_context()
    its.upload, its.rows = "loaded", upload.rows or 0
    return upload


def _report_progress(batches: Iterable[DealBatch], file: IO[bytes], progress: Progress) -> Iterator[DealBatch]:
    rows = 0
    for batch in batches:
        yield batch
        rows += len(batch)
        progress(rows, file.tell())


def _clean(file_name: str) -> str:
    """A name that every database can keep."""
    return "".join(character for character in file_name if character.isprintable())[:255]
