"""The schema in SDL, for code generators and editors."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import View
from django.views.decorators.http import condition

from deals_api.errors import DealsError
from deals_api.security.permissions import require_read_permission
from graphql_schema.http.errors import RequestError
from graphql_schema.http.media_types import JSON
from graphql_schema.http.parsing import url_parameters
from graphql_schema.http.responses import error_response
from graphql_schema.schema import sdl


class SchemaView(View):
    """Return the schema as text, with an ETag."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if request.method not in ("GET", "HEAD"):
                raise RequestError(405, "Only GET is supported.", headers={"Allow": "GET, HEAD"})
            require_read_permission(request.META)
            url_parameters(request)
        except RequestError as error:
            return error_response(error, JSON)
        except DealsError as error:
            return error_response(RequestError.from_domain_error(error), JSON)
        return _sdl_response(request)


def _etag(_request: HttpRequest) -> str:
    return f'"{sha256(sdl().encode()).hexdigest()}"'


@condition(etag_func=_etag)
def _sdl_response(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(sdl(), "text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})
