"""Whether the service says of itself that it can answer."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.test import Client

from project import health
from tests.servers import Server, wait_until
from tests.services import Service

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _not_asked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_passed", [])


def test_all_is_well() -> None:
    answer = Client().get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db(transaction=True)
def test_a_service_whose_tables_are_older_than_its_code_is_not_ready() -> None:
    call_command("migrate", "deals_api", "0001", verbosity=0)
    try:
        answer = Client().get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["status"] == "tables do not match"
        assert "run `python manage.py migrate`" in answer.json()["detail"]
        assert Client().get("/health/live").status_code == 200
    finally:
        call_command("migrate", verbosity=0)
    assert Client().get("/health/ready").status_code == 200


def test_a_service_without_its_cache_is_degraded_and_not_down(server_with_redis: Server, redis: Service) -> None:
    # On a loaded machine a call of Redis may take longer than the service waits.
    wait_until(lambda: server_with_redis.get("/health/ready").json() == {"status": "ok"})
    redis.stop()
    answer = server_with_redis.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "cache": "degraded"})
