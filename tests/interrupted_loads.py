"""Interrupt loads by SIGINT, each at a different moment.

``python -m tests.interrupted_loads FOLDER MOMENTS SEED`` prints a JSON list of [exit code, standard error], one for
each moment. Commands run in forked children, because importing Django takes longer than such a load.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

ROWS = 4_000


def run(folder: Path, number: int, delay: float | None = None) -> tuple[int, str]:
    """Load a new file; send SIGINT after ``delay`` seconds."""
    file, errors = folder / f"{number}.csv", folder / "stderr"
    row = f"customer {number},ruby,10,1,2018-12-14 08:29:52\n"
    file.write_text("customer,item,total,quantity,date\n" + row * ROWS)
    errors.write_text("")
    child = os.fork()
    if child == 0:
        _load(file, errors)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGINT)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), errors.read_text()


def _load(file: Path, errors: Path) -> None:
    from project.command_line import main

    with errors.open("w") as sys.stderr, Path(os.devnull).open("w") as sys.stdout:
        code = 1
        os.dup2(sys.stderr.fileno(), 2)
        sys.argv = ["manage.py", "load_deals", str(file)]
        try:
            main()
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(code)


def run_all(folder: Path, moments: int, seed: int) -> list[tuple[int, str]]:
    run(folder, 0)  # warm-up: the kernel caches the files of the libraries
    started = time.monotonic()
    run(folder, 1)
    duration = time.monotonic() - started
    rng = random.Random(seed)  # noqa: S311
    # Even spacing covers every part of a load with few moments.
    delays = [(number + rng.random()) / moments * duration for number in range(moments)]
    return [run(folder, number, delay) for number, delay in enumerate(delays, 2)]


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    import deals_api.management.commands.load_deals  # noqa: F401

    # In effect until a child has installed the handler of ``main``.
    signal.signal(signal.SIGINT, lambda number, _frame: os._exit(128 + number))
    print(json.dumps(run_all(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201
