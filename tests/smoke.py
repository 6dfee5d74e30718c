"""Smoke test of the service in a fresh clone, and the processes it needs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.readme_commands import command_line
from tests.servers import REAL_FILE, ROOT

#: Response for ``REAL_FILE``.
TOP_CLIENTS = json.loads((ROOT / "tests" / "data" / "top-clients.json").read_text(encoding="utf-8"))


def upload_and_read(port: int, *, cwd: Path, env: Mapping[str, str]) -> None:
    """Run the README's upload and read commands against the port; check both responses."""
    upload, read = (
        command_line(pattern).replace(":8000/", f":{port}/")
        for pattern in (r"^curl .*deals=@", r"^curl .*/api/top-clients/?$")
    )
    assert json.loads(run(["bash", "-c", upload], 120, cwd=cwd, env=env)) == {"Status": "OK"}
    assert json.loads(run(["bash", "-c", read], 60, cwd=cwd, env=env)) == TOP_CLIENTS


def repeated_file(times: int) -> bytes:
    """Return ``REAL_FILE`` with its deals repeated."""
    header, *deals = REAL_FILE.read_bytes().splitlines(keepends=True)
    return header + b"".join(deals) * times


def top_clients_of_repeated_file(times: int) -> object:
    clients = [client | {"spent_money": times * client["spent_money"]} for client in TOP_CLIENTS["response"]]
    return {"response": clients}


@contextlib.contextmanager
def fresh_clone() -> Iterator[Path]:
    """Clone the checked-out commit; uncommitted changes are not included."""
    with tempfile.TemporaryDirectory(prefix="deals-clone-", ignore_cleanup_errors=True) as folder:
        clone = Path(folder) / "clone"
        run(["git", "clone", "--quiet", f"file://{ROOT}", str(clone)], 120)
        yield clone


def environment_without_settings() -> dict[str, str]:
    """Return the environment of this process without variables that configure the service."""
    compose = (ROOT / "docker-compose.yml").read_text()
    settings = {*re.findall(r"\$\{([A-Z_]+)", compose), *re.findall(r"^ +([A-Z_]+):", compose, re.MULTILINE)}
    return {name: value for name, value in os.environ.items() if name not in settings | {"DJANGO_SETTINGS_MODULE"}}


def run(command: Sequence[str], timeout: float, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return its standard output; kill it and its descendants after the timeout.

    The output goes to files, because a pipe stays open as long as any descendant holds it.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        )
        try:
            status: int | str = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = f"timeout after {timeout} s"
        finally:
            kill_session(process)
        output.seek(0)
        errors.seek(0)
        text = output.read()
        assert status == 0, f"{shlex.join(command)}: {status}\n{text[-4000:]}{errors.read()[-4000:]}"
        return text


@contextlib.contextmanager
def background(command: str, *, cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a shell command in the background; print its output if the block fails."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=cwd, env=env,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        except BaseException:
            output.seek(0)
            print(f"--- {command}\n{output.read()[-8000:]}")  # noqa: T201
            raise
        finally:
            kill_session(process)


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a session leader and all processes of its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
