"""Schemas of the request and response bodies in the OpenAPI description."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final


def ref(component: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{component}"}


def _object(optional: Collection[str] = ("Errors", "Report"), **properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _count(description: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "description": description}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _date(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "date-time", "nullable": True, "description": f"{description} in UTC."}


TEXT: Final = {"type": "string"}
BINARY: Final = {"type": "string", "format": "binary"}
_MONEY: Final = {"type": "number", "minimum": 0, "description": "Exact, with at most two decimals."}
_CLIENT: Final = _object(
    username=TEXT,
    spent_money=_MONEY,
    gems={"type": "array", "items": TEXT, "description": "Bought by at least two of these clients."},
)
_INVALID_CELL: Final = _object(
    line={"type": "integer", "minimum": 1, "description": "Line of the file, counted from 1."},
    column={"type": "string", "nullable": True, "description": "null if the whole line or the whole file is invalid."},
    value=TEXT,
    reason=_text("The reason for people."),
    reason_code=_text("The reason for programs."),
    params={
        "type": "object",
        "additionalProperties": {"oneOf": [{"type": "integer"}, TEXT]},
        "description": "The values in the reason, by name.",
    },
)
_INVALID_CELLS: Final = {
    "type": "array",
    "items": _INVALID_CELL,
    "description": (
        "All invalid cells of a rejected file. If there are too many, reading stops, and the reason code of the last"
        " entry is `too_many_errors`."
    ),
}
_STATES: Final = ["queued", "loading", "loaded", "refused", "interrupted", "cancelled"]
_REPORT: Final = _object(
    rows=_count("Deals."),
    customers=_count("Different customers."),
    gems=_count("Different gems."),
    first_date=_date("Date of the earliest deal"),
    last_date=_date("Date of the latest deal"),
    total={**_MONEY, "nullable": True, "description": f"Sum of all deals. {_MONEY['description']}"},
    encoding=_text("Detected encoding; like the following three, empty if unknown."),
    delimiter=_text("Detected delimiter of the columns."),
    decimal_separator=_text("Detected decimal separators, separated by spaces."),
    date_format=_text("Detected date formats, separated by spaces."),
) | {"description": "The dates and the total are null if the rows of the upload were deleted."}


def components(codes: Iterable[str]) -> dict[str, Any]:
    """Return the components that the operations refer to; ``codes`` are all error codes."""
    return {
        "TopClients": _object(response={"type": "array", "items": _CLIENT}),
        "Report": _REPORT,
        "Accepted": _object(Status={"type": "string", "enum": ["OK"]}, Report=ref("Report")),
        "UploadQueued": _object(Status={"type": "string", "enum": ["Accepted"]}),
        "UploadStatus": _object(
            optional=("Report", "Desc", "Code", "Errors"),
            Status={
                "type": "string",
                "enum": ["Accepted", "OK", "Error"],
                "description": "`Accepted` until the load has ended.",
            },
            State={"type": "string", "enum": _STATES},
            RowsRead=_count("Deals read so far."),
            BytesRead=_count("Bytes read so far."),
            TotalBytes=_count("Size of the file."),
            Upload=_text("The id of the upload in GraphQL and in `?upload=`."),
            Report=ref("Report"),
            Desc=_text("The error, as in a synchronous response."),
            Code=_text("The code of that error; also `upload_cancelled`."),
            Errors=_INVALID_CELLS,
        ),
        "Error": _object(
            Status={"type": "string", "enum": ["Error"]},
            Desc=_text("One sentence for people."),
            Code={"type": "string", "enum": sorted(codes), "description": "An identifier for programs."},
            Errors=_INVALID_CELLS,
        ),
    }
