"""The lease on the current snapshot, the announcement of its change, and why no read is stale.

Reading the pointer to the current snapshot from the database in each request cost two thirds of the throughput. Once
an upload has been confirmed to its client, however, no response may contain data of the previous snapshot.
The protocol:

1. A reader reads, in one statement, the current snapshot and whether a change of the pointer is announced. If no
   change is announced, the reader may use the snapshot for ``LEASE_TTL_SECONDS`` from the start of the read: it has a
   *lease*. If a change is announced, the reader may use the snapshot for this request only.
2. A writer first commits the announcement of the change, then waits for ``LEASE_TTL_SECONDS``, then changes the
   pointer. The committed row of a LOADING upload announces that upload, and ``CurrentUpload.rollback_announcement``
   a roll-back.

Hence no lease is valid when the pointer changes: leases from before the announcement expire during the wait, and
after the announcement no reader gets a lease. If the announcement is cleared before the change, for example by the
sweep of interrupted uploads, the writer detects this in the transaction of the change and starts again.

Reader and writer measure time with their own clocks. The reader's clock must not run slow, so it includes the time
while the machine is suspended. The writer's clock must not run fast; it may stop while its machine is suspended,
because the writer then only waits longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

LEASE_TTL_SECONDS: Final = 0.05

#: A clock that includes the time while the machine is suspended, unlike ``time.monotonic``: CLOCK_BOOTTIME on Linux,
#: CLOCK_MONOTONIC on macOS.
_LEASE_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: A writer waits longer than a lease by this factor, because two clocks may run at slightly different rates.
_CLOCK_MARGIN: Final = 1.1

#: Interval at which readers check whether the process that announced a change still runs.
ANNOUNCEMENT_CHECK_SECONDS: Final = 2.0


class Snapshot(Protocol):
    """The part of an upload that the cache uses."""

    def cache_name(self) -> str:
        """Return a name that no other snapshot ever has."""
        ...

    def is_readable(self) -> bool: ...


S = TypeVar("S", bound=Snapshot)


class SnapshotGone(Exception):
    """The upload was pruned while its rows were read; a retry with the current upload may succeed."""


class Lease(Generic[S]):
    """The reader: a call returns the current snapshot, or None before the first upload.

    ``read`` returns the current snapshot and whether a change of the pointer is announced. When a lease has expired,
    one thread reads the pointer. The others wait for its lease, at most ``LEASE_TTL_SECONDS``; without a lease, because
    the read is slow or failed, each reads the pointer itself. So do all threads while a change is announced. Meanwhile,
    ``check_announcement`` is called every ``ANNOUNCEMENT_CHECK_SECONDS``, because the process that announced the change
    may have been killed. The callback must neither block nor fail.
    """

    def __init__(
        self, read: Callable[[], tuple[S | None, bool]], check_announcement: Callable[[], None] = lambda: None
    ) -> None:
        self._read = read
        self._check_announcement = check_announcement
        self._snapshot_and_expiry: tuple[S | None, float] = (None, 0.0)
        #: Not None while a change is announced.
        self._next_check: float | None = None
        self._renewal = threading.Lock()

    def __call__(self) -> S | None:
        snapshot, expiry = self._snapshot_and_expiry
        if time.clock_gettime(_LEASE_CLOCK) < expiry:
            return snapshot
        if self._next_check is not None:
            return self._read_pointer()
        if self._renewal.acquire(blocking=False):
            try:
                return self._read_pointer()
            finally:
                self._renewal.release()
        if self._renewal.acquire(timeout=LEASE_TTL_SECONDS):
            self._renewal.release()
        snapshot, expiry = self._snapshot_and_expiry
        return snapshot if time.clock_gettime(_LEASE_CLOCK) < expiry else self._read_pointer()

    def _read_pointer(self) -> S | None:
        now = time.clock_gettime(_LEASE_CLOCK)
        snapshot, change_announced = self._read()
        if not change_announced:
            self._snapshot_and_expiry = (snapshot, now + LEASE_TTL_SECONDS)
            self._next_check = None
        elif self._next_check is None:
            self._next_check = now + ANNOUNCEMENT_CHECK_SECONDS
        elif now >= self._next_check:
            self._next_check = now + ANNOUNCEMENT_CHECK_SECONDS
            self._check_announcement()
        return snapshot

    def invalidate(self) -> None:
        """Let the next call read the pointer again."""
        self._snapshot_and_expiry, self._next_check = (None, 0.0), None


class PointerChangeIntent:
    """The writer: a change of the pointer. Create the intent after the announcement has been committed."""

    def __init__(self) -> None:
        self.announced_at = time.monotonic()

    def wait(self) -> None:
        """Wait until all leases from before the announcement have expired."""
        time.sleep(max(0.0, self.announced_at + LEASE_TTL_SECONDS * _CLOCK_MARGIN - time.monotonic()))
