"""What a client is told of an error: a stable code, a sentence, and nothing of our insides.

Answers for ``extensions.code``, for masking what nobody declared, and for logging just that.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from graphql import GraphQLError, GraphQLSyntaxError

from deals_api import request_context
from deals_api.db_vendor import is_temporary
from deals_api.errors import DatabaseBusy, DealsError, LimitExceeded, NotAllowed, TokenRequired, TooManyRequests
from graphql_schema.execution.errors import original_exception

log = logging.getLogger(__name__)

#: Errors of one answer; a document can make a hundred of them, and nobody reads the sixth.
_MAX_ERRORS: Final = 5
#: How graphql-core says that a document has too many tokens or levels.
_PARSING_ABORTED: Final = "Parsing aborted."

#: What HTTP calls the refusals that are about the request and not about the question.
STATUS: Final = {TokenRequired: 401, NotAllowed: 403, TooManyRequests: 429, DatabaseBusy: 503}

UNREADABLE: Final = "graphql_unreadable"
INVALID: Final = "graphql_invalid"
INTERNAL: Final = "internal_error"
INTERNAL_MESSAGE: Final = "Something went wrong on our side; it has been logged."


def format_errors(errors: list[GraphQLError]) -> list[dict[str, Any]]:
    """The errors of an answer as clients see them; what is ours to mend is logged under the request's id."""
    return [_format_error(error) for error in errors[:_MAX_ERRORS]]


def error_response_body(message: str, code: str) -> dict[str, Any]:
    """A whole answer for what was refused before any operation."""
    request_context.get_request_context().error_code = code
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def http_error_in(errors: list[GraphQLError]) -> DealsError | None:
    """The error that is about the whole request, so that HTTP must say it; None where the answer can tell them all."""
    for raised in map(original_exception, errors):
        if raised is not None and is_temporary(raised):
            log.warning("The database does not answer: %s", raised)
            return DatabaseBusy("The database does not answer just now; try again in a moment.")
        if isinstance(raised, DealsError) and type(raised) in STATUS:
            return raised
    return None


def error_headers(error: DealsError) -> dict[str, str]:
    """What a program needs to know of a refusal before it tries again."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return headers | ({"WWW-Authenticate": "Bearer"} if isinstance(error, TokenRequired) else {})


def _format_error(error: GraphQLError) -> dict[str, Any]:
    raised = original_exception(error)
    answer: dict[str, Any] = dict(error.formatted)
    extensions: dict[str, Any] = {}
    if isinstance(error, GraphQLSyntaxError):
        too_long = error.message.endswith(_PARSING_ABORTED)
        extensions["code"] = LimitExceeded.code if too_long else UNREADABLE
    elif raised is None:
        extensions["code"] = INVALID
    elif isinstance(raised, DealsError):
        answer["message"], extensions["code"] = raised.message, raised.code
    else:
        request_id = request_context.get_request_context().request_id
        log.error("Request %s failed at %s", request_id, error.path, exc_info=raised)
        answer["message"] = INTERNAL_MESSAGE
        extensions |= {"code": INTERNAL, "requestId": request_id}
    request_context.get_request_context().error_code = extensions["code"]
    return answer | {"extensions": extensions}
