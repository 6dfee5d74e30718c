"""The lease on the current snapshot, the announcement of its change, and why no read is stale.

A request must not read the pointer to the current snapshot from the database each time: that cost two thirds of the
throughput. It must not return data of the previous snapshot either, once an upload has been confirmed to its client.
The protocol:

1. A reader reads, in one statement, the current snapshot and whether a change of it is announced. If no change is
   announced, it may use the snapshot for ``LEASE_TTL_SECONDS`` from the start of the read: it has a *lease*. If a
   change is announced, it may use the snapshot for the present request only.
2. A writer first commits the announcement of the change, then waits for ``LEASE_TTL_SECONDS``, then changes the
   pointer. The committed row of a LOADING upload announces that upload; ``CurrentUpload.announced`` announces a
   roll-back.

Hence no lease is valid when the pointer changes: a lease from before the announcement has expired during the wait,
and after the announcement no lease is given. If the announcement is cleared before the change, for example by the
sweep of interrupted uploads, the writer notices this in the transaction of the change and starts again.

Reader and writer measure the time with their own clocks, and each clock may be wrong in one direction only. The
reader's clock must not count too little, so it also counts while the machine is suspended. The writer's clock must
not count too much; if its machine is suspended, it waits longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

LEASE_TTL_SECONDS: Final = 0.05

#: A clock that also counts while the machine is suspended: CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS.
#: ``time.monotonic`` does not count then.
_LEASE_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: A writer waits longer than a lease by this factor, because two clocks may run at slightly different rates.
_CLOCK_MARGIN: Final = 1.1

#: Interval of the checks whether the process that announced a change is still running.
ANNOUNCEMENT_CHECK_SECONDS: Final = 2.0


class Snapshot(Protocol):
    """The part of an upload that the cache uses."""

    def cache_name(self) -> str:
        """Return a name that no other snapshot ever has."""
        ...

    def is_readable(self) -> bool: ...


S = TypeVar("S", bound=Snapshot)


class SnapshotGone(Exception):
    """The upload was pruned while its rows were being read; retry with the current one."""


class Lease(Generic[S]):
    """The reader: a call returns the current snapshot, or None before the first upload.

    ``read`` returns the current snapshot and whether a change of it is announced. While a change stays announced,
    ``check_announcement`` is called every ``ANNOUNCEMENT_CHECK_SECONDS``, because the process that announced it may
    have been killed. The callback must neither block nor fail.
    """

    def __init__(
        self, read: Callable[[], tuple[S | None, bool]], check_announcement: Callable[[], None] = lambda: None
    ) -> None:
        self._read = read
        self._check_announcement = check_announcement
        self._held: tuple[S | None, float] = (None, 0.0)
        self._next_check: float | None = None

    def __call__(self) -> S | None:
        now = time.clock_gettime(_LEASE_CLOCK)
        snapshot, expires = self._held
        if now < expires:
            return snapshot
        snapshot, change_announced = self._read()
        if not change_announced:
            self._held = (snapshot, now + LEASE_TTL_SECONDS)
            self._next_check = None
        elif self._next_check is None:
            self._next_check = now + ANNOUNCEMENT_CHECK_SECONDS
        elif now >= self._next_check:
            self._next_check = now + ANNOUNCEMENT_CHECK_SECONDS
            self._check_announcement()
        return snapshot

    def invalidate(self) -> None:
        """Read the pointer again in the next call."""
        self._held, self._next_check = (None, 0.0), None


class PointerChangeIntent:
    """The writer: a change of the pointer. Create it after the announcement has been committed."""

    def __init__(self) -> None:
        self.announced_at = time.monotonic()

    def wait(self) -> None:
        """Wait until every lease from before the announcement has expired."""
        time.sleep(max(0.0, self.announced_at + LEASE_TTL_SECONDS * _CLOCK_MARGIN - time.monotonic()))
