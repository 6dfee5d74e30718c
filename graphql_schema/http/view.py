"""The GraphQL endpoint. It conforms to the GraphQL-over-HTTP draft and passes the audits of npm's ``graphql-http``."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import View

from deals_api.caching import response_cache
from deals_api.caching.response_cache import CacheableQuery
from deals_api.db_vendor import is_temporary
from deals_api.errors import INTERNAL_ERROR_MESSAGE, DealsError
from deals_api.request_context import get_request_context
from deals_api.security.permissions import require_read_permission
from deals_api.snapshots.current import current_upload
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.http import graphiql
from graphql_schema.http.documents import with_document
from graphql_schema.http.errors import INTERNAL, RequestError
from graphql_schema.http.media_types import JSON, negotiate_media_type
from graphql_schema.http.parsing import parse_request, read_body, url_parameters
from graphql_schema.http.responses import error_response, execute

log = logging.getLogger(__name__)

METHODS: Final = "GET, HEAD, OPTIONS, POST"


class GraphQLView(View):
    """Execute queries by GET and POST, and mutations by POST; return GraphiQL to browsers."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if graphiql.is_preferred(request):
            return graphiql.page(request)
        media_type = JSON
        try:
            media_type = negotiate_media_type(request.META.get("HTTP_ACCEPT", "*/*"))
            if request.method == "OPTIONS":
                return HttpResponse(status=204, headers={"Allow": METHODS})
            if request.method not in ("GET", "HEAD", "POST"):
                raise RequestError(405, "Only GET and POST are supported.", headers={"Allow": METHODS})
            return self.respond(request, media_type)
        except (RequestError, DealsError, Error, SnapshotGone) as error:
            return error_response(_request_error(error), media_type)

    def respond(self, request: HttpRequest, media_type: str) -> HttpResponse:
        """Return the response from the cache, if possible without parsing the request, or execute the operation."""
        require_read_permission(request.META)
        body = b""
        if request.method == "POST":
            if request.META.get("QUERY_STRING"):  # otherwise Django would build an empty QueryDict
                url_parameters(request)
            body = read_body(request)
        raw_request = _raw_request(request, body, media_type)
        cached = response_cache.find(request, current_upload(), raw_request)
        if cached is not None:
            return cached
        params = with_document(parse_request(request, body), request.META)
        get_request_context().operation = params.label()
        compute = partial(execute, request, params, media_type)
        if params.may_be_mutation:
            return response_cache.uncacheable_response(compute(current_upload()), media_type)
        query = CacheableQuery("graphql", [params.query, params.operation_name, params.variables], media_type)
        return response_cache.respond(request, raw_request, query, current_upload, compute)


def _raw_request(request: HttpRequest, body: bytes, media_type: str) -> Hashable:
    headers = request.META
    is_post, digest = request.method == "POST", blake2b(body).digest()
    return "graphql", is_post, headers.get("QUERY_STRING"), media_type, headers.get("CONTENT_TYPE"), digest


def _request_error(error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, DealsError):
        return RequestError.from_domain_error(error)
    if isinstance(error, Error) and not is_temporary(error):
        log.error("Request %s failed", get_request_context().request_id, exc_info=error)
        return RequestError(500, INTERNAL_ERROR_MESSAGE, INTERNAL)
    return RequestError.database_unavailable()
