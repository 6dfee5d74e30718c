"""``manage.py serve``: the tables first, then gunicorn in this very process."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from deals_api import store

_TRIES = 30


class Command(BaseCommand):
    help = "Create or update the tables, then serve HTTP on PORT until SIGTERM."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.migrate()
        store.tidy_if_possible(settings.DEALS_LIMITS)
        connection.close()
        self.stdout.write(f"Serving on http://localhost:{settings.PORT}/api/upload/")
        self.stdout.flush()
        os.environ.setdefault("SECRET_KEY", settings.SECRET_KEY)
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "python:project.gunicorn"])  # noqa: S606

    def migrate(self) -> None:
        """Once the database answers; a neighbour that creates the same tables just now makes it try again."""
        for attempt in range(1, _TRIES + 1):
            try:
                call_command("migrate", interactive=False, verbosity=0)
            except DatabaseError as error:
                connection.close()
                if attempt == _TRIES:
                    raise CommandError(f"The database cannot be used: {error}") from error
                time.sleep(1)
            else:
                return
