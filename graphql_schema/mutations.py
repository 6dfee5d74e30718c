"""The root type of mutations, and their results."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from deals_api import errors
from deals_api.global_ids import read_upload_id
from deals_api.security.permissions import require_write_permission
from deals_api.snapshots import current as current_snapshot
from graphql_schema.queries import Query
from graphql_schema.types import Info
from graphql_schema.uploads import Upload


def _query() -> Query:
    return Query()


def query_field() -> Any:
    """Return the field of a result from which clients continue to read."""
    return strawberry.field(_query, description="The queries of the service; they read the state after the mutation.")


@strawberry.interface(description="An error that clients are expected to handle.")
class Problem:
    code: str = strawberry.field(description="A stable, machine-readable code, such as upload_not_retained.")
    message: str = strawberry.field(description="The error message.")


@strawberry.type(description="There is no such upload, or its rows are no longer retained.")
class UploadNotRetained(Problem):
    query: Query = query_field()


@strawberry.type(description="The upload is now the current one.")
class UploadActivated:
    upload: Upload = strawberry.field(description="The upload that is now the current one.")
    query: Query = query_field()


ActivateUploadResult = Annotated[
    UploadActivated | UploadNotRetained,
    strawberry.union("ActivateUploadResult", description="The result of a rollback."),
]


@strawberry.type(description="The mutations of the service.")
class Mutation:
    @strawberry.mutation(
        description="Makes a retained upload current again (rollback). Every request after the response reads it. "
        "Null if the mutation is rejected with an error."
    )
    def activate_upload(
        self,
        info: Info,
        id: Annotated[
            strawberry.ID, strawberry.argument(description="The id of a retained upload, whose state is LOADED.")
        ],
    ) -> ActivateUploadResult | None:
        require_write_permission(info.context.headers)
        try:
            with info.context.budget.query_limits_paused():
                upload: Any = current_snapshot.activate(read_upload_id(id))
        except errors.UploadNotRetained as error:
            return UploadNotRetained(code=error.code, message=error.message)
        info.context.switch_to(upload)
        return UploadActivated(upload=upload)
