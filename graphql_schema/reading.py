"""One operation's view of the data: the upload that it saw first, and what it may still cost.

It is the context of every resolver. Knows neither types nor HTTP.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import strawberry

from deals_api import access
from deals_api.cache import SnapshotGone
from deals_api.ids import read_id
from deals_api.models import SnapshotRow, Upload
from graphql_schema.budgets import Account


@dataclass
class Reading:
    """What all resolvers of one operation share."""

    #: The current upload when the request came; None before the first.
    upload: Upload | None
    account: Account
    #: The request's headers, as WSGI names them.
    headers: access.Headers
    #: Whether the answer follows from the rows of ``upload`` alone, so that it can be kept under its name.
    of_upload_alone: bool = True
    _others: dict[uuid.UUID, Upload] = field(default_factory=dict)

    def of(self, upload_id: strawberry.ID | None) -> Upload | None:
        """The upload to read: the one that is asked for, or the current one.

        Raises: UploadNotKept; BadInput where it is no upload's id.
        """
        if upload_id is None:
            return self.upload
        return self.kept(uuid.UUID(hex=read_id(upload_id, "Upload")))

    def kept(self, snapshot: uuid.UUID) -> Upload:
        """Raises: UploadNotKept."""
        if self.upload is not None and self.upload.snapshot == snapshot:
            return self.upload
        self.of_upload_alone = False
        if snapshot not in self._others:
            self._others[snapshot] = Upload.objects.kept(snapshot)
        return self._others[snapshot]

    def upload_of(self, row: SnapshotRow) -> Upload:
        """The upload of a row that this operation has read."""
        uploads = [self.upload, *self._others.values()]
        return next(upload for upload in uploads if upload is not None and upload.pk == row.upload_id)

    def must_be_whole(self) -> None:
        """After everything was read: that no other upload was pruned meanwhile.

        Raises: SnapshotGone. (The current one is vouched for by ``cache``.)
        """
        if not all(upload.is_readable() for upload in self._others.values()):
            raise SnapshotGone
