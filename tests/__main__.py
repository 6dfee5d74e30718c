"""``python -m tests``: the whole suite, on SQLite and then on PostgreSQL with Redis, both real.

Arguments go to pytest. ``DATABASE_URL`` and ``REDIS_URL``, where set, name the servers to use.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from tests import services


def run(title: str, arguments: list[str], **environment: str) -> int:
    print(f"== {title}", flush=True)  # noqa: T201
    clean = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], env=clean | environment, check=False).returncode


def main(arguments: list[str]) -> int:
    failed = run("SQLite, local memory", arguments)
    with contextlib.ExitStack() as stack:
        database = os.environ.get("DATABASE_URL") or stack.enter_context(services.postgres())[1]
        redis = os.environ.get("REDIS_URL") or stack.enter_context(services.redis())[1]
        failed |= run("PostgreSQL, Redis", arguments, DATABASE_URL=database, REDIS_URL=redis)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
