"""The cache layer alone: keys, leases, turns, and a Redis in trouble."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache as backend
from django.core.cache.backends.base import BaseCache
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django_redis.cache import RedisCache
from pytest_django import Settings
from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from deals_api.caching import local as local_cache
from deals_api.caching import response_cache, single_flight
from deals_api.caching import shared as shared_cache
from deals_api.caching.bounded_cache import BoundedCache
from deals_api.caching.response_cache import CachedBody
from deals_api.limits import Limits
from deals_api.snapshots.lease import LEASE_TTL_SECONDS, Lease, SnapshotGone
from tests import services
from tests.servers import TIMEOUT

request = RequestFactory().get("/")


@dataclass(frozen=True)
class Version:
    """A snapshot of no database."""

    name: str
    readable: bool = True

    def cache_name(self) -> str:
        return self.name

    def is_readable(self) -> bool:
        return self.readable


class Counted:
    """A computation that tells how often it ran."""

    def __init__(self, body: bytes = b"{}", seconds: float = 0.0, kept: bool = True) -> None:
        self.runs = 0
        self.answer = CachedBody(body, kept)
        self.seconds = seconds

    def __call__(self, *_: object) -> CachedBody:
        self.runs += 1
        time.sleep(self.seconds)
        return self.answer


@pytest.fixture(autouse=True)
def _breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_cache, "breaker", shared_cache.CircuitBreaker(shared_cache.ping))


def asked(version: Version | None, compute: Counted, question: list[object] | None = None) -> HttpResponse:
    return response_cache.cached_response(
        request, lambda: version, "test", question or [5], "application/json", compute
    )


# Keys


def test_keys_differ_in_every_part(settings: Settings) -> None:
    base = (Version("a"), "face", [5], "application/json")
    keys = {
        response_cache.cache_key(*base),
        response_cache.cache_key(Version("b"), *base[1:]),
        response_cache.cache_key(None, *base[1:]),
        response_cache.cache_key(base[0], "other", *base[2:]),
        response_cache.cache_key(*base[:2], [6], base[3]),
        response_cache.cache_key(*base[:2], ["5"], base[3]),
        response_cache.cache_key(*base[:3], "text/csv"),
    }
    settings.DEALS_BUILD = "another build"
    keys.add(response_cache.cache_key(*base))
    for limit in fields(Limits):
        settings.DEALS_LIMITS = replace(Limits(), **{limit.name: 7})
        keys.add(response_cache.cache_key(*base))
    assert len(keys) == 8 + len(fields(Limits))


def test_raw_request_is_not_answered_from_the_cache_of_other_limits(limits: Any) -> None:
    for number in (1, 2, 1):
        limits(page_size=number)
        answer = response_cache.get_or_compute_local(
            request, Version("a"), "form", partial(asked, Version("a"), Counted(b"%d" % number))
        )
        assert isinstance(answer, HttpResponse)
        assert answer.content == b"%d" % number


def test_equal_questions_have_equal_keys() -> None:
    first = response_cache.cache_key(None, "face", [{"a": 1, "b": 2}], "x")
    assert first == response_cache.cache_key(None, "face", [{"b": 2, "a": 1}], "x")


# Answers


def test_an_answer_is_computed_once_for_a_snapshot() -> None:
    compute = Counted()
    for _ in range(3):
        asked(Version("a"), compute)
    asked(Version("b"), compute)
    assert compute.runs == 2


def test_an_answer_with_errors_is_never_kept() -> None:
    compute = Counted(kept=False)
    first, second = asked(Version("a"), compute), asked(Version("a"), compute)
    assert compute.runs == 2
    assert first.content == second.content == b"{}"
    assert "ETag" not in first


def test_a_computation_that_fails_leaves_nothing_behind() -> None:
    def fail(_: object) -> CachedBody:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        response_cache.cached_response(request, lambda: Version("a"), "test", [5], "application/json", fail)
    assert asked(Version("a"), Counted(b"{1}")).content == b"{1}"


def test_the_etag_saves_the_answer() -> None:
    compute = Counted()
    etag = asked(Version("a"), compute)["ETag"]
    backend.clear()
    local_cache.local_responses.clear()
    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = RequestFactory().get("/", headers={"If-None-Match": header})
        answer = response_cache.cached_response(again, lambda: Version("a"), "test", [5], "application/json", compute)
        assert (answer.status_code, answer["ETag"], answer["Cache-Control"]) == (304, etag, "no-cache")
    assert compute.runs == 1


def test_the_etag_of_another_snapshot_does_not_match() -> None:
    etag = asked(Version("a"), Counted())["ETag"]
    again = RequestFactory().get("/", headers={"If-None-Match": etag})
    answer = response_cache.cached_response(
        again, lambda: Version("b"), "test", [5], "application/json", Counted(b"{2}")
    )
    assert (answer.status_code, answer.content) == (200, b"{2}")


def test_only_a_get_is_told_that_it_has_the_answer_already() -> None:
    etag = asked(Version("a"), Counted())["ETag"]
    posted = RequestFactory().post("/", headers={"If-None-Match": etag})
    assert (
        response_cache.cached_response(
            posted, lambda: Version("a"), "test", [5], "application/json", Counted()
        ).status_code
        == 200
    )


def test_a_reader_does_not_run_after_uploads_for_ever() -> None:
    versions = iter([Version(str(number), readable=False) for number in range(10)])
    with pytest.raises(SnapshotGone):
        response_cache.cached_response(request, lambda: next(versions), "test", [5], "application/json", Counted())
    assert next(versions) == Version("3", readable=False)


def test_a_snapshot_pruned_under_a_reader_is_asked_again_of_the_current_one() -> None:
    versions = iter([Version("pruned", readable=False), Version("current")])
    read: list[str] = []

    def compute(version: Version | None) -> CachedBody:
        assert version is not None
        read.append(version.name)
        return CachedBody(version.name.encode())

    answer = response_cache.cached_response(request, lambda: next(versions), "test", [5], "application/json", compute)
    assert read == ["pruned", "current"]
    assert answer.content == b"current"


def test_a_frozen_reader_cannot_store_the_old_answer_under_the_new_name() -> None:
    """It read the pointer, froze, and wakes after an upload: what it stores is nobody's answer any more."""
    current = [Version("old")]
    frozen, thawed = threading.Event(), threading.Event()

    def compute(version: Version | None) -> CachedBody:
        assert version is not None
        if version.name == "old":
            frozen.set()
            thawed.wait(TIMEOUT)
        return CachedBody(version.name.encode())

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(
            response_cache.cached_response, request, lambda: current[0], "test", [5], "application/json", compute
        )
        frozen.wait(TIMEOUT)
        current[0] = Version("new")
        during = response_cache.cached_response(request, lambda: current[0], "test", [5], "application/json", compute)
        thawed.set()
        assert reader.result(TIMEOUT).content == b"old"
    after = response_cache.cached_response(request, lambda: current[0], "test", [5], "application/json", compute)
    assert (during.content, after.content) == (b"new", b"new")


