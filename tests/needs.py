"""Programs that some tests drive, and that a machine may lack."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: What a test needs, and the command that it is.
COMMANDS = {
    "chromium": "chromium",
    "curl": "curl",
    "node": "node",
    "npm's packages for tests/frontend": str(Path(__file__).parent / "frontend" / "node_modules" / ".bin" / "tsc"),
}


def needs(what: str) -> None:
    """Skip the test where this is not installed; fail it in CI, where everything must be."""
    if shutil.which(COMMANDS[what]) is None:
        without = pytest.fail if os.environ.get("CI") else pytest.skip
        without(f"{what} is not installed")
