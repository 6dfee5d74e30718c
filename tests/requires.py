"""Programs and features that some tests use and a machine may lack."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

#: Environment variable of both runs of ``python -m tests``.
TWO_RUNS = "DEALS_TEST_TWO_RUNS"

NPM_PACKAGES = Path(__file__).parent / "frontend" / "node_modules"
OPENAPI_VENV = Path(__file__).parent / "frontend" / "openapi" / ".venv"

#: Name in messages, and the executable whose presence shows that it is installed.
PROGRAMS = {
    "chromium": "chromium",
    "curl": "curl",
    "LibreOffice": "soffice",
    "node": "node",
    "npm packages of tests/frontend": str(NPM_PACKAGES / ".bin" / "orval"),  # not in those of version 1.0.0
    "PgBouncer": "pgbouncer",
    "Python packages of tests/frontend/openapi": str(OPENAPI_VENV / "bin" / "openapi-generator-cli"),
}


def find(name: str) -> str | None:
    """Return the path of the executable; also from the folder for system programs, which users lack in ``PATH``."""
    return shutil.which(PROGRAMS[name]) or shutil.which(PROGRAMS[name], path="/usr/sbin")


def require(name: str) -> str:
    """Return the path of the executable; skip the test without it, or fail it in CI, where every program must be."""
    path = find(name)
    return path if path is not None else skip_or_fail(f"{name} is not installed")


def require_unnamed_files(folder: Path) -> None:
    """Set the modification time of the folder to 0; an entry that exists for a moment changes it.

    Skip the test if the file system lacks O_TMPFILE: Python then creates each temporary file with a name.
    """
    os.utime(folder, (0, 0))
    tempfile.TemporaryFile(dir=folder).close()
    if folder.stat().st_mtime != 0:
        skip_or_fail(f"the file system of {folder} cannot create files without a name")


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test, or fail it if ``CI`` is set, so that CI cannot pass by skipping."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
