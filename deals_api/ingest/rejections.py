"""Why an upload ended without being loaded: in its history entry and, for an asynchronous upload, with all details."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from deals_api.errors import DealsError, RowProblem
from deals_api.models import FORMAT_FIELDS, QueuedUpload, Upload

#: States of an upload that has not ended.
UNFINISHED: Final = (Upload.State.QUEUED, Upload.State.LOADING)


@dataclass(frozen=True, slots=True)
class Rejection:
    """The error of an upload: a message, its code, and the invalid cells."""

    message: str
    code: str
    problems: Sequence[RowProblem] = ()

    @classmethod
    def of(cls, error: DealsError) -> Rejection:
        return cls(error.message, error.code, error.problems)


def record_rejection(upload: Upload, rejection: Rejection, state: Upload.State = Upload.State.REFUSED) -> None:
    """End an upload in this state, unless it has ended."""
    detected = {name: getattr(upload, name) for name in FORMAT_FIELDS}
    with transaction.atomic():
        unfinished = Upload.objects.matching(upload).filter(state__in=UNFINISHED)
        if unfinished.update(state=state, error=rejection.message, finished_at=Now(), **detected):
            QueuedUpload.objects.filter(upload=upload).update(rejection=json.dumps(asdict(rejection)))


def read_rejection(queued: QueuedUpload) -> Rejection | None:
    """Return the rejection of an asynchronous upload; None if there is none."""
    if not queued.rejection:
        return None
    stored = json.loads(queued.rejection)
    return Rejection(**{**stored, "problems": tuple(RowProblem(**problem) for problem in stored["problems"])})
