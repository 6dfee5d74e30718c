"""Views of the REST API: read the request, call one function, shape the response."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import Error
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from deals_api.caching import conditional, response_cache
from deals_api.caching.response_cache import CacheableQuery, ResponseBody
from deals_api.errors import TokenRequired
from deals_api.formats import load_json
from deals_api.global_ids import parse_snapshot
from deals_api.ingest import queue, service
from deals_api.ingest.rejections import UNFINISHED
from deals_api.ingest.report import report_upload
from deals_api.models import Upload
from deals_api.reports import exports
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.deal_filter import ALL_DEALS
from deals_api.reports.orders import DealOrder
from deals_api.reports.top_clients import DEFAULT_LIMIT
from deals_api.response_size import check_response_size
from deals_api.rest import openapi
from deals_api.rest.parsers import get_uploaded_file, keep_uploaded_file
from deals_api.rest.preferences import REPRESENTATION, RESPOND_ASYNC, prefers_async, prefers_representation
from deals_api.rest.renderers import (
    BrowserNegotiation,
    DealsBrowsableAPIRenderer,
    ExactJSONRenderer,
    FixedRendererNegotiation,
)
from deals_api.rest.serializers import (
    DealsCsvExportParameters,
    DealsExportParameters,
    QueryParameters,
    TopClientsCsvExportParameters,
    TopClientsExportParameters,
    TopClientsParameters,
    UploadForm,
    UploadParameters,
    accepted_body,
    top_clients_json,
)
from deals_api.rest.streaming import CSV, NDJSON, RAW_CSV, Export, Format, stream
from deals_api.rest.upload_status import POLL_SECONDS, QUEUED_BODY, find_upload, status_body
from deals_api.security.permissions import require_read_permission, require_write_permission
from deals_api.security.throttling import count_computation, count_upload
from deals_api.snapshots import replicas
from deals_api.snapshots.current import current_upload
from deals_api.snapshots.retention import apply_retention_safely

if TYPE_CHECKING:
    from deals_api.ingest.loader import Expectation


class UploadViewSet(ViewSet):
    """Upload a deals file; list the clients who spent most."""

    content_negotiation_class = BrowserNegotiation
    serializer_class = UploadForm  # for the form of the browsable API

    @openapi.top_clients
    def list(self, request: Request) -> HttpResponseBase:
        """List the clients who spent most over the whole period."""
        require_read_permission(request.META)
        limit: int = _validated(TopClientsParameters, request)["limit"]

        def compute(upload: Upload | None) -> ResponseBody:
            count_computation(request.META)
            ranking = replicas.read(upload, partial(top_clients_report.top_clients, upload, limit)) if upload else []
            body = top_clients_json(ranking)
            check_response_size(len(body))
            return ResponseBody(body)

        query = _top_clients_query(limit)
        if not isinstance(request.accepted_renderer, DealsBrowsableAPIRenderer):
            raw_request = _raw_request(request._request)
            return response_cache.respond(request._request, raw_request, query, current_upload, compute)
        request.META.pop("HTTP_IF_NONE_MATCH", None)  # the page needs the JSON even if the client already has it
        response = response_cache.respond(request._request, None, query, current_upload, compute)
        return Response(load_json(response.content), headers={"Cache-Control": "no-store"})

    @openapi.upload
    def create(self, request: Request) -> Response:
        """Replace all data by the deals of one file; a rejected file changes nothing."""
        holder = require_write_permission(request.META)
        count_upload(request.META)
        is_dry_run = _validated(UploadParameters, request)["dry_run"] == "1"  # before the body is read
        prefers_report = prefers_representation(request.headers.get("Prefer", ""))
        headers = {"Preference-Applied": REPRESENTATION} if prefers_report else None
        is_expected = _expectation(request)
        if not is_dry_run and queue.is_configured() and prefers_async(request.headers.get("Prefer", "")):
            return _queue(request, holder, is_expected)
        with get_uploaded_file(request) as file:
            if is_dry_run:
                report = service.check_deals(file, is_expected=is_expected)
                return Response(accepted_body(report), headers=headers)
            upload = service.ingest_deals(file, file.name or "", holder, is_expected=is_expected)
        return _UploadAccepted(accepted_body(report_upload(upload) if prefers_report else None), headers=headers)


def cached_first(view: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return the cached response to a byte-identical GET, before DRF creates a view and parses the request."""

    @wraps(view)
    def cached_or_view(request: HttpRequest) -> HttpResponseBase:
        return (_find_cached(request) if request.method == "GET" else None) or view(request)

    return cached_or_view


def _find_cached(request: HttpRequest) -> HttpResponseBase | None:
    try:
        require_read_permission(request.META)
        return response_cache.find(request, current_upload(), _raw_request(request))
    except (Error, TokenRequired):
        return None  # the handler raises the same error, and DRF renders it


def _raw_request(request: HttpRequest) -> Hashable:
    return "rest", request.META.get("QUERY_STRING"), request.META.get("HTTP_ACCEPT")


