"""Request bodies that the application has not read to their end.

A connection can be reused only after the whole body has been read. gunicorn discards at most 64 KiB, and only after a
response whose headers have already announced that the connection stays open.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import Any, Final

from django.conf import settings
from gunicorn.http.errors import ParseException

#: Maximum time for which discarding a body occupies a thread.
DISCARD_SECONDS: Final = 30.0
_CHUNK_BYTES: Final = 64 * 1024

Environ = dict[str, Any]


class RequestBody:
    """The input stream of a WSGI request, with a count of the bytes read.

    ``length`` is None for a chunked body, whose stream detects its end.
    """

    def __init__(self, stream: Any, length: int | None) -> None:
        self._stream = stream
        self._length = length
        self._received = 0

    def read(self, size: int = -1) -> bytes:
        return self._count(self._stream.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._count(self._stream.readline(size))

    def _count(self, data: bytes) -> bytes:
        self._received += len(data)
        return data

    def finish(self, client: socket.socket | None) -> None:
        """Discard the unread rest; if this fails, make the response announce that the connection closes."""
        if self._received != self._length and not self._discard(client) and hasattr(self._stream, "force_close"):
            self._stream.force_close()  # See ``gunicorn_conf.pre_request``.

    def _discard(self, client: socket.socket | None) -> bool:
        """Read the rest of the body, and return whether its end was reached."""
        limit = settings.DEALS_LIMITS.max_body_bytes
        if self._length is not None and self._length > limit:
            return False
        timer = threading.Timer(DISCARD_SECONDS, _stop_receiving, [client])
        timer.start()
        try:
            while self._received <= limit and timer.is_alive():
                if not self.read(_CHUNK_BYTES):
                    return self._length in (None, self._received)
        except (OSError, ParseException):
            pass  # The client has disconnected, or its chunks are malformed.
        finally:
            timer.cancel()
        return False


def _stop_receiving(client: socket.socket | None) -> None:
    """Interrupt a read that waits for the client."""
    with contextlib.suppress(OSError):
        if client is not None:
            client.shutdown(socket.SHUT_RD)


def replace_input(environ: Environ) -> RequestBody | None:
    """Replace ``wsgi.input`` by a counted stream and return it; return None for a request without a body."""
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    header = environ.get("CONTENT_LENGTH") or "0"
    # Python does not convert thousands of digits, and no limit has more than 18.
    length = 0 if not header.isdecimal() else int(header) if len(header) <= 18 else sys.maxsize
    if not chunked and length == 0:
        return None
    body = RequestBody(environ["wsgi.input"], None if chunked else length)
    environ["wsgi.input"] = body
    return body
