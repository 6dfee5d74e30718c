"""Comparison of names by code point: normalization, case folding and prefixes, the same on every database."""

from __future__ import annotations

import unicodedata
from typing import Final

_LAST_BEFORE_SURROGATES: Final = "\ud7ff"
_FIRST_AFTER_SURROGATES: Final = "\ue000"
_GREATEST: Final = "\U0010ffff"


def clean_name(name: str) -> str:
    """Normalize a name like stored names, except for surrounding whitespace.

    NUL is replaced by a character that no stored name contains, because PostgreSQL rejects NUL in parameters.
    """
    return unicodedata.normalize("NFC", name).replace("\0", "\1")


def fold_name(name: str) -> str:
    """Return the form in which names are compared if their case is ignored, without locale: ``ß`` becomes ``ss``."""
    return unicodedata.normalize("NFC", clean_name(name).casefold())


def prefix_successor(prefix: str) -> str | None:
    """Return the least text that is greater than every text with this prefix; None if there is none."""
    stem = prefix.rstrip(_GREATEST)
    if not stem:
        return None
    last = stem[-1]
    successor = _FIRST_AFTER_SURROGATES if last == _LAST_BEFORE_SURROGATES else chr(ord(last) + 1)
    return stem[:-1] + successor
