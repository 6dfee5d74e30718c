"""docker-compose.yml and the Dockerfile say what the code needs; ``.ci/compose.py`` starts them for real."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from project.server import gunicorn_conf
from tests import services
from tests.servers import REAL_FILE, ROOT, TIMEOUT, serving
from tests.test_service import wait_until
from tests.test_settings import variables_read

pytestmark = pytest.mark.database_independent

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
WEB: dict[str, Any] = COMPOSE["services"]["web"]
#: Where the containers find each other, which nobody moves, and what only libpq reads.
FIXED = {"DATABASE_URL", "REDIS_URL", "PGPASSWORD"}


def test_every_variable_of_the_service_reaches_the_container() -> None:
    read = variables_read()
    passed_on = set(WEB["environment"]) | {"PORT"}
    assert read - passed_on == set(), "add these to docker-compose.yml as NAME: ${NAME:-}"
    assert passed_on - read - FIXED == set(), "nobody reads these: take them out of docker-compose.yml"
    assert WEB["ports"] == ["${PORT:-8000}:8000"]  # inside it is always the same


def test_a_variable_that_is_not_set_keeps_the_default_of_the_service() -> None:
    passed_on = set(WEB["environment"]) - FIXED
    assert {name: WEB["environment"][name] for name in passed_on} == {name: f"${{{name}:-}}" for name in passed_on}
    unset = {name: value for name, value in os.environ.items() if name not in passed_on | FIXED}
    assert settings_under(unset | dict.fromkeys(passed_on, "")) == settings_under(unset)


def settings_under(environment: dict[str, str]) -> str:
    """All of ``project.settings`` in a process of its own, without the key that each one makes for itself."""
    values = "{name: value for name, value in vars(settings).items() if name.isupper() and name != 'SECRET_KEY'}"
    command = [sys.executable, "-c", f"from project import settings; print({values})"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return re.sub(r" at 0x[0-9a-f]+", "", told)  # where a function lies in memory is no setting


@pytest.mark.parametrize(
    ("service", "binary"), [("db", services.postgres_binaries() / "postgres"), ("redis", services.valkey_binary())]
)
def test_the_suite_runs_the_major_versions_of_compose(service: str, binary: Path) -> None:
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"(\d+)\.\d+", shown)
    shipped = re.search(r":(\d+)-", COMPOSE["services"][service]["image"])
    assert version
    assert shipped
    assert version[1] == shipped[1], "change the image in docker-compose.yml or the wheel in tests/requirements.txt"


def test_docker_waits_longer_than_gunicorn_for_requests_in_flight() -> None:
    assert int(WEB["stop_grace_period"].removesuffix("s")) > gunicorn_conf.graceful_timeout


def test_every_package_of_ours_goes_into_the_image() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    let_in = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert {"manage.py", "requirements.txt", *packages} <= let_in


def health_check(port: int) -> int:
    """The exit status of the image's own HEALTHCHECK command, run here."""
    command = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)
    assert command
    program, *arguments = json.loads(command[1])
    assert program == "python"
    environment = os.environ | {"PORT": str(port)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=False
    ).returncode


def test_health_check_passes_while_the_service_listens(tmp_path: Path) -> None:
    with serving(tmp_path, SECURE="1", ALLOWED_HOSTS="deals.example") as server:
        assert health_check(server.port) == 0
        assert server.get("/api/top-clients/").status_code == 301
        assert server.get("/health/ready", headers={"Host": "else.example"}).status_code == 400
    assert health_check(server.port) == 1


@pytest.mark.database_independent
def test_hung_postgresql_makes_requests_wait_but_no_restart(tmp_path: Path) -> None:
    threads = 4
    with (
        services.postgres() as (postgres, url),
        serving(tmp_path, DATABASE_URL=url, WEB_WORKERS="1", WEB_THREADS=str(threads)) as server,
        ThreadPoolExecutor(2 * threads) as pool,
    ):
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        worker = server.workers()
        with stopped(postgres):
            waiting = [pool.submit(server.get, f"/api/top-clients/?limit={limit}") for limit in range(1, 2 * threads)]
            # Soon all threads wait for the database, so that a request that needs none is not answered either.
            wait_until(lambda: times_out(server.url + "/health/live"))
            assert health_check(server.port) == 0
            assert not any(response.done() for response in waiting)
        assert {response.result().status_code for response in waiting} == {200}
        assert [len(response.result().json()["response"]) for response in waiting[:5]] == [1, 2, 3, 4, 5]
        assert server.get("/health/ready").status_code == 200
        assert server.workers() == worker


def times_out(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.ReadTimeout:
        return True
    return False


@contextlib.contextmanager
def stopped(service: services.Service) -> Iterator[None]:
    """Suspend all processes of a server, as a hung disk or a suspended virtual machine does."""
    assert service.process is not None
    main = psutil.Process(service.process.pid)
    processes = [main, *main.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
