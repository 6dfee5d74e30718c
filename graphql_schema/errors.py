"""What a client is told of an error: a stable code, a sentence, and nothing of our insides.

Answers for ``extensions.code``, for masking what nobody declared, and for logging just that.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from django.db import InterfaceError, OperationalError
from graphql import GraphQLError, GraphQLSyntaxError

from deals_api.errors import DatabaseBusy, DealsError, LimitExceeded

log = logging.getLogger(__name__)

#: Errors of one answer; a document can make a hundred of them, and nobody reads the sixth.
_MOST: Final = 5
#: How graphql-core says that a document has too many tokens or levels.
_TOO_LONG: Final = "Parsing aborted."

UNREADABLE: Final = "graphql_unreadable"
INVALID: Final = "graphql_invalid"
INTERNAL: Final = "internal_error"


def told(errors: list[GraphQLError], request_id: str) -> list[dict[str, Any]]:
    """The errors of an answer as clients see them; what is ours to mend is logged under the request's id."""
    return [_told(error, request_id) for error in errors[:_MOST]]


def refusal(message: str, code: str) -> dict[str, Any]:
    """A whole answer for what was refused before any operation."""
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def is_database_trouble(error: GraphQLError) -> bool:
    return isinstance(cause(error), OperationalError | InterfaceError | DatabaseBusy)


def cause(error: GraphQLError) -> BaseException | None:
    """What was raised; None for what graphql-core found wrong with the document or its variables."""
    raised = error.original_error
    while isinstance(raised, GraphQLError):
        raised = raised.original_error
    return raised


def _told(error: GraphQLError, request_id: str) -> dict[str, Any]:
    raised = cause(error)
    answer: dict[str, Any] = dict(error.formatted)
    extensions: dict[str, Any] = {}
    if isinstance(error, GraphQLSyntaxError):
        too_long = error.message.endswith(_TOO_LONG)
        extensions["code"] = LimitExceeded.code if too_long else UNREADABLE
    elif raised is None:
        extensions["code"] = INVALID
    elif isinstance(raised, DealsError):
        answer["message"], extensions["code"] = raised.message, raised.code
    elif is_database_trouble(error):
        log.warning("The database does not answer: %s", raised)
        answer["message"], extensions["code"] = "The database does not answer just now; try again.", DatabaseBusy.code
    else:
        log.error("Request %s failed at %s", request_id, error.path, exc_info=raised)
        answer["message"] = "Something went wrong on our side; it has been logged."
        extensions |= {"code": INTERNAL, "requestId": request_id}
    return answer | {"extensions": extensions}
