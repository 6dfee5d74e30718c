"""Errors as clients see them: stable codes, masked internal errors, and the HTTP status of each code."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from graphql import GraphQLError, GraphQLSyntaxError

from deals_api.db_vendor import is_temporary
from deals_api.errors import (
    INTERNAL_ERROR_MESSAGE,
    DatabaseBusy,
    DealsError,
    LimitExceeded,
    NotAllowed,
    TokenRequired,
    TooManyRequests,
)
from deals_api.request_context import get_request_context
from graphql_schema.execution.errors import original_exception

log = logging.getLogger(__name__)

#: Maximum number of errors in a response; a document can cause a hundred.
_MAX_ERRORS: Final = 5
#: End of graphql-core's message about a document with too many tokens or levels.
_PARSING_ABORTED: Final = "Parsing aborted."

#: Values as Python writes them in messages of graphql-core, which also quotes texts of the request.
_PYTHON_VALUES: Final = {"None": "null", "True": "true", "False": "false"}
#: An unbalanced quote extends to the end of the message, so that the time is linear.
_QUOTED_OR_PYTHON_VALUE: Final = re.compile(
    r"""(?s)'((?:[^'\\]|\\.)*)'|'.*|"(?:[^"\\]|\\.)*(?:"|\Z)|\b(?:None|True|False)\b"""
)
_PYTHON_ESCAPE: Final = re.compile(r'\\.|"')
#: Escape sequences in a text in single quotes that JSON writes differently.
_JSON_ESCAPES: Final = {"\\'": "'", "\\x": r"\u00", '"': r"\""}

#: HTTP statuses of the domain errors that apply to the request as a whole.
STATUS: Final = {TokenRequired: 401, NotAllowed: 403, TooManyRequests: 429, DatabaseBusy: 503}

UNREADABLE: Final = "graphql_unreadable"
INVALID: Final = "graphql_invalid"
INTERNAL: Final = "internal_error"
NOT_PERSISTED: Final = "document_not_persisted"
#: The name that the protocol of automatic persisted queries requires.
PERSISTED_QUERY_NOT_FOUND: Final = "PERSISTED_QUERY_NOT_FOUND"
#: Codes of this package, in addition to those of ``deals_api.errors``.
CODES: Final = {UNREADABLE, INVALID, INTERNAL, NOT_PERSISTED, PERSISTED_QUERY_NOT_FOUND}


class RequestError(Exception):
    """An error of the request as a whole, with an HTTP status, instead of the result of an operation."""

    def __init__(
        self, status: int, message: str, code: str = UNREADABLE, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}

    @classmethod
    def from_domain_error(cls, error: DealsError) -> RequestError:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        if isinstance(error, TokenRequired):
            headers["WWW-Authenticate"] = "Bearer"
        return cls(STATUS[type(error)], error.message, error.code, headers)

    @classmethod
    def database_unavailable(cls) -> RequestError:
        return cls.from_domain_error(DatabaseBusy())

    def as_graphql_error(self) -> dict[str, Any]:
        return {"message": self.message, "extensions": {"code": self.code}}


def http_error_in(errors: list[GraphQLError]) -> RequestError | None:
    """Return the first error with its own HTTP status; None if the response can report all errors."""
    for raised in map(original_exception, errors):
        if raised is not None and is_temporary(raised):
            log.warning("The database is unavailable: %s", raised)
            return RequestError.database_unavailable()
        if isinstance(raised, DealsError) and type(raised) in STATUS:
            return RequestError.from_domain_error(raised)
    return None


def format_errors(errors: list[GraphQLError]) -> list[dict[str, Any]]:
    """Return the ``errors`` of a response. Messages of unexpected exceptions are masked."""
    return [_format_error(error) for error in errors[:_MAX_ERRORS]]


def record_errors(errors: list[GraphQLError]) -> None:
    """Log the unexpected exceptions among the errors of a response, and record the error code for telemetry."""
    context = get_request_context()
    for error in errors[:_MAX_ERRORS]:
        context.error_code = _error_code(error)
        if context.error_code == INTERNAL:
            log.error("Request %s failed at %s", context.request_id, error.path, exc_info=original_exception(error))


def _format_error(error: GraphQLError) -> dict[str, Any]:
    code = _error_code(error)
    formatted: dict[str, Any] = {**error.formatted, "extensions": {"code": code}}
    raised = original_exception(error)
    if isinstance(raised, DealsError):
        formatted["message"] = raised.message
    elif code == INVALID:
        formatted["message"] = _in_json_terms(error.message)
    elif code == INTERNAL:
        formatted["message"] = INTERNAL_ERROR_MESSAGE
        formatted["extensions"]["requestId"] = get_request_context().request_id
    return formatted


def _in_json_terms(message: str) -> str:
    """Write values and quoted texts as JSON does: ``{'a': None}`` becomes ``{"a": null}``."""
    return _QUOTED_OR_PYTHON_VALUE.sub(_json_term, message)


def _json_term(match: re.Match[str]) -> str:
    if match[1] is None:
        return _PYTHON_VALUES.get(match[0], match[0])
    text = _PYTHON_ESCAPE.sub(lambda escape: _JSON_ESCAPES.get(escape[0], escape[0]), match[1])
    return f'"{text}"'


def _error_code(error: GraphQLError) -> str:
    raised = original_exception(error)
    if isinstance(error, GraphQLSyntaxError):
        return LimitExceeded.code if error.message.endswith(_PARSING_ABORTED) else UNREADABLE
    if raised is None:
        return INVALID
    return raised.code if isinstance(raised, DealsError) else INTERNAL
