"""Text files of the repository, for tests that search all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.servers import ROOT

PACKAGES = ("project", "deals_api", "graphql_schema", "tests")
_FOLDERS = (*PACKAGES, ".ci", ".github")
#: Not committed, or not text.
_IGNORED_PARTS = {"node_modules", "__pycache__", "build", "gql", "__generated__", "collected"}
_IGNORED_SUFFIXES = {".pyc", ".sqlite3", ".png"}


def text_files() -> Iterator[tuple[Path, str]]:
    """Yield the path, relative to the repository, and the text of each file."""
    paths = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # .git is a file in worktrees
    paths += [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in sorted(paths):
        relative = path.relative_to(ROOT)
        if not _IGNORED_PARTS & set(relative.parts) and path.suffix not in _IGNORED_SUFFIXES:
            yield relative, path.read_text(errors="replace")
