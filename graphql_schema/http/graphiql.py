"""The GraphiQL page, with example queries in its tabs.

Its libraries come from a Python package and are served as static files, so the page works without internet access.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, TypedDict

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from graphql_schema.http.media_types import GRAPHQL_RESPONSE, JSON

_HTML: Final = "text/html"
_READY_QUERIES: Final = Path(__file__).parent.parent / "ready_queries"


class ReadyQuery(TypedDict):
    """A tab of GraphiQL: the texts of its query editor and its variables editor."""

    query: str
    variables: str


def ready_queries() -> list[ReadyQuery]:
    """Return the ``.graphql`` files, each with the variables in the ``.json`` file of the same name."""
    return [
        ReadyQuery(query=_read_text(path), variables=_read_text(path.with_suffix(".json")))
        for path in sorted(_READY_QUERIES.glob("*.graphql"))
    ]


def _read_text(path: Path) -> str:
    return path.read_text("utf-8").rstrip() if path.exists() else ""


_TABS: Final = json.dumps(ready_queries(), ensure_ascii=False)


def is_preferred(request: HttpRequest) -> bool:
    """Return whether the request contains no query and prefers HTML, as that of a browser does."""
    return (
        settings.GRAPHIQL
        and request.method in ("GET", "HEAD")
        and request.get_preferred_type([JSON, GRAPHQL_RESPONSE, _HTML]) == _HTML
        and "query" not in request.GET
    )


def page(request: HttpRequest) -> HttpResponse:
    response = render(request, "graphql/graphiql.html", {"ready_queries": _TABS})
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    return response
