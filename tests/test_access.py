"""Who may read and write, from where and how often, on both faces."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

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
from deals_api.security.throttling import client_ip, client_network, count_computation, count_login, count_upload
from deals_api.security.tokens import holder_of, read_tokens
from tests import services
from tests.builders import csv_of, deal, load

pytestmark = pytest.mark.django_db

SECRET, OTHER = "correct horse battery", "staple staple staple"
Ask = Callable[..., Any]


@pytest.fixture
def closed(settings: Settings) -> None:
    settings.API_TOKENS = read_tokens(f"ann:{SECRET}, bob:{OTHER}")


def upload(client: Client, **headers: str) -> Any:
    return client.post("/api/upload/", {"deals": SimpleUploadedFile("d.csv", csv_of(deal("new")))}, headers=headers)


def activate(client: Client, **headers: str) -> Any:
    kept = Upload.objects.earliest("pk")
    question = {
        "query": "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }",
        "variables": {"id": write_upload_id(kept.snapshot)},
    }
    return client.post("/graphql/", json.dumps(question), content_type="application/json", headers=headers)


def rest(client: Client, **headers: str) -> Any:
    return client.get("/api/top-clients/", headers=headers)


def graphql(client: Client, **headers: str) -> Any:
    query = {"query": "{ topClients { username } }"}
    return client.post("/graphql/", json.dumps(query), content_type="application/json", headers=headers)


def code(answer: Any) -> str:
    body = answer.json()
    return str(body["Code"] if "Code" in body else body["errors"][0]["extensions"]["code"])


@pytest.fixture(autouse=True)
def _two_uploads() -> None:
    load(deal("old"))
    load(deal("current"))


def leader() -> str:
    return str(rest(Client()).json()["response"][0]["username"])


WRITES = pytest.mark.parametrize("write", [upload, activate])
READS = pytest.mark.parametrize("read", [rest, graphql])


# Tokens


@WRITES
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", SECRET, f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}"],
)
def test_a_closed_service_takes_no_change_without_a_good_token(
    client: Client, closed: None, write: Ask, authorization: str
) -> None:
    answer = write(client, Authorization=authorization)
    assert (answer.status_code, code(answer)) == (401, "token_required")
    assert answer["WWW-Authenticate"] == "Bearer"
    assert leader() == "current"


@WRITES
@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_any_of_the_tokens_opens_it(client: Client, closed: None, write: Ask, secret: str) -> None:
    assert write(client, Authorization=f"Bearer {secret}").status_code == 200
    assert leader() != "current"


@READS
def test_reading_stays_open_unless_it_is_closed_too(
    client: Client, closed: None, settings: Settings, read: Ask
) -> None:
    assert read(client).status_code == 200
    settings.READ_REQUIRES_TOKEN = True
    for _ in range(2):  # a ready answer is no way round
        assert (read(client).status_code, code(read(client))) == (401, "token_required")
        assert read(client, Authorization=f"bearer {SECRET}").status_code == 200


def test_tokens_have_holders() -> None:
    tokens = read_tokens(f"ann:{SECRET},bob:{OTHER}")
    assert holder_of(f"Bearer {OTHER}", tokens) == "bob"
    assert holder_of("Bearer \ud800", tokens) is None
    assert SECRET not in repr(tokens)


@pytest.mark.parametrize(
    "text", ["ann", "ann:", f":{SECRET}", "ann:short", f"ann:{SECRET},bob", "ann:0123456789абвгде"]
)
def test_bad_tokens_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"^API_TOKENS must be holder:secret pairs"):
        read_tokens(text)


# Pages of other sites


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
def test_a_page_of_another_site_changes_nothing(client: Client, write: Ask, headers: dict[str, str]) -> None:
    answer = write(client, Host="testserver", **headers)
    assert (answer.status_code, code(answer)) == (403, "not_allowed")
    assert leader() == "current"


@WRITES
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_its_own_pages_and_programs_may_write(client: Client, write: Ask, headers: dict[str, str]) -> None:
    assert write(client, Host="testserver", **headers).status_code == 200


@WRITES
def test_a_named_page_of_another_site_may_write(client: Client, settings: Settings, write: Ask) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://shop.example"]
    assert write(client, Origin="https://shop.example").status_code == 200
    assert write(client, Origin="https://evil.example").status_code == 403


# How often


def test_uploads_are_counted(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=2)
    answers = [upload(client) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert code(answers[2]) == "too_many_requests"
    assert 1 <= int(answers[2]["Retry-After"]) <= 60


@READS
def test_computations_are_counted_and_kept_answers_are_not(client: Client, limits: Any, read: Ask) -> None:
    limits(computations_per_minute=2)
    for _ in range(5):
        assert read(client).status_code == 200
    load(deal("another"))
    assert read(client).status_code == 200
    load(deal("a third"))
    refused = read(client)
    assert (refused.status_code, code(refused)) == (429, "too_many_requests")
    assert 1 <= int(refused["Retry-After"]) <= 60


def test_each_client_is_counted_alone(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=1)
    statuses = [
        client.post("/api/upload/", {}, REMOTE_ADDR=address).status_code
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
    ]
    assert statuses == [400, 400, 429]


def test_a_new_minute_begins_at_nothing(client: Client, limits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(uploads_per_minute=1)
    assert [upload(client).status_code for _ in range(2)] == [200, 429]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    assert upload(client).status_code == 200


def test_counts_survive_whatever_else_is_cached(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=1)
    statuses = []
    for _ in range(3):  # of which two at least come in the same minute
        statuses.append(upload(client).status_code)
        backend.clear()
    assert 429 in statuses


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
def test_an_ipv6_network_counts_as_one_client(addresses: list[str], clients: int) -> None:
    assert len({client_network(address) for address in addresses}) == clients


@pytest.mark.parametrize("count", [count_upload, count_computation, count_login])
def test_every_limit_counts_networks(limits: Any, count: Callable[[dict[str, str]], None]) -> None:
    limits(uploads_per_minute=10, computations_per_minute=10)

    def count_thirty() -> None:
        for number in range(30):  # of which eleven at least come in the same minute
            count({"REMOTE_ADDR": f"2001:db8::{number:x}"})

    with pytest.raises(TooManyRequests):
        count_thirty()


def test_processes_count_together_and_exactly() -> None:
    counters = RateCounters()
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            for _ in range(500):
                counters.add("upload:192.0.2.1", 7)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert counters.add("upload:192.0.2.1", 7) == 2001
    assert counters.add("upload:192.0.2.2", 7) == 1
    assert counters.add("upload:192.0.2.1", 8) == 1


def test_counts_of_many_clients_are_never_too_low() -> None:
    counters = RateCounters()
    for number in range(20_000):
        counters.add(f"login:{number}", 7)
    again = [counters.add(f"login:{number}", 7) for number in range(20_000)]
    assert min(again) == 2
    assert sum(count > 2 for count in again) < 400


def test_zero_is_no_limit(client: Client, limits: Any) -> None:
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
def test_a_client_is_the_address_that_the_first_trusted_proxy_saw(
    settings: Settings, proxies: int, forwarded: str, client: str
) -> None:
    settings.PROXIES = proxies
    headers = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded}
    assert client_ip(headers) == client


def test_counting_goes_on_in_the_process_while_redis_is_away(
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
