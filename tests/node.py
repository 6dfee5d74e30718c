"""Run the programs of ``tests/frontend`` with Node.js and the packages that ``npm ci`` installed there."""

from __future__ import annotations

import subprocess

from tests.requires import require
from tests.servers import ROOT, TIMEOUT

FOLDER = ROOT / "tests" / "frontend"


def run(*command: str, seconds: float = 2 * TIMEOUT) -> str:
    """Run a command and return its standard output; a failure contains all its output."""
    require("node")
    require("npm packages of tests/frontend")
    result = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=seconds, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
