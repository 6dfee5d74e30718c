"""Single flight: concurrent requests for a response share one computation."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any, Final

from deals_api.caching import shared

#: Longest wait for another thread or process that computes the same response.
SINGLE_FLIGHT_WAIT_SECONDS: Final = 2.0


class SingleFlight:
    """A lock by cache key, first among the threads of this process, then among processes that share the cache.

    After the timeout the waiting caller computes too; the worst case is duplicate work.
    """

    _locks: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
    _guard = threading.Lock()

    def __init__(self, key: str) -> None:
        self.key = key
        self.lock_key = f"{key}:computing"

    def __enter__(self) -> None:
        with self._guard:
            self.lock = self._locks.setdefault(self.key, threading.Lock())
        self.has_lock = self.lock.acquire(timeout=SINGLE_FLIGHT_WAIT_SECONDS)
        self.has_shared_lock = False
        deadline, pause = time.monotonic() + SINGLE_FLIGHT_WAIT_SECONDS, 0.005
        while time.monotonic() < deadline:
            added = shared.breaker.call(shared.backend.add, self.lock_key, b"1", SINGLE_FLIGHT_WAIT_SECONDS)
            self.has_shared_lock = bool(added)
            if added is not False or shared.breaker.call(shared.backend.has_key, self.key, default=True):
                return  # locked, the cache is unavailable, or it has the response
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def __exit__(self, *_: object) -> None:
        if self.has_shared_lock:
            shared.breaker.call(shared.backend.delete, self.lock_key)
        if self.has_lock:
            self.lock.release()
