"""Why uploads were not loaded: the message in the history entry, and details, which are kept for up to a month."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from deals_api.errors import DealsError, RowProblem
from deals_api.models import FORMAT_FIELDS, RejectionDetails, Upload

#: States of an upload that has not ended.
UNFINISHED: Final = (Upload.State.QUEUED, Upload.State.LOADING)
_DETAILS_RETENTION: Final = timedelta(days=30)
#: Rejections whose details are retained: a list of invalid cells may have megabytes.
_MAX_DETAILS: Final = 100


@dataclass(frozen=True, slots=True)
class Rejection:
    """The error of an upload: a message, its code, and the invalid cells."""

    message: str
    code: str
    problems: Sequence[RowProblem] = ()

    @classmethod
    def of(cls, error: DealsError) -> Rejection:
        return cls(error.message, error.code, error.problems)


_INTERRUPTED: Final = Rejection("The load was interrupted before it ended; send the file again.", "internal_error")


def record_rejection(upload: Upload, rejection: Rejection, state: Upload.State = Upload.State.REFUSED) -> None:
    """End an upload in this state, unless it has ended."""
    detected = {name: getattr(upload, name) for name in FORMAT_FIELDS}
    problems = json.dumps([asdict(problem) for problem in rejection.problems], ensure_ascii=False)
    with transaction.atomic():
        unfinished = Upload.objects.matching(upload).filter(state__in=UNFINISHED)
        if unfinished.update(state=state, error=rejection.message, finished_at=Now(), **detected):
            RejectionDetails.objects.create(upload=upload, code=rejection.code, problems=problems)
            RejectionDetails.objects.filter(upload__finished_at__lt=Now() - _DETAILS_RETENTION).delete()
            newest_first = RejectionDetails.objects.order_by("-upload__finished_at", "-pk").values("pk")
            RejectionDetails.objects.filter(pk__in=newest_first[_MAX_DETAILS:]).delete()


def read_rejection(upload: Upload) -> Rejection | None:
    """Return the rejection of an upload; None if there is none, or its details are no longer kept."""
    details = RejectionDetails.objects.filter(upload=upload).first()
    if details is None:
        return _INTERRUPTED if upload.state == Upload.State.INTERRUPTED else None
    return Rejection(upload.error, details.code, [RowProblem(**problem) for problem in json.loads(details.problems)])
