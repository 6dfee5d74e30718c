"""Sums by key of more keys than fit in memory (external merge sort)."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Final

from deals_api.ingest.deal_batch import Integers
from deals_api.ingest.numpy_setup import np

#: Deals that are summed in one step; at least twice as many as there are keys in memory.
_MIN_STEP: Final = 16_384
#: Keys in memory; sums of more keys are written to a temporary file.
_MAX_KEYS: Final = 32_768
#: Rows that are written at once, or in memory during the merge.
_MERGED_ROWS: Final = 16_384
#: The fewest of one run in memory: more than the keys that a conversion makes equal.
_MIN_RUN_ROWS: Final = 64

#: Keys, deals, pieces, hundredths, hundredths of the smallest and of the largest deal.
Sums = tuple[Integers, ...]
_REDUCERS: Final = (np.add, np.add, np.add, np.minimum, np.maximum)
_COLUMNS: Final = 1 + len(_REDUCERS)
_ROW_BYTES: Final = 8 * _COLUMNS
_NO_SUMS: Final[Sums] = (np.empty(0, np.int64),) * _COLUMNS


class KeyedSums:
    """The sums of the deals with the same key, an integer."""

    def __init__(self) -> None:
        self._parts: list[Sums] = []  # of the next sum; the first one is the previous sum
        self._rows = 0
        self._keys = 0  # in the previous sum
        self._file = tempfile.SpooledTemporaryFile(1)  # noqa: SIM115 - on disk if used; closed with this object
        weakref.finalize(self, self._file.close)
        self._runs: list[tuple[int, int]] = []  # sorted sums in the file: position, rows

    def add(self, keys: Integers, quantities: Integers, totals: Integers) -> None:
        one = np.broadcast_to(np.int64(1), keys.shape)  # without memory
        self._parts.append((keys, one, quantities, totals, totals, totals))
        self._rows += len(keys)
        if self._rows >= 2 * max(self._keys, _MIN_STEP):
            self._sum_parts()
            if self._keys > _MAX_KEYS:
                self._write_run()

    def merge(self, convert: Callable[[Integers], Integers] | None = None) -> Iterator[Sums]:
        """Yield the sums of each key once, in ascending order.

        ``convert``, which must keep the order, makes keys equal whose sums are to be added.
        """
        self._sum_parts()
        if self._runs:
            self._write_run()
        unread = list(self._runs)
        step = max(_MERGED_ROWS // max(len(unread), 1), _MIN_RUN_ROWS)
        parts = [_converted(part, convert) for part in self._parts] or [_NO_SUMS] * len(unread)
        while any(rows for _, rows in unread) or any(len(part[0]) for part in parts):
            limits = []
            for index, (position, rows) in enumerate(unread):
                count = min(rows, max(step - len(parts[index][0]), 0))
                if count:
                    read = _converted(self._read(position, count), convert)
                    parts[index] = tuple(map(np.concatenate, zip(parts[index], read, strict=True)))
                    unread[index] = position + count * _ROW_BYTES, rows - count
                if rows > count:
                    limits.append(parts[index][0][-1])
            # The keys below the last one of every unread run are complete.
            ends = [np.searchsorted(part[0], min(limits)) if limits else len(part[0]) for part in parts]
            complete = _sum([tuple(column[:end] for column in part) for part, end in zip(parts, ends, strict=True)])
            parts = [tuple(column[end:] for column in part) for part, end in zip(parts, ends, strict=True)]
            yield from _slices(complete)

    def _sum_parts(self) -> None:
        if self._parts:
            self._parts = [_sum(self._parts)]
            self._rows = self._keys = len(self._parts[0][0])

    def _write_run(self) -> None:
        if self._parts:
            position = self._file.seek(0, 2)
            for rows in _slices(self._parts[0]):
                self._file.write(np.column_stack(rows).data)  # copies them
            self._runs.append((position, self._keys))
            self._parts, self._rows, self._keys = [], 0, 0

    def _read(self, position: int, rows: int) -> Sums:
        self._file.seek(position)
        table = np.frombuffer(self._file.read(rows * _ROW_BYTES), np.int64)
        return tuple(table.reshape(-1, _COLUMNS).T)


def _slices(sums: Sums) -> Iterator[Sums]:
    for start in range(0, len(sums[0]), _MERGED_ROWS):
        yield tuple(column[start : start + _MERGED_ROWS] for column in sums)


def _converted(sums: Sums, convert: Callable[[Integers], Integers] | None) -> Sums:
    return (convert(sums[0]), *sums[1:]) if convert else sums


def _sum(parts: list[Sums]) -> Sums:
    keys, *columns = zip(*parts, strict=True)
    key = np.concatenate(keys)
    order = np.argsort(key)
    key = key[order]
    starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else order
    # One column after the other, because each needs a copy.
    sums = (
        reducer.reduceat(np.concatenate(column)[order], starts) if len(key) else key
        for reducer, column in zip(_REDUCERS, columns, strict=True)
    )
    return key[starts], *sums
