"""What every trial of the project needs: a clean clone, commands that end in time, waits that say what did not happen.

Standard library only, as a newcomer has no more. Knows nothing of Docker, nor of what is tried.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import readme

ROOT = Path(__file__).resolve().parent.parent
REAL_FILE = ROOT / "tests" / "data" / "deals.csv"
#: What the brief says of it.
RIGHT_ANSWER = json.loads((ROOT / "tests" / "data" / "top-clients.json").read_text(encoding="utf-8"))
UPLOAD, READ = r"^curl .*deals=@", r"^curl .*/api/top-clients/?$"

_BEGAN = time.monotonic()


class DidNotHoldError(Exception):
    """A sentence about what should have been so."""


def must(holds: object, otherwise: str) -> None:
    if not holds:
        raise DidNotHoldError(otherwise)


def say(sentence: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:4.0f} s] {sentence}", flush=True)


def tell(story: Callable[[], None], minutes: int) -> None:
    """The story to its end; whatever cuts it short, a signal or the clock, it still puts everything away."""

    def cut_short(number: int, _frame: object) -> None:
        late = number == signal.SIGALRM
        raise DidNotHoldError(f"not done after {minutes} minutes" if late else f"ended by signal {number}")

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, cut_short)
    signal.alarm(minutes * 60)
    try:
        story()
    except (DidNotHoldError, OSError) as failure:
        traceback.print_exc()
        say(f"FAILED: {failure}")
        sys.exit(1)


def wait_until(holds: Callable[[], object], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        must(time.monotonic() < deadline, f"after {seconds:.0f} s {otherwise}")
        time.sleep(0.3)


def run(command: Sequence[str], seconds: float, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """What a command prints; after so many seconds it and all that it started are ended.

    Into files, because a pipe stays open as long as anything that the command left behind.
    """
    shown = shlex.join(command)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end(process)
        output.seek(0)
        errors.seek(0)
        printed = output.read()
        if status != 0:
            how = f"did not end in {seconds:.0f} s" if status is None else f"ended with {status}"
            raise DidNotHoldError(f"{shown} {how}:\n{printed[-4000:]}{errors.read()[-4000:]}")
        return printed


def end(process: subprocess.Popen[bytes]) -> None:
    """A process with a session of its own, and whatever it has left in there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def running(command: str, log: Path, *, cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A shell command that goes on in the background; what it printed is shown if the trial fails."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    except BaseException:
        print(f"--- {command}\n{log.read_text(errors='replace')[-8000:]}\n---", flush=True)
        raise
    finally:
        end(process)


@contextlib.contextmanager
def clean_clone() -> Iterator[Path]:
    """The commit that is checked out here, as ``git clone`` gives it to a stranger."""
    with tempfile.TemporaryDirectory(prefix="deals-clone-", ignore_cleanup_errors=True) as folder:
        clone = Path(folder) / "clone"
        run(["git", "clone", "--quiet", f"file://{ROOT}", str(clone)], 120)
        here, there = (run(["git", "rev-parse", "HEAD"], 30, cwd=place) for place in (ROOT, clone))
        must(here == there, f"the clone is at {there.strip()}, not at {here.strip()}")
        if run(["git", "status", "--porcelain", "--untracked-files=no"], 30):
            say("What is not committed is not tried.")
        yield clone


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


def newcomers_environment() -> dict[str, str]:
    """This process's environment without what would set up the service."""
    compose = (ROOT / "docker-compose.yml").read_text()
    ours = set(re.findall(r"\$\{([A-Z_]+)|^ +([A-Z_]+):", compose, re.MULTILINE))
    return {name: value for name, value in os.environ.items() if name not in {part for pair in ours for part in pair}}


def upload_and_read(port: int, *, cwd: Path, env: Mapping[str, str]) -> None:
    """The README's two requests, with the real file, at a port that need not be the README's."""
    upload, read = (readme.line(pattern).replace(":8000/", f":{port}/") for pattern in (UPLOAD, READ))
    said = run(["bash", "-c", upload], 120, cwd=cwd, env=env)
    must(json.loads(said) == {"Status": "OK"}, f"{upload} answered {said}")
    said = run(["bash", "-c", read], 60, cwd=cwd, env=env)
    must(json.loads(said) == RIGHT_ANSWER, f"{read} answered {said}")
