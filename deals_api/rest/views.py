"""The REST face: read the request, call one function, shape the answer."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from django.conf import settings
from django.db import Error
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from deals_api.caching import response_cache
from deals_api.caching.response_cache import CacheableQuery, ResponseBody
from deals_api.errors import TokenRequired
from deals_api.formats import load_json
from deals_api.ingest import service
from deals_api.models import Upload
from deals_api.reports import exports
from deals_api.reports import top_clients as top_clients_report
from deals_api.response_size import check_response_size
from deals_api.rest import openapi
from deals_api.rest.parsers import get_uploaded_file
from deals_api.rest.renderers import (
    BrowserNegotiation,
    DealsBrowsableAPIRenderer,
    ExactJSONRenderer,
    FixedRendererNegotiation,
)
from deals_api.rest.serializers import (
    CsvExportParameters,
    ExportParameters,
    QueryParameters,
    TopClientsCsvExportParameters,
    TopClientsExportParameters,
    TopClientsParameters,
    UploadForm,
    reject_unknown,
    top_clients_json,
)
from deals_api.rest.streaming import CSV, NDJSON, RAW_CSV, Format, stream_table
from deals_api.security.permissions import require_read_permission, require_write_permission
from deals_api.security.throttling import count_computation, count_upload
from deals_api.snapshots.current import current_upload
from deals_api.snapshots.retention import apply_retention_safely


class UploadViewSet(ViewSet):
    """Deals go in as a file; the clients who spent most come out."""

    content_negotiation_class = BrowserNegotiation
    serializer_class = UploadForm  # for the form of the browsable API

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Return the cached response to a byte-identical request before DRF parses it."""
        cached = _find_cached(request) if request.method == "GET" else None
        return super().dispatch(request, *args, **kwargs) if cached is None else cached

    @openapi.top_clients
    def list(self, request: Request) -> HttpResponseBase:
        """The clients who spent most over the whole period."""
        require_read_permission(request.META)
        limit: int = _validated_parameters(TopClientsParameters, request)["limit"]

        def compute(upload: Upload | None) -> ResponseBody:
            count_computation(request.META)
            ranking = top_clients_report.top_clients(upload, limit) if upload else []
            body = top_clients_json(ranking)
            check_response_size(len(body))
            return ResponseBody(body)

        query = CacheableQuery("rest:top-clients", [limit], "application/json")
        if not isinstance(request.accepted_renderer, DealsBrowsableAPIRenderer):
            raw_request = _raw_request(request._request)
            return response_cache.respond(request._request, raw_request, query, current_upload, compute)
        request.META.pop("HTTP_IF_NONE_MATCH", None)  # the client may have the JSON, but the page needs its content
        response = response_cache.respond(request._request, None, query, current_upload, compute)
        return Response(load_json(response.content), headers={"Cache-Control": "no-store"})

    @openapi.upload
    def create(self, request: Request) -> Response:
        """Replaces the data by one file, whole or not at all."""
        holder = require_write_permission(request.META)
        count_upload(request.META)
        reject_unknown(request.query_params)  # before the file is read
        file = get_uploaded_file(request)
        service.ingest_deals(file, file.name or "", holder)
        return _UploadAccepted({"Status": "OK"})


def _find_cached(request: HttpRequest) -> HttpResponseBase | None:
    try:
        require_read_permission(request.META)
        return response_cache.find(request, current_upload(), _raw_request(request))
    except (Error, TokenRequired):
        return None  # the handler fails in the same way, and DRF formats the error


def _raw_request(request: HttpRequest) -> Hashable:
    return "rest", request.META.get("QUERY_STRING"), request.META.get("HTTP_ACCEPT")


class _UploadAccepted(Response):
    """An answer after which the house is tidied, when the client already has it."""

    def close(self) -> None:
        super().close()
        apply_retention_safely(settings.DEALS_LIMITS)


class ExportViewSet(ViewSet):
    """Whole tables of any retained upload, as files."""

    renderer_classes = [ExactJSONRenderer]
    content_negotiation_class = FixedRendererNegotiation

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        require_read_permission(request.META)

    @openapi.deals_csv
    def deals_csv(self, request: Request) -> HttpResponseBase:
        """All deals, in the columns and the order of the file that they came in."""
        asked = _validated_parameters(CsvExportParameters, request)
        return _deals(request, asked, _csv(asked))

    @openapi.deals_ndjson
    def deals_ndjson(self, request: Request) -> HttpResponseBase:
        """All deals in the order of the file, one JSON object a line."""
        return _deals(request, _validated_parameters(ExportParameters, request), NDJSON)

    @openapi.top_clients_csv
    def top_clients_csv(self, request: Request) -> HttpResponseBase:
        """The clients who spent most; gems that at least two of them bought, with commas between them."""
        asked = _validated_parameters(TopClientsCsvExportParameters, request)
        return _top_clients(request, asked, _csv(asked))

    @openapi.top_clients_ndjson
    def top_clients_ndjson(self, request: Request) -> HttpResponseBase:
        """The clients who spent most, one JSON object a line."""
        return _top_clients(request, _validated_parameters(TopClientsExportParameters, request), NDJSON)


def _csv(asked: dict[str, Any]) -> Format:
    return RAW_CSV if asked["raw"] == "1" else CSV


def _deals(request: Request, asked: dict[str, Any], form: Format) -> HttpResponseBase:
    upload = _upload(asked)
    return stream_table(request._request, upload, "deals", [], form, exports.deals(upload))


def _top_clients(request: Request, asked: dict[str, Any], form: Format) -> HttpResponseBase:
    upload, limit = _upload(asked), asked["limit"]
    return stream_table(request._request, upload, "top-clients", [limit], form, exports.top_clients(upload, limit))


def _upload(asked: dict[str, Any]) -> Upload | None:
    return Upload.objects.get_retained(asked["upload"]) if "upload" in asked else current_upload()


def _validated_parameters(query: type[QueryParameters], request: Request) -> dict[str, Any]:
    """What the address asks for, checked."""
    asked = query(data=request.query_params)
    asked.is_valid(raise_exception=True)
    values: dict[str, Any] = asked.validated_data
    return values
