"""API tokens and their holders, in pure Python."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deals_api.limits import MAX_HOLDER_LENGTH

_MIN_SECRET_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Token:
    """The SHA-256 digest of a secret, and the name of its holder."""

    holder: str
    digest: bytes


def read_tokens(text: str) -> tuple[Token, ...]:
    """Parse ``API_TOKENS``: comma-separated ``holder:secret`` pairs.

    Raises: ValueError, with a message for the operator.
    """
    tokens = []
    for pair in filter(None, map(str.strip, text.split(","))):
        holder, _, secret = pair.partition(":")
        holder = holder.strip()
        if not (holder and len(secret) >= _MIN_SECRET_LENGTH and secret.isascii() and secret.isprintable()):
            raise ValueError(
                "API_TOKENS must be comma-separated holder:secret pairs, "
                f"each secret at least {_MIN_SECRET_LENGTH} characters long"
            )
        if len(holder) > MAX_HOLDER_LENGTH or not holder.isprintable():
            raise ValueError(f"The holders in API_TOKENS must be 1 to {MAX_HOLDER_LENGTH} printable characters long")
        tokens.append(Token(holder, _digest(secret)))
    return tuple(tokens)


def holder_of(authorization: str, tokens: Iterable[Token]) -> str | None:
    """Return the holder of the token in an ``Authorization`` header; None if the token is unknown.

    The time does not depend on the secrets: every token is compared, each in constant time.
    """
    scheme, _, secret = authorization.partition(" ")
    digest = _digest(secret.strip()) if scheme.lower() == "bearer" else b""
    holder = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            holder = token.holder
    return holder


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
