"""The formats of PostgreSQL's ``COPY``: binary for tables of numbers and dates, text for tables with names."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from deals_api.ingest.numpy_setup import np

_Array = np.ndarray[Any, Any]
#: A column of integers, UTC times or names.
Column = _Array | list[str]

BINARY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
BINARY_END: Final = struct.pack(">h", -1)
#: Sizes of the types of columns, in bytes.
_SIZES: Final = {"bigint": 8, "integer": 4, "timestamp with time zone": 8, "date": 4}
_EPOCH: Final = np.datetime64("2000-01-01")


def binary_row(types: Sequence[str]) -> _Array | None:
    """Return a row of these SQL types without values; None if one has no binary form here."""
    if not set(types) <= _SIZES.keys():
        return None
    sizes = [_SIZES[type_] for type_ in types]
    fields: list[Any] = [("fields", ">i2")]
    for number, size in enumerate(sizes):
        fields += [(f"size {number}", ">i4"), (f"value {number}", f">i{size}")]
    row = np.zeros(1, fields)
    row["fields"] = len(sizes)
    for number, size in enumerate(sizes):
        row[f"size {number}"] = size
    return row


def binary_rows(row: _Array, columns: Sequence[Any]) -> bytes:
    rows = np.repeat(row, len(columns[0]))
    for number, column in enumerate(columns):
        rows[f"value {number}"] = (column - _EPOCH).view(np.int64) if column.dtype.kind == "M" else column
    return rows.tobytes()


def text_rows(columns: Sequence[Column]) -> str:
    line = "\t".join(["%s"] * len(columns)) + "\n"
    # Names contain no control characters, so only the backslash needs escaping.
    return "".join(map(line.__mod__, zip(*map(python_values, columns), strict=True))).replace("\\", "\\\\")


def python_values(column: Column) -> list[Any]:
    """Return a column as integers, names, or dates in ISO 8601 as Django stores them in SQLite."""
    if isinstance(column, list):
        return column
    values: list[Any] = column.tolist()
    return list(map(str, values)) if column.dtype.kind == "M" else values
