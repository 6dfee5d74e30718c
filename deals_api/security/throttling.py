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

#: Login attempts of one client at the admin, successful or not.
LOGINS_PER_MINUTE: Final = 10
_WINDOW_SECONDS: Final = 60

#: Created before gunicorn forks its workers, so that they share it.
counters: Final = RateCounters()


def count_upload(headers: Headers) -> None:
    """Raises: TooManyRequests."""
    _count("upload", headers, settings.DEALS_LIMITS.uploads_per_minute)


def count_computation(headers: Headers) -> None:
    """Count a response that is not in a cache. Raises: TooManyRequests."""
    _count("computation", headers, settings.DEALS_LIMITS.computations_per_minute)


def count_login(headers: Headers) -> None:
    """Call this before the password is hashed, which takes 0.25 s. Raises: TooManyRequests."""
    _count("login", headers, LOGINS_PER_MINUTE)


def _count(scope: str, headers: Headers, limit: int) -> None:
    """Count one request against a limit; 0 means no limit."""
    if not limit:
        return
    now = time.time()
    window = int(now // _WINDOW_SECONDS)
    if _increment(f"{scope}:{client_network(client_ip(headers))}", window) > limit:
        retry_after = max(1, round((window + 1) * _WINDOW_SECONDS - now))
        raise TooManyRequests(f"Rate limit exceeded: {limit} per minute.", retry_after)


def client_ip(headers: Headers) -> str:
    """Return the address of the client; behind ``PROXIES`` proxies, the address that the outermost one reports."""
    addresses = [str(headers.get("REMOTE_ADDR", ""))]
    if settings.PROXIES:
        addresses = [*map(str.strip, headers.get("HTTP_X_FORWARDED_FOR", "").split(",")), *addresses]
    return addresses[max(-len(addresses), -settings.PROXIES - 1)]


def client_network(address: str) -> str:
    """Return the network that is counted as one client: an IPv4 address or an IPv6 /64, without a port."""
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
    """Return the number of requests under a key in this minute, including this one.

    Redis counts for all machines, but can evict a count or be unavailable; the count in shared memory cannot be lost.
    Machines with different clocks count in different minutes: together they allow up to the limit of each.
    """
    count = counters.add(key, minute)
    if settings.CACHES["default"]["BACKEND"] == "django_redis.cache.RedisCache":
        count = max(count, increment(f"rate:{key}:{minute}", 2 * _WINDOW_SECONDS) or 0)
    return count
