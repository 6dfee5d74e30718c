"""The page for people with a file: a frontend of the graph, to use or to take as an example.

Answers for nothing but the page itself; what it shows it asks for like any other client. Its scripts lie in
``static/frontend`` as they are written, so no one needs a build.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    response = render(request, "frontend/page.html")
    response.headers["Cache-Control"] = "no-cache"
    return response
