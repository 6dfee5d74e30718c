"""The WSGI application. It also handles requests on which Django fails before the first middleware."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters

from project.server.request_body import replace_input

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")


class Request(WSGIRequest):
    """A request whose URL is decoded as UTF-8, whatever the charset of its Content-Type.

    Django decodes the URL with the charset of the body, and raises an error for an unknown charset before any
    middleware runs: ``charset=rot13`` caused a 500 at every URL.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            # Remove the header, so that it is not parsed again.
            meta["CONTENT_TYPE"] = self.content_type = ""
            self.content_params = {}


class Application(WSGIHandler):
    request_class = Request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Discard the unread rest of the request body before the response starts."""
        body = replace_input(environ)
        if body is None:
            return super().__call__(environ, start_response)

        def start(*arguments: Any) -> Any:
            body.finish(environ.get("gunicorn.socket"))
            return start_response(*arguments)

        return super().__call__(environ, start)

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Drop the body of a response to HEAD; gunicorn would log a warning for each."""
        response = super().get_response(request)
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            response.content = b""
        return response


django.setup(set_prefix=False)
application = Application()
# Before the workers are forked, so that they share the views; Django would import them at the first request of each.
import_module(settings.ROOT_URLCONF)
