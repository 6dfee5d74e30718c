"""What the REST face promises, in OpenAPI: one decorator for each operation, which drf-spectacular reads.

Answers for the statuses, the refusals and the examples that are published. The examples are what the
service answers to the real file and to the requests of tests/test_openapi.py, word for word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

from django.conf import settings
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiRequest, OpenApiResponse, extend_schema
from rest_framework import serializers

from deals_api.rest.serializers import (
    CsvExportParameters,
    ExportParameters,
    TopClientsCsvExportParameters,
    TopClientsExportParameters,
    TopClientsParameters,
    UploadForm,
)

F = TypeVar("F", bound=Callable[..., Any])

_JSON: Final = "application/json"


# Refusals


@dataclass(frozen=True, slots=True)
class Refusal:
    """One code, and the sentence that an example of it has."""

    status: HTTPStatus
    sentence: str
    problems: tuple[dict[str, Any], ...] = ()

    def body(self, code: str) -> dict[str, Any]:
        told = {"Errors": list(self.problems)} if self.problems else {}
        return {"Status": "Error", "Desc": self.sentence, "Code": code, **told}


def _too_many(most: int) -> Refusal:
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"There may be {most} of these a minute; try again in 30 s.")


_most: Final = settings.DEALS_LIMITS
_BAD_CELL: Final = {
    "line": 2, "column": "total", "value": "12x", "reason": "is not an amount such as 612 or 100.50"
}  # fmt: skip

#: What an operation of this face can refuse, by code; those that read say two of them in other words.
REFUSALS: Final = {
    "bad_request": Refusal(HTTPStatus.BAD_REQUEST, "The service does not answer to this name; see ALLOWED_HOSTS."),
    "invalid": Refusal(HTTPStatus.BAD_REQUEST, "limt: There is no parameter 'limt'."),
    "parse_error": Refusal(
        HTTPStatus.BAD_REQUEST,
        "The request has no file; send it as the field 'deals' of a multipart/form-data body.",
    ),
    "unreadable_upload": Refusal(HTTPStatus.BAD_REQUEST, "The file is not CSV text: it is a PDF document."),
    "bad_cells": Refusal(
        HTTPStatus.BAD_REQUEST,
        "1 place in the file is wrong, line 2, column 'total': '12x' is not an amount such as 612 or 100.50.",
        (_BAD_CELL,),
    ),
    "token_required": Refusal(
        HTTPStatus.UNAUTHORIZED, "Changing the data needs a token: Authorization: Bearer <token>."
    ),
    "not_allowed": Refusal(
        HTTPStatus.FORBIDDEN,
        "A page of another site asks for this; the service takes changes from its own pages only.",
    ),
    "limit_exceeded": Refusal(
        HTTPStatus.BAD_REQUEST,
        f"The response is over {_most.max_response_bytes:,} bytes; ask for less, or download an export.",
    ),
    "upload_not_retained": Refusal(
        HTTPStatus.NOT_FOUND, "There is no such upload, or its rows are no longer retained."
    ),
    "method_not_allowed": Refusal(HTTPStatus.METHOD_NOT_ALLOWED, 'Method "DELETE" not allowed.'),
    "not_acceptable": Refusal(HTTPStatus.NOT_ACCEPTABLE, "Could not satisfy the request Accept header."),
    "length_required": Refusal(
        HTTPStatus.LENGTH_REQUIRED,
        "The request must say how long its body is (Content-Length); chunked bodies are not taken.",
    ),
    "upload_too_large": Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The file is over {_most.max_upload_bytes} bytes."
    ),
    "request_too_large": Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large."),
    "unsupported_media_type": Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, 'Unsupported media type "application/json" in request.'
    ),
    "too_many_requests": _too_many(_most.uploads_per_minute),
    "internal_error": Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side; it has been logged."
    ),
    "database_busy": Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer just now; try again in a moment."
    ),
    "no_room": Refusal(
        HTTPStatus.INSUFFICIENT_STORAGE, "The service has no room left on its disk; its operator has to make some."
    ),
}
REFUSALS_OF_READING: Final = {
    **REFUSALS,
    "token_required": Refusal(HTTPStatus.UNAUTHORIZED, "Reading needs a token: Authorization: Bearer <token>."),
    "too_many_requests": _too_many(_most.computations_per_minute),
}
#: Codes of the same handler that no operation here gives: other addresses, GraphQL, and DRF's own.
ELSEWHERE: Final = (
    "authentication_failed", "bad_input", "cursor_outdated", "not_authenticated",
    "not_found", "permission_denied", "throttled",
)  # fmt: skip

_ALWAYS: Final = (
    "bad_request", "token_required", "method_not_allowed", "too_many_requests", "internal_error", "database_busy",
)  # fmt: skip
_OF_READING: Final = {
    code: REFUSALS_OF_READING[code] for code in (*_ALWAYS, "invalid", "limit_exceeded", "not_acceptable")
}
_OF_EXPORTS: Final = {code: REFUSALS_OF_READING[code] for code in (*_ALWAYS, "invalid", "upload_not_retained")}
_OF_WRITING: Final = {
    code: REFUSALS[code] for code in REFUSALS if code not in ("limit_exceeded", "upload_not_retained")
}


def _refused(refusals: dict[str, Refusal]) -> dict[Any, OpenApiResponse]:
    """An answer for each status, which says which codes it can have here."""
    statuses = sorted({refusal.status for refusal in refusals.values()})
    return {
        (status.value, _JSON): _refusal(
            status, {code: refusal for code, refusal in sorted(refusals.items()) if refusal.status == status}
        )
        for status in statuses
    }


def _refusal(status: HTTPStatus, refusals: dict[str, Refusal]) -> OpenApiResponse:
    its_codes = {"type": "object", "properties": {"Code": {"enum": list(refusals)}}}
    return OpenApiResponse(
        {"allOf": [{"$ref": "#/components/schemas/Refusal"}, its_codes]},
        status.phrase,
        [_example(code, refusal.body(code), status) for code, refusal in refusals.items()],
    )


# Answers


def _example(name: str, value: Any, status: HTTPStatus, media_type: str = _JSON) -> OpenApiExample:
    return OpenApiExample(
        name, value=value, media_type=media_type, response_only=True, status_codes=[str(status.value)]
    )


TOP_CLIENTS: Final = {
    "response": [
        {"username": "resplendent", "spent_money": 451731, "gems": ["Рубин", "Сапфир", "Танзанит"]},
        {"username": "bellwether", "spent_money": 217794, "gems": ["Петерсит", "Сапфир"]},
        {"username": "uvulaperfly117", "spent_money": 120419, "gems": ["Петерсит", "Танзанит"]},
        {"username": "braggadocio", "spent_money": 108957, "gems": ["Изумруд"]},
        {"username": "turophile", "spent_money": 100132, "gems": ["Изумруд", "Рубин"]},
    ]
}
#: The first lines of each export.
EXPORTS: Final = {
    "deals.csv": "customer,item,total,quantity,date\nbellwether,Цаворит,612,6,2018-12-14 08:29:52.506166\n",
    "deals.ndjson": '{"customer":"bellwether","item":"Цаворит","total":612,"quantity":6,'
    '"date":"2018-12-14T08:29:52.506166+00:00"}\n',
    "top-clients.csv": 'username,spent_money,gems\nresplendent,451731,"Рубин, Сапфир, Танзанит"\n',
    "top-clients.ndjson": '{"username":"resplendent","spent_money":451731,"gems":["Рубин","Сапфир","Танзанит"]}\n',
}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False
    }  # fmt: skip


_TEXT: Final = {"type": "string"}
_COMPONENTS: Final = {
    "TopClients": _object(
        response={
            "type": "array",
            "items": _object(
                username=_TEXT,
                spent_money={"type": "number", "minimum": 0, "description": "Exact, with at most two decimals."},
                gems={"type": "array", "items": _TEXT, "description": "Bought by at least two of these clients."},
            ),
        }
    ),
    "Accepted": _object(Status={"type": "string", "enum": ["OK"]}),
    "Refusal": {
        **_object(
            Status={"type": "string", "enum": ["Error"]},
            Desc={"type": "string", "description": "One sentence for people."},
            Code={"type": "string", "enum": sorted([*REFUSALS, *ELSEWHERE]), "description": "A word for machines."},
            Errors={
                "type": "array",
                "description": "The bad cells of a refused file, as many as are listed before reading stops.",
                "items": _object(
                    line={"type": "integer", "minimum": 1, "description": "Of the file, counted from 1."},
                    column={"type": "string", "nullable": True, "description": "None where the whole line is bad."},
                    value=_TEXT,
                    reason=_TEXT,
                ),
            },
        ),
        "required": ["Status", "Desc", "Code"],
    },
}


def add_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the components that the operations refer to; a postprocessing hook of drf-spectacular."""
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["UploadFormRequest"]["additionalProperties"] = False  # unknown fields are rejected
    components["schemas"] = dict(sorted({**schemas, **_COMPONENTS}.items()))
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return result


