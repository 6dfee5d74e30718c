"""What a browser may do with our answers: with a page, load what comes from here; with the rest, nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

HEADER: Final = "Content-Security-Policy"
NOTHING: Final = "default-src 'none'; frame-ancestors 'none'"
#: What GraphiQL's dialogs write into the page to keep it from scrolling: this very text and no other.
_SCROLL_LOCK: Final = "'sha256-Y/huXlwoYkVyQlxwSVcCi1RCDGDCSVBzDt0hYP9qlTc='"
PAGE: Final = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_SCROLL_LOCK}; "
    "connect-src 'self'; font-src 'self' data:; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def content_security_policy(respond: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: each answer has a policy, its own or the one for its kind."""

    def respond_with_policy(request: HttpRequest) -> HttpResponse:
        response = respond(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        response.headers.setdefault(HEADER, PAGE if is_page else NOTHING)
        return response

    return respond_with_policy
