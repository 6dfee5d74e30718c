"""The response cache of both APIs.

A cache key contains everything that can change a response: the code, the limits, the snapshot, the canonical query
and the media type. A snapshot never changes, so a cached response is never stale, and a new upload uses new keys.
There is no invalidation that could be missed, be lost with Redis, or race with a read.

A view first calls ``find``, which returns the response to a byte-identical request before anything is parsed. Then it
parses the request and calls ``respond``, which looks for the response in this process and then in Redis, and computes
it if neither has it. While Redis is unavailable, responses are slower, but correct.

Memory of one process: ``local.LOCAL_CACHE_BYTES``, ``document_cache.MAX_BYTES`` for parsed GraphQL documents, and
``persisted_queries.MAX_BYTES`` for automatic persisted queries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from deals_api.caching import shared
from deals_api.caching.conditional import not_modified, set_cache_headers
from deals_api.caching.local import CachedRequest, local_responses
from deals_api.caching.single_flight import SingleFlight
from deals_api.limits import Limits
from deals_api.request_context import get_request_context
from deals_api.snapshots.lease import S, Snapshot, SnapshotGone

#: Frees memory of responses that are no longer requested; correctness does not depend on it.
CACHE_TTL_SECONDS: Final = 24 * 3600
#: Larger responses are not cached, because a few of them would evict all others.
MAX_CACHED_BYTES: Final = 1024 * 1024
#: Computations of one response, if its snapshot is pruned during each of them.
_MAX_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class CacheableQuery:
    """A query in canonical form: its ``parameters``, JSON values, are equal for equivalent requests."""

    api: str
    parameters: Sequence[object]
    media_type: str

    def key(self, snapshot: Snapshot | None) -> str:
        """Return the cache key of the response, which is also its ETag."""
        parts = [_code_and_limits(), _snapshot_name(snapshot), self.api, self.parameters, self.media_type]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ResponseBody:
    """The body of a computed response. A response with errors is not cacheable."""

    content: bytes
    cacheable: bool = True
    status: int = 200


def find(request: HttpRequest, snapshot: Snapshot | None, raw_request: Hashable) -> HttpResponse | None:
    """Return the response to an earlier, byte-identical request if this process has it.

    ``raw_request`` contains every unparsed part of the request that can change the response.
    """
    cached: CachedRequest | None = local_responses.get((_code_and_limits(), _snapshot_name(snapshot), raw_request))
    if cached is None:
        return None
    response: HttpResponse | None = not_modified(request, cached.key)
    if response is None:
        content = local_responses.get(cached.key)
        if content is None:
            return None
        response = set_cache_headers(HttpResponse(content, cached.media_type), cached.key)
    context = get_request_context()
    context.cache, context.operation = "hit", cached.operation
    return response


def respond(
    request: HttpRequest,
    raw_request: Hashable,
    query: CacheableQuery,
    read_snapshot: Callable[[], S | None],
    compute: Callable[[S | None], ResponseBody],
) -> HttpResponse:
    """Return the cached or computed response to a query, or 304 if the client already has it.

    ``compute`` must read only rows of the snapshot in its argument. If ``raw_request`` is not None, ``find`` returns
    the response to later requests.

    Raises: SnapshotGone, if the snapshot was pruned during each computation.
    """
    for _ in range(_MAX_ATTEMPTS):
        snapshot = read_snapshot()
        key = query.key(snapshot)
        if (response := not_modified(request, key)) is not None:
            return response
        try:
            body = get_or_compute(key, partial(_compute_checked, compute, snapshot))
        except SnapshotGone:
            continue
        if not body.cacheable:
            return uncacheable_response(body, query.media_type)
        if raw_request is not None:
            cached = CachedRequest(key, query.media_type, get_request_context().operation)
            local_responses.put((_code_and_limits(), _snapshot_name(snapshot), raw_request), cached, 0)
        return set_cache_headers(HttpResponse(body.content, query.media_type), key)
    raise SnapshotGone


def uncacheable_response(body: ResponseBody, media_type: str) -> HttpResponse:
    """Return a response that no cache may store."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    return HttpResponse(body.content, media_type, body.status, headers=headers)


def get_or_compute(key: str, compute: Callable[[], ResponseBody]) -> ResponseBody:
    """Return the cached body, or compute and cache it; concurrent callers share one computation."""
    context = get_request_context()
    context.cache = "hit"
    if (content := _get(key)) is not None:
        return ResponseBody(content)
    with SingleFlight(key):
        if (content := _get(key)) is not None:
            return ResponseBody(content)
        context.cache = "miss"
        body = compute()
        if body.cacheable and len(body.content) <= MAX_CACHED_BYTES:
            local_responses.put(key, body.content, len(body.content))
            shared.breaker.call(shared.backend.set, key, body.content, CACHE_TTL_SECONDS)
        return body


def _get(key: str) -> bytes | None:
    content: bytes | None = local_responses.get(key)
    if content is None:
        content = shared.breaker.call(shared.backend.get, key)
        if content is not None:
            local_responses.put(key, content, len(content))
    return content


def _compute_checked(compute: Callable[[S | None], ResponseBody], snapshot: S | None) -> ResponseBody:
    body = compute(snapshot)
    if snapshot is not None and not snapshot.is_readable():
        raise SnapshotGone
    return body


def _snapshot_name(snapshot: Snapshot | None) -> str | None:
    return None if snapshot is None else snapshot.cache_name()


def _code_and_limits() -> str:
    """Return a digest of the code and all limits, on which responses depend.

    The other settings (tokens, hosts, GraphiQL) decide whether a request is served at all, and are checked before the
    cache.
    """
    return _digest(settings.DEALS_BUILD, settings.DEALS_LIMITS)


@lru_cache(maxsize=4)
def _digest(build: str, limits: Limits) -> str:
    return hashlib.sha256(json.dumps([build, asdict(limits)]).encode()).hexdigest()
