"""The page for people at GraphQL's own address: GraphiQL, with a few ready queries as its tabs.

Answers for who gets the page and what stands in it. Its libraries come in a wheel and are served from
here like our own files, so it works without a network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, TypedDict

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

_PAGE: Final = "text/html"
_ANSWERS: Final = ["application/json", "application/graphql-response+json"]
_READY_QUERIES: Final = Path(__file__).parent.parent / "ready_queries"


class ReadyQuery(TypedDict):
    """A tab, as GraphiQL wants it: both are the texts of its editors."""

    query: str
    variables: str


def ready_queries() -> list[ReadyQuery]:
    """One for each ``.graphql`` file; the ``.json`` beside it, if there is one, fills in its variables."""
    return [
        ReadyQuery(query=_text_of(path), variables=_text_of(path.with_suffix(".json")))
        for path in sorted(_READY_QUERIES.glob("*.graphql"))
    ]


def _text_of(path: Path) -> str:
    return path.read_text("utf-8").rstrip() if path.exists() else ""


_TABS: Final = json.dumps(ready_queries(), ensure_ascii=False)


def is_wanted(request: HttpRequest) -> bool:
    """Whether a browser came to look: nothing is asked, and a page is liked better than any answer."""
    return (
        settings.GRAPHIQL
        and request.method in ("GET", "HEAD")
        and request.get_preferred_type([*_ANSWERS, _PAGE]) == _PAGE
        and "query" not in request.GET
    )


def page(request: HttpRequest) -> HttpResponse:
    response = render(request, "graphql/graphiql.html", {"ready_queries": _TABS})
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    return response
