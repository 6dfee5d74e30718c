"""The request header ``Prefer`` (RFC 7240)."""

from __future__ import annotations

from typing import Final
from urllib.request import parse_http_list

#: Values of ``Preference-Applied``.
REPRESENTATION: Final = "return=representation"
RESPOND_ASYNC: Final = "respond-async"


def prefers_representation(prefer: str) -> bool:
    """Return whether the first preference ``return`` is ``representation``; case and parameters are ignored."""
    return _preferences(prefer).get("return") == "representation"


def prefers_async(prefer: str) -> bool:
    """Return whether ``respond-async`` is one of the preferences."""
    return RESPOND_ASYNC in _preferences(prefer)


def _preferences(prefer: str) -> dict[str, str]:
    """Return the value of each preference, the first one if it is repeated."""
    preferences: dict[str, str] = {}
    for preference in parse_http_list(prefer.lower()):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name.strip(), value.strip().strip('"'))
    return preferences
