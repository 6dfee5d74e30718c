"""Tokens, cross-origin writes and rate limits, in both APIs."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx
import pytest
from django.core.cache import cache as backend
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from deals_api.caching import shared as shared_cache
from deals_api.errors import TooManyRequests
from deals_api.global_ids import write_upload_id
from deals_api.models import Upload
from deals_api.security.rate_counters import RateCounters
from deals_api.security.throttling import (
    LOGINS_PER_MINUTE,
    client_ip,
    client_network,
    count_computation,
    count_login,
    count_upload,
)
from deals_api.security.tokens import holder_of, read_tokens
from tests import services
from tests.builders import csv_of, deal, load
from tests.requires import require_unnamed_files
from tests.servers import NO_TLS, TIMEOUT, serving

pytestmark = pytest.mark.django_db

SECRET, OTHER = "correct horse battery", "staple staple staple"
Send = Callable[..., Any]


@pytest.fixture
def tokens_required(settings: Settings) -> None:
    settings.API_TOKENS = read_tokens(f"ann:{SECRET}, bob:{OTHER}")


def upload(client: Client, **headers: str) -> Any:
    return client.post("/api/upload/", {"deals": SimpleUploadedFile("d.csv", csv_of(deal("new")))}, headers=headers)


def upload_csv(client: Client, **headers: str) -> Any:
    return client.generic("POST", "/api/upload/", csv_of(deal("new")), "text/csv", headers=headers)


def activate(client: Client, **headers: str) -> Any:
    retained = Upload.objects.earliest("pk")
    body = {
        "query": "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }",
        "variables": {"id": write_upload_id(retained.snapshot)},
    }
    return client.post("/graphql/", json.dumps(body), content_type="application/json", headers=headers)


def rest(client: Client, **headers: str) -> Any:
    return client.get("/api/top-clients/", headers=headers)


def graphql(client: Client, **headers: str) -> Any:
    query = {"query": "{ topClients { username } }"}
    return client.post("/graphql/", json.dumps(query), content_type="application/json", headers=headers)


def code(response: Any) -> str:
    body = response.json()
    return str(body["Code"] if "Code" in body else body["errors"][0]["extensions"]["code"])


@pytest.fixture(autouse=True)
def _two_uploads() -> None:
    load(deal("old"))
    load(deal("current"))


def top_client() -> str:
    return str(rest(Client()).json()["response"][0]["username"])


WRITES = pytest.mark.parametrize("write", [upload, upload_csv, activate])
READS = pytest.mark.parametrize("read", [rest, graphql])


# Tokens


@WRITES
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", SECRET, f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}"],
)
def test_writes_require_a_valid_token(client: Client, tokens_required: None, write: Send, authorization: str) -> None:
    response = write(client, Authorization=authorization)
    assert (response.status_code, code(response)) == (401, "token_required")
    assert response["WWW-Authenticate"] == "Bearer"
    assert top_client() == "current"


@WRITES
@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_every_configured_token_is_valid(client: Client, tokens_required: None, write: Send, secret: str) -> None:
    assert write(client, Authorization=f"Bearer {secret}").status_code == 200
    assert top_client() != "current"


@READS
def test_reading_requires_a_token_only_if_configured(
    client: Client, tokens_required: None, settings: Settings, read: Send
) -> None:
    assert read(client).status_code == 200
    settings.READ_REQUIRES_TOKEN = True
    for _ in range(2):  # cached responses require the token too
        assert (read(client).status_code, code(read(client))) == (401, "token_required")
        assert read(client, Authorization=f"bearer {SECRET}").status_code == 200


def test_token_identifies_its_holder() -> None:
    tokens = read_tokens(f"ann:{SECRET},bob:{OTHER}")
    assert holder_of(f"Bearer {OTHER}", tokens) == "bob"
    assert holder_of("Bearer \ud800", tokens) is None
    assert SECRET not in repr(tokens)


@pytest.mark.parametrize(
    "text", ["ann", "ann:", f":{SECRET}", "ann:short", f"ann:{SECRET},bob", "ann:0123456789абвгде"]
)
def test_invalid_tokens_are_rejected_at_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"^API_TOKENS must be comma-separated holder:secret pairs"):
        read_tokens(text)


# Cross-origin requests


@WRITES
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver:81"},
        {"Origin": "http://testserver.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_cross_origin_writes_are_rejected(client: Client, write: Send, headers: dict[str, str]) -> None:
    response = write(client, Host="testserver", **headers)
    assert (response.status_code, code(response)) == (403, "not_allowed")
    assert top_client() == "current"


@WRITES
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_same_origin_and_non_browser_writes_are_accepted(client: Client, write: Send, headers: dict[str, str]) -> None:
    assert write(client, Host="testserver", **headers).status_code == 200


@WRITES
def test_configured_origins_may_write(client: Client, settings: Settings, write: Send) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://shop.example"]
    assert write(client, Origin="https://shop.example").status_code == 200
    assert write(client, Origin="https://evil.example").status_code == 403


# Rate limits


def test_uploads_are_limited_per_minute(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=2)
    responses = [upload(client) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert code(responses[2]) == "too_many_requests"
    assert 1 <= int(responses[2]["Retry-After"]) <= 60


@READS
def test_computations_are_limited_and_cached_responses_are_not(client: Client, limits: Any, read: Send) -> None:
    limits(computations_per_minute=2)
    for _ in range(5):
        assert read(client).status_code == 200
    load(deal("another"))
    assert read(client).status_code == 200
    load(deal("a third"))
    rejected = read(client)
    assert (rejected.status_code, code(rejected)) == (429, "too_many_requests")
    assert 1 <= int(rejected["Retry-After"]) <= 60


def test_each_client_has_its_own_count(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=1)
    statuses = [
        client.post("/api/upload/", {}, REMOTE_ADDR=address).status_code
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
    ]
    assert statuses == [400, 400, 429]


def test_counts_start_again_every_minute(client: Client, limits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(uploads_per_minute=1)
    assert [upload(client).status_code for _ in range(2)] == [200, 429]
    next_minute = time.time() + 60
    monkeypatch.setattr("deals_api.security.throttling.time", SimpleNamespace(time=lambda: next_minute))
    assert upload(client).status_code == 200


def test_counts_survive_a_cleared_cache(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=1)
    statuses = []
    for _ in range(2):
        statuses.append(upload(client).status_code)
        backend.clear()
    assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("addresses", "clients"),
    [
        ([f"2001:db8:0:1::{number:x}" for number in range(1, 25)], 1),
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8::1"], 3),
        (["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", "192.0.2.1:5000", "192.0.2.1:5001"], 1),
        (["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"], 3),
        (["2001:db8::1", "[2001:db8::2]", "[2001:db8::3]:443", "2001:DB8:0:0:1::1"], 1),
        (["fe80::1%eth0", "fe80::2%eth1"], 1),
        (["", "unknown", "_hidden"], 3),
    ],
)
def test_addresses_of_one_network_count_as_one_client(addresses: list[str], clients: int) -> None:
    assert len({client_network(address) for address in addresses}) == clients


@pytest.mark.parametrize("count", [count_upload, count_computation, count_login])
def test_every_rate_limit_counts_networks(limits: Any, count: Callable[[dict[str, str]], None]) -> None:
    limits(uploads_per_minute=10, computations_per_minute=10)
    assert LOGINS_PER_MINUTE == 10
    for number in range(10):
        count({"REMOTE_ADDR": f"2001:db8::{number:x}"})
    with pytest.raises(TooManyRequests):
        count({"REMOTE_ADDR": "2001:db8::a"})


def test_counts_of_concurrent_processes_are_exact() -> None:
    """Without the lock processes overwrite each other's counts, because each pauses between reading and writing."""
    counters = RateCounters()
    counters._cells = PausingCells(counters._cells)  # type: ignore[assignment]
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            for _ in range(50):
                counters.add("upload:192.0.2.1", 7)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert counters.add("upload:192.0.2.1", 7) == 201
    assert counters.add("upload:192.0.2.2", 7) == 1
    assert counters.add("upload:192.0.2.1", 8) == 1


