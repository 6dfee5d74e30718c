"""Text files of the repository, for tests that search all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.servers import ROOT

PACKAGES = ("project", "deals_api", "graphql_schema", "tests")
_FOLDERS = (*PACKAGES, ".ci", ".github")
#: Not committed.
_IGNORED_FOLDERS = {".venv", "node_modules", "__pycache__", "build", "gql", "generated", "__generated__", "collected"}
#: Not text.
_IGNORED_SUFFIXES = {".pyc", ".sqlite3", ".png"}


def python_files() -> Iterator[Path]:
    """Yield the path of each Python file, relative to the repository."""
    yield from (path for path in _files() if path.suffix == ".py")


def text_files() -> Iterator[tuple[Path, str]]:
    """Yield the path, relative to the repository, and the text of each file."""
    for path in _files():
        if path.suffix not in _IGNORED_SUFFIXES:
            yield path, (ROOT / path).read_text(errors="replace")


def _files() -> list[Path]:
    paths = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # .git is a file in worktrees
    for package in _FOLDERS:
        for folder, folders, names in os.walk(ROOT / package):
            folders[:] = set(folders) - _IGNORED_FOLDERS
            paths += [Path(folder, name) for name in names]
    return sorted(path.relative_to(ROOT) for path in paths)
