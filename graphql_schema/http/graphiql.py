"""The GraphiQL page, with example queries in tabs, or with the query of its URL.

GraphiQL is a static file of a Python package, so the page works without internet access.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final, TypedDict

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from graphql_schema.http.media_types import GRAPHQL_RESPONSE, JSON

_HTML: Final = "text/html"
#: URL parameters that identify a persisted document; the page does not have its text.
_DOCUMENT_IDENTIFIERS: Final = {"documentId", "extensions"}
_EXAMPLE_QUERIES: Final = Path(__file__).parent.parent / "example_queries"


class ExampleQuery(TypedDict):
    """The contents of a tab: the query and the variables, as JSON."""

    query: str
    variables: str


def example_queries() -> list[ExampleQuery]:
    """Return the ``.graphql`` files, with the variables from ``.json`` files of the same names."""
    return [
        ExampleQuery(query=_read_text(path), variables=_read_text(path.with_suffix(".json")))
        for path in sorted(_EXAMPLE_QUERIES.glob("*.graphql"))
    ]


def _read_text(path: Path) -> str:
    return path.read_text("utf-8").rstrip() if path.exists() else ""


_TABS: Final = json.dumps(example_queries(), ensure_ascii=False)


def is_preferred(request: HttpRequest) -> bool:
    """Return whether the request prefers HTML, as the navigation of a browser does, and identifies no document."""
    return (
        settings.GRAPHIQL
        and request.method in ("GET", "HEAD")
        and _prefers_html(request.META.get("HTTP_ACCEPT", "*/*"))
        and _DOCUMENT_IDENTIFIERS.isdisjoint(request.GET)
    )


@lru_cache
def _prefers_html(accept: str) -> bool:
    request = HttpRequest()
    request.META["HTTP_ACCEPT"] = accept
    return request.get_preferred_type([JSON, GRAPHQL_RESPONSE, _HTML]) == _HTML


def page(request: HttpRequest) -> HttpResponse:
    response = render(request, "graphql/graphiql.html", {"example_queries": _TABS})
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    return response
