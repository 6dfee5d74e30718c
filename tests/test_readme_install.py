"""The README's start command in a fresh clone, with every supported Python of this machine.

Deselected by default, because it downloads packages and needs the README's port; ``python -m pytest -m install`` runs
it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.readme_commands import command_block
from tests.servers import wait_until
from tests.smoke import background, environment_without_settings, fresh_clone, run, upload_and_read

pytestmark = [pytest.mark.install, pytest.mark.database_independent]

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
PORT = 8000
READY = f"http://localhost:{PORT}/health/ready"


def test_start_command_of_readme_serves_and_stops(subtests: pytest.Subtests, tmp_path: Path) -> None:
    for version, python in supported_pythons().items():
        with subtests.test(python=version), fresh_clone() as clone:
            folder = tmp_path / version
            folder.mkdir()
            (folder / "python3").symlink_to(python)
            environment = environment_without_settings()
            serve_and_stop(clone, environment | {"PATH": f"{folder}{os.pathsep}{environment['PATH']}"})


def serve_and_stop(clone: Path, environment: dict[str, str]) -> None:
    assert port_is_free(), f"another process listens on port {PORT}, which the README's start command uses"
    command = command_block(r"(?s)-m venv .*manage\.py serve")
    with background(command, cwd=clone, env=environment) as shell:
        wait_until(lambda: is_ready() or shell.poll() is not None, 300, "the service is not ready")
        assert shell.poll() is None, "the start command ended"
        upload_and_read(PORT, cwd=clone, env=environment)
        os.kill(server_pid(shell), signal.SIGTERM)
        assert shell.wait(150) == 0


def supported_pythons() -> dict[str, str]:
    """Return the interpreters by version, first the one that runs the tests."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = sorted(str(path) for path in pyenv.glob("versions/3.*/bin/python3"))
    current = str(Path(sys.base_prefix, "bin", "python3"))
    found: dict[str, str] = {}
    for candidate in [current, *(f"python{version}" for version in SUPPORTED), *installed]:
        # A command may be a shim without a Python behind it, and Debian's Python may lack ensurepip.
        with contextlib.suppress(OSError, AssertionError):
            code = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
            version, _, executable = run([candidate, "-c", code], 60).strip().partition(" ")
            if version in SUPPORTED:
                found.setdefault(version, executable)
    assert found, f"no Python of {', '.join(SUPPORTED)} that can create virtual environments"
    return found


def server_pid(shell: subprocess.Popen[bytes]) -> int:
    """Return the pid of the service: that of the shell if it executed the last command by ``exec``, or of its child."""
    process = Path(f"/proc/{shell.pid}")
    if (process / "comm").read_text().strip() != "bash":
        return shell.pid
    return int((process / f"task/{shell.pid}/children").read_text().split()[0])


def port_is_free() -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", PORT))  # noqa: S104
        return True
    return False


def is_ready() -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(READY, timeout=5).is_success
    return False
