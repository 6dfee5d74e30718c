"""``manage.py db_worker``: the worker of django-tasks, which here also survives an outage of the database."""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connection
from django_tasks_db.management.commands import db_worker

from deals_api.db_vendor import describe_error, is_temporary, no_wait_for_writers
from deals_api.ingest.queue import run_maintenance
from deals_api.schema_check import SchemaMismatch, require_matching_schema

log = logging.getLogger(__name__)

MAINTENANCE_SECONDS: Final = 5
_RETRY_SECONDS: Final = 1


class Command(db_worker.Command):
    help = (
        "Load asynchronous uploads and send webhooks, until SIGTERM or Ctrl-C, which let the running task finish."
        " Several workers can run at the same time."
    )
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        stopped = threading.Event()
        maintenance = threading.Thread(target=_maintain, args=[stopped], name="maintenance", daemon=True)
        maintenance.start()
        try:
            while not self._work(**options):
                stopped.wait(_RETRY_SECONDS)
        finally:
            stopped.set()

    def _work(self, **options: Any) -> bool:
        """Run tasks until the worker is stopped; return False if the database is unavailable or not migrated yet."""
        try:
            require_matching_schema()
            super().handle(**options)
        except SchemaMismatch as mismatch:
            log.warning("The worker waits: %s", mismatch)
            return False
        except (DatabaseError, InterfaceError) as error:
            log.warning("The database is unavailable: %s", describe_error(error))
            connection.close()
            return False
        return True


def _maintain(stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            # On SQLite, the write lock of a running load makes this fail; a later call repeats it.
            with no_wait_for_writers():
                run_maintenance()
        except (DatabaseError, InterfaceError, OSError) as error:
            log.log(logging.DEBUG if is_temporary(error) else logging.WARNING, "Maintenance failed: %s", error)
        finally:
            connection.close()
        stopped.wait(MAINTENANCE_SECONDS)
