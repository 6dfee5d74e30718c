"""Which form an answer takes: exact JSON for programs, a page around it for people, a file by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request

from deals_api.formats import dump_json


class ExactJSONRenderer(JSONRenderer):
    """DRF's media type, written by ``dump_json``."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        indent = (renderer_context or {}).get("indent")  # which the page sets
        return b"" if data is None else dump_json(data, indent)


class DealsBrowsableAPIRenderer(BrowsableAPIRenderer):
    """DRF's browsable API, without scripts and with one form: the one that sends a file."""

    template = "deals_api/page.html"

    def get_raw_data_form(self, *_: Any) -> None:
        return None


class BrowserNegotiation(DefaultContentNegotiation):
    """The page for whoever likes it better than JSON; DRF itself does not ask how well a type is liked."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        liked = request.get_preferred_type([ExactJSONRenderer.media_type, DealsBrowsableAPIRenderer.media_type])
        as_page = liked == DealsBrowsableAPIRenderer.media_type and "format" not in request.query_params
        fitting = [renderer for renderer in renderers if isinstance(renderer, DealsBrowsableAPIRenderer) == as_page]
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, fitting, format_suffix)
        return chosen


class FixedRendererNegotiation(BaseContentNegotiation):
    """For addresses that name their form: whatever the client would accept, refusals come as the first renderer's."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)
