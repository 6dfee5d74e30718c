"""The context of one GraphQL operation: the uploads that it reads and its cost budget."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

import strawberry
from django.db.models import Q

from deals_api.errors import UploadNotRetained
from deals_api.global_ids import read_upload_id
from deals_api.models import SnapshotRow, Upload
from deals_api.security.permissions import Headers, token_holder
from deals_api.snapshots import replicas
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.execution.cost import CostBudget


@dataclass
class OperationContext:
    """The state that all resolvers of one operation share; Strawberry passes it as ``info.context``."""

    #: The current upload at the start of the operation, or after its mutation; None before the first upload.
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

    def switch_to(self, upload: Upload) -> None:
        """Read another upload by default from now on; rows of the previous one may be in the response already."""
        if self.upload is not None:
            self._other_uploads.append(self.upload)
        self.upload = upload

    def get_upload(self, upload_id: strawberry.ID | None) -> Upload | None:
        """Return the upload with this global id, or the current one if the id is None; its rows will be read.

        Raises: UploadNotRetained; BadInput if the id is not the id of an upload.
        """
        if upload_id is None:
            return self.upload
        upload = self.find_readable("snapshot", read_upload_id(upload_id))
        if upload is None:
            raise UploadNotRetained
        return upload

    def read_upload(self, upload: Upload) -> Upload:
        """Return an upload of the history, whose rows will be read.

        Raises: UploadNotRetained.
        """
        if upload.state != Upload.State.LOADED:
            raise UploadNotRetained
        if upload not in self._other_uploads:
            self._add(upload)
        return upload

    def find_readable(self, column: str, value: object) -> Upload | None:
        """Return the readable upload with this value in a unique column, or None."""
        for upload in self._uploads():
            if getattr(upload, column) == value:
                return upload
        self.cacheable = False
        found = Upload.objects.readable().filter(Q((column, value))).first()
        if found is not None:
            self._add(found)
        return found

    def read_uploads(self, upload_ids: Collection[int]) -> dict[int, Upload]:
        """Return the readable uploads among these by primary key, in at most one statement."""
        known = {upload.pk: upload for upload in self._uploads()}
        unknown = set(upload_ids) - known.keys()
        if unknown:
            self.cacheable = False
            found = list(Upload.objects.readable().filter(pk__in=unknown))
            self._add(*found)
            known.update((upload.pk, upload) for upload in found)
        return {pk: known[pk] for pk in upload_ids if pk in known}

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

    def _add(self, *uploads: Upload) -> None:
        """Add uploads whose rows will be read."""
        self._other_uploads += uploads
        for upload in uploads:
            replicas.require(upload)

    def _uploads(self) -> list[Upload]:
        return [*([self.upload] if self.upload else []), *self._other_uploads]
