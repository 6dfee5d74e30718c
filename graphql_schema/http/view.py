"""GraphQL over HTTP: what comes in, what goes out, and that ready answers go out before anything is parsed.

Answers for methods, media types, statuses and the cache; knows nothing of what is asked.
Source: the GraphQL-over-HTTP draft, by the audits of the npm package ``graphql-http``.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.db import Error
from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.http.response import HttpResponseBase
from django.views import View
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from deals_api import request_context
from deals_api.caching import response_cache
from deals_api.caching.response_cache import CachedBody
from deals_api.db_vendor import is_temporary
from deals_api.errors import DatabaseBusy, DealsError, LimitExceeded, ResponseTooLarge
from deals_api.global_ids import write_id
from deals_api.models import Upload
from deals_api.query_parameters import first_error
from deals_api.response_size import check_response_size
from deals_api.security.permissions import require_read_permission
from deals_api.security.throttling import count_computation
from deals_api.snapshots import current as current_snapshot
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.cost import CostBudget
from graphql_schema.execution.errors import original_exception
from graphql_schema.http import graphiql
from graphql_schema.http.errors import (
    INTERNAL,
    INTERNAL_MESSAGE,
    INVALID,
    STATUS,
    UNREADABLE,
    error_headers,
    error_response_body,
    format_errors,
    http_error_in,
)
from graphql_schema.schema import schema

log = logging.getLogger(__name__)

RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"
METHODS: Final = "GET, HEAD, OPTIONS, POST"
#: Parameters of a URL that asks a question.
_PARAMETERS: Final = ("query", "operationName", "variables", "extensions")
#: A document without this word, which has no other spelling, has no mutation in it.
_MUTATION: Final = re.compile(r"\bmutation\b")
_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_UTF8: Final = ("utf-8", "utf8")
#: Digits of a Content-Length that is still a number of bytes.
_MAX_DIGITS: Final = 18
#: Lists and objects in each other; the deepest input of the schema, with its variables around it, has six.
_MAX_LEVELS: Final = 50
#: How an operation is named, for people who watch; what is longer than a name needs to be is none.
_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,63}")
_NAMED: Final = re.compile(rf"\b(?:query|mutation)\s+({_NAME.pattern})\b")


class RequestError(Exception):
    """A request that holds no question."""

    def __init__(
        self, status: int, message: str, code: str = UNREADABLE, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_response_body(message, code)
        self.headers = headers or {}

    @classmethod
    def because_of(cls, error: DealsError) -> RequestError:
        return cls(STATUS[type(error)], error.message, error.code, error_headers(error))


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """One operation, as it was asked."""

    query: str
    operation_name: str | None
    variables: dict[str, Any] | None


class GraphQLView(View):
    """One URL for questions by GET and POST, and for changes by POST."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if graphiql.is_wanted(request):
            return graphiql.page(request)
        media_type = JSON
        try:
            media_type = media_type_of(request.META.get("HTTP_ACCEPT", "*/*"))
            if request.method == "OPTIONS":
                return HttpResponse(status=204, headers={"Allow": METHODS})
            if request.method not in ("GET", "HEAD", "POST"):
                raise RequestError(405, "Questions come by GET or POST.", headers={"Allow": METHODS})
            return self.answer(request, media_type)
        except RequestError as refused:
            return error_response(refused, media_type)
        except (Error, SnapshotGone) as error:
            if isinstance(error, Error) and not is_temporary(error):
                log.exception("Request %s failed", request_context.get_request_context().request_id)
                return error_response(RequestError(500, INTERNAL_MESSAGE, INTERNAL), media_type)
            busy = DatabaseBusy("The database does not answer just now; try again in a moment.")
            return error_response(RequestError.because_of(busy), media_type)
        except DealsError as error:
            return error_response(RequestError.because_of(error), media_type)

    def answer(self, request: HttpRequest, media_type: str) -> HttpResponseBase:
        require_read_permission(request.META)
        if request.method == "POST":
            query_parameters(request)
            body = _body(request)
        else:
            body = b""
        as_it_came = (
            "graphql",
            request.method == "POST",
            request.META.get("QUERY_STRING"),
            media_type,
            request.META.get("CONTENT_TYPE"),
            blake2b(body).digest(),
        )
        return response_cache.get_or_compute_local(
            request,
            current_snapshot.current_upload(),
            as_it_came,
            lambda: self.parse_and_answer(request, body, media_type),
        )

    def parse_and_answer(self, request: HttpRequest, body: bytes, media_type: str) -> HttpResponseBase:
        question = parse_request(request, body)
        request_context.get_request_context().operation = operation_name_of(question)
        ask = partial(execute, request, question, media_type)
        if _MUTATION.search(question.query):
            answer = ask(current_snapshot.current_upload())
            return response_cache.uncacheable_response(answer, media_type)
        parts = [question.query, question.operation_name, question.variables]
        return response_cache.cached_response(
            request, current_snapshot.current_upload, "graphql", parts, media_type, ask
        )


