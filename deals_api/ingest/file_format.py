"""The format of a file, as it was detected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What was detected in a file.

    ``decimal_separator`` and ``date_format`` are empty if unknown; several forms in one file are separated by spaces.
    """

    encoding: str
    delimiter: str
    decimal_separator: str
    date_format: str
