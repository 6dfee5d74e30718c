"""One operation's view of the data: the upload that it saw first, and what it may still cost.

It is the context of every resolver. Knows neither types nor HTTP.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import cached_property

import strawberry
from django.db.models import Q

from deals_api.errors import UploadNotKept
from deals_api.global_ids import read_id
from deals_api.models import SnapshotRow, Upload
from deals_api.security.permissions import Headers, token_holder
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.execution.cost import CostBudget


@dataclass
class OperationContext:
    """What all resolvers of one operation share."""

    #: The current upload when the request came; None before the first.
    upload: Upload | None
    account: CostBudget
    #: The request's headers, as WSGI names them.
    headers: Headers
    #: Whether the answer follows from the rows of ``upload`` alone, so that it can be kept under its name.
    of_upload_alone: bool = True
    _others: list[Upload] = field(default_factory=list)

    @cached_property
    def has_token(self) -> bool:
        """Whether the request carries a valid token. The cache key does not include it."""
        self.of_upload_alone = False
        return bool(token_holder(self.headers))

    def of(self, upload_id: strawberry.ID | None) -> Upload | None:
        """The upload to read: the one that is asked for, or the current one.

        Raises: UploadNotKept; BadInput where it is no upload's id.
        """
        if upload_id is None:
            return self.upload
        upload = self.kept("snapshot", uuid.UUID(hex=read_id(upload_id, "Upload")))
        if upload is None:
            raise UploadNotKept("There is no such upload, or its rows are no longer kept.")
        return upload

    def kept(self, column: str, value: object) -> Upload | None:
        """The upload with this value in a unique column, if its rows can be read."""
        for upload in self._uploads():
            if getattr(upload, column) == value:
                return upload
        self.of_upload_alone = False
        found = Upload.objects.readable().filter(Q((column, value))).first()
        if found is not None:
            self._others.append(found)
        return found

    def upload_of(self, row: SnapshotRow) -> Upload:
        """The upload of a row that this operation has read."""
        return next(upload for upload in self._uploads() if upload.pk == row.upload_id)

    def must_be_whole(self) -> None:
        """Check after reading that every upload still has its rows.

        Raises: SnapshotGone, where one was pruned, or replaced by a restore.
        """
        read = {(upload.pk, upload.snapshot) for upload in self._uploads()}
        if not read:
            return
        found = Upload.objects.readable().filter(snapshot__in=[snapshot for _, snapshot in read])
        if set(found.values_list("pk", "snapshot")) != read:
            raise SnapshotGone

    def _uploads(self) -> list[Upload]:
        return [*([self.upload] if self.upload else []), *self._others]
