"""The state of an upload."""

from __future__ import annotations

import uuid
from typing import Any, Final

from deals_api.errors import UploadNotRetained
from deals_api.global_ids import write_upload_id
from deals_api.ingest.rejections import UNFINISHED, read_rejection
from deals_api.ingest.report import report_upload
from deals_api.models import Upload
from deals_api.rest.exception_handler import error_body
from deals_api.rest.serializers import accepted_body
from deals_api.snapshots.progress import Progress, read_progress

QUEUED_BODY: Final[dict[str, Any]] = {"Status": "Accepted"}
#: Value of ``Retry-After``: the progress is recorded about once a second.
POLL_SECONDS: Final = "1"
_LOADED: Final = {Upload.State.LOADED, Upload.State.RETIRED, Upload.State.PRUNED}


def find_upload(snapshot: uuid.UUID | None) -> Upload:
    """Raises: UploadNotRetained."""
    upload = Upload.objects.filter(snapshot=snapshot).first() if snapshot else None
    if upload is None:
        raise UploadNotRetained
    return upload


def status_body(upload: Upload) -> dict[str, Any]:
    """Return the state of an upload; after its end, with the body that the response to a synchronous upload has.

    Raises: UploadNotRetained, if the details of its rejection are no longer kept.
    """
    progress = read_progress([upload]).get(upload.snapshot, Progress())
    state, body = upload.state, QUEUED_BODY
    if upload.state in _LOADED:
        state, body = Upload.State.LOADED, accepted_body(report_upload(upload))
        progress = Progress(upload.deal_count, upload.size)
    elif upload.state not in UNFINISHED:
        rejection = read_rejection(upload)
        if rejection is None:
            raise UploadNotRetained
        body = error_body(rejection.message, rejection.code, tuple(rejection.problems))
    return {
        **body,
        "State": state,
        "RowsRead": progress.rows_read,
        "BytesRead": progress.bytes_read,
        "TotalBytes": upload.size,
        "Upload": write_upload_id(upload.snapshot),
    }
