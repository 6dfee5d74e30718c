"""Fixtures of all tests: empty caches, settings for loaded machines, databases and servers."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache as backend
from django.core.cache import caches
from django.db import connection
from playwright.sync_api import Browser
from pytest_django import Settings

from deals_api.caching import local as local_cache
from deals_api.caching import persisted_queries
from deals_api.security.throttling import counters
from deals_api.snapshots import current as current_snapshot
from deals_api.snapshots import lease
from tests import databases, services
from tests.chromium import chromium
from tests.long_form import IS_LONG
from tests.requires import TWO_RUNS
from tests.servers import REAL_FILE, TIMEOUT, Server, serving


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep SQLite in a file, as the service does, so that each thread has its own connection."""
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "deals.sqlite3")


@pytest.fixture(autouse=True)
def _clear_caches() -> None:
    backend.clear()
    local_cache.local_responses.clear()
    persisted_queries.log.read()
    persisted_queries.local_documents.clear()
    counters.clear()
    current_snapshot.current_upload.invalidate()


@pytest.fixture(autouse=True, scope="session")
def _separate_valkey_databases(worker_id: str) -> None:
    """Tests clear the cache, so each process of pytest-xdist (gw0, gw1, …) uses a database of its own."""
    options = django_settings.CACHES["default"]
    if worker_id != "master" and options.get("LOCATION", "").startswith("redis:"):
        options["LOCATION"] = f"{options['LOCATION'].rpartition('/')[0]}/{worker_id.removeprefix('gw')}"
        with contextlib.suppress(AttributeError):
            del caches["default"]  # the start of Django has connected


@pytest.fixture(autouse=True, scope="session")
def _disable_access_log() -> None:
    """A thread writes the access log at any time; tests of the log enable it."""
    django_settings.LOG_REQUESTS = False


@pytest.fixture(autouse=True, scope="session")
def _find_static_files_on_demand() -> None:
    """By default each new ``Client`` searches all folders of static files at its first request."""
    django_settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True, scope="session")
def _fast_passwords() -> None:
    """Hashing a password takes half a second in production."""
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True, scope="session")
def _generous_timeouts() -> None:
    """Production timeouts would fail tests on a loaded machine; tests about time set their own."""
    django_settings.DEALS_LIMITS = replace(django_settings.DEALS_LIMITS, max_query_seconds=int(TIMEOUT))
    options: Any = django_settings.CACHES["default"].get("OPTIONS", {})
    options.update({name: TIMEOUT for name in options if name.startswith("SOCKET_")})


@pytest.fixture(autouse=True, scope="session")
def _short_leases() -> Iterator[None]:
    """Each load waits until all leases have expired. Processes of the service have the leases of production."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(lease, "LEASE_TTL_SECONDS", 0.002)
        yield


@pytest.fixture
def real_file() -> bytes:
    return REAL_FILE.read_bytes()


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the rate limits, so that no minute ends during the test."""
    now = time.time()
    monkeypatch.setattr("deals_api.security.throttling.time", SimpleNamespace(time=lambda: now))


@pytest.fixture
def limits(settings: Settings, stopped_clock: None) -> Any:
    """Return a function that changes limits for one test: ``limits(max_rows=1)``."""

    def change(**values: int) -> None:
        settings.DEALS_LIMITS = replace(settings.DEALS_LIMITS, **values)

    return change


@pytest.fixture
def uploads_dir(settings: Settings, tmp_path: Path) -> Path:
    """The folder of asynchronous uploads, which are switched on by this fixture."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    settings.UPLOADS_DIR = settings.FILE_UPLOAD_TEMP_DIR = str(folder)
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "uploads": {"BACKEND": backend, "OPTIONS": {"location": folder}}}
    return folder


@pytest.fixture(scope="session")
def on_postgres() -> bool:
    """Whether this run of the suite uses PostgreSQL and Valkey."""
    return connection.vendor == "postgresql"


@pytest.fixture(scope="session")
def postgresql_only() -> None:
    """Tests with this fixture are deselected in the run on SQLite."""


@pytest.fixture(scope="session")
def sqlite_only() -> None:
    """Tests with this fixture are deselected in the run on PostgreSQL."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of the other run, and the long form unless it is selected."""
    deselected = [
        item for item in items if belongs_to_other_run(item) or (item.get_closest_marker("long_form") and not IS_LONG)
    ]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if item not in deselected]


def belongs_to_other_run(item: pytest.Item) -> bool:
    """Return whether a test belongs to the run on the other database, or runs once, in that run."""
    on_postgres: bool = django_settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
    if ("sqlite_only" if on_postgres else "postgresql_only") in getattr(item, "fixturenames", ()):
        return True
    if item.get_closest_marker("second_run") and TWO_RUNS in os.environ:
        return not on_postgres
    return on_postgres and item.get_closest_marker("database_independent") is not None


@pytest.fixture(scope="session", autouse=True)
def _drop_databases() -> Iterator[None]:
    yield
    databases.drop_templates()


@pytest.fixture(scope="session")
def postgresql_server(on_postgres: bool) -> str | None:
    """The URL of the server of the run; None on SQLite."""
    return databases.server_of(django_settings.DATABASES["default"]) if on_postgres else None


@pytest.fixture
def database_url(postgresql_server: str | None, tmp_path: Path) -> Iterator[str]:
    """A database for processes of the service, with empty tables."""
    with databases.migrated_database(postgresql_server, tmp_path) as url:
        yield url


@pytest.fixture
def empty_database_url(postgresql_server: str | None, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    with databases.empty_database(postgresql_server, tmp_path) as url:
        yield url


@pytest.fixture
def redis() -> Iterator[services.Service]:
    """A Valkey server for one test, which may stop or break it."""
    with services.redis() as (service, _):
        yield service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def environment(database_url: str, on_postgres: bool, request: pytest.FixtureRequest) -> dict[str, str]:
    """Environment of a server process: a database with empty tables, and Valkey if the database is PostgreSQL."""
    if not on_postgres:
        return {"DATABASE_URL": database_url}
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url(request.getfixturevalue("redis"))}


@pytest.fixture
def empty_environment(empty_database_url: str, environment: dict[str, str]) -> dict[str, str]:
    """The same with a database without tables."""
    return environment | {"DATABASE_URL": empty_database_url}


def redis_url(redis: services.Service) -> str:
    return f"redis://127.0.0.1:{redis.port}/0"


@contextlib.contextmanager
def serving_shared(postgresql_server: str | None, folder: Path, **settings: str) -> Iterator[Server]:
    """Run a service on empty tables, with Valkey if the database is PostgreSQL, outside the scope of a test."""
    with contextlib.ExitStack() as stack:
        environment = {"DATABASE_URL": stack.enter_context(databases.migrated_database(postgresql_server, folder))}
        if postgresql_server:
            environment["REDIS_URL"] = redis_url(stack.enter_context(services.redis())[0])
        yield stack.enter_context(serving(folder, **environment, **settings))


@pytest.fixture
def server(tmp_path: Path, environment: dict[str, str]) -> Iterator[Server]:
    with serving(tmp_path, **environment) as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(postgresql_server: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a module; they must not stop it. It keeps the data of the previous test."""
    with serving_shared(postgresql_server, tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture
def server_with_redis(tmp_path: Path, database_url: str, redis: services.Service) -> Iterator[Server]:
    with serving(tmp_path, DATABASE_URL=database_url, REDIS_URL=redis_url(redis)) as running:
        yield running
