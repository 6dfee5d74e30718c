"""Health checks: readiness, liveness, and the degraded state without Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from deals_api import schema_check
from tests.servers import Server, serving, wait_until
from tests.services import Service

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_cached_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat the checks that the service skips once they have passed."""
    monkeypatch.setattr(schema_check, "_passed", [])


def test_complete_service_is_ready() -> None:
    response = Client().get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db(transaction=True)
def test_service_with_outdated_tables_is_not_ready() -> None:
    call_command("migrate", "deals_api", "0001", verbosity=0)
    try:
        response = Client().get("/health/ready")
        assert response.status_code == 503
        assert response.json()["status"] == "tables do not match"
        assert "run `python manage.py migrate`" in response.json()["detail"]
        assert Client().get("/health/live").status_code == 200
    finally:
        call_command("migrate", verbosity=0)
    assert Client().get("/health/ready").status_code == 200


@pytest.mark.database_independent
def test_service_without_redis_is_ready_but_degraded(server_with_redis: Server, redis: Service) -> None:
    # On a loaded machine, a Redis command may exceed the timeout of the service.
    wait_until(lambda: server_with_redis.get("/health/ready").json() == {"status": "ok"})
    redis.stop()
    response = server_with_redis.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "cache": "degraded"})


@pytest.mark.database_independent
def test_containers_are_monitored_by_their_addresses(tmp_path: Path) -> None:
    """Prometheus and load balancers use plain HTTP and an IP address, which ALLOWED_HOSTS does not contain."""
    with serving(tmp_path, ALLOWED_HOSTS="deals.example", SECURE="1", BASE_PATH="/deals") as server:

        def status(path: str, host: str) -> int:
            return server.get(path, headers={"Host": host}).status_code

        for path in ("/metrics", "/health/ready", "/health/live/", "/deals/metrics"):
            assert [status(path, host) for host in ("172.18.0.3:8000", "[fd00::3]:8000", "deals.example")] == [200] * 3
            assert status(path, "attacker.example") == 400
        for path in ("/deals/api/top-clients/", "/deals/health/live/x", "/deals/x/metrics"):
            assert status(path, "172.18.0.3:8000") == 400
            assert status(path, "deals.example") == 301
