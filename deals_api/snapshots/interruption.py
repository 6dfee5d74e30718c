"""Uploads whose process failed or was killed."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Final

from django.db import Error, connection, models, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from deals_api.db_vendor import no_wait_for_writers
from deals_api.models import CurrentUpload, LoadProgress, QueuedUpload, Upload

log = logging.getLogger(__name__)

#: Much longer than the interval of heartbeats, and than the usual time from an arrival to the first one.
_ABANDONED_AFTER_SECONDS: Final = 10


def mark_interrupted(upload: Upload) -> None:
    """Mark a failed upload, unless its load has ended. If the database is unavailable, a later sweep marks it."""
    try:
        with no_wait_for_writers():
            _interrupt(Upload.objects.matching(upload))
    except Error as error:
        log.warning("Upload %s could not be marked as interrupted: %s", upload.pk, error)


def _interrupt(uploads: models.QuerySet[Upload]) -> None:
    """Mark those of the uploads that are LOADING and not locked by a transaction.

    Asynchronous uploads are queued again, because their files are still stored.
    """
    with transaction.atomic():
        loading = uploads.filter(state=Upload.State.LOADING).select_for_update(skip_locked=True)
        abandoned = Upload.objects.filter(pk__in=[upload.pk for upload in loading])
        abandoned.filter(Exists(QueuedUpload.objects.filter(upload=OuterRef("pk")))).update(state=Upload.State.QUEUED)
        abandoned.exclude(state=Upload.State.QUEUED).update(state=Upload.State.INTERRUPTED, finished_at=Now())


def sweep_interrupted_uploads() -> None:
    """Clear the announcements of killed processes: LOADING uploads with neither a heartbeat nor a lock, and roll-backs.

    Safe at any time: a running process detects that its announcement was cleared, and repeats it.
    """
    alive_since = Now() - timedelta(seconds=_ABANDONED_AFTER_SECONDS)
    heartbeats = LoadProgress.objects.filter(heartbeat_at__gte=alive_since)
    with transaction.atomic():
        silent = ~Exists(heartbeats.filter(snapshot=OuterRef("snapshot")))
        _interrupt(Upload.objects.filter(silent, arrived_at__lt=alive_since))
        CurrentUpload.objects.exclude(rollback_announcement=None).update(rollback_announcement=None)
        loading = Upload.objects.filter(state=Upload.State.LOADING).values("snapshot")
        LoadProgress.objects.exclude(snapshot__in=loading).delete()


_sweep_lock: Final = threading.Lock()


def sweep_in_background() -> None:
    """Sweep in a thread with its own connection, so that readers neither wait for the sweep nor fail with it."""
    if not _sweep_lock.acquire(blocking=False):
        return
    try:
        threading.Thread(target=_sweep_and_release, name="sweep", daemon=True).start()
    except RuntimeError:  # the process cannot start a thread; the next reader tries again
        _sweep_lock.release()


def _sweep_and_release() -> None:
    try:
        # On SQLite, the write lock of a running load makes the sweep fail, but then there is nothing to sweep.
        with no_wait_for_writers():
            sweep_interrupted_uploads()
    except Error as error:
        log.info("Interrupted uploads could not be marked: %s", error)
    finally:
        connection.close()
        _sweep_lock.release()
