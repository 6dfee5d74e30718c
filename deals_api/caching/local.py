"""Responses cached in the memory of this process."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from deals_api.caching.bounded_cache import BoundedCache

#: Memory for cached responses in each process.
LOCAL_CACHE_BYTES: Final = 16 * 1024 * 1024


class CachedRequest(NamedTuple):
    """The response to a raw request: the key of its body, and its metadata."""

    key: str
    media_type: str
    operation: str


#: Bodies by cache key, so that each body is in memory once, and ``CachedRequest`` by raw request.
local_responses: Final[BoundedCache[Any]] = BoundedCache(LOCAL_CACHE_BYTES)
