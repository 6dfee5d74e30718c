"""Who may read and write, from where, and how often: one rule for every face.

Uploading is open by default. Even then no web page may write through the browser of somebody who can
reach the service: a browser says which page asks (``Origin``, ``Sec-Fetch-Site``), programs do not.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

from deals_api import cache, notes
from deals_api.errors import NotAllowed, TokenRequired, TooManyRequests
from deals_api.rate_counters import RateCounters
from deals_api.tokens import holder_of

_MINUTE: Final = 60
#: Tries of one address to log in to the admin, right ones and wrong ones.
LOGINS_PER_MINUTE: Final = 10

#: A request's headers and addresses, as WSGI names them.
Headers = Mapping[str, Any]


# Who may


def must_be_allowed_to_read(headers: Headers) -> None:
    """Raises: TokenRequired."""
    if settings.READ_REQUIRES_TOKEN and not token_holder(headers):
        raise TokenRequired("Reading needs a token: Authorization: Bearer <token>.")


def must_be_allowed_to_write(headers: Headers) -> str:
    """Return the holder of the request's token; empty where no tokens are configured.

    Raises: TokenRequired, NotAllowed.
    """
    if settings.API_TOKENS:
        if not (holder := token_holder(headers)):
            raise TokenRequired("Changing the data needs a token: Authorization: Bearer <token>.")
        return holder  # a page of another site does not have the token
    if not _asked_by_us_or_a_program(headers):
        raise NotAllowed("A page of another site asks for this; the service takes changes from its own pages only.")
    return ""


def token_holder(headers: Headers) -> str:
    """Return the holder of the request's token and record it for the log; empty without a valid token."""
    holder = holder_of(headers.get("HTTP_AUTHORIZATION", ""), settings.API_TOKENS) or ""
    if holder:
        notes.current().user = holder
    return holder


def _asked_by_us_or_a_program(headers: Headers) -> bool:
    origin = headers.get("HTTP_ORIGIN")
    if origin is None:
        return headers.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
    return origin in settings.CORS_ALLOWED_ORIGINS or origin.partition("://")[2] == headers.get("HTTP_HOST")


# How often


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
    window = int(now // _MINUTE)
    if _number(f"{what}:{network_of(client_of(headers))}", window) > most:
        wait = max(1, round((window + 1) * _MINUTE - now))
        raise TooManyRequests(f"There may be {most} of these a minute; try again in {wait} s.", wait)


def client_of(headers: Headers) -> str:
    """The address that asks; behind ``PROXIES`` proxies, the one that the first of them saw."""
    seen = [str(headers.get("REMOTE_ADDR", ""))]
    if settings.PROXIES:
        seen = [*map(str.strip, headers.get("HTTP_X_FORWARDED_FOR", "").split(",")), *seen]
    return seen[max(-len(seen), -settings.PROXIES - 1)]


def network_of(address: str) -> str:
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


def _number(key: str, minute: int) -> int:
    """Requests under a key in this minute, this one included.

    Redis counts for all machines, but may evict a count or be away; this machine's own count cannot be lost. Machines
    whose clocks differ count in different minutes: together they then allow up to the limit of each.
    """
    number = counters.add(key, minute)
    if settings.CACHES["default"]["BACKEND"] == "django_redis.cache.RedisCache":
        number = max(number, cache.increment(f"rate:{key}:{minute}", 2 * _MINUTE) or 0)
    return number
