"""An LRU cache in the memory of one process, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """A thread-safe cache that evicts the least recently used entries."""

    #: Memory of an entry in addition to its key and value.
    ENTRY_BYTES = 500

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
            self.bytes = 0

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Store a value of ``size`` bytes, unless the key exists or the entry exceeds an eighth of the cache."""
        size += self.ENTRY_BYTES + len(str(key))
        with self._lock:
            if key in self._entries or size > self.max_bytes // 8:
                return
            self._entries[key] = value, size
            self.bytes += size
            while self.bytes > self.max_bytes:
                _, (_, freed) = self._entries.popitem(last=False)
                self.bytes -= freed
