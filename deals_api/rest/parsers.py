"""Multipart parsing of one uploaded file; incomplete and oversized bodies are rejected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.request import Request

from deals_api.errors import UploadTooLarge
from deals_api.rest.serializers import reject_unknown

FIELD: Final = "deals"


class LengthRequired(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "Content-Length is required; chunked request bodies are not supported."
    default_code = "length_required"


def get_uploaded_file(request: Request) -> UploadedFile[bytes]:
    """Return the file in the field ``deals``.

    Raises: ParseError, if there is not exactly one file; ValidationError for any other form field.
    """
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise LengthRequired
    fields: Any = request.data
    if FIELD in request.FILES:
        reject_unknown(fields, known=(FIELD,), kind="field")
        file: UploadedFile[bytes] = request.FILES[FIELD]
        return file
    for other_field in request.FILES:
        raise ParseError(f"The file must be in the field {FIELD!r}, not in {other_field!r}.")
    if FIELD in fields:
        raise ParseError(f"The field {FIELD!r} is text; it must be a file.")
    raise ParseError(f"Expected a multipart/form-data body with one file in the field {FIELD!r}.")


class StrictMultiPartParser(MultiPartParser):
    """Reject incomplete bodies; DRF's parser accepts a body that was cut off in the middle of the file."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        request = (parser_context or {})["request"]
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if length > settings.DEALS_LIMITS.max_body_bytes:
            raise UploadTooLarge(f"The file is over {settings.DEALS_LIMITS.max_upload_bytes} bytes.")
        counted = _CountingStream(stream)
        try:
            parsed = super().parse(counted, media_type, parser_context)  # type: ignore[arg-type]
            counted.ensure_complete(length)
        except BaseException:
            for handler in request.upload_handlers:
                if hasattr(handler, "file"):
                    handler.file.close()  # Django does not know this file yet and would not close it
            raise
        return parsed


class _CountingStream:
    """A stream that records the number of bytes read and the last bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.received = 0
        self.end = b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.received += len(data)
        self.end = (self.end + data[-100:])[-100:]
        return data

    def ensure_complete(self, length: int) -> None:
        if self.received < length:
            raise ParseError(f"The body ended early: {self.received} of {length} bytes arrived.")
        if not self.end.rstrip().endswith(b"--"):
            raise ParseError("The body does not end with the boundary of its Content-Type.")


class SingleFileUploadHandler(TemporaryFileUploadHandler):
    """Store one uploaded file on disk; reject a second one."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "file"):
            raise ParseError("Expected one file; the request has more.")
        super().new_file(*args, **kwargs)
        # The open file remains readable; without a name it leaves nothing on disk if the process is killed.
        Path(self.file.temporary_file_path()).unlink()
