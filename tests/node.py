"""Programs of ``tests/frontend``, run by node with the packages that ``npm ci`` laid beside them."""

from __future__ import annotations

import subprocess

from tests.requires import require
from tests.servers import ROOT, TIMEOUT

FOLDER = ROOT / "tests" / "frontend"


def run(*command: str, seconds: float = 2 * TIMEOUT) -> str:
    """What a command prints; all that it said is in the failure where it did not end well."""
    require("node")
    require("npm packages of tests/frontend")
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
