"""Every bound of the service, with its unit and the variable that moves it.

Knows nothing of Django: the values reach the code through ``settings.DEALS_LIMITS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


def _bound(default: int, env: str, unit: str, least: int = 1, most: int = 2**53) -> int:
    """A dataclass field that carries what the operator must know about it."""
    taken = {"least": least, "most": most, "default": default}
    value: int = field(default=default, metadata={"env": env, "unit": unit, "taken": taken})
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one running service; the defaults are the published ones."""

    #: Largest accepted file.
    max_upload_bytes: int = _bound(128 * 1024 * 1024, "MAX_UPLOAD_BYTES", "bytes")
    #: Deals in one file, the header not counted. The most is what fits the low half of a row's id.
    max_rows: int = _bound(2_000_000, "MAX_ROWS", "rows", most=2**31)
    #: Different customers, and different gems, in one file: each is held in memory while it loads.
    max_names: int = _bound(100_000, "MAX_NAMES", "names")
    #: Bad cells that a refusal lists before reading stops.
    max_problems: int = _bound(100, "MAX_PROBLEMS", "cells")
    #: Most places that ``?limit=`` may ask for.
    max_top_clients: int = _bound(100, "MAX_TOP_CLIENTS", "clients")
    #: Newest uploads that keep their rows, the current one not counted among the others' fate.
    keep_uploads: int = _bound(3, "KEEP_UPLOADS", "uploads", least=2)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Limits:
        """The published bounds, moved by the variables that are set.

        Raises: ValueError, naming the variable and what it may hold.
        """
        return cls(
            **{
                bound.name: whole_number(environment, bound.metadata["env"], **bound.metadata["taken"])
                for bound in fields(cls)
            }
        )


def whole_number(environment: Mapping[str, str], name: str, *, least: int, most: int, default: int) -> int:
    """The number in one variable, or ``default`` where it is unset or blank.

    Raises: ValueError, naming the variable and what it may hold.
    """
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)
