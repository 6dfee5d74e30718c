"""The leased pointer: the current snapshot without a database read in each request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

#: How long a process may go on with the pointer it has read; see ``Lease``.
LEASE_TTL_SECONDS: Final = 0.05


#: Linux's clock that counts while the machine is suspended; that of macOS is its CLOCK_MONOTONIC, on which
#: ``time.monotonic`` is not based.
_LEASE_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


#: How often a change that stays announced is looked into.
ANNOUNCED_SECONDS: Final = 2.0


class Snapshot(Protocol):
    """What the cache must know of an upload."""

    def cache_name(self) -> str:
        """A name that no other snapshot ever had or will have."""
        ...

    def is_readable(self) -> bool: ...


S = TypeVar("S", bound=Snapshot)


class SnapshotGone(Exception):
    """The upload was pruned while its rows were being read: ask again, of the current one."""


class Lease(Generic[S]):
    """The current snapshot, as fresh as a read by every request and without its cost.

    ``read`` tells the current snapshot and whether a change of it is announced, in one statement. If
    none is, the value is good for ``LEASE_SECONDS`` from when the read began. A process that changes the
    pointer announces it first and waits that long, so at the moment of the change no lease is left:
    all were given before the announcement. (A read per request took two thirds of the throughput.)

    Both sides measure with clocks of their own, and each may err in one direction only. The reader's clock
    must never count less than the time that has passed, so it is one that also counts while the machine
    is suspended. The writer's must never count more; if its machine is suspended, it waits longer.

    While a change stays announced, ``check_announcement`` is called every ``ANNOUNCED_SECONDS``: the
    process that announced it may have been killed. It must neither wait nor fail.
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
