"""Validation of the names of query parameters and form fields, in REST and GraphQL."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from django.utils.datastructures import MultiValueDict

#: Added by Django's forms, jQuery's cache busting, and links in mails and advertisements.
_IGNORED: Final = frozenset(("csrfmiddlewaretoken", "_", "gclid", "fbclid"))
_IGNORED_PREFIX: Final = "utm_"


def first_error(
    parameters: MultiValueDict[str, Any], known: Container[str], kind: str = "parameter"
) -> tuple[str, str] | None:
    """Return the first unknown or repeated name and an error message, or None."""
    for name, values in parameters.lists():
        if name in known:
            if len(values) > 1:
                return name, f"Duplicate {kind}."
        elif name == "format":
            if any(value != "json" for value in values):
                return name, "The only format is 'json'."
        elif name not in _IGNORED and not name.startswith(_IGNORED_PREFIX):
            return name, f"Unknown {kind} {name!r}."
    return None
