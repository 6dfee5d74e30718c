"""Compressed static files without the collected files of the image."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from wsgiref.headers import Headers

from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import Response, StaticFile

_TEXT: Final = re.compile(r"text/|application/(javascript|json)\b|image/svg\+xml\b")
_ACCEPTS_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


class TextFile(StaticFile):  # type: ignore[misc]
    """A file that is compressed at its first request; the start of the service does not wait for it.

    Its ETag is weak, because the bytes of a response depend on ``Accept-Encoding``. A range is not compressed.
    """

    def get_headers(self, headers_list: Any, files: Any) -> Headers:
        headers: Headers = super().get_headers(headers_list, files)
        if headers["ETag"]:
            headers["ETag"] = f"W/{headers['ETag']}"
        headers["Vary"] = "Accept-Encoding"
        return headers

    def get_response(self, method: str, request_headers: Mapping[str, str]) -> Response:
        response = super().get_response(method, request_headers)
        if response.status != HTTPStatus.OK or not _ACCEPTS_GZIP.search(
            request_headers.get("HTTP_ACCEPT_ENCODING", "")
        ):
            return response
        headers = Headers(list(response.headers))
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(self._compressed))
        if response.file is None:  # HEAD
            return Response(HTTPStatus.OK, headers.items(), None)
        response.file.close()
        return Response(HTTPStatus.OK, headers.items(), BytesIO(self._compressed))

    @cached_property
    def _compressed(self) -> bytes:
        [(_, path, _)] = self.alternatives
        return gzip.compress(Path(path).read_bytes(), compresslevel=6, mtime=0)


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Compress text files that the finders find; collected files are already compressed."""

    def get_static_file(self, path: str, url: str, stat_cache: Any = None) -> StaticFile:
        file = super().get_static_file(path, url, stat_cache)
        [(_, _, headers), *compressed] = file.alternatives
        if self.use_finders and not compressed and _TEXT.match(Headers(headers)["Content-Type"] or ""):
            return TextFile(path, headers, stat_cache=stat_cache)
        return file