# Ready answers


def test_a_request_in_the_same_form_is_answered_ready() -> None:
    version = Version("a")
    first = response_cache.get_or_compute_local(request, version, "form", lambda: asked(version, Counted(b"{1}")))
    second = response_cache.get_or_compute_local(request, version, "form", lambda: pytest.fail("parsed again"))
    assert isinstance(second, HttpResponse)
    assert (second.content, second["ETag"], second["Vary"]) == (b"{1}", first["ETag"], "Accept")


def test_a_ready_answer_belongs_to_its_snapshot() -> None:
    def get(name: str) -> HttpResponseBase:
        version = Version(name)
        return response_cache.get_or_compute_local(
            request, version, "form", lambda: asked(version, Counted(name.encode()))
        )

    for name in ("a", "b", "a"):
        answer = get(name)
        assert isinstance(answer, HttpResponse)
        assert answer.content == name.encode()


def test_an_answer_of_a_later_snapshot_is_not_kept_under_the_earlier_ones_name() -> None:
    """An upload landed between the two readings; a roll-back makes the earlier one current again."""
    earlier, later = Version("earlier"), Version("later")
    response_cache.get_or_compute_local(request, earlier, "form", lambda: asked(later, Counted(b"later")))
    answer = response_cache.get_or_compute_local(request, earlier, "form", lambda: asked(earlier, Counted(b"earlier")))
    assert isinstance(answer, HttpResponse)
    assert answer.content == b"earlier"


