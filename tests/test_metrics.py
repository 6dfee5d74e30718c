"""Prometheus metrics: summed over all processes, with a bounded number of labels, for authorised readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings

from deals_api.security.tokens import read_tokens
from project.telemetry import metrics
from tests.builders import csv_of, deal, load
from tests.servers import REAL_FILE, TIMEOUT, Server, serving, wait_until

pytestmark = pytest.mark.django_db

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([0-9.e+]+)$", re.MULTILINE)


def parse_samples(text: str) -> dict[tuple[str, str], float]:
    return {(name, labels): float(value) for name, labels, value in SAMPLE.findall(text)}


def samples() -> dict[tuple[str, str], float]:
    return parse_samples(Client().get("/metrics").text)


def increases(action: Callable[[], Any], name: str) -> dict[str, float]:
    """Return the increase of each sample of a metric during the action, by labels."""
    before = samples()
    action()
    return {
        labels: value - before.get((name, labels), 0)
        for (sample_name, labels), value in samples().items()
        if sample_name == name and value != before.get((name, labels), 0) and '"metrics"' not in labels
    }


def execute(name: str | None = None, query: str = "{ __typename }") -> None:
    body = {"query": query} | ({"operationName": name} if name else {})
    assert Client().post("/graphql/", body, content_type="application/json").status_code < 500


def upload(*files: bytes, path: str = "/api/upload/") -> None:
    for content in files:
        Client().post(path, {"deals": SimpleUploadedFile("deals.csv", content)})


def test_requests_are_counted_by_endpoint_status_and_cache() -> None:
    load(deal())
    assert increases(lambda: [Client().get("/api/top-clients/") for _ in range(3)], "deals_requests_total") == {
        f'cache="{cache}",endpoint="top-clients",method="GET",operation="",status="200"': count
        for cache, count in (("miss", 1), ("hit", 2))
    }


def test_durations_are_counted_by_endpoint_and_operation() -> None:
    counts = increases(lambda: execute("TopFive", "query TopFive { __typename }"), "deals_request_seconds_count")
    assert counts == {'endpoint="graphql",operation="TopFive"': 1}


def test_uploads_rows_and_errors_are_counted() -> None:
    valid, invalid = csv_of(deal(), deal()), csv_of(deal(total="x"))
    outcomes = increases(lambda: upload(valid, valid, invalid), "deals_uploads_total")
    assert outcomes == {'outcome="loaded"': 1, 'outcome="duplicate"': 1, 'outcome="refused"': 1}
    dry_runs = increases(lambda: upload(valid, invalid, path="/api/upload/?dry_run=1"), "deals_uploads_total")
    assert dry_runs == {'outcome="checked"': 2}
    assert increases(lambda: upload(csv_of(deal(), deal(), deal())), "deals_rows_total") == {"": 3}
    assert increases(lambda: upload(invalid), "deals_refusals_total") == {'code="bad_cells"': 1}
    assert increases(lambda: execute(query="{ nothing }"), "deals_refusals_total") == {'code="graphql_invalid"': 1}


def test_number_of_operation_labels_is_limited() -> None:
    for number in range(10_000):
        metrics._operation_label(f"Name{number}")
    count_before = len(samples())
    for number in range(0, 10_000, 500):
        execute(f"Name{number}", f"query Name{number} {{ __typename }}")
    operations = {name for _, labels in samples() for name in re.findall(r'operation="(.*?)"', labels)}
    assert len(operations) <= metrics.MAX_OPERATIONS + 8
    assert "other" in operations
    assert len(samples()) - count_before < 600
    assert "TopFive" in metrics._operations


def test_unknown_paths_and_methods_share_one_label() -> None:
    counts = increases(lambda: Client().generic("MINE", "/nothing/mine"), "deals_requests_total")
    assert list(counts) == ['cache="",endpoint="other",method="other",operation="",status="404"']


def test_metrics_require_read_permission_and_can_be_disabled() -> None:
    with override_settings(READ_REQUIRES_TOKEN=True, API_TOKENS=read_tokens("ann:" + 16 * "s")):
        response = Client().get("/metrics")
        assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
        assert response.json()["Code"] == "token_required"
    with override_settings(METRICS=False):
        assert Client().get("/metrics").status_code == 404


@pytest.mark.database_independent
def test_metrics_sum_all_processes_and_are_deleted_at_exit(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_WORKERS="2") as server:
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        (folder,) = metrics_folders(server)

        def number_of_files() -> int:
            """Send a request, and return the number of processes that have counted one."""
            server.get()
            return len({path.stem.split("_")[-1] for path in folder.glob("counter_*.db")})

        wait_until(lambda: number_of_files() >= 2)
        for _ in range(40):
            server.get()

        def request_count() -> float:
            found = parse_samples(server.get("/metrics").text).items()
            return sum(value for (name, labels), value in found if "total" in name and "top-clients" in labels)

        wait_until(lambda: request_count() >= 40)
        killed = server.workers()[0]
        killed.kill()
        killed.wait(TIMEOUT)
        wait_until(lambda: request_count() >= 40)  # the counts of a killed process are kept
        server.stop()
        assert not folder.exists()


def metrics_folders(server: Server) -> list[Path]:
    pattern = f"deals-metrics-{server.process.pid}-*"
    return [path for parent in ("/dev/shm", gettempdir()) for path in Path(parent).glob(pattern)]  # noqa: S108


@pytest.mark.database_independent
def test_next_start_removes_metrics_of_a_killed_service(tmp_path: Path) -> None:
    """A service of another test that starts at the same time may also remove the folder."""
    with serving(tmp_path) as server:
        (folder,) = metrics_folders(server)
        assert folder.exists()
        server.kill()
    with serving(tmp_path):
        assert not folder.exists()
