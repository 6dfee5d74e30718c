"""The history of a register that several write and read at once, and whether it may have happened.

Knows nothing of uploads: a write puts a value, a read finds one, each from a moment to a moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Operation:
    """One write or read of ``value``, between being sent and being answered (seconds of one clock)."""

    value: str
    sent: float
    answered: float


@dataclass
class History:
    """Shared by threads: appending to a list is one step."""

    writes: list[Operation] = field(default_factory=list)
    reads: list[Operation] = field(default_factory=list)

    def impossible(self) -> list[str]:
        """What cannot be, in words: reads of what nobody wrote, of the past, or further back than a read before."""
        found = [told for read in self.reads if (told := self._impossible_alone(read))]
        return found + self._inversions()

    def _sources(self, read: Operation) -> list[Operation]:
        """The writes that a read may have seen: begun before it ended, and not overwritten before it began."""
        overwritten = max((one.sent for one in self.writes if one.answered < read.sent), default=0.0)
        return [
            write
            for write in self.writes
            if write.value == read.value and write.sent <= read.answered and write.answered >= overwritten
        ]

    def _impossible_alone(self, read: Operation) -> str | None:
        if self._sources(read):
            return None
        if any(write.value == read.value for write in self.writes):
            return f"{read} found what had been overwritten, or what nobody had sent yet"
        return f"{read} found what nobody wrote"

    def _inversions(self) -> list[str]:
        """Pairs of reads, one after the other, of which the later found what is older beyond doubt."""
        found: list[str] = []
        latest: tuple[float, Operation] = (0.0, Operation("", 0, 0))  # what must have been written by now, and who saw
        events = sorted(
            [(read.sent, 0, read) for read in self.reads] + [(read.answered, 1, read) for read in self.reads],
            key=lambda event: event[:2],
        )
        floors: dict[int, tuple[float, Operation]] = {}
        for _, ended, read in events:
            if not ended:
                floors[id(read)] = latest
                continue
            sources = self._sources(read)
            if not sources:
                continue
            floor, seen_by = floors[id(read)]
            if max(write.answered for write in sources) < floor:
                found.append(f"{read} went back behind {seen_by}")
            certainly = min(write.sent for write in sources)
            if certainly > latest[0]:
                latest = (certainly, read)
        return found
