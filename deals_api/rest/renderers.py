"""Renderers and content negotiation for JSON with exact decimals, the browsable API and exports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.conf import settings
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

    template = "deals_api/browsable.html"

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        view, response = renderer_context["view"], renderer_context["response"]
        return {
            "view": view,
            "request": renderer_context["request"],
            "response": response,
            "response_headers": {**dict(sorted(response.items())), "Content-Type": ExactJSONRenderer.media_type},
            "name": view.get_view_name(),
            "description": view.get_view_description(html=True),
            "content": self.get_content(ExactJSONRenderer(), data, accepted_media_type or "", renderer_context),
            "upload_form": view.serializer_class() if "POST" in view.allowed_methods else None,
            "requires_token": bool(settings.API_TOKENS),
        }


#: A media range with the quality 0, such as ``application/json;q=0.0``.
_EXCLUDED: Final = re.compile(r"([^;\s]*)\s*;(?:.*;)?\s*q=0(?:\.0{0,3})?\s*(?:;.*)?", re.IGNORECASE)


class QualityNegotiation(DefaultContentNegotiation):
    """Exclude media types with the quality 0; DRF's negotiation ignores quality values."""

    def get_accept_list(self, request: Request) -> list[str]:
        return [media_range for media_range in super().get_accept_list(request) if not _EXCLUDED.fullmatch(media_range)]

    def excluded_types(self, request: Request) -> set[str]:
        matches = map(_EXCLUDED.fullmatch, super().get_accept_list(request))
        return {match[1].lower() for match in matches if match}


class BrowserNegotiation(QualityNegotiation):
    """Select the browsable API if ``Accept`` prefers HTML to JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        excluded = self.excluded_types(request)
        accepted = [renderer for renderer in renderers if renderer.media_type not in excluded]
        preferred = request.get_preferred_type([str(renderer.media_type) for renderer in accepted])
        is_html = preferred == DealsBrowsableAPIRenderer.media_type and "format" not in request.query_params
        candidates = [renderer for renderer in accepted if isinstance(renderer, DealsBrowsableAPIRenderer) == is_html]
        selected: tuple[BaseRenderer, str] = super().select_renderer(request, candidates, format_suffix)
        return selected


class FixedRendererNegotiation(BaseContentNegotiation):
    """Ignore ``Accept``, because the URL names the format; errors use the first renderer."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)
