"""The application that gunicorn serves; where Django would fail before any of our code, it does not."""

from __future__ import annotations

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters

from project.server.request_body import count_body

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")


class Request(WSGIRequest):
    """A request whose address is UTF-8, whatever its Content-Type says.

    Django would read the address in the body's charset too, and has no answer to one that it does not know:
    it failed before any middleware, and ``charset=rot13`` was a 500 at every address.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except ValueError:
            # As if there were none, so that nobody after us reads it either.
            meta["CONTENT_TYPE"] = self.content_type = ""
            self.content_params = {}


class Application(WSGIHandler):
    request_class = Request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The response, behind the whole request: whatever of the body was not read is discarded first."""
        body = count_body(environ)
        if body is None:
            return super().__call__(environ, start_response)

        def start(*arguments: Any) -> Any:
            body.finish(environ.get("gunicorn.socket"))
            return start_response(*arguments)

        return super().__call__(environ, start)

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """The answer, without its body where a client asks for the head alone; gunicorn would warn of each."""
        response = super().get_response(request)
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            response.content = b""
        return response


django.setup(set_prefix=False)
application = Application()
