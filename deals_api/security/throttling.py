"""Rate limits, counted for each client network and minute."""

from __future__ import annotations

import ipaddress
import time
from typing import Final

from django.conf import settings

from deals_api.caching.shared import increment
from deals_api.errors import TooManyRequests
from deals_api.security.permissions import Headers
from deals_api.security.rate_counters import RateCounters

#: Login attempts of one client in the admin, successful or not.
LOGINS_PER_MINUTE: Final = 10

#: Documents of automatic persisted queries that one client may add to the cache.
PERSISTED_QUERIES_PER_MINUTE: Final = 60

#: Created before gunicorn forks its workers, so that they share it.
counters: Final = RateCounters()


def count_upload(headers: Headers) -> None:
    """Raises: TooManyRequests."""
    _count("upload", headers, settings.DEALS_LIMITS.uploads_per_minute)


def count_computation(headers: Headers) -> None:
    """Count a response that is not in a cache. Raises: TooManyRequests."""
    _count("computation", headers, settings.DEALS_LIMITS.computations_per_minute)


def count_login(headers: Headers) -> None:
    """Count a login attempt; call this before the password is hashed, which takes 0.25 s. Raises: TooManyRequests."""
    _count("login", headers, LOGINS_PER_MINUTE)


def may_persist_query(headers: Headers) -> bool:
    """Count a document that a client adds to the cache, and return whether the cache may store it.

    Otherwise one client could fill the cache in a moment, and evict the documents of all others.
    """
    try:
        _count("persisted", headers, PERSISTED_QUERIES_PER_MINUTE)
    except TooManyRequests:
        return False
    return True


def _count(scope: str, headers: Headers, limit: int) -> None:
    """Count one request against a limit; 0 means no limit."""
    if not limit:
        return
    now = time.time()
    minute = int(now // 60)
    if _increment(f"{scope}:{client_network(client_ip(headers))}", minute) > limit:
        retry_after = max(1, round((minute + 1) * 60 - now))
        raise TooManyRequests(f"Rate limit exceeded: {limit} per minute.", retry_after)


def client_ip(headers: Headers) -> str:
    """Return the address of the client; behind ``PROXIES`` proxies, the address that the outermost one reports."""
    addresses = [str(headers.get("REMOTE_ADDR", ""))]
    if settings.PROXIES:
        addresses = [*map(str.strip, headers.get("HTTP_X_FORWARDED_FOR", "").split(",")), *addresses]
    return addresses[max(-len(addresses), -settings.PROXIES - 1)]


def client_network(address: str) -> str:
    """Return the network that counts as one client: an IPv4 address or an IPv6 /64; ``address`` may have a port."""
    host = address[1:].partition("]")[0] if address.startswith("[") else address
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))


def _increment(key: str, minute: int) -> int:
    """Count a request, and return the number of requests with this key in this minute.

    Redis counts for all machines, but can evict a count or be unavailable; the count in shared memory cannot be lost.
    Machines whose clocks differ count different minutes, so that each of them may allow the full limit.
    """
    count = counters.add(key, minute)
    if settings.CACHES["default"]["BACKEND"] == "django_redis.cache.RedisCache":
        count = max(count, increment(f"rate:{key}:{minute}", seconds=120) or 0)
    return count
