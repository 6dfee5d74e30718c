"""Names of query parameters and form fields: unknown ones are rejected, in REST and in GraphQL alike."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from django.utils.datastructures import MultiValueDict

#: Clients add these without being asked: Django's forms, jQuery's cache buster, links in mails and advertisements.
_IGNORED: Final = frozenset(("csrfmiddlewaretoken", "_", "gclid", "fbclid"))
_IGNORED_PREFIX: Final = "utm_"


def first_error(
    parameters: MultiValueDict[str, Any], known: Container[str], kind: str = "parameter"
) -> tuple[str, str] | None:
    """The first name that is unknown or repeated, with a sentence that says so."""
    for name, values in parameters.lists():
        if name in known:
            if len(values) > 1:
                return name, "Give it once."
        elif name == "format":
            if any(value != "json" for value in values):
                return name, "The only format is 'json'."
        elif name not in _IGNORED and not name.startswith(_IGNORED_PREFIX):
            return name, f"There is no {kind} {name!r}."
    return None
