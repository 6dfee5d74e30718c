"""Parameters and headers of several REST operations in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from drf_spectacular.utils import OpenApiParameter

from deals_api.rest.preferences import REPRESENTATION, RESPOND_ASYNC


def header(name: str, statuses: Sequence[int], description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, response=statuses, description=description)


ERROR_HEADERS: Final = [
    header("WWW-Authenticate", [401], "`Bearer`."),
    header("Retry-After", [429, 503, 507], "Seconds."),
]
CONDITIONAL: Final = [
    OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of a cached response."),
    header("ETag", [200, 304], "Changes whenever the response changes."),
    header("Cache-Control", [200, 304], "`no-cache`: store the response and revalidate it before each use."),
]
IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of `GET /api/upload/`: replace this upload only, not another one that is current now; "
    "`*`: replace any upload.",
)
ATTACHMENT: Final = OpenApiParameter(
    "Content-Disposition",
    str,
    OpenApiParameter.HEADER,
    description="`attachment; filename=…`: the file name of a `text/csv` body.",
)

PREFERENCE: Final = [
    OpenApiParameter(
        "Prefer",
        str,
        OpenApiParameter.HEADER,
        description=f"`{REPRESENTATION}` adds `Report`. `{RESPOND_ASYNC}`: a worker loads the file after the response, "
        "which is 202; ignored if the service has no worker.",
    ),
    header("Preference-Applied", [200, 202], "The preference that was applied, if any."),
    header("Location", [202], "The URL of the state of the upload."),
    header("Retry-After", [202], "Seconds until the state may have changed."),
]
POLLING: Final = [
    header("Retry-After", [200], "Seconds until the state may have changed; absent after the end of the load."),
    header("Cache-Control", [200], "`no-store`."),
]
ID: Final = OpenApiParameter(
    "id", str, OpenApiParameter.PATH, description="The last part of `Location`, or the id of the upload in GraphQL."
)
