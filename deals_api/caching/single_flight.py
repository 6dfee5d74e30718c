"""Single flight: one computation of a response at a time."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any, Final

from deals_api.caching import shared

#: How long a reader waits for another's computation of the same answer before it computes it too.
SINGLE_FLIGHT_WAIT_SECONDS: Final = 2.0


class SingleFlight:
    """First among the threads of this process, then among the processes that share the cache.

    Waiting is bounded: who has waited long enough goes ahead, and only work is done twice.
    """

    _locks: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
    _guard = threading.Lock()

    def __init__(self, key: str) -> None:
        self.key = key
        self.flag = f"{key}:computing"

    def __enter__(self) -> None:
        with self._guard:
            self.lock = self._locks.setdefault(self.key, threading.Lock())
        self.locked = self.lock.acquire(timeout=SINGLE_FLIGHT_WAIT_SECONDS)
        self.flagged = False
        until, pause = time.monotonic() + SINGLE_FLIGHT_WAIT_SECONDS, 0.005
        while time.monotonic() < until:
            added = shared.breaker.call(shared.backend.add, self.flag, b"1", SINGLE_FLIGHT_WAIT_SECONDS)
            self.flagged = bool(added)
            if added is not False or shared.breaker.call(shared.backend.has_key, self.key, otherwise=True):
                return  # the turn is ours, Redis takes no flag, or the answer is there
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def __exit__(self, *_: object) -> None:
        if self.flagged:
            shared.breaker.call(shared.backend.delete, self.flag)
        if self.locked:
            self.lock.release()
