"""The pointer to the current upload, and its changes."""

from __future__ import annotations

import logging
import uuid

from django.db import transaction
from django.db.models import Max

from deals_api import webhooks
from deals_api.errors import UploadNotRetained
from deals_api.models import CurrentUpload, Upload
from deals_api.snapshots import interruption
from deals_api.snapshots.lease import Lease, PointerChangeIntent

log = logging.getLogger(__name__)

#: Returns the upload that a request reads, or None before the first upload. Call it once in each request.
current_upload: Lease[Upload] = Lease(Upload.objects.current_and_pending_change, interruption.sweep_in_background)


def confirm_current(sha256: str) -> Upload | None:
    """Return the current upload if its file has this digest, and record the new arrival of the file.

    An older upload that is still loading must not replace this file, which was sent later.
    """
    current = Upload.objects.current()
    if current is None or current.sha256 != sha256:
        return None
    with transaction.atomic():
        pointer = lock_pointer()
        if pointer.upload is None or pointer.upload.snapshot != current.snapshot:
            return None
        pointer.highest_upload_id = _highest_upload_id()
        pointer.save()
    return current


def activate(snapshot: uuid.UUID) -> Upload:
    """Roll back: make a retained upload current, unless a newer upload becomes current in the meantime.

    Raises: UploadNotRetained.
    """
    CurrentUpload.objects.get_or_create(pk=CurrentUpload.ONLY)
    highest_upload_id = _highest_upload_id()
    while True:
        announcement = _announce_change()
        PointerChangeIntent().wait()
        with transaction.atomic():
            pointer = lock_pointer()
            if announcement is None or pointer.rollback_announcement != announcement:
                continue  # another process cleared the announcement, so a reader may have got a lease
            upload = Upload.objects.readable().filter(snapshot=snapshot).first()
            pointer.rollback_announcement = None
            if upload and highest_upload_id >= pointer.highest_upload_id:
                move_pointer(pointer, upload, highest_upload_id)
            else:
                pointer.save()
        if upload is None:
            raise UploadNotRetained
        if pointer.upload_id == upload.pk:
            log.info("Upload %d activated.", upload.pk)
        return upload


def _announce_change() -> uuid.UUID | None:
    """Announce a change of the pointer, and return the id of the announcement.

    Concurrent roll-backs share one announcement, because separate ones would overwrite each other. Return None if the
    other roll-back has just ended.
    """
    CurrentUpload.objects.filter(rollback_announcement=None).update(rollback_announcement=uuid.uuid4())
    return CurrentUpload.objects.values_list("rollback_announcement", flat=True).get()


def _highest_upload_id() -> int:
    return Upload.objects.aggregate(highest=Max("pk"))["highest"] or 0


def move_pointer(pointer: CurrentUpload, upload: Upload, highest_upload_id: int) -> None:
    """Make an upload current; the pointer must be locked."""
    is_change = pointer.upload_id != upload.pk
    pointer.upload, pointer.highest_upload_id = upload, highest_upload_id
    pointer.save()
    if is_change:
        webhooks.announce(upload)


def lock_pointer() -> CurrentUpload:
    """Return the pointer, locked until the transaction ends."""
    CurrentUpload.objects.get_or_create(pk=CurrentUpload.ONLY)
    return CurrentUpload.objects.select_for_update().get(pk=CurrentUpload.ONLY)
