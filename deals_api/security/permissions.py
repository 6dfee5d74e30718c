"""Who may read and write, from where, and how often: one rule for every face.

Uploading is open by default. Even then no web page may write through the browser of somebody who can
reach the service: a browser says which page asks (``Origin``, ``Sec-Fetch-Site``), programs do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from deals_api import request_context
from deals_api.errors import NotAllowed, TokenRequired
from deals_api.security.tokens import holder_of

#: A request's headers and addresses, as WSGI names them.
Headers = Mapping[str, Any]


# Who may


def require_read_permission(headers: Headers) -> None:
    """Raises: TokenRequired."""
    if settings.READ_REQUIRES_TOKEN and not token_holder(headers):
        raise TokenRequired("Reading needs a token: Authorization: Bearer <token>.")


def require_write_permission(headers: Headers) -> str:
    """Return the holder of the request's token; empty where no tokens are configured.

    Raises: TokenRequired, NotAllowed.
    """
    if settings.API_TOKENS:
        if not (holder := token_holder(headers)):
            raise TokenRequired("Changing the data needs a token: Authorization: Bearer <token>.")
        return holder  # a page of another site does not have the token
    if not _is_same_origin_or_non_browser(headers):
        raise NotAllowed("A page of another site asks for this; the service takes changes from its own pages only.")
    return ""


def token_holder(headers: Headers) -> str:
    """Return the holder of the request's token and record it for the log; empty without a valid token."""
    holder = holder_of(headers.get("HTTP_AUTHORIZATION", ""), settings.API_TOKENS) or ""
    if holder:
        request_context.get_request_context().user = holder
    return holder


def _is_same_origin_or_non_browser(headers: Headers) -> bool:
    origin = headers.get("HTTP_ORIGIN")
    if origin is None:
        return headers.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
    return origin in settings.CORS_ALLOWED_ORIGINS or origin.partition("://")[2] == headers.get("HTTP_HOST")


# How often
