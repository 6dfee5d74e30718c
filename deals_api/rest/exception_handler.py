"""Error responses of the REST API: one body for every error, and the status of every error code.

``{"Status": "Error", "Desc": "<one sentence>", "Code": "<identifier>"}``; ``Errors`` lists the invalid cells of a
rejected file. The handlers also record the code in the request context, for the access log and the metrics.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deals_api.db_vendor import is_disk_full, is_temporary
from deals_api.errors import (
    INTERNAL_ERROR_MESSAGE,
    DatabaseBusy,
    DealsError,
    NoRoom,
    RowProblem,
    TokenRequired,
)
from deals_api.formats import dump_json
from deals_api.request_context import get_request_context
from deals_api.rest.parsers import upload_instructions
from deals_api.snapshots.lease import SnapshotGone

log = logging.getLogger(__name__)

DOMAIN_ERROR_STATUS: Final = {
    "unreadable_upload": HTTPStatus.BAD_REQUEST,
    "bad_cells": HTTPStatus.BAD_REQUEST,
    "upload_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "upload_changed": HTTPStatus.PRECONDITION_FAILED,
    "upload_finished": HTTPStatus.CONFLICT,
    "upload_not_retained": HTTPStatus.NOT_FOUND,
    "bad_input": HTTPStatus.BAD_REQUEST,
    "cursor_outdated": HTTPStatus.BAD_REQUEST,
    "limit_exceeded": HTTPStatus.BAD_REQUEST,
    "token_required": HTTPStatus.UNAUTHORIZED,
    "not_allowed": HTTPStatus.FORBIDDEN,
    "too_many_requests": HTTPStatus.TOO_MANY_REQUESTS,
    "database_busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "queue_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "no_room": HTTPStatus.INSUFFICIENT_STORAGE,
}
#: The disk is full, a quota is used up, or the file reached the size limit of the file system.
_DISK_FULL_ERRNOS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


# Body and headers


def error_body(message: str, code: str, problems: tuple[RowProblem, ...] = ()) -> dict[str, Any]:
    """Return the body of an error response; a message without a full stop gets one."""
    message = message if message.endswith(".") else f"{message.rstrip(' :')}."
    body: dict[str, Any] = {"Status": "Error", "Desc": message, "Code": code}
    if problems:
        body["Errors"] = [asdict(problem) for problem in problems]
    return body


def error_headers(error: DealsError) -> dict[str, str]:
    """Return the headers that a client needs before it retries."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, TokenRequired):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


# Errors inside DRF


class RequestTooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request is too large."
    default_code = "request_too_large"


def handle_exception(error: Exception, context: dict[str, Any] | None = None) -> Response | None:
    """Return the response to an error of a DRF view; None for an unexpected error, which Django logs."""
    if context and isinstance(error, exceptions.MethodNotAllowed):
        error.detail = exceptions.ErrorDetail(_method_message(context["view"], context["request"]))
    response = _response_to(error)
    if response is not None:
        get_request_context().error_code = response.data["Code"]
    return response


def _method_message(view: APIView, request: Request) -> str:
    message = f"Method {request.method!r} is not allowed; this URL supports {', '.join(view.allowed_methods)}"
    return f"{message}; with POST, {upload_instructions(request)}." if "POST" in view.allowed_methods else f"{message}."


def _response_to(error: Exception) -> Response | None:
    if (domain_error := _as_domain_error(error)) is not None:
        body = error_body(domain_error.message, domain_error.code, domain_error.problems)
        return Response(body, DOMAIN_ERROR_STATUS[domain_error.code], headers=error_headers(domain_error))
    if (api_error := _as_api_exception(error)) is not None:
        return Response(
            error_body(_join_messages(api_error.detail), api_error.default_code),
            api_error.status_code,
        )
    return None


def _as_domain_error(error: Exception) -> DealsError | None:
    if isinstance(error, DealsError):
        return error
    if _is_disk_full(error):
        log.error("The disk is full: %s", error)
        return NoRoom()
    if isinstance(error, SnapshotGone) or is_temporary(error):
        log.warning("The database is unavailable: %s", error)
        return DatabaseBusy()
    return None


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _DISK_FULL_ERRNOS
    return isinstance(error, OperationalError) and is_disk_full(error)


def _as_api_exception(error: Exception) -> exceptions.APIException | None:
    match error:
        case exceptions.APIException():
            return error
        case RequestDataTooBig():
            return RequestTooLarge()
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case TooManyFieldsSent() | TooManyFilesSent():
            return exceptions.ParseError("The request has too many parameters or fields.")
        case SuspiciousOperation() | UnreadablePostError():
            return exceptions.ParseError(str(error) or "The request cannot be read.")
    return None


def _join_messages(detail: Any) -> str:
    """Join DRF's nested lists and dictionaries of messages into one sentence."""
    if isinstance(detail, dict):
        return " ".join(f"{name}: {_join_messages(messages)}" for name, messages in detail.items())
    if isinstance(detail, list):
        return " ".join(map(_join_messages, detail))
    return str(detail)


# Errors outside DRF: other views, and the handlers that project.urls configures


def plain_response(error: DealsError) -> HttpResponse:
    """Return the error response of a view that does not use DRF."""
    return _json_response(DOMAIN_ERROR_STATUS[error.code], error.message, error.code, error_headers(error))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = "The request cannot be read."
    if isinstance(exception, DisallowedHost):
        message = "The host name is not allowed; see ALLOWED_HOSTS."
        if "_" in request.META.get("HTTP_HOST", ""):
            message = "The host name has an underscore, which Django rejects with any ALLOWED_HOSTS; use another name."
    return _json_response(HTTPStatus.BAD_REQUEST, message, "bad_request")


def permission_denied(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json_response(
        HTTPStatus.FORBIDDEN, "You do not have permission to perform this action.", "permission_denied"
    )


def not_found(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return _json_response(HTTPStatus.NOT_FOUND, "Not found.", "not_found")


def server_error(_request: HttpRequest) -> HttpResponse:
    return _json_response(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR_MESSAGE, "internal_error")


def _json_response(
    status: HTTPStatus, message: str, code: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    get_request_context().error_code = code
    return HttpResponse(dump_json(error_body(message, code)), "application/json", status, headers=headers)
