"""Renderers and content negotiation for JSON with exact decimals, the browsable API and exports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request

from deals_api.formats import dump_json


class ExactJSONRenderer(JSONRenderer):
    """Render JSON with exact decimals."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        indent = (renderer_context or {}).get("indent")  # set by the browsable API
        return b"" if data is None else dump_json(data, indent)


class DealsBrowsableAPIRenderer(BrowsableAPIRenderer):
    """The browsable API without scripts; its only form uploads a file."""

    template = "deals_api/page.html"

    def get_raw_data_form(self, *_: Any) -> None:
        return None


class BrowserNegotiation(DefaultContentNegotiation):
    """Select the browsable API if ``Accept`` prefers HTML to JSON; DRF's negotiation ignores quality values."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        preferred = request.get_preferred_type([ExactJSONRenderer.media_type, DealsBrowsableAPIRenderer.media_type])
        is_html = preferred == DealsBrowsableAPIRenderer.media_type and "format" not in request.query_params
        candidates = [renderer for renderer in renderers if isinstance(renderer, DealsBrowsableAPIRenderer) == is_html]
        selected: tuple[BaseRenderer, str] = super().select_renderer(request, candidates, format_suffix)
        return selected


class FixedRendererNegotiation(BaseContentNegotiation):
    """Ignore ``Accept``, because the URL names the format; errors use the first renderer."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)
