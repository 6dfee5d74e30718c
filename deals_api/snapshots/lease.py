"""The leased pointer: the current snapshot without a database read in each request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

#: Time for which a process may use the pointer that it has read; see ``Lease``.
LEASE_TTL_SECONDS: Final = 0.05


#: A clock that also counts while the machine is suspended: CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS.
#: ``time.monotonic`` does not count then.
_LEASE_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


#: Interval of the checks of a change that stays announced.
ANNOUNCED_SECONDS: Final = 2.0


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
    """The current snapshot, never stale, without a database read in each request.

    Why no read is stale: ``read`` returns, in one statement, the current snapshot and whether a change of it is
    announced. If no change is announced, the result may be used for ``LEASE_TTL_SECONDS`` from the start of the read.
    A process that changes the pointer first announces the change and then waits for that time. At the moment of the
    change no lease is valid any more, because all leases were given before the announcement.

    Reader and writer measure the time with their own clocks, and each clock may be wrong in one direction only. The
    reader's must not count too little, so it also counts while the machine is suspended. The writer's must not count
    too much; if its machine is suspended, it waits longer.

    While a change stays announced, ``check_announcement`` is called every ``ANNOUNCED_SECONDS``, because the process
    that announced it may have been killed. The callback must neither block nor fail.

    A read in each request instead cost two thirds of the throughput.
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
        snapshot, until = self._held
        if now < until:
            return snapshot
        snapshot, change_announced = self._read()
        if not change_announced:
            self._held = (snapshot, now + LEASE_TTL_SECONDS)
            self._next_check = None
        elif self._next_check is None:
            self._next_check = now + ANNOUNCED_SECONDS
        elif now >= self._next_check:
            self._next_check = now + ANNOUNCED_SECONDS
            self._check_announcement()
        return snapshot

    def end(self) -> None:
        self._held, self._next_check = (None, 0.0), None
