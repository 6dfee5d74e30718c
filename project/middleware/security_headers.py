"""The Content Security Policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

HEADER: Final = "Content-Security-Policy"
DENY_ALL_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
#: The only inline style: GraphiQL's dialogs insert exactly this text to stop the page from scrolling.
_SCROLL_LOCK: Final = "'sha256-Y/huXlwoYkVyQlxwSVcCi1RCDGDCSVBzDt0hYP9qlTc='"
PAGE_POLICY: Final = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_SCROLL_LOCK}; "
    "connect-src 'self'; font-src 'self' data:; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: set the policy of an HTML page or another response, unless the view has set one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        response.headers.setdefault(HEADER, PAGE_POLICY if is_page else DENY_ALL_POLICY)
        return response

    return middleware
