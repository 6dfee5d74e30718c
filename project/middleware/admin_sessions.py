"""Who is asking, by a cookie: for the admin's addresses alone.

An answer of the API must not depend on a cookie, and must not wait for one to be looked up.
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
    """A middleware: sessions, users and messages below ``ADMIN_PATH``, nothing elsewhere."""
    with_session: Any = SessionMiddleware(AuthenticationMiddleware(MessageMiddleware(get_response)))
    admin_path: str = settings.ADMIN_PATH

    def answer(request: HttpRequest) -> Any:
        if not request.path_info.startswith(admin_path):
            return get_response(request)
        if connection.connection is not None and not connection.is_usable():
            connection.close()  # it was kept open since the last request, and the database may have restarted
        return with_session(request)

    return answer
