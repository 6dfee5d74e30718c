"""Addresses of the API, OpenAPI description of the REST API, and Swagger UI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import APIRootView
from rest_framework.views import APIView

from deals_api.rest.renderers import BrowserNegotiation, ExactJSONRenderer, QualityNegotiation
from deals_api.rest.serializers import reject_unknown


class FormatParameterNegotiation(QualityNegotiation):
    """Select the renderer by ``?format=`` first, then by ``Accept``."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        selected: Any = super().select_renderer(request, renderers, request.query_params.get("format"))
        return selected  # type: ignore[no-any-return]


class JSONErrorMixin(APIView):
    """Render errors as JSON, and reject unknown query parameters."""

    #: Names of the query parameters that the view accepts.
    parameters: tuple[str, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        reject_unknown(request.query_params, self.parameters)

    def handle_exception(self, error: Exception) -> Response:
        response = super().handle_exception(error)
        self.request.accepted_renderer = ExactJSONRenderer()
        self.request.accepted_media_type = ExactJSONRenderer.media_type
        return response


class IndexView(JSONErrorMixin, APIRootView):
    """The addresses of the API."""

    name = "Endpoints"
    content_negotiation_class = BrowserNegotiation
    api_root_dict = {
        name: name
        for name in (
            "upload",
            "top-clients",
            "deals-csv",
            "deals-ndjson",
            "top-clients-csv",
            "top-clients-ndjson",
            "docs",
            "schema",
            "graphql",
        )
    }


class SchemaView(JSONErrorMixin, SpectacularAPIView):
    """The OpenAPI description as YAML or JSON."""

    content_negotiation_class = FormatParameterNegotiation
    parameters = ("format",)


class DocsView(JSONErrorMixin, SpectacularSwaggerSplitView):
    """Swagger UI from local files, without inline scripts."""

    template_name = "deals_api/docs.html"
    parameters = ("script",)  # the page loads its script from its own address with this parameter
