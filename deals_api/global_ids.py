"""Global ids: a type's name and a key, opaque to clients, as Relay wants them; both faces read them.

An upload's key is its snapshot's name, which no other upload ever has; a row's is its primary key,
which names its upload too.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import uuid
from typing import Final

from deals_api.errors import BadInput

#: Every type that has an id.
NODE_TYPES: Final = ("Customer", "Deal", "Gem", "Purchase", "Upload")


def write_id(type_name: str, key: int | uuid.UUID) -> str:
    text = f"{type_name}:{key.hex if isinstance(key, uuid.UUID) else key}"
    return base64.b64encode(text.encode()).decode()


def parse_id(text: str) -> tuple[str, str]:
    """The type's name and the key.

    Raises: BadInput, where it is not an id that ``write_id`` could have made.
    """
    try:
        type_name, _, key = base64.b64decode(text, validate=True).decode("ascii").partition(":")
        known = uuid.UUID(hex=key) if type_name == "Upload" else int(key)
        if type_name not in NODE_TYPES or write_id(type_name, known) != text:
            raise ValueError
        if isinstance(known, int) and not 0 <= known < 2**63:
            raise ValueError
    except (ValueError, binascii.Error):
        raise BadInput("This is not an id of ours.") from None
    return type_name, key


def read_id(text: str, type_name: str) -> str:
    """The key of an id that must be of this type."""
    found, key = parse_id(text)
    if found != type_name:
        raise BadInput(f"This is the id of a {found}, not of an {type_name}.")
    return key


def snapshot_named(text: str) -> uuid.UUID | None:
    """The snapshot that an upload's id or the snapshot's own name stands for; None where it is neither."""
    with contextlib.suppress(ValueError):
        return uuid.UUID(text)
    with contextlib.suppress(BadInput):
        return uuid.UUID(hex=read_id(text, "Upload"))
    return None
