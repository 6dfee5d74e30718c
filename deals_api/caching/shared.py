"""The cache that all processes share, behind a circuit breaker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from django.core.cache import BaseCache, cache
from django_redis.serializers.base import BaseSerializer

log = logging.getLogger(__name__)

#: Django's default cache.
backend: BaseCache = cache

#: Time after a failure during which Redis is not called.
RECOVERY_SECONDS: Final = 5.0


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of an unavailable cache. Redis is imported only if a call fails or REDIS_URL is set."""
    from redis.exceptions import RedisError

    return RedisError, OSError


def increment(key: str, seconds: int) -> int | None:
    """Add 1 to a counter that expires after ``seconds``; return its value, or None while the cache is unavailable."""
    if breaker.call(backend.add, key, 0, seconds) is None:
        return None
    try:
        count: int | None = breaker.call(backend.incr, key)
    except ValueError:  # evicted between the two calls
        return None
    return count


def is_available() -> bool:
    """Return whether the shared cache responds; during a failure it is called once in ``RECOVERY_SECONDS``."""
    return bool(breaker.call(ping, default=False))


def ping() -> bool:
    backend.get("ping")
    return True


class CircuitBreaker:
    """Stop calling the shared cache for ``RECOVERY_SECONDS`` after it has failed.

    If a call fails and ``probe`` succeeds, Redis rejected only this call, for example because the value is too large,
    and the circuit stays closed.
    """

    def __init__(self, probe: Callable[[], object] = ping) -> None:
        self.probe = probe
        self.open_until = 0.0
        self.failing = False
        self.rejection_logged = False

    def call(self, operation: Callable[..., Any], *arguments: Any, default: Any = None) -> Any:
        """Return the result of ``operation``, or ``default`` if the cache is unavailable or rejects the call."""
        now = time.monotonic()
        if now < self.open_until:
            return default
        if self.failing:
            self.open_until = now + RECOVERY_SECONDS  # only this thread tries again; the others return the default
        try:
            result = operation(*arguments)
        except failures() as error:
            if not self.failing and self._is_reachable():
                if not self.rejection_logged:
                    log.warning("The shared cache rejected a call (logged once by each process): %s", error)
                self.rejection_logged = True
                return default
            self.open_until = time.monotonic() + RECOVERY_SECONDS
            if not self.failing:
                log.warning("The shared cache is unavailable; responses are computed until it is available: %s", error)
            self.failing = True
            return default
        if self.failing:
            log.warning("The shared cache is available again.")
            self.failing, self.open_until = False, 0.0
        return result

    def _is_reachable(self) -> bool:
        try:
            self.probe()
        except failures():
            return False
        return True


breaker = CircuitBreaker()


class BytesSerializer(BaseSerializer):  # type: ignore[misc]  # django-redis has no types
    """Store bytes unchanged, so that loading a value never executes code, as unpickling would."""

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, value: bytes) -> bytes:
        return value
