"""The root type of mutations."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from deals_api import errors
from deals_api.global_ids import read_upload_id
from deals_api.security.permissions import require_write_permission
from deals_api.snapshots import current as current_snapshot
from graphql_schema.types import ActivateUploadResult, Info, UploadActivated, UploadNotRetained


@strawberry.type(description="The mutations of the service.")
class Mutation:
    @strawberry.mutation(
        description="Makes a retained upload current again (rollback). Every request after the response reads it."
    )
    def activate_upload(
        self,
        info: Info,
        id: Annotated[
            strawberry.ID, strawberry.argument(description="The id of a retained upload, whose state is LOADED.")
        ],
    ) -> ActivateUploadResult:
        require_write_permission(info.context.headers)
        try:
            upload: Any = current_snapshot.activate(read_upload_id(id))
        except errors.UploadNotRetained as error:
            return UploadNotRetained(code=error.code, message=error.message)
        info.context.upload = upload
        return UploadActivated(upload=upload)
