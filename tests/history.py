"""Linearizability check of a register: concurrent writes and reads, each with a start and an end time.

Independent of uploads.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Operation:
    """One write or read of ``value``; both times are seconds of one clock."""

    value: str
    sent: float
    received: float


@dataclass
class History:
    """The operations of all clients. Threads share it: appending to a list is atomic."""

    writes: list[Operation] = field(default_factory=list)
    reads: list[Operation] = field(default_factory=list)

    def violations(self) -> list[str]:
        """Describe each read of a value that was never written, already overwritten, or older than one read before."""
        impossible = [violation for read in self.reads if (violation := self._violation_of(read))]
        return impossible + self._inversions()

    def _sources(self, read: Operation) -> list[Operation]:
        """Return the writes that the read may have seen: sent before it ended, not overwritten before it started."""
        overwritten = max((write.sent for write in self.writes if write.received < read.sent), default=0.0)
        return [
            write
            for write in self.writes
            if write.value == read.value and write.sent <= read.received and write.received >= overwritten
        ]

    def _violation_of(self, read: Operation) -> str | None:
        if self._sources(read):
            return None
        if any(write.value == read.value for write in self.writes):
            return f"{read} returned a value that was overwritten, or not sent yet"
        return f"{read} returned a value that was never written"

    def _inversions(self) -> list[str]:
        """Describe each read that returned an older value than a read that had ended before it started."""
        violations: list[str] = []
        #: Start time of the latest write known to be complete, and the read that returned its value.
        latest: tuple[float, Operation] = (0.0, Operation("", 0, 0))
        events = sorted(
            [(read.sent, 0, read) for read in self.reads] + [(read.received, 1, read) for read in self.reads],
            key=lambda event: event[:2],
        )
        latest_at_start: dict[int, tuple[float, Operation]] = {}
        for _, ended, read in events:
            if not ended:
                latest_at_start[id(read)] = latest
                continue
            sources = self._sources(read)
            if not sources:
                continue
            newest_known, seen_by = latest_at_start[id(read)]
            if max(write.received for write in sources) < newest_known:
                violations.append(f"{read} is older than {seen_by}")
            newest = min(write.sent for write in sources)
            if newest > latest[0]:
                latest = (newest, read)
        return violations
