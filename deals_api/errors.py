"""Domain errors with stable codes.

* DealsError
  - UnreadableUpload    the file is not CSV text with the required header
  - UploadHasProblems   at least one cell of the file is invalid
  - UploadTooLarge      the file, its rows or its names exceed a limit
  - UploadChanged       the current upload is not the one that the client expects
  - UploadFinished      the upload can no longer be cancelled
  - UploadNotRetained   the upload does not exist, or its rows were deleted
  - BadInput            an argument of a GraphQL query is invalid
  - CursorOutdated      the cursor belongs to another list, upload or order
  - LimitExceeded       the query exceeds a limit
    - ResponseTooLarge  the response would exceed the limit of bytes
  - TokenRequired       the request has no valid token
  - NotAllowed          a write request comes from a page of another site
  - TooManyRequests     a rate limit is exceeded; retrying later helps
  - DatabaseBusy        the database is locked or unavailable; retrying helps
  - QueueFull           too many uploads wait for a worker; retrying later helps
  - NoRoom              a disk of the service is full

The errors are independent of HTTP and GraphQL: each API maps ``code`` to a status in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

INTERNAL_ERROR_MESSAGE: Final = "An internal error occurred; it has been logged."


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One invalid cell, line or file.

    Shape: ``line`` counts physical lines from 1; ``column`` is None if the whole line or the whole file is invalid;
    ``reason`` is the phrase of ``reason_code`` with its ``params``.
    """

    line: int
    column: str | None
    value: str
    reason: str
    reason_code: str
    params: Mapping[str, int | str]


class DealsError(Exception):
    """Base class: ``code`` is a stable identifier for programs, ``message`` is one sentence for people."""

    code: ClassVar[str] = "refused"
    #: Seconds after which a retry may succeed; None if retrying does not help.
    retry_after: int | None = None

    def __init__(self, message: str, problems: Sequence[RowProblem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)


class UnreadableUpload(DealsError):
    code = "unreadable_upload"


class UploadHasProblems(DealsError):
    code = "bad_cells"


class UploadTooLarge(DealsError):
    code = "upload_too_large"


class UploadChanged(DealsError):
    code = "upload_changed"

    def __init__(self) -> None:
        super().__init__("The current upload is not the one in If-Match.")


class UploadFinished(DealsError):
    code = "upload_finished"

    def __init__(self) -> None:
        super().__init__("Only an asynchronous upload that has not ended can be cancelled.")


class UploadNotRetained(DealsError):
    code = "upload_not_retained"

    def __init__(self) -> None:
        super().__init__("There is no such upload, or its rows are no longer retained.")


class BadInput(DealsError):
    code = "bad_input"


class CursorOutdated(DealsError):
    code = "cursor_outdated"


class LimitExceeded(DealsError):
    code = "limit_exceeded"


class ResponseTooLarge(LimitExceeded):
    pass


class TokenRequired(DealsError):
    code = "token_required"


class NotAllowed(DealsError):
    code = "not_allowed"


class TooManyRequests(DealsError):
    code = "too_many_requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DatabaseBusy(DealsError):
    code = "database_busy"
    retry_after = 2

    def __init__(self, message: str = "The database is temporarily unavailable; try again later.") -> None:
        super().__init__(message)


class QueueFull(DealsError):
    code = "queue_full"
    retry_after = 30

    def __init__(self) -> None:
        super().__init__("Too many uploads are waiting to be loaded; try again later.")


class NoRoom(DealsError):
    code = "no_room"
    retry_after = 60

    def __init__(self, message: str = "The disk of the service is full.") -> None:
        super().__init__(message)
