"""Conditional requests: the ETag of a response, and 304 if the client already has it."""

from __future__ import annotations

from typing import TypeVar

from django.http import HttpRequest, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags

R = TypeVar("R", bound=HttpResponseBase)


def not_modified(request: HttpRequest, key: str) -> HttpResponseNotModified | None:
    """Return 304 if the client already has the response with this cache key, otherwise None."""
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None or request.method not in ("GET", "HEAD"):
        return None
    return set_cache_headers(HttpResponseNotModified(), key) if matches(header, key) else None


def matches(header: str, key: str) -> bool:
    """Return whether ``If-Match`` or ``If-None-Match`` contains the ETag of a cache key, weak or strong, or is ``*``.

    Proxies that compress a response make its ETag weak.
    """
    etags = [tag.removeprefix("W/") for tag in parse_etags(header)]
    return _etag(key) in etags or etags == ["*"]


def set_cache_headers(response: R, key: str) -> R:
    """Let HTTP caches store the response, and revalidate it before each use."""
    response.headers["ETag"] = _etag(key)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    return response


def _etag(key: str) -> str:
    return f'"{key}"'
