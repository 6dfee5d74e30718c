"""The schema at an address of its own, for tools that make types of it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import View
from django.views.decorators.http import condition

from deals_api.errors import DealsError
from deals_api.security.permissions import require_read_permission
from graphql_schema.http.view import JSON, RequestError, error_response, query_parameters
from graphql_schema.schema import sdl


class SchemaView(View):
    """The same for everybody who may read, until the service itself is another."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if request.method not in ("GET", "HEAD"):
                raise RequestError(405, "The schema comes by GET.", headers={"Allow": "GET, HEAD"})
            require_read_permission(request.META)
            query_parameters(request)
        except RequestError as refused:
            return error_response(refused, JSON)
        except DealsError as error:
            return error_response(RequestError.because_of(error), JSON)
        return _file(request)


def _etag(_request: HttpRequest) -> str:
    return f'"{sha256(sdl().encode()).hexdigest()}"'


@condition(etag_func=_etag)
def _file(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(sdl(), "text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})
