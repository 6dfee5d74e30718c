"""Host names: those accepted if ALLOWED_HOSTS is not set, and IP addresses for monitoring if it is set."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

_ADDRESS: Final = re.compile(r"(\[[0-9a-f:.]+\]|[0-9.]+)(:[0-9]*)?", re.IGNORECASE)
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


def accept_addresses_for_monitoring(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: accept every IP address as the host of health checks and metrics.

    Prometheus and load balancers address each container by its IP address, which ALLOWED_HOSTS cannot contain.
    """
    path = re.compile(settings.MONITORING_PATH)

    def middleware(request: HttpRequest) -> HttpResponse:
        if path.match(request.path_info) and _ADDRESS.fullmatch(request.META.get("HTTP_HOST", "")):
            request.META["HTTP_HOST"] = "localhost"
        return get_response(request)

    return middleware
