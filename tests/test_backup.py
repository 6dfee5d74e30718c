"""The documented commands for backup and restore, on both databases."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg2
import pytest

from tests import services
from tests.builders import csv_of, deal
from tests.server_actions import usernames_in
from tests.servers import TIMEOUT, Server, serving
from tests.test_readme import OPERATION, README, backup_blocks_of

SQLITE_BACKUP, POSTGRESQL_BACKUP = backup_blocks_of(README)
SQLITE_RESTORE, POSTGRESQL_RESTORE = backup_blocks_of(OPERATION)


def run(block: str, folder: Path, **environment: str) -> None:
    done = subprocess.run(
        ["sh", "-ec", block], cwd=folder, env=os.environ | environment,
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stderr}"


def upload(server: Server, customer: str) -> None:
    assert server.upload(csv_of(deal(customer))).status_code == 200


def customers(server: Server) -> list[str]:
    return usernames_in(server.get().json())


@pytest.mark.usefixtures("sqlite_only")
def test_sqlite_backup_of_a_running_service_is_restored(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with serving(tmp_path) as server:
        upload(server, "before")
        run(SQLITE_BACKUP, tmp_path)
        upload(server, "after")
        server.kill()  # which leaves a write-ahead log that does not belong to the backup
    assert (tmp_path / "deals.sqlite3-wal").exists()
    run(SQLITE_RESTORE, tmp_path)
    with serving(tmp_path) as server:
        assert customers(server) == ["before"]
        upload(server, "new")
        assert customers(server) == ["new"]


#: ``docker-compose exec -T db PROGRAM ...`` runs the program on this machine; other subcommands do nothing.
DOCKER_COMPOSE: Final = """#!/bin/sh
[ "$1" = exec ] || exit 0
shift 3
program=$1
shift
exec "{binaries}/$program" -h 127.0.0.1 -p {port} "$@"
"""


@pytest.fixture
def postgres(tmp_path: Path, postgresql_only: None) -> Iterator[tuple[str, str]]:
    """The URL of an empty database ``deals``, and a ``PATH`` with a replacement for docker-compose."""
    with services.postgres() as (service, url):
        programs = tmp_path / "programs"
        programs.mkdir()
        script = programs / "docker-compose"
        script.write_text(DOCKER_COMPOSE.format(binaries=services.postgres_binaries(), port=service.port))
        script.chmod(0o755)
        with contextlib.closing(psycopg2.connect(url)) as database:
            database.autocommit = True
            database.cursor().execute("CREATE DATABASE deals")
        yield url.removesuffix("postgres") + "deals", f"{programs}:{os.environ['PATH']}"


def test_postgresql_backup_of_a_running_service_is_restored(tmp_path: Path, postgres: tuple[str, str]) -> None:
    lines = POSTGRESQL_RESTORE.splitlines()
    assert (lines[0], lines[-1]) == ("docker-compose stop web", "docker-compose start web")
    url, path = postgres
    with serving(tmp_path, DATABASE_URL=url) as server:
        upload(server, "before")
        run(POSTGRESQL_BACKUP, tmp_path, PATH=path)
        upload(server, "after")
    run(POSTGRESQL_RESTORE, tmp_path, PATH=path)
    with serving(tmp_path, DATABASE_URL=url) as server:
        assert customers(server) == ["before"]
        upload(server, "new")
        assert customers(server) == ["new"]
