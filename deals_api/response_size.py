"""The limit on the size of one response, checked while the response is built."""

from __future__ import annotations

from django.conf import settings

from deals_api.errors import ResponseTooLarge


def check_response_size(size: int) -> None:
    """Raises: ResponseTooLarge, if ``size`` in bytes exceeds ``MAX_RESPONSE_BYTES``."""
    limit = settings.DEALS_LIMITS.max_response_bytes
    if size > limit:
        raise response_too_large(limit)


def response_too_large(limit: int) -> ResponseTooLarge:
    return ResponseTooLarge(f"The response is over {limit:,} bytes; request less, or download an export.")


def utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
