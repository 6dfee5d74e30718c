"""The one file of a request: received whole, within the limit, or refused.

Answers for multipart bodies; knows nothing of what is inside the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.request import Request

from deals_api.errors import UploadTooLarge
from deals_api.rest.serializers import reject_unknown

FIELD = "deals"


class LengthRequired(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "The request must say how long its body is (Content-Length); chunked bodies are not taken."
    default_code = "length_required"


def get_uploaded_file(request: Request) -> UploadedFile[bytes]:
    """The file in the field ``deals``.

    Raises: ParseError where there is not exactly one, ValidationError for any other form field.
    """
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise LengthRequired
    fields: Any = request.data
    if FIELD in request.FILES:
        reject_unknown(fields, known=(FIELD,), kind="field")
        file: UploadedFile[bytes] = request.FILES[FIELD]
        return file
    for elsewhere in request.FILES:
        raise ParseError(f"The file must be in the field {FIELD!r}, not in {elsewhere!r}.")
    if FIELD in fields:
        raise ParseError(f"The field {FIELD!r} is text; it must be a file.")
    raise ParseError(f"The request has no file; send it as the field {FIELD!r} of a multipart/form-data body.")


class StrictMultiPartParser(MultiPartParser):
    """DRF's parser, which would take the first half of a broken-off body for all of it."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        request = (parser_context or {})["request"]
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if length > settings.DEALS_LIMITS.max_body_bytes:
            raise upload_too_large()
        watched = _CountingStream(stream)
        try:
            parsed = super().parse(watched, media_type, parser_context)  # type: ignore[arg-type]
            watched.must_be_whole(length)
        except BaseException:
            for handler in request.upload_handlers:
                if hasattr(handler, "file"):
                    handler.file.close()  # nobody else knows of it yet, and it lies on disk
            raise
        return parsed


class _CountingStream:
    """A stream that remembers how much was read and how it ended."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.received = 0
        self.end = b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.received += len(data)
        self.end = (self.end + data[-100:])[-100:]
        return data

    def must_be_whole(self, length: int) -> None:
        if self.received < length:
            raise ParseError(f"The body ended early: {self.received} of {length} bytes arrived.")
        if not self.end.rstrip().endswith(b"--"):
            raise ParseError("The body does not end with the boundary that its Content-Type names.")


class SingleFileUploadHandler(TemporaryFileUploadHandler):
    """Django's handler for files on disk, for one file."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "file"):
            raise ParseError("Send one file; the request has more.")
        super().new_file(*args, **kwargs)
        # Open, but without a name from here on: a process that is killed leaves nothing on the disk.
        Path(self.file.temporary_file_path()).unlink()


def upload_too_large() -> UploadTooLarge:
    return UploadTooLarge(f"The file is over {settings.DEALS_LIMITS.max_upload_bytes} bytes.")
