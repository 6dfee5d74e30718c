"""The web page. Its scripts are plain modules in ``static/frontend``, which need no build."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    response = render(request, "frontend/page.html")
    response.headers["Cache-Control"] = "no-cache"
    return response
