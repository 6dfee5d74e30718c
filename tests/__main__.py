"""``python -m tests``: run the suite on SQLite and, at the same time, on PostgreSQL and Valkey.

On four cores and more, each of the two runs uses several processes. Arguments are passed to pytest. ``DATABASE_URL``
and ``REDIS_URL``, if set, name the servers to use.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from typing import IO

import pytest

from tests import services
from tests.requires import PROGRAMS, TWO_RUNS, find

MINUTES = 14
#: Processes of each run: two on four cores. 0: without pytest-xdist.
PROCESSES = min((os.cpu_count() or 1) // 4 * 2, 4)


def start(arguments: list[str], output: IO[bytes] | None, **environment: str) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    command = [sys.executable, "-m", "pytest", "-rs", "-n", str(PROCESSES), "--dist", "loadfile", *arguments]
    variables = inherited | {TWO_RUNS: "1"} | environment
    return subprocess.Popen(command, env=variables, stdout=output, stderr=output)


def print_title(text: str) -> None:
    print(f"== {text}", flush=True)  # noqa: T201


def announcement() -> str:
    missing = [name for name in PROGRAMS if find(name) is None]
    skipped = f" Not installed, so their tests are skipped: {', '.join(missing)}." if missing else ""
    return f"The whole suite takes about {MINUTES} minutes on two idle cores.{skipped}"


def main(arguments: list[str]) -> int:
    print_title(announcement())
    with contextlib.ExitStack() as stack:
        # Tests that kill a database start their own one.
        database = os.environ.get("DATABASE_URL") or stack.enter_context(services.postgres("fsync=off"))[1]
        redis = os.environ.get("REDIS_URL") or stack.enter_context(services.redis())[1]
        second_output = stack.enter_context(tempfile.TemporaryFile())
        print_title("SQLite, local memory")
        runs = [
            start(arguments, None),
            start(arguments, second_output, DATABASE_URL=database, REDIS_URL=redis),
        ]
        codes = [run.wait() for run in runs]
        print_title("PostgreSQL, Valkey")
        second_output.seek(0)
        sys.stdout.buffer.write(second_output.read())
        sys.stdout.flush()
    # The second run of a database-independent file collects no tests.
    return max((code for code in codes if code != pytest.ExitCode.NO_TESTS_COLLECTED), default=codes[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
