"""Kill workers by SIGKILL, each before another SQL statement of two loads.

``python -m tests.killed_workers FOLDER FIRST STEP`` prints a JSON object: the number of killed workers, and
the problems, each with the number of the statement. Workers run in forked children, because importing Django takes
longer than a load.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import django

ROWS = 3
_RECOVERY_SECONDS = 120
#: Exit status of a child whose work is not complete.
_INCOMPLETE = 3


def in_child(function: Callable[..., int | None], *arguments: Any) -> int:
    """Call a function in a forked process; return its exit code, negative if a signal killed it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = function(*arguments) or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def queue_two(number: int) -> None:
    from django.core.files.uploadedfile import TemporaryUploadedFile

    from deals_api.ingest.queue import queue_deals
    from tests.builders import csv_of, many

    for name in ("older", "newer"):
        with TemporaryUploadedFile("deals.csv", "text/csv", 0, None) as file:
            file.write(csv_of(*many(ROWS, [f"{name}{number}"])))
            queue_deals(file, f"{name}{number}")


def work(kill_before: int = 0) -> None:
    """Run all tasks; with ``kill_before``, kill this process before the statement with that number."""
    from django.db import connection

    from tests.worker import run_tasks

    statements = count(1)

    def execute(run: Callable[..., Any], *arguments: Any) -> Any:
        if next(statements) == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(*arguments)

    with connection.execute_wrapper(execute):
        run_tasks()


def recover() -> int:
    """Let two minutes pass, and do the work of another worker."""
    from django.db.models.functions import Now

    from deals_api.ingest.queue import run_maintenance
    from deals_api.ingest.rejections import UNFINISHED
    from deals_api.models import LoadProgress, QueuedUpload, Upload
    from tests.worker import run_tasks

    past = Now() - timedelta(minutes=2)
    Upload.objects.filter(state__in=UNFINISHED).update(arrived_at=past)
    QueuedUpload.objects.update(due_at=past)
    LoadProgress.objects.update(heartbeat_at=past)
    run_maintenance()
    run_tasks()
    run_maintenance()
    return _INCOMPLETE if Upload.objects.filter(state__in=UNFINISHED).exists() else 0


def check(number: int, result: Path) -> None:
    """Write the problems after the recovery of a round to a file."""
    from django.conf import settings

    from deals_api.models import Customer, Deal, QueuedUpload, Upload

    current = Upload.objects.current()
    found = {
        "rows": [
            (upload.file_name, upload.state, Deal.objects.for_upload(upload).count(), upload.deal_count)
            for upload in Upload.objects.order_by("-pk")[:2]
        ],
        "current": current and [customer.username for customer in Customer.objects.for_upload(current)],
        "files": [path.name for path in Path(settings.UPLOADS_DIR).iterdir()],
        "unfinished jobs": QueuedUpload.objects.count(),
    }
    expected = {
        "rows": [(f"{name}{number}", "loaded", ROWS, ROWS) for name in ("newer", "older")],
        "current": [f"newer{number}"],
        "files": [],
        "unfinished jobs": 0,
    }
    result.write_text(json.dumps([f"{key}: {found[key]}" for key in expected if found[key] != expected[key]]))


def run_round(number: int, result: Path) -> tuple[bool, list[str]]:
    """Kill a worker before a statement, and recover; return whether it was killed, and the problems."""
    assert in_child(queue_two, number) == 0
    status = in_child(work, number)
    assert status in (0, -signal.SIGKILL), status
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while (code := in_child(recover)) == _INCOMPLETE and time.monotonic() < deadline:
        time.sleep(0.05)  # PostgreSQL has not noticed yet that the worker is gone
    if code:
        return True, [f"the recovery ended with {code}"]
    in_child(check, number, result)
    return status != 0, [f"statement {number}, {problem}" for problem in json.loads(result.read_text())]


def migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def main(folder: Path, first: int, step: int) -> None:
    for module in ("deals_api.ingest.loader", "deals_api.ingest.regular_blocks", "tests.builders", "tests.worker"):
        importlib.import_module(module)  # the children inherit it
    assert in_child(migrate) == 0
    problems: list[str] = []
    killed = 0
    for number in count(first, step):
        was_killed, found = run_round(number, folder / "result.json")
        problems += found
        if not was_killed:
            break
        killed += 1
    print(json.dumps({"killed": killed, "problems": problems}))  # noqa: T201


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