def _header(name: str, statuses: Sequence[int], description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, response=statuses, description=description)


_KEPT: Final = [
    OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of an answer kept earlier."),
    _header("ETag", [200, 304], "Changes with the answer, and only then."),
    _header("Cache-Control", [200, 304], "`no-cache`: keep it, and ask before each use."),
]
_REFUSED: Final = [
    _header("WWW-Authenticate", [401], "`Bearer`."),
    _header("Retry-After", [429, 503, 507], "Seconds."),
]
#: A token, or none: whether one is needed is the operator's choice.
_AUTH: Final[Any] = [{}, {"token": []}]


class DealsAutoSchema(AutoSchema):
    """drf-spectacular's reader of views, told that no answer here is a bare list, whatever its method is called."""

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False


# Operations


def _operation(
    answers: dict[Any, Any], refusals: dict[str, Refusal], parameters: Sequence[Any], tag: str, **more: Any
) -> Callable[[F], F]:
    return extend_schema(
        parameters=[*parameters, *_REFUSED],
        responses={**answers, **_refused(refusals)},
        auth=_AUTH,
        tags=[tag],
        **more,
    )


_NOT_MODIFIED: Final = {304: OpenApiResponse(description="What the client has is still right.")}

top_clients: Final = _operation(
    {
        (200, _JSON): OpenApiResponse(
            {"$ref": "#/components/schemas/TopClients"},
            "Richest first; equal sums by username. Empty before the first upload.",
            [_example("the real file", TOP_CLIENTS, HTTPStatus.OK)],
        ),
        **_NOT_MODIFIED,
    },
    _OF_READING,
    [TopClientsParameters, *_KEPT],
    "deals",
)

