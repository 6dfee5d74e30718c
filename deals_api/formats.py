"""Text for terminals."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters escaped: it may come from a client or a file."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
