"""Content negotiation between the two media types of GraphQL responses."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from graphql_schema.http.errors import RequestError

GRAPHQL_RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"

_QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@lru_cache
def negotiate_media_type(accept: str) -> str:
    """Return the media type that an Accept header prefers.

    JSON wins a tie unless the header names the newer type, because older clients may not support it.

    Raises: RequestError if the header excludes both.
    """
    qualities = _parse_accept(accept)
    json_quality, graphql_quality = _quality(JSON, qualities), _quality(GRAPHQL_RESPONSE, qualities)
    if json_quality == graphql_quality == 0:
        raise RequestError(406, f"Responses are available as {GRAPHQL_RESPONSE} or {JSON}.")
    if json_quality == graphql_quality:
        return GRAPHQL_RESPONSE if GRAPHQL_RESPONSE in qualities else JSON
    return GRAPHQL_RESPONSE if graphql_quality > json_quality else JSON


def _parse_accept(accept: str) -> dict[str, float]:
    """Return the quality of each media range. Other parameters are ignored; an empty header accepts everything."""
    if not accept.strip():
        return {"*/*": 1.0}
    qualities: dict[str, float] = {}
    for item in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in item.split(";"))
        given = next((parameter.removeprefix("q=") for parameter in parameters if parameter.startswith("q=")), "1")
        quality = float(given) if _QUALITY.fullmatch(given) else 0.0
        qualities[media_range] = max(quality, qualities.get(media_range, 0.0))
    return qualities


def _quality(media_type: str, qualities: dict[str, float]) -> float:
    """Return the quality of the most specific media range that matches."""
    return next((qualities[name] for name in (media_type, "application/*", "*/*") if name in qualities), 0.0)