def test_lock_file_never_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_unnamed_files(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert RateCounters().add("upload:192.0.2.1", 7) == 1
    assert tmp_path.stat().st_mtime == 0


class PausingCells:
    """Shared cells that let other processes run before every write."""

    def __init__(self, cells: memoryview[int]) -> None:
        self._cells = cells

    def __getitem__(self, index: int) -> int:
        return self._cells[index]

    def __setitem__(self, index: int, value: int) -> None:
        time.sleep(0.0002)
        self._cells[index] = value


def test_counts_of_many_keys_are_never_too_low() -> None:
    counters = RateCounters()
    for number in range(20_000):
        counters.add(f"login:{number}", 7)
    counts = [counters.add(f"login:{number}", 7) for number in range(20_000)]
    assert min(counts) == 2
    assert sum(count > 2 for count in counts) < 400


def test_limit_of_zero_disables_rate_limiting(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=0)
    assert {upload(client).status_code for _ in range(5)} == {200}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        (0, "192.0.2.7", "10.0.0.1"),
        (1, "192.0.2.7", "192.0.2.7"),
        (1, "forged, 192.0.2.7", "192.0.2.7"),
        (2, "forged, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        (2, "192.0.2.7", "192.0.2.7"),
        (1, "", ""),
    ],
)
def test_client_address_is_that_of_the_outermost_trusted_proxy(
    settings: Settings, proxies: int, forwarded: str, client: str
) -> None:
    settings.PROXIES = proxies
    headers = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_ip(headers) == client


def test_counting_continues_without_redis(
    client: Client, limits: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project.settings import redis_cache

    monkeypatch.setattr(shared_cache, "breaker", shared_cache.CircuitBreaker())
    with services.redis() as (redis, url):
        settings.CACHES = {"default": redis_cache(url)}
        limits(uploads_per_minute=3)
        assert upload(client).status_code == 200
        redis.stop()
        assert [upload(client).status_code for _ in range(4)] == [200, 200, 429, 429]


#: A ``sitecustomize`` module, which Python imports at its start: no minute ends while the server runs.
STOPPED_CLOCK: Final = """
import time
now = time.time()
time.time = lambda: now
"""


@pytest.mark.database_independent
def test_login_limit_counts_attempts_over_two_workers(tmp_path: Path) -> None:
    """Both workers share one count; separate counts would allow twice as many attempts."""
    (tmp_path / "sitecustomize.py").write_text(STOPPED_CLOCK)
    environment = {"PYTHONPATH": str(tmp_path), "WEB_WORKERS": "2", "WEB_THREADS": "1"}
    with serving(tmp_path, **environment) as server, httpx.Client(timeout=TIMEOUT, verify=NO_TLS) as client:
        token = client.get(server.url + "/admin/login/").cookies["csrftoken"]
        form = {"username": "root", "password": "wrong", "csrfmiddlewaretoken": token}

        def attempt(_: int) -> int:
            response = httpx.post(
                server.url + "/admin/login/", data=form, cookies={"csrftoken": token}, timeout=TIMEOUT, verify=NO_TLS
            )
            return response.status_code

        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(attempt, range(25)))
        assert sorted(statuses) == [200] * LOGINS_PER_MINUTE + [429] * (25 - LOGINS_PER_MINUTE)
