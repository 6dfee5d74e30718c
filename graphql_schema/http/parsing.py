"""Parsing of GraphQL requests: URL parameters, bodies and operation names."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, QueryDict, UnreadablePostError
from django.urls import reverse

from deals_api.errors import LimitExceeded
from deals_api.query_parameters import first_error
from graphql_schema.http.errors import RequestError
from graphql_schema.http.media_types import JSON

_PARAMETERS: Final = ("query", "documentId", "operationName", "variables", "extensions")
_UTF8: Final = ("utf-8", "utf8")
#: Longest Content-Length that is parsed as a number.
_MAX_CONTENT_LENGTH_DIGITS: Final = 18
#: Nesting of lists and objects. The deepest input of the schema, inside its variables, has six levels.
_MAX_LEVELS: Final = 50
#: A document without this keyword contains no mutation.
_MUTATION: Final = re.compile(r"\bmutation\b")
#: Longer operation names are not recorded.
_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,63}")
_NAMED_OPERATION: Final = re.compile(rf"\b(?:query|mutation)\s+({_NAME.pattern})\b")


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The document of a request, the name of the operation to execute, and its variables."""

    #: The text of the document; empty if the request only names it.
    query: str
    operation_name: str | None
    variables: dict[str, Any] | None
    #: The id of a persisted document (``documentId``).
    document_id: str | None = None
    #: The digest of an automatic persisted query (``extensions.persistedQuery.sha256Hash``).
    digest: str | None = None

    @property
    def may_be_mutation(self) -> bool:
        """Whether the document may contain a mutation; checked without parsing."""
        return _MUTATION.search(self.query) is not None

    def label(self) -> str:
        """Return the operation name for telemetry, without parsing; empty if there is none."""
        if self.operation_name is not None:
            return self.operation_name if _NAME.fullmatch(self.operation_name) else ""
        named = _NAMED_OPERATION.search(self.query)
        return named[1] if named else ""


def read_body(request: HttpRequest) -> bytes:
    """Return the body of a POST request.

    Raises: RequestError if it is too large, incomplete, or not JSON in UTF-8 by its headers.
    """
    limit = settings.DEALS_LIMITS.max_query_bytes
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise RequestError(411, "A Content-Length header is required.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise RequestError(400, "Content-Length is not a number.")
    if len(length) > _MAX_CONTENT_LENGTH_DIGITS or int(length) > limit:
        raise RequestError(413, f"The body is over {limit} bytes.", LimitExceeded.code)
    charset = (request.content_params or {}).get("charset") or "utf-8"
    if request.content_type == "multipart/form-data":
        raise RequestError(415, f"The body must be {JSON} in UTF-8; upload files with POST {reverse('upload')}/.")
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
    """Return the GraphQL request in the URL of a GET request or in the body of a POST request.

    Raises: RequestError.
    """
    params: Any = _parse_json(body, "The body") if request.method == "POST" else _parse_url(request)
    if not isinstance(params, dict):
        raise RequestError(400, "The body must be a JSON object; batches are not supported.")
    name, variables, extensions = params.get("operationName"), params.get("variables"), params.get("extensions")
    if not isinstance(name, str | None):
        raise RequestError(400, "operationName must be a string.")
    if not isinstance(variables, dict | None) or not isinstance(extensions, dict | None):
        raise RequestError(400, "variables and extensions must be objects.")
    document_id, digest = params.get("documentId"), _persisted_query(extensions or {})
    query = _parse_query(params.get("query"), is_required=document_id is None and digest is None)
    if not isinstance(document_id, str | None):
        raise RequestError(400, "documentId must be a string.")
    if query and document_id is not None:
        raise RequestError(400, "Use either query or documentId, not both.")
    return GraphQLRequest(query, name or None, variables, document_id, digest)


def _parse_query(query: Any, *, is_required: bool) -> str:
    if query is None and not is_required:
        return ""
    if not isinstance(query, str) or not query.strip():
        raise RequestError(400, "query is missing: a string with a GraphQL document.")
    return query


def _persisted_query(extensions: dict[str, Any]) -> str | None:
    """Return the digest of an automatic persisted query; None without this extension."""
    persisted = extensions.get("persistedQuery")
    if persisted is None:
        return None
    if not isinstance(persisted, dict) or not isinstance(persisted.get("sha256Hash"), str):
        raise RequestError(400, "persistedQuery must be an object with version and sha256Hash.")
    if persisted.get("version") != 1:
        raise RequestError(400, "The version of persistedQuery must be 1.")
    digest: str = persisted["sha256Hash"]
    return digest


def url_parameters(request: HttpRequest, known: Collection[str] = ()) -> QueryDict:
    """Return the URL parameters.

    Raises: RequestError if there are too many, or one is unknown or repeated.
    """
    try:
        parameters = request.GET
    except TooManyFieldsSent:
        raise RequestError(400, "The URL has too many parameters.", LimitExceeded.code) from None
    if error := first_error(parameters, known):
        name, message = error
        raise RequestError(400, f"{name}: {message}")
    return parameters


def _parse_url(request: HttpRequest) -> dict[str, Any]:
    parameters = url_parameters(request, _PARAMETERS)
    params: dict[str, Any] = {name: parameters[name] for name in _PARAMETERS if parameters.get(name)}
    for name in params.keys() & {"variables", "extensions"}:
        params[name] = _parse_json(params[name].encode(), name)
    return params


def _parse_json(text: bytes, source: str) -> Any:
    """Parse strict JSON in UTF-8. Unpaired surrogates are rejected, because no database can store them."""
    try:
        value = json.loads(text.decode(), parse_constant=_reject_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise RequestError(400, f"{source} is not JSON in UTF-8.") from None
    if not _is_within_depth(value, _MAX_LEVELS):
        raise RequestError(400, f"{source} has more than {_MAX_LEVELS} levels.", LimitExceeded.code)
    return value


def _is_within_depth(value: Any, levels: int) -> bool:
    """Return whether lists and objects have at most this many levels, so that recursive code is safe."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_is_within_depth(child, levels - 1) for child in children)


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
