"""The one cache-invalidation layer: answers kept under keys that can never mean anything else.

A key is made of the build, the snapshot and the question, and a snapshot never changes, so the
value under a key is right for ever and a new upload simply asks under new keys. Nothing is deleted
for correctness; therefore nothing can be forgotten, lost with a dead Redis, or raced.

Three steps, each as fresh as the last: which snapshot is current (``Lease``), the responses of this
process by raw request (``served``), and responses by canonical question (``respond``, ``remember``),
in this process first, then in Redis if there is one. Knows no model and no face. Redis trouble costs speed only.

Memory of one process: ``LOCAL_BYTES`` here and ``graphql_schema.documents.MAX_BYTES`` for parsed documents.
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

#: Housekeeping only: how long an answer that nobody asks for takes up memory.
CACHE_TTL_SECONDS: Final = 24 * 3600
#: Larger responses are not cached anywhere: a few of them would displace everything else.
MAX_CACHED_BYTES: Final = 1024 * 1024


R = TypeVar("R", bound=HttpResponseBase)


@dataclass(frozen=True, slots=True)
class CachedBody:
    """The bytes of one answer; one with errors in it is not kept."""

    body: bytes
    kept: bool = True
    status: int = 200


# Which snapshot is current


# Ready answers of this process


class CacheableResponse(HttpResponse):
    """An answer that ``served`` may give again; ``snapshot`` names what it was computed from."""

    def __init__(self, body: bytes, media_type: str, key: str, snapshot: str | None) -> None:
        super().__init__(body, content_type=media_type)
        self.ready = CachedRequest(key, media_type, request_context.get_request_context().operation)
        self.snapshot = snapshot
        _set_cache_headers(self, _etag(key))


def get_or_compute_local(
    request: HttpRequest,
    snapshot: Snapshot | None,
    as_it_came: Hashable,
    compute: Callable[[], HttpResponseBase],
) -> HttpResponseBase:
    """The answer to a request that came in exactly this form before, else what ``compute`` makes.

    ``as_it_came`` is everything of the request that an answer may depend on, unparsed.
    """
    ready: CachedRequest | None = local_responses.get((_variant(), _name(snapshot), as_it_came))
    if ready is not None:
        etag = _etag(ready.key)
        body = None
        if (has_it := _etag_matches(request, etag)) or (body := local_responses.get(ready.key)) is not None:
            its = request_context.get_request_context()
            its.cache, its.operation = "hit", ready.operation
            return _set_cache_headers(
                HttpResponseNotModified() if has_it else HttpResponse(body, ready.media_type), etag
            )
    response = compute()
    if isinstance(response, CacheableResponse):
        local_responses.put((_variant(), response.snapshot, as_it_came), response.ready, 0)
    return response


def _name(snapshot: Snapshot | None) -> str | None:
    return None if snapshot is None else snapshot.cache_name()


def _etag(key: str) -> str:
    return f'"{key}"'


def _etag_matches(request: HttpRequest, etag: str) -> bool:
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None or request.method not in ("GET", "HEAD"):
        return False
    theirs = [tag.removeprefix("W/") for tag in parse_etags(header)]
    return etag in theirs or theirs == ["*"]


def conditional(request: HttpRequest, etag: str, make: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """304 for a client that has the answer already, else what ``make`` gives, as one that may be kept."""
    return _set_cache_headers(HttpResponseNotModified() if _etag_matches(request, etag) else make(), etag)


def _set_cache_headers(response: R, etag: str) -> R:
    """Any cache on the way may keep it, and must ask us before each use."""
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    return response


# Answers shared by all processes


def cache_key(snapshot: Snapshot | None, face: str, question: Sequence[object], media_type: str) -> str:
    """The name of one answer; also its ETag.

    ``question`` is the canonical form: whatever JSON can write, equal for questions that mean the same.
    """
    parts = [_variant(), _name(snapshot), face, question, media_type]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _variant() -> str:
    """A digest of what the process itself puts into responses: its code and its limits.

    All limits count, so that a new one cannot be forgotten. The other settings decide whether a request is
    answered at all, and they are checked before the cache: tokens, hosts, rate limits, GraphiQL.
    """
    return _digest(settings.DEALS_BUILD, settings.DEALS_LIMITS)


@lru_cache(maxsize=4)
def _digest(build: str, limits: Limits) -> str:
    return hashlib.sha256(json.dumps([build, asdict(limits)]).encode()).hexdigest()


def cached_response(
    request: HttpRequest,
    find_snapshot: Callable[[], S | None],
    face: str,
    question: Sequence[object],
    media_type: str,
    compute: Callable[[S | None], CachedBody],
) -> HttpResponse:
    """The answer to a question, from the cache or computed, or 304 if the client has it already.

    ``compute`` must read nothing but the rows of the snapshot that it is given.

    Raises: SnapshotGone, when uploads replace each other faster than one can be read.
    """
    for _ in range(3):
        snapshot = find_snapshot()
        key = cache_key(snapshot, face, question, media_type)
        etag = _etag(key)
        if _etag_matches(request, etag):
            return _set_cache_headers(HttpResponseNotModified(), etag)
        try:
            answer = get_or_compute(key, partial(_compute_checked, compute, snapshot))
        except SnapshotGone:
            continue
        if answer.kept:
            return CacheableResponse(answer.body, media_type, key, _name(snapshot))
        return uncacheable_response(answer, media_type)
    raise SnapshotGone


def uncacheable_response(answer: CachedBody, media_type: str) -> HttpResponse:
    """An answer for this one request, which no cache on the way may keep either."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    return HttpResponse(answer.body, media_type, answer.status, headers=headers)


def _compute_checked(compute: Callable[[S | None], CachedBody], snapshot: S | None) -> CachedBody:
    answer = compute(snapshot)
    if snapshot is not None and not snapshot.is_readable():
        raise SnapshotGone
    return answer


def get_or_compute(key: str, compute: Callable[[], CachedBody]) -> CachedBody:
    """The kept answer, or the computed one; at most one computation of it at a time."""
    its = request_context.get_request_context()
    its.cache = "hit"
    if (body := _find(key)) is not None:
        return CachedBody(body)
    with SingleFlight(key):
        if (body := _find(key)) is not None:
            return CachedBody(body)
        its.cache = "miss"
        answer = compute()
        if answer.kept and len(answer.body) <= MAX_CACHED_BYTES:
            local_responses.put(key, answer.body, len(answer.body))
            shared.breaker.call(shared.backend.set, key, answer.body, CACHE_TTL_SECONDS)
        return answer


def _find(key: str) -> bytes | None:
    body: bytes | None = local_responses.get(key)
    if body is None:
        body = shared.breaker.call(shared.backend.get, key)
        if body is not None:
            local_responses.put(key, body, len(body))
    return body
