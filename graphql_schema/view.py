"""GraphQL over HTTP: what comes in, what goes out, and that ready answers go out before anything is parsed.

Answers for methods, media types, statuses and the cache; knows nothing of what is asked.
Source: the GraphQL-over-HTTP draft, by the audits of the npm package ``graphql-http``.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.http.response import HttpResponseBase
from django.views import View
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from deals_api import access, cache, reports
from deals_api.cache import Answer, SnapshotGone
from deals_api.errors import DatabaseBusy, DealsError, LimitExceeded
from deals_api.ids import write_id
from deals_api.models import Upload
from graphql_schema import graphiql
from graphql_schema.budgets import Account
from graphql_schema.errors import INVALID, STATUS, UNREADABLE, headers_of, of_the_request, refusal, told
from graphql_schema.reading import Reading
from graphql_schema.schema import schema

RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"
_MEDIA_TYPES: Final = {RESPONSE: RESPONSE, JSON: JSON, "*/*": JSON, "application/*": JSON}
METHODS: Final = "GET, HEAD, OPTIONS, POST"
#: A document without this word, which has no other spelling, has no mutation in it.
_MUTATION: Final = re.compile(r"\bmutation\b")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Refused(Exception):
    """A request that holds no question."""

    def __init__(
        self, status: int, message: str, code: str = UNREADABLE, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = refusal(message, code)
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Question:
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
                raise Refused(405, "Questions come by GET or POST.", headers={"Allow": METHODS})
            return self.answer(request, media_type)
        except Refused as refused:
            return HttpResponse(_json(refused.body), media_type, refused.status, headers=refused.headers)
        except (Error, SnapshotGone):
            return _refused(DatabaseBusy("The database does not answer just now; try again in a moment."), media_type)
        except DealsError as refused:
            return _refused(refused, media_type)

    def answer(self, request: HttpRequest, media_type: str) -> HttpResponseBase:
        access.must_be_allowed_to_read(request.META)
        body = _body(request) if request.method == "POST" else b""
        as_it_came = (
            "graphql",
            request.method == "POST",
            request.META.get("QUERY_STRING"),
            media_type,
            request.META.get("CONTENT_TYPE"),
            blake2b(body).digest(),
        )
        return cache.served(
            request, reports.current_upload(), as_it_came, lambda: self.parse_and_answer(request, body, media_type)
        )

    def parse_and_answer(self, request: HttpRequest, body: bytes, media_type: str) -> HttpResponseBase:
        question = read_question(request, body)
        ask = partial(execute, request, question, media_type)
        if _MUTATION.search(question.query):
            answer = ask(reports.current_upload())
            return cache.unkept(answer, media_type)
        parts = [question.query, question.operation_name, question.variables]
        return cache.respond(request, reports.current_upload, "graphql", parts, media_type, ask)


# What comes in


def media_type_of(accept: str) -> str:
    """The best of our two media types.

    Raises: Refused, where neither will do.
    """
    best, best_quality = "", 0.0
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        ours = _MEDIA_TYPES.get(name, "")
        quality = _quality(parameters)
        if ours and (quality > best_quality or (quality == best_quality and name == RESPONSE)):
            best, best_quality = ours, quality
    if not best:
        raise Refused(406, f"Answers come as {RESPONSE} or {JSON}.")
    return best


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def _body(request: HttpRequest) -> bytes:
    most = settings.DEALS_LIMITS.max_query_bytes
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise Refused(411, "The request must say how long its body is (Content-Length).")
    if int(request.META.get("CONTENT_LENGTH") or 0) > most:
        raise Refused(413, f"The body is over {most} bytes.", LimitExceeded.code)
    media_type, _, parameters = request.META.get("CONTENT_TYPE", "").lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "') or "utf-8"
    if media_type.strip() != JSON or charset not in ("utf-8", "utf8") or request.META.get("HTTP_CONTENT_ENCODING"):
        raise Refused(415, f"The body must be {JSON} in UTF-8.")
    try:
        return request.body
    except UnreadablePostError:
        raise Refused(400, "The body ended early.") from None


def read_question(request: HttpRequest, body: bytes) -> Question:
    """Raises: Refused, where the request holds no question."""
    asked: Any = _loads(body) if request.method == "POST" else _from_url(request.GET)
    if not isinstance(asked, dict):
        raise Refused(400, "The body must be a JSON object; one request holds one operation.")
    query, name, variables = asked.get("query"), asked.get("operationName"), asked.get("variables")
    if not isinstance(query, str) or not query.strip():
        raise Refused(400, "There is no query: a string with a GraphQL document.")
    if not isinstance(name, str | None):
        raise Refused(400, "operationName must be a string.")
    if not isinstance(variables, dict | None) or not isinstance(asked.get("extensions"), dict | None):
        raise Refused(400, "variables and extensions must be objects.")
    return Question(query, name or None, variables)


def _from_url(parameters: QueryDict) -> dict[str, Any]:
    asked: dict[str, Any] = parameters.dict()
    for parameter in ("variables", "extensions"):
        text = asked.pop(parameter, "")
        if text:
            asked[parameter] = _loads(text.encode(errors="replace"))
    return asked


def _loads(body: bytes) -> Any:
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON in UTF-8.") from None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# What goes out


def _refused(error: DealsError, media_type: str) -> HttpResponse:
    return HttpResponse(
        _json(refusal(error.message, error.code)), media_type, STATUS[type(error)], headers=headers_of(error)
    )


def execute(request: HttpRequest, question: Question, media_type: str, upload: Upload | None) -> Answer:
    """The answer to one operation, read from one upload.

    Raises: Refused, SnapshotGone, and what ``errors.of_the_request`` finds.
    """
    access.count_computation(request.META)
    reading = Reading(upload, Account(), request.META)
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
        raise Refused(400, "Which operation? The document has none of this name, or several.", INVALID) from None
    except InvalidOperationTypeError:
        raise Refused(405, "A mutation comes by POST.", INVALID, {"Allow": "POST"}) from None
    reading.must_be_whole()
    if error := of_the_request(result.errors or []):
        raise error
    return _answer(result, reading, media_type, request_id(request))


def _answer(result: ExecutionResult, reading: Reading, media_type: str, its_id: str) -> Answer:
    account = reading.account
    extensions: dict[str, Any] = {"cost": {"requested": account.requested, "limit": account.limit}}
    if reading.upload is not None:
        extensions["upload"] = write_id("Upload", reading.upload.snapshot)
    body: dict[str, Any] = {"data": result.data, "extensions": extensions}
    if not result.errors:
        return Answer(_json(body), kept=reading.of_upload_alone)
    nothing_ran = result.data is None and all(error.path is None for error in result.errors)
    if nothing_ran:
        del body["data"]
    answer = _json({"errors": told(result.errors, its_id), **body})
    return Answer(answer, kept=False, status=400 if nothing_ran and media_type == RESPONSE else 200)


def request_id(request: HttpRequest) -> str:
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
