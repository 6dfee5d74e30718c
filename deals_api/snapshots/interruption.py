"""Uploads whose process failed or was killed."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Final

from django.db import Error, connection, models, transaction
from django.db.models.functions import Now

from deals_api.db_vendor import no_wait_for_writers
from deals_api.models import CurrentUpload, Upload

log = logging.getLogger(__name__)


#: Far longer than an upload usually takes from its registration to the lock on its row.
_ABANDONED_AFTER_SECONDS: Final = 10


def mark_interrupted(upload: Upload) -> None:
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


def sweep_interrupted_uploads() -> None:
    """End what killed processes have announced: uploads that no transaction holds, and roll-backs.

    Safe at any moment: a process that is alive finds its announcement gone, and makes it again.
    """
    with transaction.atomic():
        _interrupt(Upload.objects.filter(arrived_at__lt=Now() - timedelta(seconds=_ABANDONED_AFTER_SECONDS)))
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
            sweep_interrupted_uploads()
    except Error as error:
        log.info("Interrupted uploads were not marked now: %s", error)
    finally:
        connection.close()
        _sweeping.release()
