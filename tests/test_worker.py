"""Real workers: killed at every stage of a load, stopped, cancelled, and several at the same time."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import services
from tests.builders import csv_of, many
from tests.long_form import IS_LONG
from tests.server_actions import is_loading, query, top_client
from tests.servers import NO_TLS, ROOT, TIMEOUT, Server, serving, wait_until, worker_process

#: Deals of a load that takes seconds.
ROWS = 150_000
STATEMENTS = "SELECT count(*), count(DISTINCT id) FROM deals_api_deal WHERE upload_id = {}"


@pytest.fixture
def worker_environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "uploads").mkdir()
    return {**environment, "UPLOADS_DIR": str(tmp_path / "uploads")}


@pytest.fixture
def server(tmp_path: Path, worker_environment: dict[str, str]) -> Iterator[Server]:
    with serving(tmp_path, **worker_environment) as running:
        yield running


def queue(server: Server, name: str, rows: int = 1) -> str:
    """Send a file asynchronously; return the URL of its state."""
    content, headers = csv_of(*many(rows, [name])), {"Prefer": "respond-async"}
    response = httpx.post(
        f"{server.url}/api/upload/", files={"deals": (name, content)}, headers=headers, timeout=TIMEOUT, verify=NO_TLS
    )
    assert response.status_code == 202, response.text
    return response.headers["Location"]


def state(server: Server, path: str) -> str:
    return str(server.get(path).json()["State"])


def test_upload_is_loaded_once_wherever_its_worker_is_killed(database_url: str, tmp_path: Path) -> None:
    step = 1 if IS_LONG else 8
    (tmp_path / "uploads").mkdir()
    inherited = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    variables = {"DATABASE_URL": database_url, "UPLOADS_DIR": str(tmp_path / "uploads")}
    first = random.randint(1, step)  # noqa: S311
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_workers", str(tmp_path), str(first), str(step)], cwd=ROOT,
        env=inherited | variables, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    result = json.loads(done.stdout)
    assert result["problems"] == []
    assert result["killed"] > 40 / step  # the statements of two loads


@pytest.mark.second_run
def test_load_of_a_killed_worker_process_is_repeated(
    server: Server, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with ExitStack() as stack:
        worker = stack.enter_context(worker_process(log, worker_environment))
        older = queue(server, "older", ROWS)
        wait_until(lambda: is_loading(server.database_url))
        worker.kill()
        worker.wait()
        assert top_client(server) == ""
        newer = queue(server, "newer")
        for _ in range(2):
            stack.enter_context(worker_process(log, worker_environment))
        wait_until(lambda: state(server, newer) == "loaded")
        assert top_client(server) == "newer"
        wait_until(lambda: state(server, older) == "loaded")
        assert top_client(server) == "newer"
        ((upload,),) = query(server.database_url, "SELECT id FROM deals_api_upload WHERE file_name = 'older'")
        assert query(server.database_url, STATEMENTS.format(upload)) == [(ROWS, ROWS)]
        wait_until(lambda: list((tmp_path / "uploads").iterdir()) == [])


def test_stopped_worker_finishes_its_load(server: Server, worker_environment: dict[str, str], tmp_path: Path) -> None:
    with worker_process(tmp_path / "worker.log", worker_environment) as worker:
        path = queue(server, "ann", ROWS)
        wait_until(lambda: is_loading(server.database_url))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(TIMEOUT) == 0
    assert state(server, path) == "loaded"
    assert top_client(server) == "ann"


def test_running_load_is_cancelled(server: Server, worker_environment: dict[str, str], tmp_path: Path) -> None:
    with worker_process(tmp_path / "worker.log", worker_environment):
        first = queue(server, "ann")
        wait_until(lambda: state(server, first) == "loaded")
        path = queue(server, "bob", 10 * ROWS)
        wait_until(lambda: server.get(path).json()["RowsRead"])
        response = httpx.delete(server.url + path, timeout=TIMEOUT, verify=NO_TLS)
        assert (response.status_code, response.json()) == (200, {"Status": "OK"})
        assert state(server, path) == "cancelled"
        assert top_client(server) == "ann"
        last = queue(server, "cid")
        wait_until(lambda: state(server, last) == "loaded")
        assert state(server, path) == "cancelled"
        assert list((tmp_path / "uploads").iterdir()) == []


def test_worker_waits_for_the_tables(
    worker_environment: dict[str, str], empty_database_url: str, tmp_path: Path
) -> None:
    log, environment = tmp_path / "worker.log", worker_environment | {"DATABASE_URL": empty_database_url}
    with worker_process(log, environment):
        wait_until(lambda: "The worker waits" in log.read_text())
        with serving(tmp_path, **environment) as server:
            path = queue(server, "ann")
            wait_until(lambda: state(server, path) == "loaded")
    assert "Traceback" not in log.read_text()


@pytest.mark.usefixtures("postgresql_only")
def test_worker_survives_a_restart_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    with services.postgres() as (postgres, url):
        environment: dict[str, Any] = {"DATABASE_URL": url, "UPLOADS_DIR": str(tmp_path / "uploads")}
        with serving(tmp_path, **environment) as server, worker_process(tmp_path / "worker.log", environment) as worker:
            path = queue(server, "ann")
            wait_until(lambda: state(server, path) == "loaded")
            postgres.stop()
            postgres.start()
            wait_until(lambda: server.get("/health/ready").status_code == 200)
            path = queue(server, "bob")
            wait_until(lambda: state(server, path) == "loaded")
            assert worker.poll() is None
