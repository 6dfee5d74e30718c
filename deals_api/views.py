"""The REST face: read the request, call one function, shape the answer."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from deals_api import access, cache, ingest, reports, store
from deals_api.errors import TokenRequired
from deals_api.models import Upload
from deals_api.serializers import TopClientsQuery, top_clients_json
from deals_api.uploads import the_file


class UploadViewSet(ViewSet):
    """Deals go in as a file; the clients who spent most come out."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Whatever was asked in the same form before needs no parsing, and so no DRF."""
        answer = super().dispatch
        if request.method != "GET":
            return answer(request, *args, **kwargs)
        try:
            access.must_be_allowed_to_read(request.META)
            upload = reports.current_upload()
        except (Error, TokenRequired):
            return answer(request, *args, **kwargs)  # which fails too, and says so properly
        as_it_came = ("rest", request.META.get("QUERY_STRING"), request.META.get("HTTP_ACCEPT"))
        return cache.served(request, upload, as_it_came, lambda: answer(request, *args, **kwargs))

    def list(self, request: Request) -> HttpResponse:
        """The clients who spent most over the whole period."""
        access.must_be_allowed_to_read(request.META)
        asked = TopClientsQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        limit: int = asked.validated_data["limit"]

        def compute(upload: Upload | None) -> cache.Answer:
            access.count_computation(request.META)
            ranking = reports.top_clients(upload, limit) if upload else []
            return cache.Answer(top_clients_json(ranking))

        return cache.respond(
            request._request, reports.current_upload, "rest:top-clients", [limit], "application/json", compute
        )

    def create(self, request: Request) -> Response:
        """Replaces the data by one file, whole or not at all."""
        access.must_be_allowed_to_write(request.META)
        access.count_upload(request.META)
        file = the_file(request)
        ingest.ingest_deals(file, file.name or "")
        return _Accepted({"Status": "OK"})


class _Accepted(Response):
    """An answer after which the house is tidied, when the client already has it."""

    def close(self) -> None:
        super().close()
        store.tidy_if_possible(settings.DEALS_LIMITS)
