"""OpenAPI annotations for drf-spectacular; tests/test_openapi.py verifies the examples and the error codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import F, OpenApiExample, OpenApiRequest, OpenApiResponse, extend_schema
from rest_framework import serializers

from deals_api.rest.exception_handler import DOMAIN_ERROR_STATUS
from deals_api.rest.openapi_examples import EXPORTS, TOP_CLIENTS, UPLOAD_STATUS
from deals_api.rest.openapi_parameters import (
    ATTACHMENT,
    CONDITIONAL,
    ERROR_HEADERS,
    ID,
    IF_MATCH,
    POLLING,
    PREFERENCE,
    header,
)
from deals_api.rest.openapi_schemas import BINARY, TEXT, components, ref
from deals_api.rest.serializers import (
    DealsCsvExportParameters,
    DealsExportParameters,
    TopClientsCsvExportParameters,
    TopClientsExportParameters,
    TopClientsParameters,
    UploadForm,
    UploadParameters,
)

_JSON: Final = "application/json"

#: Codes of the error handlers that no REST operation returns: those of other URLs, of GraphQL and of unused DRF errors.
OTHER_CODES: Final = {
    "authentication_failed", "bad_input", "cursor_outdated", "not_authenticated", "not_found",
    "permission_denied", "throttled",
}  # fmt: skip
_STATUS: Final = {
    **DOMAIN_ERROR_STATUS, "bad_request": 400, "internal_error": 500, "invalid": 400, "length_required": 411,
    "method_not_allowed": 405, "not_acceptable": 406, "parse_error": 400, "request_too_large": 413,
    "unsupported_media_type": 415,
}  # fmt: skip
#: Error codes of the REST operations.
CODES: Final = _STATUS.keys() - OTHER_CODES
_COMMON_CODES: Final = {
    "bad_request", "database_busy", "internal_error", "method_not_allowed", "token_required", "too_many_requests",
}  # fmt: skip


def _error_responses(codes: Iterable[str]) -> dict[Any, OpenApiResponse]:
    """Return the error response of an operation, with all its codes, under each of their statuses."""
    schema = {"allOf": [ref("Error"), {"type": "object", "properties": {"Code": {"enum": sorted(codes)}}}]}
    statuses = sorted({HTTPStatus(_STATUS[code]) for code in codes})
    return {(status.value, _JSON): OpenApiResponse(schema, status.phrase) for status in statuses}


def add_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the components that the operations refer to; a postprocessing hook of drf-spectacular."""
    schemas = result["components"]["schemas"]
    schemas["UploadFormRequest"]["additionalProperties"] = False  # unknown fields are rejected
    schemas = dict(sorted({**schemas, **components(CODES | OTHER_CODES)}.items()))
    result["components"] = {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    return result


def sort_methods(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Sort the methods of each path, whose order differs between processes; a postprocessing hook."""
    result["paths"] = {path: dict(sorted(operations.items())) for path, operations in result["paths"].items()}
    return result


class DealsAutoSchema(AutoSchema):
    """Never treat a view as a list view: no response of this API is a bare list. Every request body is required."""

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False

    def _get_request_body(self, *arguments: Any) -> Any:
        body = super()._get_request_body(*arguments)  # type: ignore[no-untyped-call]
        return body and {**body, "required": True}


def _operation(
    success: OpenApiResponse,
    codes: Iterable[str],
    parameters: Sequence[Any],
    queued: OpenApiResponse | None = None,
    **options: Any,
) -> Callable[[F], F]:
    """Annotate an operation; the media type of ``success`` is that of its example. ``queued`` is the response 202."""
    (example,) = success.examples
    responses = {(200, example.media_type): success, **_error_responses(codes)}
    if queued:
        responses[202, _JSON] = queued
    if CONDITIONAL[0] in parameters:
        responses[304] = OpenApiResponse(description="The client's cached response is current.")
    auth: Any = [{}, {"token": []}]  # the settings decide whether a token is required
    return extend_schema(parameters=[*parameters, *ERROR_HEADERS], responses=responses, auth=auth, **options)


def _success(
    schema: dict[str, Any], description: str, value: Any, media_type: str = _JSON, status: int = 200
) -> OpenApiResponse:
    example = OpenApiExample("example", value, media_type=media_type, response_only=True, status_codes=[str(status)])
    return OpenApiResponse(schema, description, [example])


top_clients: Final = _operation(
    _success(ref("TopClients"), "Highest spending first; equal sums by username.", {"response": TOP_CLIENTS}),
    _COMMON_CODES | {"invalid", "limit_exceeded", "not_acceptable"},
    [*CONDITIONAL, TopClientsParameters],
    tags=["deals"],
    summary="List the top clients",
)
upload: Final = _operation(
    _success(ref("Accepted"), "The file was loaded; every later response reads from it.", {"Status": "OK"}),
    CODES - {"limit_exceeded", "upload_finished", "upload_not_retained"},
    [UploadParameters, IF_MATCH, ATTACHMENT, *PREFERENCE],
    _success(
        ref("UploadQueued"), "The file will be loaded; `Location` has its state.", {"Status": "Accepted"}, status=202
    ),
    tags=["deals"],
    summary="Upload a file, or check it",
    request={
        "multipart/form-data": OpenApiRequest(UploadForm, encoding={"deals": {"contentType": "text/csv"}}),
        "text/csv": OpenApiRequest(BINARY),  # the encoding is detected
    },
)

upload_status: Final = _operation(
    _success(ref("UploadStatus"), "The state of the upload.", UPLOAD_STATUS),
    _COMMON_CODES | {"invalid", "upload_not_retained"},
    [ID, *POLLING],
    tags=["deals"],
    operation_id="upload_status",
    summary="Get the state of an upload",
)
cancel_upload: Final = _operation(
    _success(ref("Accepted"), "The upload is cancelled.", {"Status": "OK"}),
    _COMMON_CODES | {"invalid", "not_allowed", "upload_finished", "upload_not_retained"},
    [ID],
    tags=["deals"],
    operation_id="cancel_upload",
    summary="Cancel an asynchronous upload",
)


def _export(file: str, summary: str, parameters: type[serializers.Serializer[Any]], *codes: str) -> Callable[[F], F]:
    # Generated clients know text, but return NDJSON only as bytes: openapi-generator raises an error for other formats.
    media_type, schema = ("text/csv", TEXT) if file.endswith(".csv") else ("application/x-ndjson", BINARY)
    file_name = header("Content-Disposition", [200], "`attachment`, with the date and the snapshot of the upload.")
    return _operation(
        _success(schema, "A stream. An aborted stream ends without its last chunk.", EXPORTS[file], media_type),
        _COMMON_CODES | {"invalid", "upload_not_retained", *codes},
        [*CONDITIONAL, parameters, file_name],
        tags=["exports"],
        summary=summary,
        operation_id=file.replace(".", "_").replace("-", "_"),
    )


deals_csv: Final = _export("deals.csv", "Download deals as CSV", DealsCsvExportParameters, "limit_exceeded")
deals_ndjson: Final = _export("deals.ndjson", "Download deals as NDJSON", DealsExportParameters, "limit_exceeded")
top_clients_csv: Final = _export("top-clients.csv", "Download the top clients as CSV", TopClientsCsvExportParameters)
top_clients_ndjson: Final = _export(
    "top-clients.ndjson", "Download the top clients as NDJSON", TopClientsExportParameters
)
