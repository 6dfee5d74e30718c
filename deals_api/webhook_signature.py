"""Signatures of webhook messages in the form of https://www.standardwebhooks.com, in pure Python."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

_MIN_SECRET_BYTES: Final = 24


def read_secret(text: str) -> bytes:
    """Parse ``WEBHOOK_SECRET``: base64, optionally after ``whsec_``; empty for an empty text.

    Raises: ValueError, with a message for the operator that does not contain the secret.
    """
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        secret = b""
    if text and len(secret) < _MIN_SECRET_BYTES:
        raise ValueError(f"WEBHOOK_SECRET must be at least {_MIN_SECRET_BYTES} bytes in base64")
    return secret


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
