"""``manage.py serve``: the tables first, then gunicorn in this very process."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from deals_api import store
from deals_api.database_schema import SchemaMismatch, migrate_database
from deals_api.management.terminal import Unusable
from deals_api.models import Installation
from project.gunicorn import make_folder

_TRIES = 30


class Command(BaseCommand):
    help = "Create or update the tables, then serve HTTP on PORT until SIGTERM."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        os.putenv("SECRET_KEY", self.prepare_database())
        store.tidy_if_possible(settings.DEALS_LIMITS)
        connection.close()
        self.stdout.write(f"Serving on http://localhost:{settings.PORT}/")
        self.stdout.flush()
        os.chdir(settings.BASE_DIR)
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:project.gunicorn"]
        os.execv(sys.executable, [*gunicorn, "--env", f"PROMETHEUS_MULTIPROC_DIR={make_folder()}"])  # noqa: S606

    def prepare_database(self) -> str:
        """The tables; and the key to sign with, the operator's or the one that the first start made.

        A neighbour that creates the same tables just now makes it try again, as a database does that is starting.
        """
        tries = 0
        while True:
            tries += 1
            try:
                migrate_database()
                return settings.OPERATORS_SECRET_KEY or self.own_key()
            except SchemaMismatch as mismatch:
                raise Unusable(str(mismatch)) from mismatch
            except DatabaseError as error:
                connection.close()
                if tries == _TRIES:
                    raise CommandError(f"The database cannot be used: {error}") from error
                time.sleep(1)

    def own_key(self) -> str:
        installation, _ = Installation.objects.get_or_create(pk=Installation.ONLY)
        return installation.secret_key
