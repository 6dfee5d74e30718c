"""Counts of requests in the current minute, shared by the processes of one service."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

_ROWS: Final = 4
#: Cells of a row, a power of two; all rows together are 1 MiB.
_COLUMNS: Final = 65_536


class RateCounters:
    """A count-min sketch in memory that forked processes share.

    Its size does not depend on the number of keys, and no other data can evict a count. A count is never too low; it
    is too high only for a key whose cells are all shared with other keys of the same minute.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4 * (1 + _ROWS * _COLUMNS))
        #: The minute, then the rows.
        self._cells = memoryview(self._memory).cast("I")
        self._threads = threading.Lock()
        self._processes, name = tempfile.mkstemp()
        Path(name).unlink()  # a file without a name is enough to lock
        self._seed = os.urandom(16)  # so that colliding keys cannot be prepared

    def add(self, key: str, minute: int) -> int:
        """Count one more; returns the number in this minute."""
        digest = blake2b(key.encode(errors="replace"), digest_size=4 * _ROWS, key=self._seed).digest()
        cells = [1 + row * _COLUMNS + int.from_bytes(digest[4 * row : 4 * row + 4]) % _COLUMNS for row in range(_ROWS)]
        with self._lock():
            if self._cells[0] != minute:
                self.clear()
                self._cells[0] = minute
            count = min(self._cells[cell] for cell in cells) + 1
            for cell in cells:
                self._cells[cell] = max(self._cells[cell], count)
            return count

    def clear(self) -> None:
        self._memory[:] = bytes(len(self._memory))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """The kernel releases the lock of a process that dies."""
        with self._threads:
            fcntl.lockf(self._processes, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._processes, fcntl.LOCK_UN)
