"""Digest of the running code: part of every cache key, so that releases do not share cached responses."""

from __future__ import annotations

import hashlib
from pathlib import Path


def build_digest(base: Path) -> str:
    """Return a digest of the sources and of the pinned requirements."""
    sources = sorted(
        path
        for package in ("project", "deals_api", "graphql_schema")
        for path in (base / package).rglob("*")
        if path.suffix in (".py", ".graphql", ".json", ".html", ".js", ".css", ".svg", ".csv")
    )
    digest = hashlib.sha256()
    for path in [*sources, base / "requirements.txt"]:
        digest.update(path.relative_to(base).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
