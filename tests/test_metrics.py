"""What Prometheus reads: the same from every process, of few labels whatever clients write, for whoever may read."""

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


def samples_of(text: str) -> dict[tuple[str, str], float]:
    return {(name, labels): float(value) for name, labels, value in SAMPLE.findall(text)}


def samples() -> dict[tuple[str, str], float]:
    return samples_of(Client().get("/metrics").text)


def grown(act: Callable[[], Any], name: str) -> dict[str, float]:
    """By how much the samples of this name have grown."""
    before = samples()
    act()
    return {
        labels: value - before.get((found, labels), 0)
        for (found, labels), value in samples().items()
        if found == name and value != before.get((found, labels), 0) and '"metrics"' not in labels
    }


def ask(name: str | None = None, query: str = "{ __typename }") -> None:
    body = {"query": query} | ({"operationName": name} if name else {})
    assert Client().post("/graphql/", body, content_type="application/json").status_code < 500


def send(*files: bytes) -> None:
    for content in files:
        Client().post("/api/upload/", {"deals": SimpleUploadedFile("deals.csv", content)})


def test_requests_are_counted_by_what_was_asked_and_how_it_was_answered() -> None:
    load(deal())
    assert grown(lambda: [Client().get("/api/top-clients/") for _ in range(3)], "deals_requests_total") == {
        f'cache="{cache}",endpoint="top-clients",method="GET",operation="",status="200"': times
        for cache, times in (("miss", 1), ("hit", 2))
    }


def test_times_are_counted_by_endpoint_and_operation() -> None:
    (grew,) = grown(lambda: ask("TopFive", "query TopFive { __typename }"), "deals_request_seconds_count").items()
    assert grew == ('endpoint="graphql",operation="TopFive"', 1)


def test_uploads_rows_and_refusals_are_counted() -> None:
    file, bad = csv_of(deal(), deal()), csv_of(deal(total="x"))
    outcomes = grown(lambda: send(file, file, bad), "deals_uploads_total")
    assert outcomes == {'outcome="loaded"': 1, 'outcome="duplicate"': 1, 'outcome="refused"': 1}
    assert grown(lambda: send(csv_of(deal(), deal(), deal())), "deals_rows_total") == {"": 3}
    assert grown(lambda: send(bad), "deals_refusals_total") == {'code="bad_cells"': 1}
    assert grown(lambda: ask(query="{ nothing }"), "deals_refusals_total") == {'code="graphql_invalid"': 1}


def test_ten_thousand_names_of_operations_are_few_labels() -> None:
    for number in range(10_000):
        metrics._operation_label(f"Name{number}")
    before = samples()
    for number in range(0, 10_000, 500):
        ask(f"Name{number}", f"query Name{number} {{ __typename }}")
    operations = {name for _, labels in samples() for name in re.findall(r'operation="(.*?)"', labels)}
    assert len(operations) <= metrics.MAX_OPERATIONS + 8
    assert "other" in operations
    assert len(samples()) - len(before) < 600
    assert "TopFive" in metrics._operations


def test_no_address_method_or_status_of_a_clients_own_is_a_label() -> None:
    grew = grown(lambda: Client().generic("MINE", "/nothing/mine"), "deals_requests_total")
    assert list(grew) == ['cache="",endpoint="other",method="other",operation="",status="404"']


def test_metrics_are_for_whoever_may_read() -> None:
    with override_settings(READ_REQUIRES_TOKEN=True, API_TOKENS=read_tokens("ann:" + 16 * "s")):
        refused = Client().get("/metrics")
        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
        assert refused.json()["Code"] == "token_required"
    with override_settings(METRICS=False):
        assert Client().get("/metrics").status_code == 404


def test_all_processes_are_one_and_leave_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, WEB_WORKERS="2") as server:
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        for _ in range(40):
            server.get()

        def asked() -> float:
            found = samples_of(server.get("/metrics").text).items()
            return sum(value for (name, labels), value in found if "total" in name and "top-clients" in labels)

        wait_until(lambda: asked() >= 40)
        (folder,) = folders_of(server)
        assert len({path.stem.split("_")[-1] for path in folder.glob("counter_*.db")}) >= 2
        victim = server.workers()[0]
        victim.kill()
        victim.wait(TIMEOUT)
        wait_until(lambda: asked() >= 40)  # what a process has counted outlives it
        server.stop()
        assert not folder.exists()


def folders_of(server: Server) -> list[Path]:
    its_own = f"deals-metrics-{server.process.pid}-*"
    return [found for place in ("/dev/shm", gettempdir()) for found in Path(place).glob(its_own)]  # noqa: S108


def test_what_a_killed_service_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Whichever comes next: other tests start services at the same time."""
    with serving(tmp_path) as server:
        (folder,) = folders_of(server)
        assert folder.exists()
        server.kill()
    with serving(tmp_path):
        assert not folder.exists()
