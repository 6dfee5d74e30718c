"""Tables that do not match the code: the start fails with a message, and no error is reported as temporary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from deals_api import schema_check
from deals_api.management.terminal import ExitCode
from tests.builders import deal, load
from tests.graphql import clear_caches
from tests.server_actions import execute
from tests.servers import ROOT, TIMEOUT
from tests.services import free_port

#: A statement that damages the tables, one that repairs them, and the name of the missing column or table.
DAMAGES = [
    (
        "ALTER TABLE deals_api_upload RENAME COLUMN gem_count TO count_of_gems",
        "ALTER TABLE deals_api_upload RENAME COLUMN count_of_gems TO gem_count",
        "column deals_api_upload.gem_count",
    ),
    (
        "ALTER TABLE deals_api_customer RENAME TO customers",
        "ALTER TABLE customers RENAME TO deals_api_customer",
        "table deals_api_customer",
    ),
]


# While the service runs


@pytest.fixture(params=DAMAGES, ids=["column", "table"])
def missing(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    """The name of a column or table that is missing during the test."""
    damage, repair, name = request.param
    load(deal("ann"))
    clear_caches()
    with connection.cursor() as cursor:
        cursor.execute(damage)
    try:
        yield name
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(repair)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("path", ["/api/top-clients/", "/api/upload/", "/api/exports/top-clients.csv"])
def test_rest_reports_a_missing_table_as_internal_error(client: Client, missing: str, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()["Code"]) == (500, "internal_error")
    assert "Retry-After" not in response.headers


def test_graphql_reports_a_missing_table_as_internal_error(client: Client, missing: str) -> None:
    body = json.dumps({"query": "{ customers { nodes { username } } }"})
    response = client.post("/graphql/", body, content_type="application/json")
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["internal_error"]
    assert response.status_code == (500 if missing.startswith("column") else 200)
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize("passed", [[], [True]], ids=["at the start", "later"])
def test_health_names_tables_that_do_not_match(
    client: Client, missing: str, passed: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_check, "_passed", passed)
    response = client.get("/health/ready")
    if passed and missing.startswith("table"):  # the rows of deals are not read by a health check
        assert response.status_code == 200
        return
    assert (response.status_code, response.json()["status"]) == (503, "tables do not match")
    assert passed or missing in response.json()["detail"]


def test_admin_reports_a_missing_table_as_internal_error(client: Client, missing: str) -> None:
    client.force_login(User.objects.create_superuser("operator"))
    response = client.get("/admin/deals_api/customer/")
    assert response.status_code == 500
    assert "try again" not in response.content.decode()


def test_commands_report_the_missing_table_and_the_remedy(missing: str) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("top_clients", stdout=StringIO())
    assert raised.value.returncode == ExitCode.UNAVAILABLE
    assert str(raised.value).startswith(f"The database cannot be used: The database has no {missing}")
    assert "restore a backup" in str(raised.value)


# At the start


def start(database_url: str, *command: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=inherited | {"DATABASE_URL": database_url, "PORT": str(free_port())},
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


NEWER = "INSERT INTO django_migrations (app, name, applied) VALUES ('deals_api', '9999_newer', '2030-01-01 00:00:00')"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            NEWER,
            "A newer version of the service migrated the database (this version lacks deals_api.9999_newer):"
            " start that version, or restore a backup that was made before the upgrade.",
        ),
        (
            "ALTER TABLE deals_api_deal RENAME COLUMN quantity TO pieces",
            "The database has no column deals_api_deal.quantity, although its migrations are recorded as applied:"
            " restore a backup, or set DATABASE_URL to an empty database and upload the file again.",
        ),
    ],
    ids=["newer", "damaged"],
)
def test_start_fails_if_tables_do_not_match(database_url: str, statement: str, message: str) -> None:
    execute(database_url, statement)
    done = start(database_url, "manage.py", "serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().removeprefix("CommandError: ") == message


def test_gunicorn_without_migrations_prints_the_command_to_run(empty_database_url: str, tmp_path: Path) -> None:
    folder = f"PROMETHEUS_MULTIPROC_DIR={tmp_path}"
    done = start(empty_database_url, "-m", "gunicorn", "-c", "python:project.server.gunicorn_conf", "--env", folder)
    assert done.returncode == 2, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert "run `python manage.py migrate`, or start the service by `python manage.py serve`." in line
    assert "Traceback" not in done.stderr
