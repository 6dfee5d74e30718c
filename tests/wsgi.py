"""Requests straight to the application that gunicorn serves, as odd as a socket could bring them.

Django's own test client would put a request into order first, and makes it by another class. Every
request here is one more proof that the service has an answer: never a 5xx, and nothing logged as a failure.
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
    """The answer to one request; headers are written as on the wire, and a Content-Length is added if there is none."""
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

    def start(status: str, its_headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        started.append(Response(int(status.split()[0]), dict(its_headers), b""))
        return lambda _data: None

    with _one_connection(), _no_failure_logged():
        answer = application(environ, start)
        content = b"".join(answer)
        answer.close()
    assert started[0].status < 500, content
    return Response(started[0].status, started[0].headers, content)


@contextmanager
def _one_connection() -> Iterator[None]:
    """The connection stays the test's own, with its transaction, as in Django's test client."""
    ends = (request_started, request_finished)
    for end in ends:
        end.disconnect(close_old_connections)
    try:
        yield
    finally:
        for end in ends:
            end.connect(close_old_connections)


@contextmanager
def _no_failure_logged() -> Iterator[None]:
    failures: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failures.append(record)

    listener = Listener(logging.ERROR)
    logging.getLogger().addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(listener)
    assert not failures, failures[0].getMessage()


def post(body: object, accept: str = "", **headers: str) -> Response:
    """The answer to a question in JSON; ``body`` is bytes, or what JSON is made of."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": JSON} | ({"Accept": accept} if accept else {})
    return call("POST", body=content, headers=given | {name.replace("_", "-"): text for name, text in headers.items()})
