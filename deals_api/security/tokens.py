"""Secrets that open the service, and who holds them. Pure Python."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deals_api.limits import MAX_HOLDER_LENGTH

_MIN_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Token:
    """One secret by its digest, and who holds it."""

    holder: str
    digest: bytes


def read_tokens(text: str) -> tuple[Token, ...]:
    """The tokens of ``API_TOKENS``: ``holder:secret``, with commas between them.

    Raises: ValueError, in words for the operator.
    """
    tokens = []
    for part in filter(None, map(str.strip, text.split(","))):
        holder, _, secret = part.partition(":")
        holder = holder.strip()
        if not (holder and len(secret) >= _MIN_LENGTH and secret.isascii() and secret.isprintable()):
            raise ValueError(
                "API_TOKENS must be holder:secret pairs with commas between them, "
                f"each secret {_MIN_LENGTH} characters or longer"
            )
        if len(holder) > MAX_HOLDER_LENGTH or not holder.isprintable():
            raise ValueError(f"The holders in API_TOKENS must be 1 to {MAX_HOLDER_LENGTH} printable characters long")
        tokens.append(Token(holder, _digest(secret)))
    return tuple(tokens)


def holder_of(authorization: str, tokens: Iterable[Token]) -> str | None:
    """Who holds the token of an ``Authorization`` header; None if nobody does.

    Compares with every token, in a time that tells nothing of them.
    """
    scheme, _, secret = authorization.partition(" ")
    given = _digest(secret.strip()) if scheme.lower() == "bearer" else b""
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, given):
            found = token.holder
    return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
