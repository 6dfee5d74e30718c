"""Sessions, users and messages for the admin only.

API responses do not depend on cookies, and do not wait for a session to be loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]


def admin_session_middleware(get_response: Handler) -> Handler:
    """Middleware: sessions, users and messages for paths below ``ADMIN_PATH``."""
    with_session: Any = SessionMiddleware(AuthenticationMiddleware(MessageMiddleware(get_response)))
    admin_path: str = settings.ADMIN_PATH

    def middleware(request: HttpRequest) -> Any:
        if not request.path_info.startswith(admin_path):
            return get_response(request)
        if connection.connection is not None and not connection.is_usable():
            connection.close()  # The database may have restarted.
        return with_session(request)

    return middleware
