"""Counts of requests in the current minute, shared by all processes of the service."""

from __future__ import annotations

import mmap
import os
from hashlib import blake2b
from typing import Final

from deals_api.processes import ProcessLock

_ROWS: Final = 4
#: Cells of a row, a power of two; all rows together need 1 MiB.
_COLUMNS: Final = 65_536


class RateCounters:
    """A count-min sketch in memory that forked processes share.

    Its size does not depend on the number of keys, and no other data can evict a count. A count is never too low; it
    is too high only for a key whose cells are all shared with other keys of the same minute.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4 * (1 + _ROWS * _COLUMNS))
        #: The minute in cell 0, then the rows.
        self._cells = memoryview(self._memory).cast("I")
        self._lock = ProcessLock()
        self._seed = os.urandom(16)  # secret, so that attackers cannot prepare keys that collide

    def add(self, key: str, minute: int) -> int:
        """Count one request, and return the count of this minute."""
        digest = blake2b(key.encode(errors="replace"), digest_size=4 * _ROWS, key=self._seed).digest()
        cells = [1 + row * _COLUMNS + int.from_bytes(digest[4 * row : 4 * row + 4]) % _COLUMNS for row in range(_ROWS)]
        with self._lock:
            if self._cells[0] != minute:
                self.clear()
                self._cells[0] = minute
            count = min(self._cells[cell] for cell in cells) + 1
            for cell in cells:
                self._cells[cell] = max(self._cells[cell], count)
            return count

    def clear(self) -> None:
        self._memory[:] = bytes(len(self._memory))
