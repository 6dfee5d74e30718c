"""Global ids as Relay defines them: base64 of a type name and a key, opaque to clients.

The key of an upload is the UUID of its snapshot. The key of a row is its primary key and the first digits of that
UUID: after a database restore the same primary key can belong to a row of another file, but no two files share
a UUID.
"""

from __future__ import annotations

import base64
import contextlib
import re
import uuid
from typing import Final, NamedTuple

from deals_api.errors import BadInput

_PREFIX_DIGITS: Final = 12
_UPLOAD_ID: Final = re.compile(r"Upload:([0-9a-f]{32})")
_ROW_ID: Final = re.compile(rf"(Customer|Deal|Gem|Purchase):(0|[1-9][0-9]{{0,18}}):([0-9a-f]{{{_PREFIX_DIGITS}}})")
_MAX_PRIMARY_KEY: Final = 2**63 - 1


class RowId(NamedTuple):
    """The decoded global id of a row."""

    type_name: str
    pk: int
    #: The result of ``snapshot_prefix`` for the row's upload.
    snapshot_prefix: str


def snapshot_prefix(snapshot: uuid.UUID) -> str:
    """Return the hexadecimal digits that identify a snapshot in row ids and cursors."""
    return snapshot.hex[:_PREFIX_DIGITS]


def write_upload_id(snapshot: uuid.UUID) -> str:
    return _encode(f"Upload:{snapshot.hex}")


def write_row_id(type_name: str, pk: int, snapshot: uuid.UUID) -> str:
    return _encode(f"{type_name}:{pk}:{snapshot_prefix(snapshot)}")


def read_id(text: str) -> uuid.UUID | RowId:
    """Return the snapshot that the id of an upload names, or the decoded id of a row.

    Raises: BadInput, unless ``write_upload_id`` or ``write_row_id`` can return exactly this text.
    """
    decoded = _decode(text)
    if match := _UPLOAD_ID.fullmatch(decoded):
        return uuid.UUID(hex=match[1])
    if (match := _ROW_ID.fullmatch(decoded)) and int(match[2]) <= _MAX_PRIMARY_KEY:
        return RowId(match[1], int(match[2]), match[3])
    raise BadInput("Invalid id.")


def read_upload_id(text: str) -> uuid.UUID:
    """Return the snapshot that the id of an upload names.

    Raises: BadInput.
    """
    decoded = read_id(text)
    if isinstance(decoded, RowId):
        raise BadInput(f"Expected the id of an Upload, not of a {decoded.type_name}.")
    return decoded


def parse_snapshot(text: str) -> uuid.UUID | None:
    """Return the snapshot that a UUID or the global id of an upload names, or None for any other text."""
    with contextlib.suppress(ValueError):
        return uuid.UUID(text)
    with contextlib.suppress(BadInput):
        return read_upload_id(text)
    return None


def _encode(decoded: str) -> str:
    return base64.b64encode(decoded.encode()).decode()


def _decode(text: str) -> str:
    """Return the decoded id, or an empty string unless ``text`` is canonical base64 of ASCII."""
    with contextlib.suppress(ValueError):
        decoded = base64.b64decode(text, validate=True).decode("ascii")
        if _encode(decoded) == text:
            return decoded
    return ""
