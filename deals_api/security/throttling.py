"""Rate limits, counted for each client network."""

from __future__ import annotations

import ipaddress
import time
from typing import Final

from django.conf import settings

from deals_api.caching.shared import increment
from deals_api.errors import TooManyRequests
from deals_api.security.permissions import Headers
from deals_api.security.rate_counters import RateCounters

_WINDOW_SECONDS: Final = 60


#: Tries of one address to log in to the admin, right ones and wrong ones.
LOGINS_PER_MINUTE: Final = 10


def count_upload(headers: Headers) -> None:
    """Raises: TooManyRequests."""
    _count("upload", headers, settings.DEALS_LIMITS.uploads_per_minute)


def count_computation(headers: Headers) -> None:
    """For an answer that no cache had. Raises: TooManyRequests."""
    _count("computation", headers, settings.DEALS_LIMITS.computations_per_minute)


def count_login(headers: Headers) -> None:
    """Before a password is looked at, which takes a quarter of a second. Raises: TooManyRequests."""
    _count("login", headers, LOGINS_PER_MINUTE)


def _count(what: str, headers: Headers, most: int) -> None:
    if not most:
        return
    now = time.time()
    window = int(now // _WINDOW_SECONDS)
    if _increment(f"{what}:{client_network(client_ip(headers))}", window) > most:
        wait = max(1, round((window + 1) * _WINDOW_SECONDS - now))
        raise TooManyRequests(f"There may be {most} of these a minute; try again in {wait} s.", wait)


def client_ip(headers: Headers) -> str:
    """The address that asks; behind ``PROXIES`` proxies, the one that the first of them saw."""
    seen = [str(headers.get("REMOTE_ADDR", ""))]
    if settings.PROXIES:
        seen = [*map(str.strip, headers.get("HTTP_X_FORWARDED_FOR", "").split(",")), *seen]
    return seen[max(-len(seen), -settings.PROXIES - 1)]


def client_network(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the /64 of an IPv6 address; without a port."""
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


#: Made before gunicorn forks its workers, which therefore share them.
counters: Final = RateCounters()


def _increment(key: str, minute: int) -> int:
    """Requests under a key in this minute, this one included.

    Redis counts for all machines, but may evict a count or be away; this machine's own count cannot be lost. Machines
    whose clocks differ count in different minutes: together they then allow up to the limit of each.
    """
    number = counters.add(key, minute)
    if settings.CACHES["default"]["BACKEND"] == "django_redis.cache.RedisCache":
        number = max(number, increment(f"rate:{key}:{minute}", 2 * _WINDOW_SECONDS) or 0)
    return number