def test_refusals_are_not_kept_ready() -> None:
    version = Version("a")
    response_cache.get_or_compute_local(request, version, "form", lambda: HttpResponse(b"no", status=400))
    answer = response_cache.get_or_compute_local(request, version, "form", lambda: asked(version, Counted(b"{1}")))
    assert answer.status_code == 200


# Bounds in bytes


@pytest.fixture
def small() -> BoundedCache[bytes]:
    return BoundedCache(8 * 2000)


def store(small: BoundedCache[bytes], *keys: str, size: int = 1000) -> set[str]:
    """Put a value of ``size`` bytes under each key, in turn; return the keys that are left."""
    for key in keys:
        small.put(key, b"x" * size, size)
    return {key for key in keys if small.get(key)}


def test_cache_stays_within_its_bytes(small: BoundedCache[bytes]) -> None:
    for _ in range(2):
        left = store(small, *(f"key {number}" for number in range(1000)))
        assert left == {f"key {number}" for number in range(990, 1000)}
        assert small.bytes <= small.max_bytes
        small.clear()


def test_long_keys_count_as_bytes(small: BoundedCache[bytes]) -> None:
    assert len(store(small, *(f"{number:03}" + "?" * 1400 for number in range(100)), size=2)) == 8


def test_value_that_would_displace_the_others_is_not_stored(small: BoundedCache[bytes]) -> None:
    assert store(small, "small") | store(small, "large", size=2001) == {"small"}


def test_entries_used_last_are_kept(small: BoundedCache[bytes]) -> None:
    store(small, "popular", "forgotten")
    for number in range(200):
        store(small, str(number))
        assert small.get("popular")
    assert small.get("forgotten") is None


def test_value_put_twice_counts_once(small: BoundedCache[bytes]) -> None:
    for _ in range(1000):
        store(small, "same")
    assert small.bytes < 2000


def test_threads_may_use_a_bounded_cache_at_once() -> None:
    """With room for two, each entry is dropped while others look for it."""
    small: BoundedCache[bytes] = BoundedCache(8 * 2000)

    def use(begin: int) -> None:
        for number in range(begin, begin + 20_000):
            small.put(number % 30, b"{}", 1000)
            small.get((number + 1) % 30)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert len(store(small, *map(str, range(30)))) == 10
    assert small.bytes == sum(size for _, size in small._entries.values())


