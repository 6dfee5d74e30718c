"""Why uploads were not loaded: the message in the history entry, and details, which are kept for up to a month."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models.functions import Length, Now

from deals_api.errors import DealsError, RowProblem
from deals_api.models import FORMAT_FIELDS, RejectionDetails, Upload

#: States of an upload that has not ended.
UNFINISHED: Final = (Upload.State.QUEUED, Upload.State.LOADING)
_DETAILS_RETENTION: Final = timedelta(days=30)
#: Rejections whose details are retained, and characters of their lists of invalid cells: one may have megabytes.
_MAX_DETAILS: Final = 10_000
_MAX_CHARACTERS: Final = 64 * 1024 * 1024


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
    problems = json.dumps([asdict(problem) for problem in rejection.problems])
    with transaction.atomic():
        unfinished = Upload.objects.matching(upload).filter(state__in=UNFINISHED)
        if unfinished.update(state=state, error=rejection.message, finished_at=Now(), **detected):
            RejectionDetails.objects.create(upload=upload, code=rejection.code, problems=problems)
            _delete_old_details()


def _delete_old_details() -> None:
    """Delete the details that are older or beyond the limits; those of the newest upload are always retained."""
    RejectionDetails.objects.filter(upload__finished_at__lt=Now() - _DETAILS_RETENTION).delete()
    details = RejectionDetails.objects.order_by("-pk").annotate(size=Length("problems"))
    [(oldest_retained, total), *others] = details.values_list("pk", "size")[:_MAX_DETAILS]
    for pk, size in others:
        total += size
        if total > _MAX_CHARACTERS:
            break
        oldest_retained = pk
    RejectionDetails.objects.filter(pk__lt=oldest_retained).delete()


def read_rejection(upload: Upload) -> Rejection | None:
    """Return the rejection of an upload; None if there is none, or its details are no longer kept."""
    details = RejectionDetails.objects.filter(upload=upload).first()
    if details is None:
        return _INTERRUPTED if upload.state == Upload.State.INTERRUPTED else None
    return Rejection(upload.error, details.code, [RowProblem(**problem) for problem in json.loads(details.problems)])
