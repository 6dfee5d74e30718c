"""What the service refuses, in words of the field.

* DealsError
  - UnreadableUpload    no CSV text with the agreed header
  - UploadHasProblems   read, and at least one cell is not what its column holds
  - UploadTooLarge      the file, its rows or its names are over a limit
  - UploadNotRetained       there is no such upload, or its rows are gone
  - BadInput            a question that cannot be understood
  - CursorOutdated      a place in a list that is no longer, or never was, that list
  - LimitExceeded       asked for more than a limit
    - ResponseTooLarge  the response would have more bytes than a limit
  - TokenRequired       closed to whoever holds no token
  - NotAllowed          asked for by a page that has no business here
  - TooManyRequests     asked too often; trying again later helps
  - DatabaseBusy        another upload holds the database; trying again helps
  - NoRoom              a disk of the service is full

Knows neither HTTP nor GraphQL: each face translates ``code`` in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One bad cell of a file.

    Shape: ``line`` counts physical lines from 1; ``column`` is None where the whole line is bad.
    """

    line: int
    column: str | None
    value: str
    reason: str


class DealsError(Exception):
    """A refusal: ``code`` is a stable word for machines, the message one sentence for people."""

    code: ClassVar[str] = "refused"
    #: Seconds after which trying again may help; None where it does not.
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


class NoRoom(DealsError):
    code = "no_room"
    retry_after = 60
