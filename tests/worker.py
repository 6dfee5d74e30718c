"""Tasks of the worker, run in the process of a test."""

from __future__ import annotations

import pytest
from django_tasks_db.management.commands import db_worker


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
