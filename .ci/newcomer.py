"""The README's start command in a clean clone, as it stands there, under every supported Python of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import readme
from trial import (
    DidNotHoldError,
    clean_clone,
    must,
    newcomers_environment,
    run,
    running,
    say,
    tell,
    upload_and_read,
    wait_until,
)

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
PORT = 8000  # the README's


def story() -> None:
    for version, python in pythons().items():
        with clean_clone() as clone, tempfile.TemporaryDirectory(prefix="deals-python-") as folder:
            (Path(folder) / "python3").symlink_to(python)
            environment = newcomers_environment()
            environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
            serves_and_stops(clone, environment)
        say(f"Python {version}: the README's start command served the right answer and stopped with 0.")


def serves_and_stops(clone: Path, environment: dict[str, str]) -> None:
    must(port_is_free(), f"port {PORT} is taken on this machine, and the README's start command serves there")
    start = readme.block(r"(?s)-m venv .*manage\.py serve")
    with running(start, clone.parent / "serve.log", cwd=clone, env=environment) as shell:
        wait_until(lambda: answers() or shell.poll() is not None, 300, "the service did not answer")
        must(shell.returncode is None, f"the start command ended with {shell.returncode}")
        upload_and_read(PORT, cwd=clone, env=environment)
        os.kill(server_of(shell), signal.SIGTERM)
        try:
            status = shell.wait(150)
        except subprocess.TimeoutExpired:
            raise DidNotHoldError("150 s after SIGTERM the service still ran") from None
        must(status == 0, f"after SIGTERM the service ended with {status}")


def pythons() -> dict[str, str]:
    """The machine's own ``python3`` first, then one of each other supported version that is found."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = sorted(str(path) for path in pyenv.glob("versions/3.*/bin/python3"))
    found: dict[str, str] = {}
    for candidate in ["python3", *(f"python{version}" for version in SUPPORTED), *installed]:
        # A name on the PATH may lead nowhere, and a Debian Python may lack what makes virtual environments.
        with contextlib.suppress(OSError, DidNotHoldError):
            show = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
            version, _, executable = run([candidate, "-c", show], 60).strip().partition(" ")
            if version in SUPPORTED:
                found.setdefault(version, executable)
    must(found, f"this machine has no Python of {', '.join(SUPPORTED)} that makes virtual environments")
    return found


def server_of(shell: subprocess.Popen[bytes]) -> int:
    """The process that serves: what the shell has become, or its child where it stays a shell."""
    process = Path(f"/proc/{shell.pid}")
    if (process / "comm").read_text().strip() != "bash":
        return shell.pid
    return int((process / f"task/{shell.pid}/children").read_text().split()[0])


def port_is_free() -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", PORT))
        return True
    return False


def answers() -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://localhost:{PORT}/health/ready", timeout=5):
        return True
    return False


if __name__ == "__main__":
    tell(story, minutes=15)