# What comes in


def media_type_of(accept: str) -> str:
    """The better of our two media types, each weighed by the most precise range that it falls into.

    Raises: Refused, where neither will do.
    """
    weights = _weights(accept)
    json_, response = (_weight(media_type, weights) for media_type in (JSON, RESPONSE))
    # Who knows nothing of the newer one is given JSON, so where both are as good it must have been named.
    best = RESPONSE if response > json_ or (response == json_ and RESPONSE in weights) else JSON
    if max(json_, response) == 0:
        raise RequestError(406, f"Answers come as {RESPONSE} or {JSON}.")
    return best


def _weights(accept: str) -> dict[str, float]:
    """The weight of each media range, whatever else is said of it; to name none is to take any."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        given = next((one.removeprefix("q=") for one in parameters if one.startswith("q=")), "1")
        weight = float(given) if _WEIGHT.fullmatch(given) else 0.0
        weights[media_range] = max(weight, weights.get(media_range, 0.0))
    return weights if accept.strip() else {"*/*": 1.0}


def _weight(media_type: str, weights: dict[str, float]) -> float:
    return next((weights[one] for one in (media_type, "application/*", "*/*") if one in weights), 0.0)


def _body(request: HttpRequest) -> bytes:
    most = settings.DEALS_LIMITS.max_query_bytes
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise RequestError(411, "The request must say how long its body is (Content-Length).")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise RequestError(400, "Content-Length is not a number.")
    if len(length) > _MAX_DIGITS or int(length) > most:
        raise RequestError(413, f"The body is over {most} bytes.", LimitExceeded.code)
    charset = (request.content_params or {}).get("charset") or "utf-8"
    if request.content_type != JSON or charset.lower() not in _UTF8 or request.META.get("HTTP_CONTENT_ENCODING"):
        raise RequestError(415, f"The body must be {JSON} in UTF-8.")
    try:
        body = request.body
    except UnreadablePostError:
        body = b""
    if len(body) < int(length):
        raise RequestError(400, "The body ended early.")
    return body


def parse_request(request: HttpRequest, body: bytes) -> GraphQLRequest:
    """Raises: Refused, where the request holds no question."""
    asked: Any = _loads(body, "The body") if request.method == "POST" else _from_url(request)
    if not isinstance(asked, dict):
        raise RequestError(400, "The body must be a JSON object; one request holds one operation.")
    query, name, variables = asked.get("query"), asked.get("operationName"), asked.get("variables")
    if not isinstance(query, str) or not query.strip():
        raise RequestError(400, "There is no query: a string with a GraphQL document.")
    if not isinstance(name, str | None):
        raise RequestError(400, "operationName must be a string.")
    if not isinstance(variables, dict | None) or not isinstance(asked.get("extensions"), dict | None):
        raise RequestError(400, "variables and extensions must be objects.")
    return GraphQLRequest(query, name or None, variables)


def query_parameters(request: HttpRequest, known: Collection[str] = ()) -> QueryDict:
    """The parameters of the URL.

    Raises: Refused, where there are too many, or one is unknown or repeated.
    """
    try:
        parameters = request.GET
    except TooManyFieldsSent:
        raise RequestError(400, "The address has too many parameters.", LimitExceeded.code) from None
    if error := first_error(parameters, known):
        name, sentence = error
        raise RequestError(400, f"{name}: {sentence}")
    return parameters


def _from_url(request: HttpRequest) -> dict[str, Any]:
    parameters = query_parameters(request, _PARAMETERS)
    asked: dict[str, Any] = {name: parameters[name] for name in _PARAMETERS if parameters.get(name)}
    for name in asked.keys() & {"variables", "extensions"}:
        asked[name] = _loads(asked[name].encode(), name)
    return asked


def _loads(text: bytes, what: str) -> Any:
    try:
        value = json.loads(text.decode(), parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError):
        raise RequestError(400, f"{what} is not JSON in UTF-8.") from None
    if not _is_within_depth(value, _MAX_LEVELS):
        raise RequestError(400, f"{what} has more than {_MAX_LEVELS} levels.", LimitExceeded.code)
    return value


def _is_within_depth(value: Any, levels: int) -> bool:
    """Whether no more lists and objects lie in each other; who walks through them later need not fear for the stack."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_is_within_depth(one, levels - 1) for one in inside)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def operation_name_of(question: GraphQLRequest) -> str:
    """What the operation is called, as far as can be seen without parsing; for people who watch, not to decide by."""
    if question.operation_name is not None:
        return question.operation_name if _NAME.fullmatch(question.operation_name) else ""
    named = _NAMED.search(question.query)
    return named[1] if named else ""


