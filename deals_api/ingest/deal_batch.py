"""The columns of consecutive deals, and the numbers of their names."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from deals_api.ingest.cells import read_name
from deals_api.ingest.numpy_setup import np

#: A column of integers of 64 bits.
Integers = np.ndarray[Any, np.dtype[np.int64]]
#: A column of UTC times in microseconds.
Dates = np.ndarray[Any, np.dtype[np.datetime64]]

#: Longer names are represented by their digests in memory.
_MAX_KEY_BYTES: Final = 48
#: Names in memory; more are kept in a temporary file.
_MAX_TEXT_BYTES: Final = 128 * 1024
#: At most this many cells that differ from their names, for example by blanks at the end, are remembered.
_MAX_VARIANTS: Final = 20_000


class NameNumbers(dict[bytes, int]):
    """Map the cells of a column, in UTF-8, to the numbers of their names: from 0, in the order of first appearance.

    Raises: InvalidCell, for a new cell.
    """

    def __init__(self) -> None:
        self.count = 0
        self._variants = 0
        self._texts = tempfile.SpooledTemporaryFile(_MAX_TEXT_BYTES)  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._texts.close)

    def __missing__(self, cell: bytes) -> int:
        key = cell
        if len(cell) > _MAX_KEY_BYTES:
            key = b"\xff" + blake2b(cell, digest_size=16).digest()  # not UTF-8, so no cell equals it
            number = self.get(key)
            if number is not None:
                return number
        name = read_name(cell.decode()).encode()
        if name == cell:
            number = self[key] = self.count
            self.count += 1
            self._texts.write(name + b"\n")
            return number
        number = self[name]
        if self._variants < _MAX_VARIANTS:
            self._variants += 1
            self[key] = number
        return number

    def number(self, cell: str) -> int:
        return self[cell.encode()]

    def texts(self) -> Iterator[str]:
        """Yield the names in the order of their numbers."""
        self._texts.seek(0)
        for line in self._texts:
            yield line[:-1].decode()
        self._texts.seek(0, 2)

    def forget(self) -> None:
        """Remove all names."""
        self.clear()
        self.count = self._variants = 0
        self._texts.seek(0)
        self._texts.truncate()


def number_names(names: NameNumbers, cells: Iterable[bytes]) -> Integers:
    """Raises: InvalidCell."""
    return np.fromiter(map(names.__getitem__, cells), np.int64)


@dataclass(frozen=True, slots=True)
class DealBatch:
    """Consecutive deals as columns in the order of the file; all columns have the same length.

    ``customers`` and ``gems`` are numbers of ``customer_names`` and ``gem_names``, whose texts are trimmed and in NFC.
    ``totals`` are hundredths of the currency, and ``quantities`` are pieces.
    """

    customers: Integers
    gems: Integers
    totals: Integers
    quantities: Integers
    dates: Dates
    customer_names: NameNumbers
    gem_names: NameNumbers

    @property
    def columns(self) -> tuple[Integers, Integers, Integers, Integers, Dates]:
        return self.customers, self.gems, self.totals, self.quantities, self.dates

    def __len__(self) -> int:
        return len(self.dates)
