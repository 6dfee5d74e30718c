"""The Content Security Policy, and the host names accepted if ALLOWED_HOSTS is not set."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from django.core.exceptions import DisallowedHost
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


#: IP addresses, names without a dot, and names below suffixes that cannot be registered.
_PRIVATE_HOST: Final = re.compile(
    r"(\[[0-9a-f:.]+\]|[0-9.]+|[^.:]+|[^:]+\.(localhost|local|lan|internal|intranet|home|home\.arpa|test|example))\.?"
    r"(:[0-9]*)?",
    re.IGNORECASE,
)


def require_private_host(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: reject host names that an attacker could register.

    Prevents DNS rebinding: an attacker's domain that resolves to this service would count as same-origin.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        name = request.META.get("HTTP_HOST", "")
        if name and not _PRIVATE_HOST.fullmatch(name):
            raise DisallowedHost(f"The host name {name!r} is not allowed; see ALLOWED_HOSTS.")
        return get_response(request)

    return middleware
