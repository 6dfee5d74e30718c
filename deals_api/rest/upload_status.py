"""Response bodies about asynchronous uploads."""

from __future__ import annotations

from typing import Any, Final

from deals_api.global_ids import write_upload_id
from deals_api.ingest.rejections import read_rejection
from deals_api.ingest.report import report_upload
from deals_api.models import QueuedUpload, Upload
from deals_api.rest.exception_handler import error_body
from deals_api.rest.serializers import accepted_body
from deals_api.snapshots.progress import Progress, read_progress

QUEUED_BODY: Final[dict[str, Any]] = {"Status": "Accepted"}
#: Value of ``Retry-After``: the progress is recorded about once a second.
POLL_SECONDS: Final = "1"
_LOADED: Final = {Upload.State.LOADED, Upload.State.RETIRED, Upload.State.PRUNED}


def status_body(queued: QueuedUpload) -> dict[str, Any]:
    """Return the state of an upload; after its end, with the body that a synchronous upload gets."""
    upload = queued.upload
    progress = read_progress([upload]).get(upload.snapshot, Progress())
    state, body = upload.state, QUEUED_BODY
    if rejection := read_rejection(queued):
        body = error_body(rejection.message, rejection.code, tuple(rejection.problems))
    elif upload.state in _LOADED:
        state, body = Upload.State.LOADED, accepted_body(report_upload(upload))
        progress = Progress(upload.deal_count, upload.size)
    return {
        **body,
        "State": state,
        "RowsRead": progress.rows_read,
        "BytesRead": progress.bytes_read,
        "TotalBytes": upload.size,
        "Upload": write_upload_id(upload.snapshot),
    }
