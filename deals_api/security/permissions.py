"""Read and write permission of a request, the same for every API.

Without tokens, every client may upload, but no page of another site may write through the browser of a user who can
reach the service. Browsers send the site of the page (``Origin``, ``Sec-Fetch-Site``); other clients send neither
header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from deals_api.errors import NotAllowed, TokenRequired
from deals_api.request_context import get_request_context
from deals_api.security.tokens import holder_of

#: The headers and addresses of a request as in WSGI's ``environ``.
Headers = Mapping[str, Any]


def require_read_permission(headers: Headers) -> None:
    """Raises: TokenRequired."""
    if settings.READ_REQUIRES_TOKEN and not token_holder(headers):
        raise TokenRequired("Reading requires a token: Authorization: Bearer <token>.")


def require_write_permission(headers: Headers) -> str:
    """Return the holder of the request's token; an empty string if no tokens are configured.

    Raises: TokenRequired, NotAllowed.
    """
    if settings.API_TOKENS:
        if not (holder := token_holder(headers)):
            raise TokenRequired("Writing requires a token: Authorization: Bearer <token>.")
        return holder  # the origin is not checked, because a page of another site does not have the token
    if not _is_same_origin_or_non_browser(headers):
        raise NotAllowed("Cross-origin writes are not allowed; add the origin to CORS_ORIGINS or use an API token.")
    return ""


def token_holder(headers: Headers) -> str:
    """Return the holder of the request's token and record it for the access log; "" without a valid token."""
    holder = holder_of(headers.get("HTTP_AUTHORIZATION", ""), settings.API_TOKENS) or ""
    if holder:
        get_request_context().user = holder
    return holder


def _is_same_origin_or_non_browser(headers: Headers) -> bool:
    origin = headers.get("HTTP_ORIGIN")
    if origin is None:
        return headers.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
    return origin in settings.CORS_ALLOWED_ORIGINS or origin.partition("://")[2] == headers.get("HTTP_HOST")
