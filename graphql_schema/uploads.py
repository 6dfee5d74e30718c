"""The history of uploads."""

from __future__ import annotations

from datetime import datetime

import strawberry
import strawberry_django

from deals_api import models
from deals_api.snapshots.progress import Progress, read_progress
from graphql_schema import snapshot_fields
from graphql_schema.execution.batching import peers_of
from graphql_schema.fields import column, detected
from graphql_schema.scalars import BigInt, register_enum
from graphql_schema.snapshot_fields import of_own_upload
from graphql_schema.types import Info, Node

register_enum(
    models.Upload.State,
    {state.name: f"{state.label.capitalize()}." for state in models.Upload.State},
    description="The state of an upload.",
    name="UploadState",
)


def _progress(upload: models.Upload) -> Progress | None:
    """Return the progress of an upload that is being loaded, read for all its peers at once."""
    if upload.state != models.Upload.State.LOADING:
        return None
    return peers_of(upload).load_once("progress", read_progress).get(upload.snapshot)


@strawberry_django.type(
    models.Upload, name="Upload", description="An uploaded file: a version of the data, or a rejected file."
)
class Upload(Node):
    file_name: str = column("The file name that the client sent, up to 255 characters.")
    sha256: str = column("SHA-256 of the content, 64 hexadecimal digits.")
    size: BigInt = column("The size of the file in bytes.")
    deal_count: BigInt = column("Number of deals in the file; 0 if it was rejected.")
    customer_count: BigInt = column("Number of different customers in the file; 0 if it was rejected.")
    gem_count: BigInt = column("Number of different gems in the file; 0 if it was rejected.")
    error: str = column("The reason for the rejection; empty for other uploads.")
    arrived_at: datetime = column("The time of the upload.")

    @strawberry.field(
        description="The holder of the token of the upload request, or the command that loaded the file. Empty if "
        "neither is known, and for requests without a token: the history is public, but personal names are not."
    )
    @staticmethod
    def uploaded_by(root: strawberry.Parent[models.Upload], info: Info) -> str:
        return root.uploaded_by if info.context.has_token else ""

    finished_at: datetime | None = column("The time when the load ended; null while the file is being loaded.")
    encoding: str | None = detected("The encoding of the file, such as UTF-8 or Windows-1251.")
    delimiter: str | None = detected("The delimiter of the columns.")
    decimal_separator: str | None = detected("The separator of the decimals; several are separated by spaces.")
    date_format: str | None = detected("The form of the dates, such as YYYY-MM-DD; several are separated by spaces.")

    @strawberry.field(description="The state of the upload.")
    @staticmethod
    def state(root: strawberry.Parent[models.Upload]) -> models.Upload.State:
        return models.Upload.State(root.state)

    @strawberry.field(description="Number of deals that the load has read so far; null unless the state is LOADING.")
    @staticmethod
    def rows_read(root: strawberry.Parent[models.Upload]) -> BigInt | None:
        progress = _progress(root)
        return None if progress is None else BigInt(progress.rows_read)

    @strawberry.field(
        description="Number of bytes that the load has read so far, up to size; null unless the state is LOADING."
    )
    @staticmethod
    def bytes_read(root: strawberry.Parent[models.Upload]) -> BigInt | None:
        progress = _progress(root)
        return None if progress is None else BigInt(progress.bytes_read)

    @strawberry.field(description="Whether this operation reads this upload by default.")
    @staticmethod
    def is_current(root: strawberry.Parent[models.Upload], info: Info) -> bool:
        current = info.context.upload
        return current is not None and current.pk == root.pk

    top_clients = of_own_upload(snapshot_fields.top_clients)
    customers = of_own_upload(snapshot_fields.customers)
    gems = of_own_upload(snapshot_fields.gems)
    deals = of_own_upload(snapshot_fields.deals)
    deal_stats = of_own_upload(snapshot_fields.deal_stats)
    customer = of_own_upload(snapshot_fields.customer)
    gem = of_own_upload(snapshot_fields.gem)
