"""Parsers for one uploaded file, in a form or as the whole body, which reject incomplete and oversized bodies."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser, DataAndFiles, MultiPartParser
from rest_framework.request import Request

from deals_api.errors import UploadTooLarge
from deals_api.rest.serializers import reject_unknown

FIELD: Final = "deals"


class LengthRequired(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "Content-Length is required; chunked request bodies are not supported."
    default_code = "length_required"


def upload_instructions(request: Request) -> str:
    """Return the rest of an error message of the upload URL."""
    return (
        f"send the file in the field {FIELD!r} of a multipart/form-data body "
        f"(curl -F {FIELD}=@deals.csv {request.build_absolute_uri(request.path)}) "
        "or as the whole body with Content-Type text/csv"
    )


def get_uploaded_file(request: Request) -> UploadedFile[bytes]:
    """Return the file in the field ``deals`` of a form, or in a body of type ``text/csv``.

    Raises: LengthRequired, if the body is chunked; UnsupportedMediaType, if it has another type; ParseError, unless it
            has exactly one file, in this field; ValidationError, if it has another form field.
    """
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise LengthRequired
    try:
        fields: Any = request.data
    except UnsupportedMediaType:
        message = f"The Content-Type of the body is not supported; {upload_instructions(request)}."
        raise UnsupportedMediaType(request.content_type, message) from None
    if FIELD in request.FILES:
        reject_unknown(fields, known=(FIELD,), kind="field")
        file: UploadedFile[bytes] = request.FILES[FIELD]
        return file
    if other_field := next(iter(request.FILES), None):
        raise ParseError(f"The file must be in the field {FIELD!r}, not in {other_field!r}.")
    if FIELD in fields:
        raise ParseError(
            f"The field {FIELD!r} has no file name, so it is text, not a file: with curl, write @ before the file "
            f"name, as in -F {FIELD}=@deals.csv; in a program, give the file a name such as deals.csv."
        )
    raise ParseError(f"The request has no file; {upload_instructions(request)}.")


class StrictMultiPartParser(MultiPartParser):
    """Reject incomplete bodies; DRF's parser accepts a body that was cut off in the middle of the file."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        request: Request = (parser_context or {})["request"]
        if not (request.content_params or {}).get("boundary"):
            raise ParseError(
                "The Content-Type lacks the boundary of the multipart body: "
                "do not set this header, so that the HTTP client sets it."
            )
        with _complete_body(stream, request) as body:
            parsed = super().parse(body, media_type, parser_context)  # type: ignore[arg-type]
            body.ensure_complete()
            body.ensure_final_boundary()
        return parsed


class CSVParser(BaseParser):
    """Accept the whole body as the file; the name is that of Content-Disposition, if any."""

    media_type = "text/csv"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        request: Request = (parser_context or {})["request"]
        with _complete_body(stream, request) as body:
            (handler,) = request.upload_handlers
            handler.new_file(FIELD, _attachment_name(request), self.media_type, body.length)
            while chunk := body.read(handler.chunk_size):
                handler.receive_data_chunk(chunk, 0)
            body.ensure_complete()
            file = handler.file_complete(body.received)
        return DataAndFiles(QueryDict(), MultiValueDict({FIELD: [file]}))


def _attachment_name(request: Request) -> str:
    """Return the last part of ``filename`` or ``filename*`` of Content-Disposition; empty if there is none."""
    header = request.META.get("HTTP_CONTENT_DISPOSITION", "").encode("latin-1", "replace").decode("utf-8", "replace")
    with contextlib.suppress(ValueError):  # an unknown charset
        _, params = parse_header_parameters(header)
        return params.get("filename", "").replace("\\", "/").rpartition("/")[2]
    return ""


@contextlib.contextmanager
def _complete_body(stream: IO[bytes], request: Request) -> Iterator[_CountingStream]:
    """Yield the body of a request; if it is rejected, delete the stored file.

    Raises: UploadTooLarge.
    """
    limits = settings.DEALS_LIMITS
    body = _CountingStream(stream, int(request.META.get("CONTENT_LENGTH") or 0))
    if body.length > limits.max_body_bytes:
        raise UploadTooLarge(f"The file is over {limits.max_upload_bytes} bytes.")
    try:
        yield body
    except BaseException:
        for handler in request.upload_handlers:
            if hasattr(handler, "file"):
                handler.file.close()  # the request does not have this file yet, so Django would not close it
        raise


class _CountingStream:
    """A stream that records the number of bytes read and the last 100 bytes; ``length`` is the Content-Length."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self.stream = stream
        self.length = length
        self.received = 0
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.received += len(data)
        self.tail = (self.tail + data[-100:])[-100:]
        return data

    def ensure_complete(self) -> None:
        """Raises: ParseError."""
        if self.received < self.length:
            raise ParseError(f"The body ended early: {self.received} of {self.length} bytes arrived.")

    def ensure_final_boundary(self) -> None:
        """Raises: ParseError."""
        if not self.tail.rstrip().endswith(b"--"):
            raise ParseError("The body does not end with the boundary of its Content-Type.")


def keep_uploaded_file(request: Request) -> None:
    """Receive the file in ``FILE_UPLOAD_TEMP_DIR`` under a name, so that a storage there can move it; call it first."""
    handler: Any
    (handler,) = request.upload_handlers
    handler.keeps_file = True


class SingleFileUploadHandler(FileUploadHandler):
    """Store one uploaded file on disk; reject a second one.

    Unless the file is to be kept, it has no name, so nothing is left on disk if the process is killed; that of Django's
    ``TemporaryFileUploadHandler`` has one.
    """

    #: Four times Django's, because the multipart parser has a cost for each chunk.
    chunk_size = 256 * 1024
    keeps_file = False

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "file"):
            raise ParseError("Expected one file; the request has more.")
        super().new_file(field_name, file_name, *args, **kwargs)
        if self.keeps_file:
            self.file: UploadedFile[bytes] = TemporaryUploadedFile(FIELD, self.content_type, 0, self.charset)
        else:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the request
            self.file = UploadedFile(file, FIELD, self.content_type, charset=self.charset)
        self.file.name = file_name or None

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        self.file.seek(0)
        self.file.size = file_size
        return self.file

    def upload_interrupted(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
