"""The web page. Its scripts in ``static/frontend`` are JavaScript modules without a build step."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    response = render(request, "frontend/page.html")
    response.headers["Cache-Control"] = "no-cache"
    return response
