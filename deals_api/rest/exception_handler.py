"""Every refusal under ``/api/``, whoever raised it, as one body with the fitting status.

``{"Status": "Error", "Desc": "<one sentence>", "Code": "<a word for machines>"}``, and ``Errors`` with
the bad cells of a refused file.
"""

from __future__ import annotations

import errno
import logging
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
from rest_framework.response import Response

from deals_api import request_context
from deals_api.db_vendor import is_disk_full, is_temporary
from deals_api.errors import DatabaseBusy, DealsError, NoRoom, RowProblem, TokenRequired
from deals_api.formats import dump_json
from deals_api.snapshots.lease import SnapshotGone

log = logging.getLogger(__name__)

_STATUS: Final = {
    "unreadable_upload": HTTPStatus.BAD_REQUEST,
    "bad_cells": HTTPStatus.BAD_REQUEST,
    "upload_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "upload_not_retained": HTTPStatus.NOT_FOUND,
    "bad_input": HTTPStatus.BAD_REQUEST,
    "cursor_outdated": HTTPStatus.BAD_REQUEST,
    "limit_exceeded": HTTPStatus.BAD_REQUEST,
    "token_required": HTTPStatus.UNAUTHORIZED,
    "not_allowed": HTTPStatus.FORBIDDEN,
    "too_many_requests": HTTPStatus.TOO_MANY_REQUESTS,
    "database_busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "no_room": HTTPStatus.INSUFFICIENT_STORAGE,
}
#: What a full disk, a quota and the limit of one file are called.
_DISK_FULL_ERRNOS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def handle_exception(error: Exception, _context: dict[str, Any] | None = None) -> Response | None:
    """DRF's hook; None leaves what nobody foresaw to Django, which logs it and calls ``server_error``."""
    if isinstance(error, DealsError):
        return Response(
            error_body(error.message, error.code, error.problems), _STATUS[error.code], headers=error_headers(error)
        )
    if _is_disk_full(error):
        log.error("There is no room left: %s", error)
        return handle_exception(NoRoom("The service has no room left on its disk; its operator has to make some."))
    if isinstance(error, SnapshotGone) or is_temporary(error):
        log.warning("The database does not answer: %s", error)
        return handle_exception(DatabaseBusy("The database does not answer just now; try again in a moment."))
    if isinstance(error, exceptions.APIException):
        return Response(error_body(_join_messages(error.detail), error.default_code), error.status_code)
    if isinstance(error, RequestDataTooBig):
        return Response(
            error_body("The request is too large.", "request_too_large"), HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
    if isinstance(error, Http404):
        return handle_exception(exceptions.NotFound())
    if isinstance(error, PermissionDenied):
        return handle_exception(exceptions.PermissionDenied())
    if isinstance(error, TooManyFieldsSent | TooManyFilesSent):
        return handle_exception(exceptions.ParseError("The request has too many parameters or fields."))
    if isinstance(error, SuspiciousOperation | UnreadablePostError):
        return handle_exception(exceptions.ParseError(str(error) or "The request cannot be read."))
    return None


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _DISK_FULL_ERRNOS
    return isinstance(error, OperationalError) and is_disk_full(error)


def error_headers(error: DealsError) -> dict[str, str]:
    """What a program needs to know of a refusal before it tries again."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, TokenRequired):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def error_body(sentence: str, code: str, problems: tuple[RowProblem, ...] = ()) -> dict[str, Any]:
    sentence = sentence if sentence.endswith(".") else f"{sentence.rstrip(' :')}."
    request_context.get_request_context().error_code = code
    refusal: dict[str, Any] = {"Status": "Error", "Desc": sentence, "Code": code}
    if problems:
        refusal["Errors"] = [asdict(problem) for problem in problems]
    return refusal


def _join_messages(detail: Any) -> str:
    """DRF's lists and dictionaries of messages as one sentence."""
    if isinstance(detail, dict):
        return " ".join(f"{name}: {_join_messages(messages)}" for name, messages in detail.items())
    if isinstance(detail, list):
        return " ".join(map(_join_messages, detail))
    return str(detail)


# The same for what fails outside DRF: Django calls these (see project.urls)


def _error_response(status: HTTPStatus, sentence: str, code: str) -> HttpResponse:
    return HttpResponse(dump_json(error_body(sentence, code)), status=status, content_type="application/json")


def bad_request(_request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, DisallowedHost):
        return _error_response(
            HTTPStatus.BAD_REQUEST, "The service does not answer to this name; see ALLOWED_HOSTS.", "bad_request"
        )
    return _error_response(HTTPStatus.BAD_REQUEST, "The request cannot be read.", "bad_request")


def permission_denied(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error_response(HTTPStatus.FORBIDDEN, "This is not allowed.", "permission_denied")


def not_found(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error_response(HTTPStatus.NOT_FOUND, "There is nothing at this address.", "not_found")


def server_error(_request: HttpRequest) -> HttpResponse:
    return _error_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side; it has been logged.", "internal_error"
    )
