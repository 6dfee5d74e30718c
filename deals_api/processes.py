"""A lock and a log in memory that forked processes share; both are created before the processes are forked."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import threading
from typing import Final

_END_BYTES: Final = 8
_LENGTH_BYTES: Final = 4


class ProcessLock:
    """Excludes other threads and processes; the kernel releases the lock of a process that is killed."""

    def __init__(self) -> None:
        self._thread_lock = threading.Lock()
        with tempfile.TemporaryFile() as file:  # without a name, so that it is never left on disk
            self._file = os.dup(file.fileno())

    def __enter__(self) -> None:
        self._thread_lock.acquire()
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._thread_lock.release()


class SharedLog:
    """A ring buffer of entries that every process appends to and reads once; the oldest entries are overwritten."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._memory = mmap.mmap(-1, _END_BYTES + size)
        self._lock = ProcessLock()
        #: Number of bytes of the log that this process has read.
        self._read = 0

    def append(self, entry: bytes) -> None:
        """Append an entry, unless it exceeds an eighth of the buffer."""
        record = len(entry).to_bytes(_LENGTH_BYTES, "big") + entry
        if len(record) > self._size // 8:
            return
        with self._lock:
            end = self._end()
            before_wrap = min(len(record), self._size - end % self._size)
            start = _END_BYTES + end % self._size
            self._memory[start : start + before_wrap] = record[:before_wrap]
            self._memory[_END_BYTES : _END_BYTES + len(record) - before_wrap] = record[before_wrap:]
            # Last, so that the record of a process that is killed before does not exist.
            self._memory[:_END_BYTES] = (end + len(record)).to_bytes(_END_BYTES, "big")

    def read(self) -> list[bytes]:
        """Return the entries since the last call in this process; none if some of them are overwritten."""
        with self._lock:
            start, self._read = self._read, self._end()
            data = self._bytes(start, self._read) if self._read - start <= self._size else b""
        entries, position = [], 0
        while position < len(data):
            length = int.from_bytes(data[position : position + _LENGTH_BYTES], "big")
            position += _LENGTH_BYTES + length
            entries.append(data[position - length : position])
        return entries

    def _end(self) -> int:
        """Return the number of bytes that were ever appended."""
        return int.from_bytes(self._memory[:_END_BYTES], "big")

    def _bytes(self, start: int, end: int) -> bytes:
        first = _END_BYTES + start % self._size
        before_wrap = min(end - start, self._size - start % self._size)
        return (
            self._memory[first : first + before_wrap]
            + self._memory[_END_BYTES : _END_BYTES + end - start - before_wrap]
        )
