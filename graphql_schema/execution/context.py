"""The context of one GraphQL operation: the uploads that it reads and its cost budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import strawberry
from django.db.models import Q

from deals_api.errors import UploadNotRetained
from deals_api.global_ids import read_upload_id
from deals_api.models import SnapshotRow, Upload
from deals_api.security.permissions import Headers, token_holder
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.execution.cost import CostBudget


@dataclass
class OperationContext:
    """The state that all resolvers of one operation share; Strawberry passes it as ``info.context``."""

    #: The current upload at the start of the operation; None before the first upload.
    upload: Upload | None
    budget: CostBudget
    #: The headers of the request under their WSGI names.
    headers: Headers
    #: Whether the response depends on the rows of ``upload`` only.
    cacheable: bool = True
    _other_uploads: list[Upload] = field(default_factory=list)

    @cached_property
    def has_token(self) -> bool:
        """Whether the request has a valid token. No cache key contains it, so the response becomes uncacheable."""
        self.cacheable = False
        return bool(token_holder(self.headers))

    def get_upload(self, upload_id: strawberry.ID | None) -> Upload | None:
        """Return the upload with this global id, or the current one if the id is None.

        Raises: UploadNotRetained; BadInput if the id is not the id of an upload.
        """
        if upload_id is None:
            return self.upload
        upload = self.find_readable("snapshot", read_upload_id(upload_id))
        if upload is None:
            raise UploadNotRetained
        return upload

    def find_readable(self, column: str, value: object) -> Upload | None:
        """Return the readable upload with this value in a unique column, or None."""
        for upload in self._uploads():
            if getattr(upload, column) == value:
                return upload
        self.cacheable = False
        found = Upload.objects.readable().filter(Q((column, value))).first()
        if found is not None:
            self._other_uploads.append(found)
        return found

    def upload_of(self, row: SnapshotRow) -> Upload:
        """Return the upload of a row that this operation has read."""
        return next(upload for upload in self._uploads() if upload.pk == row.upload_id)

    def ensure_not_pruned(self) -> None:
        """Check, after reading, that the rows of every upload still exist.

        Raises: SnapshotGone if an upload was pruned, or replaced by a restore of the database.
        """
        used = {(upload.pk, upload.snapshot) for upload in self._uploads()}
        if not used:
            return
        found = Upload.objects.readable().filter(snapshot__in=[snapshot for _, snapshot in used])
        if set(found.values_list("pk", "snapshot")) != used:
            raise SnapshotGone

    def _uploads(self) -> list[Upload]:
        return [*([self.upload] if self.upload else []), *self._other_uploads]
