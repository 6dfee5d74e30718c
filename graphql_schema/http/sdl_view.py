"""The schema at an address of its own, for tools that make types of it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import View
from django.views.decorators.http import condition

from deals_api.errors import DealsError
from deals_api.security.permissions import must_be_allowed_to_read
from graphql_schema.http.view import JSON, Refused, answer_to, query_parameters
from graphql_schema.schema import sdl


class SchemaView(View):
    """The same for everybody who may read, until the service itself is another."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if request.method not in ("GET", "HEAD"):
                raise Refused(405, "The schema comes by GET.", headers={"Allow": "GET, HEAD"})
            must_be_allowed_to_read(request.META)
            query_parameters(request)
        except Refused as refused:
            return answer_to(refused, JSON)
        except DealsError as error:
            return answer_to(Refused.because_of(error), JSON)
        return _file(request)


def _etag(_request: HttpRequest) -> str:
    return f'"{sha256(sdl().encode()).hexdigest()}"'


@condition(etag_func=_etag)
def _file(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(sdl(), "text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})
