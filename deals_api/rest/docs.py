"""The documents about the REST face: its OpenAPI description, and Swagger UI to read and try it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deals_api.rest.renderers import ExactJSONRenderer
from deals_api.rest.serializers import reject_unknown


class FormatParameterNegotiation(DefaultContentNegotiation):
    """``?format=`` before ``Accept``, as is common for such documents."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        wanted: Any = super().select_renderer(request, renderers, request.query_params.get("format"))
        return wanted  # type: ignore[no-any-return]


class JSONErrorMixin(APIView):
    """What is refused has the one body here too."""

    #: Query parameters of the view.
    parameters: tuple[str, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        reject_unknown(request.query_params, self.parameters)

    def handle_exception(self, error: Exception) -> Response:
        response = super().handle_exception(error)
        self.request.accepted_renderer = ExactJSONRenderer()
        self.request.accepted_media_type = ExactJSONRenderer.media_type
        return response


class SchemaView(JSONErrorMixin, SpectacularAPIView):
    """OpenAPI, as YAML or as JSON."""

    content_negotiation_class = FormatParameterNegotiation
    parameters = ("format",)


class DocsView(JSONErrorMixin, SpectacularSwaggerSplitView):
    """Swagger UI, from this server alone and without a script in the page."""

    template_name = "deals_api/docs.html"
    parameters = ("script",)  # the page asks for its script under its own address
