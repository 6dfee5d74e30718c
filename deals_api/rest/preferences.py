"""The request header ``Prefer`` (RFC 7240)."""

from __future__ import annotations

from typing import Final
from urllib.request import parse_http_list

#: Value of ``Preference-Applied``.
REPRESENTATION: Final = "return=representation"


def prefers_representation(prefer: str) -> bool:
    """Return whether the first preference ``return`` is ``representation``; case and parameters are ignored."""
    for preference in parse_http_list(prefer.lower()):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip() == "return":
            return value.strip().strip('"') == "representation"
    return False
