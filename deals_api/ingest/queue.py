"""Asynchronous uploads: a request stores the file and queues it, and a worker loads it.

The history entry is created when the file arrives, so its id keeps the order of arrival, however many workers load
files. The entry, its job and the task are created in one transaction. A worker claims an upload by the change from
QUEUED to LOADING, so a task that is delivered twice loads it once. If the worker is killed, the sweep puts the upload
back into the queue, and ``run_maintenance`` creates another task.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django_tasks import task

from deals_api import jobs, request_context, webhooks
from deals_api.errors import DatabaseBusy, DealsError, QueueFull, UploadChanged, UploadFinished
from deals_api.ingest import service
from deals_api.ingest.rejections import UNFINISHED, Rejection, record_rejection
from deals_api.models import LoadProgress, QueuedUpload, Upload
from deals_api.snapshots.interruption import sweep_interrupted_uploads
from deals_api.snapshots.retention import apply_retention_safely

if TYPE_CHECKING:
    from deals_api.ingest.loader import Expectation

log = logging.getLogger(__name__)

#: Loads of one file, each ended by a failure of its worker.
MAX_ATTEMPTS: Final = 5
_FAILED: Final = Rejection(f"The load failed {MAX_ATTEMPTS} times; see the log of the worker.", "internal_error")
_CANCELLED: Final = Rejection("The upload was cancelled.", "upload_cancelled")
#: ``QueuedUpload.expected_snapshot`` of a client that expects no upload.
_NO_UPLOAD: Final = uuid.UUID(int=0)
#: Age of a file without a history entry. Files are without one while they are received.
_ORPHAN_AGE: Final = timedelta(hours=1)
_CANCEL_CHECK_SECONDS: Final = 1.0


def is_configured() -> bool:
    """Return whether workers load uploads."""
    return bool(settings.UPLOADS_DIR)


# Requests


def require_room() -> None:
    """Raises: QueueFull."""
    if Upload.objects.filter(state=Upload.State.QUEUED).count() >= settings.DEALS_LIMITS.max_queued_uploads:
        raise QueueFull


def queue_deals(
    file: UploadedFile[bytes], file_name: str, uploaded_by: str = "", is_expected: Expectation | None = None
) -> Upload:
    """Store a file for a worker, and record its arrival; the file of the current upload is not queued.

    Raises: UploadTooLarge, UploadChanged, QueueFull.
    """
    upload = service.receive_deals(file, file_name, uploaded_by, is_expected)
    if upload.is_duplicate:
        return upload
    upload.state = Upload.State.QUEUED
    expected_snapshot = _expected_snapshot(is_expected)
    os.fsync(file.fileno())  # the history entry must not outlive the file if the machine crashes
    stored_file = _storage().save(f"{upload.snapshot}.csv", file)
    try:
        with transaction.atomic():
            require_room()
            upload.save()
            queued = QueuedUpload(upload=upload, stored_file=stored_file, expected_snapshot=expected_snapshot)
            queued.save(force_insert=True)
            jobs.enqueue(queued, load_queued_upload)
    except QueueFull:  # after another error, the transaction may be complete
        _storage().delete(stored_file)
        raise
    request_context.get_request_context().upload_outcome = "queued"
    return upload


def _expected_snapshot(is_expected: Expectation | None) -> uuid.UUID | None:
    """Return the snapshot of the only upload that the file may replace; None if it may replace any.

    Raises: UploadChanged.
    """
    if is_expected is None or is_expected(Upload()):  # a new snapshot, so any upload is expected
        return None
    current = Upload.objects.current()
    if not is_expected(current):
        raise UploadChanged
    return current.snapshot if current else _NO_UPLOAD


def cancel(upload: Upload) -> None:
    """Cancel an asynchronous upload that has not ended.

    A worker that loads the file notices that it was deleted. Meanwhile, the change of the state waits for its lock.

    Raises: UploadFinished.
    """
    queued = QueuedUpload.objects.filter(upload=upload).first()
    if queued is not None and upload.state in UNFINISHED:
        _storage().delete(queued.stored_file)
        record_rejection(upload, _CANCELLED, Upload.State.CANCELLED)
        upload.refresh_from_db()
    if upload.state != Upload.State.CANCELLED:
        raise UploadFinished


def _storage() -> Storage:
    return storages["uploads"]


# The worker


class _FileDeleted(Exception):
    """The stored file is gone, because the upload was cancelled."""


@task()
def load_queued_upload(upload_id: str) -> None:
    """Load the file of a queued upload, unless another worker does."""
    queued = _claim(int(upload_id))
    if queued is None:
        return
    try:
        _load(queued)
    except _FileDeleted:
        record_rejection(queued.upload, _CANCELLED, Upload.State.CANCELLED)
    except DatabaseBusy:  # another worker loads it, or it was cancelled
        return
    except DealsError as rejection:
        log.info("Upload %d was rejected: %s", queued.pk, rejection.message)
    else:
        log.info("Upload %d was loaded.", queued.pk)
    _delete_finished(QueuedUpload.objects.filter(pk=queued.pk))
    apply_retention_safely(settings.DEALS_LIMITS)


def _load(queued: QueuedUpload) -> None:
    try:
        file = _storage().open(queued.stored_file)
    except FileNotFoundError:
        raise _FileDeleted from None
    with file:
        service.load_deals(queued.upload, file, _cancellation(queued), _expectation(queued))


def _claim(upload_id: int) -> QueuedUpload | None:
    """Set the state of a queued upload to LOADING, and return its job; None if the upload is not queued."""
    with transaction.atomic():
        locked = Upload.objects.select_for_update(skip_locked=True)
        upload = locked.filter(pk=upload_id, state=Upload.State.QUEUED).first()
        if upload is None:
            return None
        queued: QueuedUpload = upload.queued
        if queued.attempts >= MAX_ATTEMPTS:
            record_rejection(upload, _FAILED, Upload.State.INTERRUPTED)
            return None
        queued.attempts += 1
        queued.save(update_fields=["attempts"])
        upload.state = Upload.State.LOADING
        upload.save(update_fields=["state"])
        # The upload may have arrived long ago.
        LoadProgress.objects.update_or_create(snapshot=upload.snapshot, defaults={"heartbeat_at": Now()})
    return queued


def _expectation(queued: QueuedUpload) -> Expectation | None:
    expected = queued.expected_snapshot
    if expected is None:
        return None
    return lambda current: expected == (current.snapshot if current else _NO_UPLOAD)


def _cancellation(queued: QueuedUpload) -> service.Progress:
    """Return a function that raises an error within a second after the stored file was deleted."""
    next_check = time.monotonic() + _CANCEL_CHECK_SECONDS

    def check(_rows: int, _bytes: int) -> None:
        nonlocal next_check
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + _CANCEL_CHECK_SECONDS
            if not _storage().exists(queued.stored_file):
                raise _FileDeleted

    return check


# Maintenance


def run_maintenance() -> None:
    """Complete the work of killed workers, and delete what is no longer needed; safe at any time."""
    sweep_interrupted_uploads()
    jobs.enqueue_lost(QueuedUpload.objects.filter(upload__state=Upload.State.QUEUED), load_queued_upload)
    webhooks.enqueue_lost()
    if is_configured():
        _delete_finished(QueuedUpload.objects.all())
        _delete_orphans()
    jobs.delete_old_tasks()


def _delete_finished(jobs_of_uploads: QuerySet[QueuedUpload]) -> None:
    """Delete those of the jobs whose upload has ended, and their files."""
    for queued in jobs_of_uploads.exclude(upload__state__in=UNFINISHED):
        _storage().delete(queued.stored_file)
        queued.delete()


def _delete_orphans() -> None:
    """Delete files of requests that were killed before they recorded the arrival."""
    _, names = _storage().listdir("")
    old = {name for name in names if _is_old(name)}
    used = QueuedUpload.objects.filter(stored_file__in=old).values_list("stored_file", flat=True)
    for name in old.difference(used):
        _storage().delete(name)


def _is_old(name: str) -> bool:
    try:
        return _storage().get_modified_time(name) < timezone.now() - _ORPHAN_AGE
    except FileNotFoundError:
        return False