upload: Final = _operation(
    {
        (200, _JSON): OpenApiResponse(
            {"$ref": "#/components/schemas/Accepted"},
            "The file is taken, and every question after this answer reads from it.",
            [_example("accepted", {"Status": "OK"}, HTTPStatus.OK)],
        )
    },
    _OF_WRITING,
    [],
    "deals",
    request={"multipart/form-data": OpenApiRequest(UploadForm, encoding={"deals": {"contentType": "text/csv"}})},
)


def _export(file: str, query: type[serializers.Serializer[Any]]) -> Callable[[F], F]:
    media_type = "text/csv" if file.endswith(".csv") else "application/x-ndjson"
    answer = OpenApiResponse(
        _TEXT, "A stream. One that is broken off ends without its last chunk.",
        [_example("the real file begins", EXPORTS[file], HTTPStatus.OK, media_type)],
    )  # fmt: skip
    name = _header("Content-Disposition", [200], "`attachment`, with a name made of the upload's day and snapshot.")
    return _operation(
        {(200, media_type): answer, **_NOT_MODIFIED},
        _OF_EXPORTS,
        [query, *_KEPT, name],
        "exports",
        operation_id=file.replace(".", "_").replace("-", "_"),
    )


deals_csv: Final = _export("deals.csv", CsvExportParameters)
deals_ndjson: Final = _export("deals.ndjson", ExportParameters)
top_clients_csv: Final = _export("top-clients.csv", TopClientsCsvExportParameters)
top_clients_ndjson: Final = _export("top-clients.ndjson", TopClientsExportParameters)
