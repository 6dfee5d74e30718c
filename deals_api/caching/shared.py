"""The cache that all processes share, behind a circuit breaker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from django.core.cache import BaseCache, cache
from django_redis.serializers.base import BaseSerializer
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

#: Django's default cache.
backend: BaseCache = cache


#: How long Redis is left alone after it failed once.
RECOVERY_SECONDS: Final = 5.0


def increment(key: str, seconds: int) -> int | None:
    """One more under a key that lives so long; None while the shared cache is in trouble."""
    if breaker.call(backend.add, key, 0, seconds) is None:
        return None
    try:
        number: int | None = breaker.call(backend.incr, key)
    except ValueError:  # thrown out between the two
        return None
    return number


def is_available() -> bool:
    """Whether the shared cache does; asked at most every ``REST_SECONDS`` while it does not."""
    return bool(breaker.call(ping, otherwise=False))


def ping() -> bool:
    backend.get("ping")
    return True


class CircuitBreaker:
    """Lets calls through to the shared cache, and none for a while after it stopped answering.

    A call that fails while ``probe`` succeeds was rejected for what it carries, such as a value that is too
    large for Redis, so it does not cost the others their cache.
    """

    def __init__(self, probe: Callable[[], object] = ping) -> None:
        self.probe = probe
        self.resting_until = 0.0
        self.failing = False
        self.rejected_once = False

    def call(self, operation: Callable[..., Any], *arguments: Any, otherwise: Any = None) -> Any:
        """What ``operation`` returns, or ``otherwise`` if the cache is in trouble or rejects the call."""
        now = time.monotonic()
        if now < self.resting_until:
            return otherwise
        if self.failing:
            self.resting_until = now + RECOVERY_SECONDS  # the others rest on while this call tries
        try:
            result = operation(*arguments)
        except (RedisError, OSError) as error:
            if not self.failing and self._answers():
                if not self.rejected_once:
                    log.warning("The cache answers, but a call to it failed (logged once by each process): %s", error)
                self.rejected_once = True
                return otherwise
            self.resting_until = time.monotonic() + RECOVERY_SECONDS
            if not self.failing:
                log.warning("The cache does not answer; answers are computed until it does: %s", error)
            self.failing = True
            return otherwise
        if self.failing:
            log.warning("The cache answers again.")
            self.failing, self.resting_until = False, 0.0
        return result

    def _answers(self) -> bool:
        try:
            self.probe()
        except (RedisError, OSError):
            return False
        return True


breaker = CircuitBreaker()


class BytesSerializer(BaseSerializer):  # type: ignore[misc]  # django-redis has no types
    """Values go to Redis as they are: it never holds anything that could be run on loading."""

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, value: bytes) -> bytes:
        return value