@pytest.mark.parametrize("bare", [True, False], ids=["without Redis", "with Redis"])
def test_large_response_is_computed_each_time_but_keeps_its_etag(bare: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with services.redis() as (service, url):
        if not bare:
            use_redis(url, monkeypatch)
        compute, version = Counted(b"x" * (response_cache.MAX_CACHED_BYTES + 1)), Version("a")

        def get(**headers: str) -> HttpResponseBase:
            conditional = RequestFactory().get("/", headers=headers)
            ask = partial(
                response_cache.cached_response, conditional, lambda: version, "test", [5], "application/json", compute
            )
            return response_cache.get_or_compute_local(conditional, version, "form", ask)

        answers = [get() for _ in range(3)]
        assert compute.runs == 3
        assert local_bytes() < response_cache.MAX_CACHED_BYTES
        assert len({answer["ETag"] for answer in answers}) == 1
        assert get(**{"If-None-Match": answers[0]["ETag"]}).status_code == 304
        version = Version("b")
        assert get(**{"If-None-Match": answers[0]["ETag"]}).status_code == 200
        assert compute.runs == 4
        with Redis(port=service.port) as client:
            assert client.dbsize() == 0


def test_largest_cached_response_is_computed_once() -> None:
    compute = Counted(b"x" * response_cache.MAX_CACHED_BYTES)
    for _ in range(3):
        assert len(asked(Version("a"), compute).content) == response_cache.MAX_CACHED_BYTES
    assert compute.runs == 1


def test_one_body_is_in_memory_once_whatever_the_form_of_the_request() -> None:
    compute, version = Counted(b"x" * 500_000), Version("a")
    for number in range(100):
        response_cache.get_or_compute_local(request, version, f"form {number}", lambda: asked(version, compute))
    assert compute.runs == 1
    assert local_bytes() < 600_000


def test_evicted_body_is_computed_again() -> None:
    compute, version = Counted(b"{1}"), Version("a")
    answer = response_cache.get_or_compute_local(request, version, "form", lambda: asked(version, compute))
    local_cache.local_responses.clear()
    local_cache.local_responses.put(
        (response_cache._variant(), "a", "form"),
        local_cache.CachedRequest(answer["ETag"][1:-1], "application/json", ""),
        0,
    )
    again = response_cache.get_or_compute_local(request, version, "form", lambda: asked(version, compute))
    assert isinstance(again, HttpResponse)
    assert again.content == b"{1}"


def local_bytes() -> int:
    return local_cache.local_responses.bytes


# Leases


class Pointer:
    def __init__(self) -> None:
        self.value, self.announced, self.reads = Version("a"), False, 0

    def __call__(self) -> tuple[Version, bool]:
        self.reads += 1
        return self.value, self.announced


class Clock:
    """The clocks of a machine, which advance when a test says so."""

    CLOCK_BOOTTIME, CLOCK_MONOTONIC = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC

    def __init__(self) -> None:
        self.awake, self.suspended = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.awake

    def clock_gettime(self, clock: int) -> float:
        return self.awake + (self.suspended if clock == self.CLOCK_BOOTTIME else 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("deals_api.snapshots.lease.time", clock)
    return clock


def test_a_lease_spares_reads_for_its_time_only(clock: Clock) -> None:
    pointer = Pointer()
    lease = Lease(pointer)
    reads = []
    for share in (0.0, 0.5, 0.99, 1.01, 1.5, 2.0, 2.02):
        clock.awake = 1000 + share * LEASE_TTL_SECONDS
        lease()
        reads.append(pointer.reads)
    assert reads == [1, 1, 1, 2, 2, 2, 3]


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux alone has a clock of this name")
def test_a_lease_expires_while_the_machine_is_suspended(clock: Clock) -> None:
    pointer = Pointer()
    lease = Lease(pointer)
    lease()
    pointer.value = Version("b")
    clock.suspended += 60
    assert lease() == Version("b")


def test_a_change_that_stays_announced_is_checked_now_and_then(clock: Clock) -> None:
    pointer, checks = Pointer(), []
    pointer.announced = True
    lease = Lease(pointer, lambda: checks.append(clock.awake - 1000))
    for tenths in range(100):
        clock.awake = 1000 + tenths / 10
        lease()
    assert checks == pytest.approx([2, 4, 6, 8])
    pointer.announced = False
    lease()
    pointer.announced = True
    for second in (10, 11, 11.9, 12.1):
        clock.awake = 1000 + second
        lease()
    assert checks == pytest.approx([2, 4, 6, 8, 12.1])


def test_no_lease_is_given_while_a_change_is_announced() -> None:
    pointer = Pointer()
    pointer.announced = True
    lease = Lease(pointer)
    lease()
    pointer.value = Version("b")
    assert lease() == Version("b")
    assert pointer.reads == 2


def test_a_lease_counts_from_when_its_read_began() -> None:
    pointer = Pointer()

    def slow() -> tuple[Version, bool]:
        seen = pointer()
        time.sleep(LEASE_TTL_SECONDS)
        return seen

    lease = Lease(slow)
    lease()
    pointer.value = Version("b")
    assert lease() == Version("b")


# One computation at a time


@pytest.fixture
def _much_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever waited it out would be noticed."""
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", TIMEOUT)


class Noted:
    """The cache itself, with a note of each operation that was used."""

    def __init__(self) -> None:
        self.used: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.used.append(name)
        return getattr(backend, name)


@pytest.mark.usefixtures("_much_patience")
def test_threads_share_one_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted()
    monkeypatch.setattr(shared_cache, "backend", noted)
    compute = Counted(seconds=0.2)
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: asked(Version("a"), compute).content, range(8)))
    assert compute.runs == 1
    assert set(answers) == {b"{}"}
    assert time.monotonic() - begin < 250
    assert "has_key" not in noted.used  # they waited for each other, and did not ask Redis again and again


def test_a_thread_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", 0.2)
    hanging, released = threading.Event(), threading.Event()

    def hang(_: object) -> CachedBody:
        hanging.set()
        released.wait(TIMEOUT)
        return CachedBody(b"late")

    with ThreadPoolExecutor() as pool:
        late = pool.submit(
            response_cache.cached_response, request, lambda: Version("a"), "test", [5], "application/json", hang
        )
        hanging.wait(TIMEOUT)
        assert asked(Version("a"), Counted(b"mine")).content == b"mine"
        assert not late.done()
        released.set()


@pytest.mark.usefixtures("_much_patience")
def test_another_process_computing_is_waited_for(own_backend: BaseCache) -> None:
    key = response_cache.cache_key(Version("a"), "test", [5], "application/json")
    own_backend.add(f"{key}:computing", b"1", 30)
    threading.Timer(0.2, own_backend.set, (key, b"theirs")).start()
    compute = Counted()
    begin = time.monotonic()
    assert asked(Version("a"), compute).content == b"theirs"
    assert time.monotonic() - begin < 250
    assert compute.runs == 0
    assert own_backend.has_key(f"{key}:computing")  # it is theirs to take away


def test_another_process_that_died_computing_is_not_waited_for_long(
    own_backend: BaseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", 0.2)
    own_backend.add(f"{response_cache.cache_key(Version('a'), 'test', [5], 'application/json')}:computing", b"1", 60)
    compute = Counted()
    begin = time.monotonic()
    asked(Version("a"), compute)
    assert compute.runs == 1
    assert 0.1 < time.monotonic() - begin < 30


# Redis in trouble: a real one, and addresses where none answers


@pytest.fixture
def own_redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[services.Service]:
    """The cache over a real Redis of this test's own, on both runs of the suite."""
    with services.redis() as (service, url):
        use_redis(url, monkeypatch, SOCKET_TIMEOUT=TIMEOUT, SOCKET_CONNECT_TIMEOUT=TIMEOUT)
        yield service


@pytest.fixture
def own_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseCache]:
    """Django's side of a Redis of this test's own."""
    with services.redis() as (_, url):
        yield use_redis(url, monkeypatch)


def use_redis(url: str, monkeypatch: pytest.MonkeyPatch, **changed: float) -> BaseCache:
    from project import settings as published

    options = published.redis_cache(url)["OPTIONS"] | changed
    shared: BaseCache = RedisCache(url, {"OPTIONS": options})
    monkeypatch.setattr(shared_cache, "backend", shared)
    return shared


def seconds_of(version: Version, compute: Counted) -> float:
    begin = time.monotonic()
    assert asked(version, compute).status_code == 200
    return time.monotonic() - begin


def test_a_turn_ends_by_itself_if_its_process_dies(own_redis: services.Service) -> None:
    import redis

    def compute(_: object) -> CachedBody:
        with redis.Redis(port=own_redis.port) as client:
            (flag,) = client.keys("*:computing")
            assert 0 < client.pttl(flag) <= 1000 * single_flight.SINGLE_FLIGHT_WAIT_SECONDS
        return CachedBody(b"{}")

    assert (
        response_cache.cached_response(request, lambda: Version("a"), "test", [5], "application/json", compute).content
        == b"{}"
    )


def quickest(compute: Counted) -> float:
    """Of many: a time-out in each would show, a machine that is busy just now does not."""
    return min(seconds_of(Version(str(number)), compute) for number in range(20))


@pytest.mark.usefixtures("own_redis")
def test_redis_holds_plain_bytes(own_redis: services.Service) -> None:
    import redis

    etag = asked(Version("a"), Counted(b'{"response":[]}'))["ETag"]
    with redis.Redis(port=own_redis.port) as client:
        (name,) = client.keys("*")
        assert etag.strip('"') in name.decode()
        assert client.get(name) == b'{"response":[]}'
        assert 0 < client.ttl(name) <= response_cache.CACHE_TTL_SECONDS


def test_a_dead_redis_costs_one_warning_and_little_time(
    own_redis: services.Service, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.stop()
    compute = Counted()
    with caplog.at_level(logging.WARNING):
        assert seconds_of(Version("a"), compute) < 30
        assert quickest(compute) < 0.05
    assert len(caplog.records) == 1


def test_a_hung_redis_costs_well_under_a_second(own_redis: services.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    use_redis(f"redis://127.0.0.1:{own_redis.port}/0", monkeypatch)
    asked(Version("a"), Counted())
    own_redis.send(signal.SIGSTOP)
    assert seconds_of(Version("b"), Counted()) < 30
    assert quickest(Counted()) < 0.05


def test_a_redis_that_comes_back_is_used_again(
    own_redis: services.Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_cache, "RECOVERY_SECONDS", 0.1)
    own_redis.stop()
    compute = Counted()
    asked(Version("a"), compute)
    own_redis.start()
    time.sleep(0.15)
    for _ in range(3):
        local_cache.local_responses.clear()
        asked(Version("a"), compute)
    assert compute.runs == 2
    assert [record.message for record in caplog.records][-1] == "The cache answers again."


def test_a_full_redis_costs_speed_only(own_redis: services.Service) -> None:
    import redis

    with redis.Redis(port=own_redis.port) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(OutOfMemoryError):
            client.set("x", "y")
    compute = Counted()
    assert seconds_of(Version("a"), compute) < 30
    assert asked(Version("a"), compute).content == b"{}"


#: What Redis accepts at most, and bytes of a response that is too large for it.
TOO_SMALL: dict[str, tuple[dict[str, str], int]] = {
    "memory": ({"maxmemory-policy": "allkeys-lru", "maxmemory": "3mb"}, response_cache.MAX_CACHED_BYTES),
    "no memory": ({"maxmemory": "1"}, 1000),
    "query buffer": ({"client-query-buffer-limit": "1mb"}, response_cache.MAX_CACHED_BYTES),
    "output buffer": ({"client-output-buffer-limit": "normal 100kb 0 0"}, 500_000),
}


@pytest.mark.parametrize("case", TOO_SMALL)
def test_response_too_large_for_redis_does_not_open_the_circuit_breaker(
    case: str, own_redis: services.Service, caplog: pytest.LogCaptureFixture
) -> None:
    configuration, size = TOO_SMALL[case]
    small, large = Counted(b"small"), Counted(b"x" * size)
    asked(Version("small"), small)
    with Redis(port=own_redis.port) as client:
        for name, value in configuration.items():
            client.config_set(name, value)
        for number in range(3):
            for _ in range(2):
                local_cache.local_responses.clear()
                assert seconds_of(Version(f"large {number}"), large) < 60
                assert not shared_cache.breaker.failing
        if case in ("no memory", "output buffer"):  # which evicts nothing
            local_cache.local_responses.clear()
            asked(Version("small"), small)
            assert small.runs == 1
    assert len(caplog.records) <= 1


def test_full_redis_does_not_delay_computing_by_the_single_flight_timeout(
    own_redis: services.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", 600.0)
    with Redis(port=own_redis.port) as client:
        client.config_set("maxmemory", "1")
    assert seconds_of(Version("a"), Counted()) < 60


def test_a_redis_that_refuses_connections_silently_costs_well_under_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        use_redis(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0", monkeypatch)
        assert seconds_of(Version("a"), Counted()) < 30


# The breaker alone


def fails(error: Exception) -> Callable[[], None]:
    def operation() -> None:
        raise error

    return operation


def breaker_of_a_dead_cache() -> shared_cache.CircuitBreaker:
    return shared_cache.CircuitBreaker(fails(RedisError("down")))


@pytest.mark.parametrize("error", [RedisError("down"), OSError("no network"), TimeoutError()], ids=repr)
def test_trouble_with_the_shared_cache_is_no_error(error: Exception) -> None:
    assert breaker_of_a_dead_cache().call(fails(error), otherwise="otherwise") == "otherwise"


def test_a_bug_is_not_taken_for_trouble() -> None:
    with pytest.raises(ZeroDivisionError):
        breaker_of_a_dead_cache().call(fails(ZeroDivisionError()))


def test_trouble_that_lasts_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(shared_cache, "RECOVERY_SECONDS", 0.0)
    breaker, tries = breaker_of_a_dead_cache(), []

    def operation() -> None:
        tries.append(1)
        raise RedisError

    for _ in range(5):
        breaker.call(operation)
    assert (len(tries), len(caplog.records)) == (5, 1)


def test_one_call_finds_out_whether_the_cache_is_back() -> None:
    """The others would each wait for a time-out."""
    breaker, trying, done = breaker_of_a_dead_cache(), threading.Event(), threading.Event()
    breaker.call(fails(RedisError("down")))
    breaker.open_until = 0.0

    def operation() -> str:
        trying.set()
        done.wait(TIMEOUT)
        return "back"

    with ThreadPoolExecutor() as pool:
        first = pool.submit(breaker.call, operation)
        trying.wait(TIMEOUT)
        assert breaker.call(lambda: "asked too", otherwise="rests on") == "rests on"
        done.set()
        assert first.result() == "back"
    assert breaker.call(lambda: "asked") == "asked"