def _top_clients_query(limit: int) -> CacheableQuery:
    return CacheableQuery("rest:top-clients", [limit], "application/json")


def _expectation(request: Request) -> Expectation | None:
    """Return whether an upload is the one whose ETag is in If-Match; ``*`` is any upload. None without this header."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None:
        return None

    def is_expected(upload: Upload | None) -> bool:
        key = _top_clients_query(DEFAULT_LIMIT).key(upload)
        return conditional.matches(header, key) and (upload is not None or header.strip() != "*")

    return is_expected


def _queue(request: Request, holder: str, is_expected: Expectation | None) -> Response:
    """Queue the file of a request for a worker. For the file of the current upload, there is nothing to do."""
    queue.require_room()
    keep_uploaded_file(request)
    with get_uploaded_file(request) as file:
        upload = queue.queue_deals(file, file.name or "", holder, is_expected)
    if upload.is_duplicate:
        return Response(accepted_body(None))
    headers = {
        "Location": reverse("upload-status", args=[upload.snapshot]),
        "Preference-Applied": RESPOND_ASYNC,
        "Retry-After": POLL_SECONDS,
    }
    return Response(QUEUED_BODY, status.HTTP_202_ACCEPTED, headers=headers)


class _UploadAccepted(Response):
    """A response that runs retention after it has been sent."""

    def close(self) -> None:
        super().close()
        apply_retention_safely(settings.DEALS_LIMITS)


class UploadStatusViewSet(ViewSet):
    """The state of an upload."""

    renderer_classes = [ExactJSONRenderer]
    content_negotiation_class = FixedRendererNegotiation

    @openapi.upload_status
    def retrieve(self, request: Request, id: str) -> Response:
        """Return the state of an upload, its progress, and its rejection."""
        require_read_permission(request.META)
        count_computation(request.META)
        _validated(QueryParameters, request)
        upload = find_upload(parse_snapshot(id))
        headers = {"Cache-Control": "no-store"}
        if upload.state in UNFINISHED:
            headers["Retry-After"] = POLL_SECONDS
        return Response(status_body(upload), headers=headers)

    @openapi.cancel_upload
    def destroy(self, request: Request, id: str) -> Response:
        """Cancel an asynchronous upload that has not ended; the data do not change."""
        require_write_permission(request.META)
        count_upload(request.META)
        _validated(QueryParameters, request)
        queue.cancel(find_upload(parse_snapshot(id)))
        return Response(accepted_body(None))


class ExportViewSet(ViewSet):
    """Download tables of any retained upload."""

    renderer_classes = [ExactJSONRenderer]
    content_negotiation_class = FixedRendererNegotiation

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        require_read_permission(request.META)

    @openapi.deals_csv
    def deals_csv(self, request: Request) -> HttpResponseBase:
        """Download all or selected deals as CSV, in the columns and by default in the order of the uploaded file."""
        params = _validated(DealsCsvExportParameters, request)
        return stream(request._request, _deals(params), _csv_format(params))

    @openapi.deals_ndjson
    def deals_ndjson(self, request: Request) -> HttpResponseBase:
        """Download all or selected deals, by default in the order of the uploaded file, one JSON object per line."""
        return stream(request._request, _deals(_validated(DealsExportParameters, request)), NDJSON)

    @openapi.top_clients_csv
    def top_clients_csv(self, request: Request) -> HttpResponseBase:
        """Download the clients who spent most, with the gems that at least two of them bought, comma-separated."""
        params = _validated(TopClientsCsvExportParameters, request)
        return stream(request._request, _top_clients(params), _csv_format(params))

    @openapi.top_clients_ndjson
    def top_clients_ndjson(self, request: Request) -> HttpResponseBase:
        """Download the clients who spent most, one JSON object per line."""
        return stream(request._request, _top_clients(_validated(TopClientsExportParameters, request)), NDJSON)


def _csv_format(params: dict[str, Any]) -> Format:
    return RAW_CSV if params["raw"] == "1" else CSV


def _deals(params: dict[str, Any]) -> Export:
    upload, order = _requested_upload(params), params.get("orderBy", DealOrder.FILE_ASC)
    text, selection = params.get("filter", ("", ALL_DEALS))
    name = "deals-filtered" if selection else "deals"
    return Export(name, upload, [text, order.name], exports.deals(upload, selection, order))


def _top_clients(params: dict[str, Any]) -> Export:
    upload, limit = _requested_upload(params), params["limit"]
    return Export("top-clients", upload, [limit], exports.top_clients(upload, limit))


def _requested_upload(params: dict[str, Any]) -> Upload | None:
    """Raises: UploadNotRetained."""
    return Upload.objects.get_retained(params["upload"]) if "upload" in params else current_upload()


def _validated(parameters: type[QueryParameters], request: Request) -> dict[str, Any]:
    """Raises: ValidationError."""
    serializer = parameters(data=request.query_params)
    serializer.is_valid(raise_exception=True)
    params: dict[str, Any] = serializer.validated_data
    return params
