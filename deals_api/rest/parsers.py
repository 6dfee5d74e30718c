"""Multipart parser for one uploaded file, which rejects incomplete and oversized bodies."""

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

    Raises: LengthRequired, if the body is chunked; ParseError, unless the body has exactly one file, in this field;
            ValidationError, if it has another form field.
    """
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise LengthRequired
    fields: Any = request.data
    if FIELD in request.FILES:
        reject_unknown(fields, known=(FIELD,), kind="field")
        file: UploadedFile[bytes] = request.FILES[FIELD]
        return file
    if other_field := next(iter(request.FILES), None):
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
        body = _CountingStream(stream)
        try:
            parsed = super().parse(body, media_type, parser_context)  # type: ignore[arg-type]
            body.ensure_complete(length)
        except BaseException:
            for handler in request.upload_handlers:
                if hasattr(handler, "file"):
                    handler.file.close()  # the request does not have this file yet, so Django would not close it
            raise
        return parsed


class _CountingStream:
    """A stream that records the number of bytes read and the last 100 bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.received = 0
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.received += len(data)
        self.tail = (self.tail + data[-100:])[-100:]
        return data

    def ensure_complete(self, length: int) -> None:
        """Raises: ParseError, if the body is shorter than ``length`` or lacks the final boundary."""
        if self.received < length:
            raise ParseError(f"The body ended early: {self.received} of {length} bytes arrived.")
        if not self.tail.rstrip().endswith(b"--"):
            raise ParseError("The body does not end with the boundary of its Content-Type.")


class SingleFileUploadHandler(TemporaryFileUploadHandler):
    """Store one uploaded file on disk; reject a second one."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "file"):
            raise ParseError("Expected one file; the request has more.")
        super().new_file(*args, **kwargs)
        # The open file remains readable; without a name, nothing is left on disk if the process is killed.
        Path(self.file.temporary_file_path()).unlink()
