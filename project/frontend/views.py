"""The web page, and what browsers request besides it.

The scripts in ``static/frontend`` are JavaScript modules without a build step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from deals_api.rest import exception_handler

#: First segments of paths whose errors are always JSON, below the base path.
_APIS: Final = {"api", "graphql", "health", "metrics", "static"}

#: Scripts that the page imports when a file is uploaded, the reasons of a rejection are read, or the page is printed.
_ON_DEMAND: Final = {"upload.js", "upload_result.js", "messages_outcomes.js", "messages_reasons.js", "printing.js"}
#: The others are requested at once, instead of one after the other as they import each other.
_MODULES: Final = [
    f"frontend/{path.name}"
    for path in sorted((Path(__file__).parent / "static" / "frontend").glob("*.js"))
    if path.name not in _ON_DEMAND
]


# Responses of the APIs are not compressed here: the compressed length could reveal a secret. The page contains none.
@gzip_page
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    response = render(request, "frontend/page.html", {"modules": _MODULES})
    response.headers["Cache-Control"] = "no-cache"
    return response


class FaviconView(RedirectView):
    """Browsers request ``/favicon.ico`` for pages that do not name an icon, such as a JSON response."""

    def get_redirect_url(self, *args: object, **kwargs: object) -> str:
        return static("deals_api/gem.svg")


@require_safe
def robots(_request: HttpRequest) -> HttpResponse:
    """Exclude crawlers from everything except the page: the APIs have an unlimited number of URLs."""
    excluded = (reverse("api"), reverse("graphql"), settings.ADMIN_PATH)
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in excluded)]
    return HttpResponse("\n".join([*lines, ""]), "text/plain; charset=utf-8")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return a page to a browser that navigates outside of the APIs, and JSON to other clients."""
    error = exception_handler.not_found(request, exception)
    segment = request.path_info.removeprefix(settings.BASE_PATH).removeprefix("/").partition("/")[0]
    prefers_html = request.get_preferred_type(["application/json", "text/html"]) == "text/html"
    if segment in _APIS or not prefers_html:
        return error
    is_russian = request.headers.get("Accept-Language", "").startswith("ru")
    response = render(request, "frontend/not_found.html", {"is_russian": is_russian}, status=error.status_code)
    response.headers["Vary"] = "Accept, Accept-Language"
    return response