# What goes out


def error_response(refused: RequestError, media_type: str) -> HttpResponse:
    response = response_cache.uncacheable_response(
        CachedBody(_json(refused.body), kept=False, status=refused.status), media_type
    )
    for name, value in refused.headers.items():
        response.headers[name] = value
    return response


def execute(request: HttpRequest, question: GraphQLRequest, media_type: str, upload: Upload | None) -> CachedBody:
    """The answer to one operation, read from one upload.

    Raises: Refused, SnapshotGone, and what ``errors.http_error_in`` finds.
    """
    count_computation(request.META)
    reading = OperationContext(upload, CostBudget(), request.META)
    allowed = {OperationType.QUERY, OperationType.MUTATION} if request.method == "POST" else {OperationType.QUERY}
    try:
        result = schema.execute_sync(
            question.query,
            variable_values=question.variables,
            operation_name=question.operation_name,
            context_value=reading,
            allowed_operation_types=allowed,
        )
    except CannotGetOperationTypeError:
        which = error_response_body("There is no operation of this name.", INVALID)
        return CachedBody(_json(which), kept=False, status=_status_of_request_errors(media_type))
    except InvalidOperationTypeError as error:
        if error.operation_type is OperationType.SUBSCRIPTION:
            raise RequestError(400, "There are no subscriptions.", INVALID) from None
        raise RequestError(405, "A mutation comes by POST.", INVALID, {"Allow": "POST"}) from None
    reading.ensure_not_pruned()
    if its_own := http_error_in(result.errors or []):
        raise its_own
    try:
        for raised in map(original_exception, result.errors or []):
            if isinstance(raised, ResponseTooLarge):
                raise ResponseTooLarge(raised.message)
        return _result_body(result, reading, media_type)
    except ResponseTooLarge as error:
        for one in result.errors or []:
            one.__traceback__ = None
            if raised := original_exception(one):
                raised.__traceback__ = None  # its frames refer to everything that was read
        rejection = ExecutionResult(data=None, errors=[GraphQLError(error.message, original_error=error)])
        return _result_body(rejection, reading, media_type)


def _result_body(result: ExecutionResult, reading: OperationContext, media_type: str) -> CachedBody:
    budget = reading.budget
    request_context.get_request_context().cost = budget.requested
    extensions: dict[str, Any] = {"cost": {"requested": budget.requested, "limit": budget.limit}}
    if reading.upload is not None:
        extensions["upload"] = write_id("Upload", reading.upload.snapshot)
    body: dict[str, Any] = {"data": result.data, "extensions": extensions}
    if not result.errors:
        return CachedBody(_json(body), kept=reading.cacheable)
    nothing_ran = result.data is None and all(error.path is None for error in result.errors)
    if nothing_ran:
        del body["data"]
    answer = _json({"errors": format_errors(result.errors), **body})
    return CachedBody(answer, kept=False, status=_status_of_request_errors(media_type) if nothing_ran else 200)


def _status_of_request_errors(media_type: str) -> int:
    """What the audits want; the draft of 2026 would have other numbers for some, for both media types."""
    return 400 if media_type == RESPONSE else 200


def _json(value: Any) -> bytes:
    """Raises: ResponseTooLarge."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    check_response_size(len(body))
    return body
