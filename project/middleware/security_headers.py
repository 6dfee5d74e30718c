"""What a browser may do with our answers: with a page, load what comes from here; with the rest, nothing.

And by which names it may know us, where the operator names none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from django.core.exceptions import DisallowedHost
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


#: Addresses, names without a dot, and names under what nobody can register.
_PRIVATE: Final = re.compile(
    r"(\[[0-9a-f:.]+\]|[0-9.]+|[^.:]+|[^:]+\.(localhost|local|lan|internal|intranet|home|home\.arpa|test|example))\.?"
    r"(:[0-9]*)?",
    re.IGNORECASE,
)


def require_private_host(respond: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: a name that a stranger could register is not ours.

    He could have it lead here, and a page of his would then be one of our own to a visitor's browser (DNS rebinding).
    """

    def respond_to_private_name(request: HttpRequest) -> HttpResponse:
        name = request.META.get("HTTP_HOST", "")
        if name and not _PRIVATE.fullmatch(name):
            raise DisallowedHost(f"The service does not answer to the name {name!r}; see ALLOWED_HOSTS.")
        return respond(request)

    return respond_to_private_name
