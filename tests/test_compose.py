"""docker-compose.yml and the Dockerfile match the code; tests/test_docker_compose.py starts them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
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

from deals_api.limits import Limits
from project import __version__, settings
from project.server import gunicorn_conf
from tests import services
from tests.servers import NO_TLS, REAL_FILE, ROOT, TIMEOUT, serving, wait_until
from tests.test_settings import variables_read

pytestmark = pytest.mark.database_independent

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
IMAGE_PORT = int(re.findall(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0])
WEB: dict[str, Any] = COMPOSE["services"]["web"]
PROXY: dict[str, Any] = COMPOSE["services"]["proxy"]
#: Addresses and folders of the containers, which are not configurable, and the password, which only libpq reads.
FIXED = {"DATABASE_URL", "REDIS_URL", "PGPASSWORD", "STATIC_FILES_DIR"}
#: The proxy publishes the port, and is itself a proxy.
OTHER_DEFAULTS = {"BIND": "127.0.0.1", "PORT": "8000", "PROXIES": "1"}


def test_every_setting_is_passed_to_the_container() -> None:
    read = variables_read()
    passed_on = set(WEB["environment"]) | {"BIND", "PORT"}
    assert read - passed_on == set(), "add these to docker-compose.yml as NAME: ${NAME:-}"
    assert passed_on - read - FIXED == set(), "remove these from docker-compose.yml: no code reads them"
    # Addresses and ports inside the containers are fixed.
    assert PROXY["ports"] == ["${BIND:-127.0.0.1}:${PORT:-8000}:8080"]
    assert "ports" not in WEB


def test_setting_that_is_not_set_keeps_its_default() -> None:
    passed_on = set(WEB["environment"]) - FIXED - set(OTHER_DEFAULTS)
    assert {name: WEB["environment"][name] for name in passed_on} == {name: f"${{{name}:-}}" for name in passed_on}
    unset = unset_environment()
    assert settings_with(unset | dict.fromkeys(passed_on, "")) == settings_with(unset)
    variables = dict(re.findall(r"\$\{([A-Z_]+):-([^}]+)\}", (ROOT / "docker-compose.yml").read_text()))
    assert variables.items() >= OTHER_DEFAULTS.items()
    assert int(variables["MAX_UPLOAD_BYTES"]) == Limits().max_upload_bytes
    assert variables["TAG"] == __version__


def unset_environment() -> dict[str, str]:
    """Return the environment of this process without the variables that docker-compose.yml passes on."""
    return {name: value for name, value in os.environ.items() if name not in {*WEB["environment"], "PORT"}}


def settings_with(environment: dict[str, str]) -> str:
    """Return all settings as a new process prints them, except the key that each process generates."""
    values = "{name: value for name, value in vars(settings).items() if name.isupper() and name != 'SECRET_KEY'}"
    command = [sys.executable, "-c", f"from project import settings; print({values})"]
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return re.sub(r" at 0x[0-9a-f]+", "", printed)  # addresses of functions differ between processes


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("db", [services.postgres_binaries() / "postgres", "--version"]),
        ("redis", [services.valkey_binary(), "--version"]),
        ("proxy", [services.nginx_binary(), "-v"]),
    ],
)
def test_tests_use_the_major_versions_of_compose(service: str, command: list[Path | str]) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    version = re.search(r"(\d+)\.\d+", run.stdout + run.stderr)
    base_images = re.findall(rf"^FROM (\S+) AS {service}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    image = re.search(r":(\d+)[.-]", (base_images or [COMPOSE["services"][service]["image"]])[0])
    assert version
    assert image
    assert version[1] == image[1], "change the image in docker-compose.yml or the wheel in tests/requirements.txt"


def test_docker_stop_waits_longer_than_gunicorn() -> None:
    assert int(WEB["stop_grace_period"].removesuffix("s")) > gunicorn_conf.graceful_timeout


def test_docker_stop_waits_longer_than_nginx() -> None:
    configuration = (ROOT / "project" / "server" / "nginx.conf").read_text()
    timeout = re.search(r"worker_shutdown_timeout (\d+)s;", configuration)
    assert timeout
    assert int(PROXY["stop_grace_period"].removesuffix("s")) > int(timeout[1])


def test_worker_has_the_settings_and_the_files_of_the_service() -> None:
    worker = COMPOSE["services"]["worker"]
    assert worker["environment"] == WEB["environment"]
    assert worker["volumes"] == WEB["volumes"]
    assert "uploads:/uploads" in worker["volumes"]
    assert worker["command"] == ["python", "manage.py", "db_worker"]
    assert worker["profiles"] == ["worker"]
    owned = re.search(r"^RUN install -d -o 10001 -g 10001 (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert owned
    assert "/uploads" in owned[1].split()


def test_every_container_is_limited() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert {"mem_limit", "cpu_quota", "pids_limit"} <= set(service), name


def test_documented_size_is_that_of_the_containers() -> None:
    processors, gibibytes = WEB["cpu_quota"] / 100_000, int(WEB["mem_limit"].removesuffix("g"))
    connections = settings.WEB_WORKERS * (settings.WEB_THREADS + 2)  # measured by tests/test_database.py
    assert (processors, gibibytes, connections, 3 * connections) == (2, 1, 20, 60)
    document = " ".join((ROOT / "project" / "README.md").read_text().split())
    assert "at most two processors, 1 GiB of memory and 20 connections to PostgreSQL" in document
    assert "three containers with 60 connections leave two processors" in document


def test_documented_probes_work(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(readinessProbe:.*?)```", (ROOT / "project" / "README.md").read_text(), re.DOTALL)
    probes = yaml.safe_load(example)
    assert probes["readinessProbe"]["httpGet"]["port"] == probes["livenessProbe"]["tcpSocket"]["port"] == IMAGE_PORT
    with serving(tmp_path) as server:
        assert server.get(probes["readinessProbe"]["httpGet"]["path"]).json() == {"status": "ok"}
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT).close()


def test_every_package_is_copied_into_the_image() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    included = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert {"manage.py", "requirements.txt", *packages} <= included


def health_check(port: int) -> int:
    """Run the HEALTHCHECK command of the Dockerfile; return its exit status."""
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


def test_hung_postgresql_makes_requests_wait_but_no_restart(tmp_path: Path) -> None:
    threads = 4
    with (
        services.postgres() as (postgres, url),
        serving(tmp_path, DATABASE_URL=url, WEB_WORKERS="1", WEB_THREADS=str(threads)) as server,
        ThreadPoolExecutor(2 * threads) as pool,
    ):
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        workers = server.workers()
        with stopped(postgres):
            waiting = [pool.submit(server.get, f"/api/top-clients/?limit={limit}") for limit in range(1, 2 * threads)]
            # When all threads wait for the database, requests that do not need it time out too.
            wait_until(lambda: times_out(server.url + "/health/live"))
            assert health_check(server.port) == 0
            assert not any(response.done() for response in waiting)
        assert {response.result().status_code for response in waiting} == {200}
        assert [len(response.result().json()["response"]) for response in waiting[:5]] == [1, 2, 3, 4, 5]
        assert server.get("/health/ready").status_code == 200
        assert server.workers() == workers


def times_out(url: str) -> bool:
    try:
        httpx.get(url, timeout=2, verify=NO_TLS)
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
