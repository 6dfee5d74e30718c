"""Requests to the WSGI application that gunicorn serves, with any headers and body.

Django's test client normalizes a request and creates an object of another class. Each request here also checks that
the status is not 5xx and that no error is logged.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from project.wsgi import application

JSON = "application/json"
RESPONSE = "application/graphql-response+json"


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    method: str = "GET", path: str = "/graphql", query: str = "", body: bytes = b"", headers: Mapping[str, str] = {}
) -> Response:
    """Send one request. Header names are those of HTTP; Content-Length is added unless it is given."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "deals.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    started: list[Response] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        started.append(Response(int(status.split()[0]), dict(headers), b""))
        return lambda _data: None

    with _one_connection(), _no_error_logged():
        chunks = application(environ, start_response)
        content = b"".join(chunks)
        chunks.close()
    assert started[0].status < 500, content
    return Response(started[0].status, started[0].headers, content)


@contextmanager
def _one_connection() -> Iterator[None]:
    """Keep the database connection of the test with its transaction, as Django's test client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


@contextmanager
def _no_error_logged() -> Iterator[None]:
    errors: list[logging.LogRecord] = []

    class ErrorHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(record)

    handler = ErrorHandler(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert not errors, errors[0].getMessage()


def post(body: object, accept: str = "", **headers: str) -> Response:
    """Send a GraphQL request as JSON; ``body`` is bytes or a JSON value. Underscores in header names become hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    common = {"Content-Type": JSON} | ({"Accept": accept} if accept else {})
    return call("POST", body=content, headers=common | {name.replace("_", "-"): text for name, text in headers.items()})
