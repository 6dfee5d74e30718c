"""The worker in tests: its settings, and its tasks run in this process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django_tasks_db.management.commands import db_worker

from tests.servers import ROOT, TIMEOUT


def run_tasks() -> None:
    """Run all tasks that are due, as a worker does."""
    worker = db_worker.Worker(
        queue_names=["default"], interval=0, batch=True, backend_name="default", startup_delay=False, max_tasks=None,
        worker_id="test", excluded_queue_names=[],
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        # It would end the transaction of the test.
        patch.setattr(db_worker, "close_old_connections", lambda: None)
        worker.run()


@contextlib.contextmanager
def worker_process(log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``manage.py db_worker``, as an operator starts it."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    command = [sys.executable, "manage.py", "db_worker", "--no-startup-delay", "--interval", "0.1"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=inherited | environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(TIMEOUT)
