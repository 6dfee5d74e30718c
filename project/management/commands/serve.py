"""``manage.py serve``: migrate the database, then run gunicorn in the same process."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from gunicorn.app import wsgiapp

from deals_api.db_vendor import describe_error, is_database_file_unusable, is_disk_full
from deals_api.management.terminal import ExitCode
from deals_api.models import Installation
from deals_api.schema_check import SchemaMismatch, migrate_database
from deals_api.snapshots.retention import apply_retention_safely
from graphql_schema.http.documents import check_persisted_documents
from project.server import static_files
from project.server.gunicorn_conf import make_metrics_folder

log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 30


class Command(BaseCommand):
    help = (
        "Create or update the tables, then serve HTTP until SIGTERM or Ctrl-C. PORT=9000 in the environment serves on"
        " port 9000. Exit codes: 0 stopped; 2 invalid setting, or the port is in use; 3 no database;"
        " 130 interrupted during the start."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.usage = "PORT=8000 manage.py serve"  # Also printed with the error for --port.

    def handle(self, *args: Any, **options: Any) -> None:
        check_persisted_documents()
        check_port(settings.BIND, settings.PORT)
        settings.SECRET_KEY = self.prepare_database()
        apply_retention_safely(settings.DEALS_LIMITS)
        publish_static_files()
        connection.close()
        os.chdir(settings.BASE_DIR)
        folder = f"PROMETHEUS_MULTIPROC_DIR={make_metrics_folder()}"
        sys.argv = ["gunicorn", "--config", "python:project.server.gunicorn_conf", "--env", folder]
        wsgiapp.run()

    def prepare_database(self) -> str:
        """Migrate the database and return the secret key: the configured one, or the one stored at the first start.

        Retry while the database starts, or another process creates the same tables.

        Raises: CommandError.
        """
        attempts = 0
        while True:
            attempts += 1
            try:
                migrate_database()
                return settings.CONFIGURED_SECRET_KEY or self.stored_secret_key()
            except SchemaMismatch as mismatch:
                raise CommandError(str(mismatch), returncode=ExitCode.USAGE) from mismatch
            except DatabaseError as error:
                connection.close()
                if attempts == _MAX_ATTEMPTS or is_database_file_unusable(error) or is_disk_full(error):
                    message = f"The database cannot be used: {describe_error(error)}"
                    raise CommandError(message, returncode=ExitCode.UNAVAILABLE) from error
                time.sleep(1)

    def stored_secret_key(self) -> str:
        installation, _ = Installation.objects.get_or_create(pk=Installation.ONLY)
        return installation.secret_key


def publish_static_files() -> None:
    """Copy the collected static files to STATIC_FILES_DIR. A failure is logged: the service serves its files itself."""
    if settings.STATIC_FILES_DIR and settings.STATIC_ROOT:
        try:
            static_files.publish(settings.STATIC_ROOT, Path(settings.STATIC_FILES_DIR), settings.DEALS_BUILD)
        except OSError as error:
            log.warning("Static files cannot be copied to STATIC_FILES_DIR: %s", error)


def check_port(address: str, port: int) -> None:
    """Check that gunicorn can listen on the port, before the slow part of the start.

    Raises: CommandError.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            message = f"Port {port} {reason}; set PORT to another one."
            raise CommandError(message, returncode=ExitCode.USAGE) from error
