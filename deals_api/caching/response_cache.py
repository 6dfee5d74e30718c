"""The response cache of both APIs.

A cache key contains everything that can change a response: the code, the limits, the snapshot, the canonical query
and the media type. A snapshot never changes, so a cached response never becomes wrong, and a new upload uses new keys.
Nothing is deleted for correctness, so no invalidation can be missed, lost with Redis or raced.

There are two lookups. ``get_or_compute_local`` finds a byte-identical request before it is parsed. ``cached_response``
finds a query by its canonical form, in this process first and then in Redis. A failing Redis costs only speed.

Memory of one process: ``local.LOCAL_CACHE_BYTES``, and ``document_cache.MAX_BYTES`` for parsed GraphQL documents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Final, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags

from deals_api import request_context
from deals_api.caching import shared
from deals_api.caching.local import CachedRequest, local_responses
from deals_api.caching.single_flight import SingleFlight
from deals_api.limits import Limits
from deals_api.snapshots.lease import S, Snapshot, SnapshotGone

#: Frees the memory of responses that are no longer requested; correctness does not depend on it.
CACHE_TTL_SECONDS: Final = 24 * 3600
#: Larger responses are not cached, because a few of them would displace all others.
MAX_CACHED_BYTES: Final = 1024 * 1024


R = TypeVar("R", bound=HttpResponseBase)


@dataclass(frozen=True, slots=True)
class CachedBody:
    """The body of a response. Responses with errors are not cacheable."""

    body: bytes
    kept: bool = True
    status: int = 200


# Lookup by raw request


class CacheableResponse(HttpResponse):
    """A response that ``get_or_compute_local`` may reuse; ``snapshot`` names the snapshot it was computed from."""

    def __init__(self, body: bytes, media_type: str, key: str, snapshot: str | None) -> None:
        super().__init__(body, content_type=media_type)
        self.ready = CachedRequest(key, media_type, request_context.get_request_context().operation)
        self.snapshot = snapshot
        _set_cache_headers(self, _etag(key))


def get_or_compute_local(
    request: HttpRequest,
    snapshot: Snapshot | None,
    raw_request: Hashable,
    compute: Callable[[], HttpResponseBase],
) -> HttpResponseBase:
    """Return the cached response to a byte-identical request, or call ``compute``.

    ``raw_request`` is every unparsed part of the request that the response may depend on.
    """
    cached: CachedRequest | None = local_responses.get((_variant(), _name(snapshot), raw_request))
    if cached is not None:
        etag = _etag(cached.key)
        body = None
        if (not_modified := _etag_matches(request, etag)) or (body := local_responses.get(cached.key)) is not None:
            context = request_context.get_request_context()
            context.cache, context.operation = "hit", cached.operation
            return _set_cache_headers(
                HttpResponseNotModified() if not_modified else HttpResponse(body, cached.media_type), etag
            )
    response = compute()
    if isinstance(response, CacheableResponse):
        local_responses.put((_variant(), response.snapshot, raw_request), response.ready, 0)
    return response


def _name(snapshot: Snapshot | None) -> str | None:
    return None if snapshot is None else snapshot.cache_name()


def _etag(key: str) -> str:
    return f'"{key}"'


def _etag_matches(request: HttpRequest, etag: str) -> bool:
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None or request.method not in ("GET", "HEAD"):
        return False
    etags = [tag.removeprefix("W/") for tag in parse_etags(header)]
    return etag in etags or etags == ["*"]


def conditional(request: HttpRequest, etag: str, make: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Return 304 if the client has this version, else the response of ``make`` with cache headers."""
    return _set_cache_headers(HttpResponseNotModified() if _etag_matches(request, etag) else make(), etag)


def _set_cache_headers(response: R, etag: str) -> R:
    """Let HTTP caches store the response, and revalidate it before each use."""
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    return response


# Lookup by canonical query


def cache_key(snapshot: Snapshot | None, api: str, query: Sequence[object], media_type: str) -> str:
    """Return the key of a response, which is also its ETag.

    ``query`` is the canonical form: JSON values that are equal for equivalent queries.
    """
    parts = [_variant(), _name(snapshot), api, query, media_type]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _variant() -> str:
    """Return a digest of the process's own influence on responses: its code and its limits.

    All limits are included, so that a new one cannot be forgotten. The other settings (tokens, hosts, rate limits,
    GraphiQL) decide whether a request is served at all, and are checked before the cache.
    """
    return _digest(settings.DEALS_BUILD, settings.DEALS_LIMITS)


@lru_cache(maxsize=4)
def _digest(build: str, limits: Limits) -> str:
    return hashlib.sha256(json.dumps([build, asdict(limits)]).encode()).hexdigest()


def cached_response(
    request: HttpRequest,
    find_snapshot: Callable[[], S | None],
    api: str,
    query: Sequence[object],
    media_type: str,
    compute: Callable[[S | None], CachedBody],
) -> HttpResponse:
    """Return the cached or computed response to a query, or 304 if the client has this version.

    ``compute`` must read only rows of the snapshot that it is given.

    Raises: SnapshotGone, if uploads replace each other faster than one can be read.
    """
    for _ in range(3):
        snapshot = find_snapshot()
        key = cache_key(snapshot, api, query, media_type)
        etag = _etag(key)
        if _etag_matches(request, etag):
            return _set_cache_headers(HttpResponseNotModified(), etag)
        try:
            result = get_or_compute(key, partial(_compute_checked, compute, snapshot))
        except SnapshotGone:
            continue
        if result.kept:
            return CacheableResponse(result.body, media_type, key, _name(snapshot))
        return uncacheable_response(result, media_type)
    raise SnapshotGone


def uncacheable_response(result: CachedBody, media_type: str) -> HttpResponse:
    """Return a response that no cache may store."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    return HttpResponse(result.body, media_type, result.status, headers=headers)


def _compute_checked(compute: Callable[[S | None], CachedBody], snapshot: S | None) -> CachedBody:
    result = compute(snapshot)
    if snapshot is not None and not snapshot.is_readable():
        raise SnapshotGone
    return result


def get_or_compute(key: str, compute: Callable[[], CachedBody]) -> CachedBody:
    """Return the cached body, or compute and cache it; concurrent callers share one computation."""
    context = request_context.get_request_context()
    context.cache = "hit"
    if (body := _find(key)) is not None:
        return CachedBody(body)
    with SingleFlight(key):
        if (body := _find(key)) is not None:
            return CachedBody(body)
        context.cache = "miss"
        result = compute()
        if result.kept and len(result.body) <= MAX_CACHED_BYTES:
            local_responses.put(key, result.body, len(result.body))
            shared.breaker.call(shared.backend.set, key, result.body, CACHE_TTL_SECONDS)
        return result


def _find(key: str) -> bytes | None:
    body: bytes | None = local_responses.get(key)
    if body is None:
        body = shared.breaker.call(shared.backend.get, key)
        if body is not None:
            local_responses.put(key, body, len(body))
    return body
