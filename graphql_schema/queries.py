"""The root type of queries."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Annotated, Any, Final

import strawberry

from deals_api import models
from deals_api.errors import BadInput
from deals_api.global_ids import RowId, read_id, read_upload_id, snapshot_prefix
from deals_api.limits import Limits
from graphql_schema import snapshot_fields
from graphql_schema.comparison import UploadComparison, compare_uploads
from graphql_schema.connections import Connection, connection_field
from graphql_schema.execution.batching import link_peers
from graphql_schema.execution.pagination import CursorScope, Order, Page, PageArguments, PageSpec, QuerySetRows
from graphql_schema.snapshot_fields import with_upload_argument
from graphql_schema.types import Info, Node
from graphql_schema.uploads import Upload

_LIMITS: Final = Limits()
_NEWEST_FIRST: Final = Order.parse("-id")
_MODELS: Final[dict[str, type[models.SnapshotRow]]] = {
    "Customer": models.Customer,
    "Deal": models.Deal,
    "Gem": models.Gem,
    "Purchase": models.Purchase,
}


@strawberry.type(
    description="The queries of the service. Without the argument upload, all fields of one operation read the upload "
    "that is current at its start. A field is null if it is rejected with an error; the other fields are not affected."
)
class Query:
    top_clients = with_upload_argument(snapshot_fields.top_clients)
    customers = with_upload_argument(snapshot_fields.customers)
    gems = with_upload_argument(snapshot_fields.gems)
    deals = with_upload_argument(snapshot_fields.deals)
    deal_stats = with_upload_argument(snapshot_fields.deal_stats)
    customer = with_upload_argument(snapshot_fields.customer)
    gem = with_upload_argument(snapshot_fields.gem)

    @connection_field("All uploads, newest first, including rejected ones and those that are no longer retained.")
    def uploads(self, info: Info, page: PageArguments) -> Connection[Upload] | None:
        info.context.cacheable = False
        spec = PageSpec.of(page, _NEWEST_FIRST, CursorScope("Upload"), models.Upload)
        return Connection(page=Page(QuerySetRows(models.Upload.objects.all()), spec))

    @strawberry.field(description="The upload with this id; null if there is none.")
    def upload(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id of an upload.")]
    ) -> Upload | None:
        return find_upload(info, read_upload_id(id))

    @strawberry.field(description="The upload that this operation reads; null before the first upload.")
    def current_upload(self, info: Info) -> Upload | None:
        current: Any = info.context.upload
        return current

    @strawberry.field(
        description="The objects with these ids, in the same order; null in place of an object that does not exist or "
        "is no longer retained, and null with an error in place of a malformed id."
    )
    def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID],
            strawberry.argument(description=f"The ids of any objects, at most {_LIMITS.max_list_argument}."),
        ],
    ) -> list[Node | None] | None:
        decoded = list(map(_read_id_or_error, ids))
        found: dict[Any, Any] = find_uploads(info, {key for key in decoded if isinstance(key, uuid.UUID)})
        found |= find_rows(info, {key for key in decoded if isinstance(key, RowId)})
        # graphql-core reports an exception in a list as the error of its item.
        nodes: list[Any] = [key if isinstance(key, BadInput) else found.get(key) for key in decoded]
        return nodes

    @strawberry.field(
        description="The differences between two retained uploads: customers and gems that were added, removed or "
        "changed."
    )
    def compare(
        self,
        info: Info,
        base: Annotated[strawberry.ID, strawberry.argument(description="The id of the upload to compare with.")],
        head: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="The id of the other upload; null for the current one."),
        ] = None,
    ) -> UploadComparison | None:
        get_upload = info.context.get_upload
        return compare_uploads(get_upload(base), get_upload(head), info.context.budget)

    @strawberry.field(
        description="The object with this id; null if it does not exist or is no longer retained, and null with an "
        "error if the id is malformed."
    )
    def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The id of any object.")]
    ) -> Node | None:
        decoded = read_id(id)
        if isinstance(decoded, RowId):
            return find_rows(info, {decoded}).get(decoded)
        return find_upload(info, decoded)


def _read_id_or_error(text: str) -> uuid.UUID | RowId | BadInput:
    try:
        return read_id(text)
    except BadInput as error:
        return error


def find_rows(info: Info, ids: Collection[RowId]) -> dict[RowId, Any]:
    """Return the rows with these ids that exist, in one statement for each type and upload."""
    uploads = info.context.read_uploads({models.upload_id_of(id_.pk) for id_ in ids})
    by_list: dict[tuple[str, int], dict[int, RowId]] = {}
    for id_ in ids:
        upload = uploads.get(models.upload_id_of(id_.pk))
        if upload is not None and snapshot_prefix(upload.snapshot) == id_.snapshot_prefix:
            by_list.setdefault((id_.type_name, upload.pk), {})[id_.pk] = id_
    found: dict[RowId, Any] = {}
    for (type_name, upload_pk), by_pk in by_list.items():
        rows = _MODELS[type_name]._default_manager.filter(upload=upload_pk, pk__in=list(by_pk))
        found.update((by_pk[row.pk], row) for row in link_peers(rows))
    return found


def find_upload(info: Info, snapshot: uuid.UUID) -> Any:
    return find_uploads(info, {snapshot}).get(snapshot)


def find_uploads(info: Info, snapshots: Collection[uuid.UUID]) -> dict[uuid.UUID, models.Upload]:
    """Return the uploads of these snapshots that exist, including those that are not readable."""
    current = info.context.upload
    known = {current.snapshot: current} if current is not None and current.snapshot in snapshots else {}
    unknown = set(snapshots) - known.keys()
    if unknown:
        info.context.cacheable = False
        known.update((upload.snapshot, upload) for upload in models.Upload.objects.filter(snapshot__in=unknown))
    return known
