"""The response cache: keys, bounds, leases, single flight, and a shared cache that fails."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from django.core.cache import cache as backend
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django_redis.cache import RedisCache
from pytest_django import Settings
from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from deals_api.caching import response_cache, shared, single_flight
from deals_api.caching.bounded_cache import BoundedCache
from deals_api.caching.local import local_responses
from deals_api.caching.response_cache import CacheableQuery, ResponseBody
from deals_api.limits import Limits
from deals_api.snapshots import lease as lease_module
from deals_api.snapshots.lease import Lease, SnapshotGone
from project.settings import redis_cache
from tests import services
from tests.servers import TIMEOUT

REQUEST = RequestFactory().get("/")
QUERY = CacheableQuery("test", [5], "application/json")


@dataclass(frozen=True)
class FakeSnapshot:
    """A snapshot without a database."""

    name: str
    readable: bool = True

    def cache_name(self) -> str:
        return self.name

    def is_readable(self) -> bool:
        return self.readable


A, B = FakeSnapshot("a"), FakeSnapshot("b")


class CountedComputation:
    """A computation that counts its runs."""

    def __init__(self, content: bytes = b"{}", seconds: float = 0.0, cacheable: bool = True) -> None:
        self.runs = 0
        self.body = ResponseBody(content, cacheable)
        self.seconds = seconds

    def __call__(self, *_: object) -> ResponseBody:
        self.runs += 1
        time.sleep(self.seconds)
        return self.body


def name_of(snapshot: FakeSnapshot | None) -> ResponseBody:
    """A computation whose result is the name of the snapshot."""
    assert snapshot is not None
    return ResponseBody(snapshot.name.encode())


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "breaker", shared.CircuitBreaker(shared.ping))


def respond(
    snapshot: FakeSnapshot | None, compute: Callable[..., ResponseBody], request: HttpRequest = REQUEST
) -> HttpResponse:
    return response_cache.respond(request, None, QUERY, lambda: snapshot, compute)


def find_or_respond(
    snapshot: FakeSnapshot, raw_request: str, compute: Callable[..., ResponseBody], request: HttpRequest = REQUEST
) -> HttpResponse:
    """Look up by raw request, then by query, as the views do."""
    cached = response_cache.find(request, snapshot, raw_request)
    if cached is not None:
        return cached
    return response_cache.respond(request, raw_request, QUERY, lambda: snapshot, compute)


# Keys


def test_keys_differ_in_every_part(settings: Settings) -> None:
    keys = {
        QUERY.key(A),
        QUERY.key(B),
        QUERY.key(None),
        replace(QUERY, api="other").key(A),
        replace(QUERY, parameters=[6]).key(A),
        replace(QUERY, parameters=["5"]).key(A),
        replace(QUERY, media_type="text/csv").key(A),
    }
    settings.DEALS_BUILD = "another build"
    keys.add(QUERY.key(A))
    for limit in fields(Limits):
        settings.DEALS_LIMITS = replace(Limits(), **{limit.name: 7})
        keys.add(QUERY.key(A))
    assert len(keys) == 8 + len(fields(Limits))


def test_other_limits_do_not_share_raw_requests(limits: Any) -> None:
    for size in (1, 2, 1):
        limits(page_size=size)
        assert find_or_respond(A, "form", CountedComputation(b"%d" % size)).content == b"%d" % size


def test_equal_queries_have_equal_keys() -> None:
    first, second = (replace(QUERY, parameters=[params]) for params in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert first.key(None) == second.key(None)


# Lookup by query


def test_response_is_computed_once_for_a_snapshot() -> None:
    compute = CountedComputation()
    for _ in range(3):
        respond(A, compute)
    respond(B, compute)
    assert compute.runs == 2


def test_response_with_errors_is_never_cached() -> None:
    compute = CountedComputation(cacheable=False)
    first, second = respond(A, compute), respond(A, compute)
    assert compute.runs == 2
    assert first.content == second.content == b"{}"
    assert "ETag" not in first


def test_failed_computation_leaves_nothing_in_the_cache() -> None:
    def fail(_: object) -> ResponseBody:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        respond(A, fail)
    assert respond(A, CountedComputation(b"{1}")).content == b"{1}"


def with_etag(etag: str) -> HttpRequest:
    return RequestFactory().get("/", headers={"If-None-Match": etag})


def test_matching_etag_avoids_the_computation() -> None:
    compute = CountedComputation()
    etag = respond(A, compute)["ETag"]
    backend.clear()
    local_responses.clear()
    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        response = respond(A, compute, with_etag(header))
        assert (response.status_code, response["ETag"], response["Cache-Control"]) == (304, etag, "no-cache")
    assert compute.runs == 1


def test_etag_of_another_snapshot_does_not_match() -> None:
    etag = respond(A, CountedComputation())["ETag"]
    response = respond(B, CountedComputation(b"{2}"), with_etag(etag))
    assert (response.status_code, response.content) == (200, b"{2}")


def test_post_never_returns_304() -> None:
    etag = respond(A, CountedComputation())["ETag"]
    request = RequestFactory().post("/", headers={"If-None-Match": etag})
    assert respond(A, CountedComputation(), request).status_code == 200


def test_reader_gives_up_after_three_pruned_snapshots() -> None:
    snapshots = iter([FakeSnapshot(str(number), readable=False) for number in range(10)])
    with pytest.raises(SnapshotGone):
        response_cache.respond(REQUEST, None, QUERY, lambda: next(snapshots), CountedComputation())
    assert next(snapshots) == FakeSnapshot("3", readable=False)


def test_pruned_snapshot_is_replaced_by_the_current_one() -> None:
    snapshots = iter([FakeSnapshot("pruned", readable=False), FakeSnapshot("current")])
    read: list[str] = []

    def compute(snapshot: FakeSnapshot | None) -> ResponseBody:
        assert snapshot is not None
        read.append(snapshot.name)
        return name_of(snapshot)

    response = response_cache.respond(REQUEST, None, QUERY, lambda: next(snapshots), compute)
    assert read == ["pruned", "current"]
    assert response.content == b"current"


def test_paused_reader_cannot_store_an_old_response_under_the_new_key() -> None:
    """The reader pauses after it has read the pointer, and continues after an upload."""
    current = [FakeSnapshot("old")]
    paused, resume = threading.Event(), threading.Event()

    def compute(snapshot: FakeSnapshot | None) -> ResponseBody:
        if snapshot == FakeSnapshot("old"):
            paused.set()
            resume.wait(TIMEOUT)
        return name_of(snapshot)

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(respond, current[0], compute)
        paused.wait(TIMEOUT)
        current[0] = FakeSnapshot("new")
        during = respond(current[0], compute)
        resume.set()
        assert reader.result(TIMEOUT).content == b"old"
    after = respond(current[0], compute)
    assert (during.content, after.content) == (b"new", b"new")


# Lookup by raw request


def test_byte_identical_request_is_found_before_parsing() -> None:
    assert response_cache.find(REQUEST, A, "form") is None
    first = find_or_respond(A, "form", CountedComputation(b"{1}"))
    second = response_cache.find(REQUEST, A, "form")
    assert second is not None
    assert (second.content, second["ETag"], second["Vary"]) == (b"{1}", first["ETag"], "Accept")


def test_raw_request_is_found_for_its_snapshot_only() -> None:
    for snapshot in (A, B, A):
        assert find_or_respond(snapshot, "form", name_of).content == snapshot.name.encode()


def test_response_of_a_later_snapshot_is_not_found_under_the_earlier_one() -> None:
    """An upload is stored between the two lookups; then a roll-back makes the earlier snapshot current again."""
    assert response_cache.find(REQUEST, A, "form") is None
    response_cache.respond(REQUEST, "form", QUERY, lambda: B, name_of)
    assert find_or_respond(A, "form", name_of).content == b"a"


def test_errors_are_not_found_by_raw_request() -> None:
    find_or_respond(A, "form", CountedComputation(b"error", cacheable=False))
    assert find_or_respond(A, "form", CountedComputation(b"{1}")).content == b"{1}"


# Bounds in bytes


@pytest.fixture
def cache() -> BoundedCache[bytes]:
    return BoundedCache(8 * 2000)


def store(cache: BoundedCache[bytes], *keys: str, size: int = 1000) -> set[str]:
    """Put a value of ``size`` bytes under each key; return the keys that are retained."""
    for key in keys:
        cache.put(key, b"x" * size, size)
    return {key for key in keys if cache.get(key)}


def test_cache_stays_within_its_bytes(cache: BoundedCache[bytes]) -> None:
    for _ in range(2):
        retained = store(cache, *(f"key {number}" for number in range(1000)))
        assert retained == {f"key {number}" for number in range(990, 1000)}
        assert cache.bytes <= cache.max_bytes
        cache.clear()


def test_long_keys_count_as_bytes(cache: BoundedCache[bytes]) -> None:
    assert len(store(cache, *(f"{number:03}" + "?" * 1400 for number in range(100)), size=2)) == 8


def test_value_that_would_displace_the_others_is_not_stored(cache: BoundedCache[bytes]) -> None:
    assert store(cache, "small") | store(cache, "large", size=2001) == {"small"}


def test_entries_used_last_are_retained(cache: BoundedCache[bytes]) -> None:
    store(cache, "popular", "unused")
    for number in range(200):
        store(cache, str(number))
        assert cache.get("popular")
    assert cache.get("unused") is None


def test_value_put_twice_counts_once(cache: BoundedCache[bytes]) -> None:
    for _ in range(1000):
        store(cache, "same")
    assert cache.bytes < 2000


def test_bounded_cache_is_thread_safe() -> None:
    """The cache has room for few entries, so entries are dropped while other threads read them."""
    cache: BoundedCache[bytes] = BoundedCache(8 * 2000)

    def use(start: int) -> None:
        for number in range(start, start + 20_000):
            cache.put(number % 30, b"{}", 1000)
            cache.get((number + 1) % 30)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert len(store(cache, *map(str, range(30)))) == 10
    assert cache.bytes == sum(size for _, size in cache._entries.values())


@pytest.mark.parametrize("has_redis", [False, True], ids=["without Redis", "with Redis"])
def test_large_response_is_not_cached_but_has_a_stable_etag(has_redis: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with services.redis() as (service, url):
        if has_redis:
            use_redis(url, monkeypatch)
        compute = CountedComputation(b"x" * (response_cache.MAX_CACHED_BYTES + 1))
        responses = [find_or_respond(A, "form", compute) for _ in range(3)]
        assert compute.runs == 3
        assert local_responses.bytes < response_cache.MAX_CACHED_BYTES
        assert len({response["ETag"] for response in responses}) == 1
        conditional = with_etag(responses[0]["ETag"])
        assert find_or_respond(A, "form", compute, conditional).status_code == 304
        assert find_or_respond(B, "form", compute, conditional).status_code == 200
        assert compute.runs == 4
        with Redis(port=service.port) as client:
            assert client.dbsize() == 0


def test_largest_cacheable_response_is_computed_once() -> None:
    compute = CountedComputation(b"x" * response_cache.MAX_CACHED_BYTES)
    for _ in range(3):
        assert len(respond(A, compute).content) == response_cache.MAX_CACHED_BYTES
    assert compute.runs == 1


def test_raw_requests_of_one_query_share_one_body() -> None:
    compute = CountedComputation(b"x" * 500_000)
    for number in range(100):
        find_or_respond(A, f"form {number}", compute)
    assert compute.runs == 1
    assert local_responses.bytes < 600_000


def test_evicted_body_is_computed_again() -> None:
    find_or_respond(A, "form", CountedComputation(b"{1}"))
    key = QUERY.key(A)
    backend.delete(key)
    _, size = local_responses._entries.pop(key)
    local_responses.bytes -= size
    assert response_cache.find(REQUEST, A, "form") is None
    assert find_or_respond(A, "form", CountedComputation(b"{2}")).content == b"{2}"
    assert response_cache.find(REQUEST, A, "form") is not None


# Leases


class Pointer:
    """A pointer to the current snapshot that counts its reads."""

    def __init__(self) -> None:
        self.snapshot, self.change_announced, self.reads = A, False, 0

    def __call__(self) -> tuple[FakeSnapshot, bool]:
        self.reads += 1
        return self.snapshot, self.change_announced


class Clock:
    """Clocks of a machine that a test controls."""

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


def test_lease_avoids_reads_until_it_expires(clock: Clock) -> None:
    pointer = Pointer()
    lease = Lease(pointer)
    reads = []
    for fraction in (0.0, 0.5, 0.99, 1.01, 1.5, 2.0, 2.02):
        clock.awake = 1000 + fraction * lease_module.LEASE_TTL_SECONDS
        lease()
        reads.append(pointer.reads)
    assert reads == [1, 1, 1, 2, 2, 2, 3]


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="CLOCK_BOOTTIME exists on Linux only")
def test_lease_expires_while_the_machine_is_suspended(clock: Clock) -> None:
    pointer = Pointer()
    lease = Lease(pointer)
    lease()
    pointer.snapshot = B
    clock.suspended += 60
    assert lease() == B


def test_lasting_announcement_is_checked_every_two_seconds(clock: Clock) -> None:
    pointer, checks = Pointer(), []
    pointer.change_announced = True
    lease = Lease(pointer, lambda: checks.append(clock.awake - 1000))
    for tenths in range(100):
        clock.awake = 1000 + tenths / 10
        lease()
    assert checks == pytest.approx([2, 4, 6, 8])
    pointer.change_announced = False
    lease()
    pointer.change_announced = True
    for second in (10, 11, 11.9, 12.1):
        clock.awake = 1000 + second
        lease()
    assert checks == pytest.approx([2, 4, 6, 8, 12.1])


def test_no_lease_is_given_while_a_change_is_announced() -> None:
    pointer = Pointer()
    pointer.change_announced = True
    lease = Lease(pointer)
    lease()
    pointer.snapshot = B
    assert lease() == B
    assert pointer.reads == 2


def test_lease_counts_from_the_start_of_its_read() -> None:
    pointer = Pointer()

    def read_slowly() -> tuple[FakeSnapshot, bool]:
        result = pointer()
        time.sleep(lease_module.LEASE_TTL_SECONDS)
        return result

    lease = Lease(read_slowly)
    lease()
    pointer.snapshot = B
    assert lease() == B


class BlockingPointer(Pointer):
    """A pointer whose first read blocks until ``finish_first_read`` is set, and then fails if there is an error."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.first_read_started, self.finish_first_read = threading.Event(), threading.Event()

    def __call__(self) -> tuple[FakeSnapshot, bool]:
        result = super().__call__()
        if not self.first_read_started.is_set():
            self.first_read_started.set()
            assert self.finish_first_read.wait(TIMEOUT)
            if self.error is not None:
                raise self.error
        return result


def waiting_leases(pointer: BlockingPointer, pool: ThreadPoolExecutor, count: int) -> list[Future[Any]]:
    """Start a read of the pointer, and further ``count`` threads that need a lease meanwhile; return all results."""
    lease = Lease(pointer)
    first = pool.submit(lease)
    assert pointer.first_read_started.wait(TIMEOUT)
    return [first, *(pool.submit(lease) for _ in range(count))]


@pytest.fixture
def _long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LEASE_TTL_SECONDS", TIMEOUT)


@pytest.mark.usefixtures("_long_lease")
def test_concurrent_threads_share_one_read_of_the_pointer() -> None:
    pointer = BlockingPointer()
    with ThreadPoolExecutor(8) as pool:
        results = waiting_leases(pointer, pool, 7)
        time.sleep(0.05)
        pointer.finish_first_read.set()
        assert [result.result(TIMEOUT) for result in results] == [A] * 8
    assert pointer.reads == 1


@pytest.mark.usefixtures("_long_lease")
def test_failed_read_of_the_pointer_fails_no_other_thread() -> None:
    pointer = BlockingPointer(OSError())
    with ThreadPoolExecutor(8) as pool:
        first, *others = waiting_leases(pointer, pool, 7)
        pointer.finish_first_read.set()
        assert [other.result(TIMEOUT) for other in others] == [A] * 7
    assert isinstance(first.exception(), OSError)


def test_hanging_read_of_the_pointer_delays_other_threads_briefly() -> None:
    pointer = BlockingPointer()
    with ThreadPoolExecutor(8) as pool:
        first, *others = waiting_leases(pointer, pool, 7)
        assert [other.result(TIMEOUT) for other in others] == [A] * 7
        assert not first.done()
        pointer.finish_first_read.set()


@pytest.mark.usefixtures("_long_lease")
def test_each_thread_reads_the_pointer_while_a_change_is_announced() -> None:
    pointer = BlockingPointer()
    pointer.change_announced = True
    pointer.first_read_started.set()
    lease = Lease(pointer)
    lease()
    pointer.first_read_started.clear()
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(lease)
        assert pointer.first_read_started.wait(TIMEOUT)
        pointer.snapshot = B
        assert lease() == B
        pointer.finish_first_read.set()
        assert old.result(TIMEOUT) == A


# Single flight


@pytest.fixture
def _long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the single-flight timeout so long that a test notices a caller that waits for it."""
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", TIMEOUT)


class RecordingBackend:
    """A cache that records the name of each operation."""

    def __init__(self, backend: BaseCache) -> None:
        self.backend = backend
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            self.calls.append(name)
            return getattr(self.backend, name)(*arguments)

        return operation


@pytest.mark.usefixtures("_long_wait")
def test_threads_share_one_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = RecordingBackend(backend)
    monkeypatch.setattr(shared, "backend", recording)
    compute = CountedComputation(seconds=0.2)
    start = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda _: respond(A, compute).content, range(8)))
    assert compute.runs == 1
    assert set(contents) == {b"{}"}
    assert time.monotonic() - start < TIMEOUT
    assert "has_key" not in recording.calls  # threads of one process wait for each other without polling Redis


def test_thread_waits_briefly_for_a_computation_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", 0.2)
    started, resume = threading.Event(), threading.Event()

    def hang(_: object) -> ResponseBody:
        started.set()
        resume.wait(TIMEOUT)
        return ResponseBody(b"late")

    with ThreadPoolExecutor() as pool:
        late = pool.submit(respond, A, hang)
        started.wait(TIMEOUT)
        assert respond(A, CountedComputation(b"own")).content == b"own"
        assert not late.done()
        resume.set()


@pytest.mark.usefixtures("_long_wait")
def test_process_waits_for_a_computation_of_another_process(own_backend: BaseCache) -> None:
    key = QUERY.key(A)
    own_backend.add(f"{key}:computing", b"1", 30)
    threading.Timer(0.2, own_backend.set, (key, b"other")).start()
    compute = CountedComputation()
    start = time.monotonic()
    assert respond(A, compute).content == b"other"
    assert time.monotonic() - start < TIMEOUT
    assert compute.runs == 0
    assert own_backend.has_key(f"{key}:computing")  # the lock belongs to the other process


def test_process_waits_briefly_for_a_process_that_was_killed(
    own_backend: BaseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", 0.2)
    own_backend.add(f"{QUERY.key(A)}:computing", b"1", TIMEOUT)
    compute = CountedComputation()
    start = time.monotonic()
    respond(A, compute)
    assert compute.runs == 1
    assert 0.1 < time.monotonic() - start < TIMEOUT / 2


# A shared cache that fails: a real Redis, and a port that does not accept connections


@pytest.fixture
def own_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[services.Service]:
    """A new Redis that is the shared cache, also in runs without Redis."""
    with services.redis() as (service, url):
        use_redis(url, monkeypatch, SOCKET_TIMEOUT=TIMEOUT, SOCKET_CONNECT_TIMEOUT=TIMEOUT)
        yield service


@pytest.fixture
def own_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseCache]:
    """The cache backend of a new Redis."""
    with services.redis() as (_, url):
        yield use_redis(url, monkeypatch)


def use_redis(url: str, monkeypatch: pytest.MonkeyPatch, **options: float) -> BaseCache:
    client: BaseCache = RedisCache(url, {"OPTIONS": redis_cache(url)["OPTIONS"] | options})
    monkeypatch.setattr(shared, "backend", client)
    return client


def seconds_to_respond(snapshot: FakeSnapshot, compute: CountedComputation) -> float:
    start = time.monotonic()
    assert respond(snapshot, compute).status_code == 200
    return time.monotonic() - start


def assert_shared_cache_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = RecordingBackend(shared.backend)
    monkeypatch.setattr(shared, "backend", recording)
    for number in range(20):
        respond(FakeSnapshot(str(number)), CountedComputation())
    assert recording.calls == []


def test_single_flight_lock_expires_if_its_process_is_killed(own_redis: services.Service) -> None:
    def compute(_: object) -> ResponseBody:
        with Redis(port=own_redis.port) as client:
            (lock,) = client.keys("*:computing")
            assert 0 < client.pttl(lock) <= 1000 * single_flight.SINGLE_FLIGHT_WAIT_SECONDS
        return ResponseBody(b"{}")

    assert respond(A, compute).content == b"{}"


def test_redis_stores_plain_bytes_with_a_ttl(own_redis: services.Service) -> None:
    etag = respond(A, CountedComputation(b'{"response":[]}'))["ETag"]
    with Redis(port=own_redis.port) as client:
        (name,) = client.keys("*")
        assert etag.strip('"') in name.decode()
        assert client.get(name) == b'{"response":[]}'
        assert 0 < client.ttl(name) <= response_cache.CACHE_TTL_SECONDS


@pytest.fixture
def _late_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RECOVERY_SECONDS", TIMEOUT)


@pytest.mark.usefixtures("_late_recovery")
def test_stopped_redis_costs_one_warning_and_one_call(
    own_redis: services.Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.stop()
    with caplog.at_level(logging.WARNING):
        assert seconds_to_respond(A, CountedComputation()) < TIMEOUT / 2
        assert_shared_cache_is_skipped(monkeypatch)
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("_late_recovery")
def test_hung_redis_times_out_once(own_redis: services.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    use_redis(f"redis://127.0.0.1:{own_redis.port}/0", monkeypatch)
    respond(A, CountedComputation())
    own_redis.send(signal.SIGSTOP)
    assert seconds_to_respond(B, CountedComputation()) < TIMEOUT / 2
    assert_shared_cache_is_skipped(monkeypatch)


def test_redis_that_returns_is_used_again(
    own_redis: services.Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared, "RECOVERY_SECONDS", 0.1)
    own_redis.stop()
    compute = CountedComputation()
    respond(A, compute)
    own_redis.start()
    time.sleep(0.15)
    for _ in range(3):
        local_responses.clear()
        respond(A, compute)
    assert compute.runs == 2
    assert caplog.records[-1].message == "The shared cache is available again."


def test_full_redis_costs_speed_only(own_redis: services.Service) -> None:
    with Redis(port=own_redis.port) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(OutOfMemoryError):
            client.set("x", "y")
    compute = CountedComputation()
    assert seconds_to_respond(A, compute) < TIMEOUT / 2
    assert respond(A, compute).content == b"{}"


#: A limit of Redis, and the number of bytes of a response that exceeds it.
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
    small, large = CountedComputation(b"small"), CountedComputation(b"x" * size)
    respond(FakeSnapshot("small"), small)
    with Redis(port=own_redis.port) as client:
        for name, value in configuration.items():
            client.config_set(name, value)
        for number in range(3):
            for _ in range(2):
                local_responses.clear()
                assert seconds_to_respond(FakeSnapshot(f"large {number}"), large) < TIMEOUT / 2
                assert not shared.breaker.failing
        if case in ("no memory", "output buffer"):  # the other limits evict entries
            local_responses.clear()
            respond(FakeSnapshot("small"), small)
            assert small.runs == 1
    assert len(caplog.records) <= 1


def test_full_redis_does_not_delay_computing_by_the_single_flight_timeout(
    own_redis: services.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_flight, "SINGLE_FLIGHT_WAIT_SECONDS", 600.0)
    with Redis(port=own_redis.port) as client:
        client.config_set("maxmemory", "1")
    assert seconds_to_respond(A, CountedComputation()) < TIMEOUT


def test_redis_that_accepts_no_connections_does_not_block_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        use_redis(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", monkeypatch)
        assert seconds_to_respond(A, CountedComputation()) < TIMEOUT / 2


# The circuit breaker alone


def failing_operation(error: Exception) -> Callable[[], None]:
    def operation() -> None:
        raise error

    return operation


def breaker_with_failing_ping() -> shared.CircuitBreaker:
    return shared.CircuitBreaker(failing_operation(RedisError("down")))


@pytest.mark.parametrize("error", [RedisError("down"), OSError("no network"), TimeoutError()], ids=repr)
def test_failure_of_the_shared_cache_is_not_raised(error: Exception) -> None:
    assert breaker_with_failing_ping().call(failing_operation(error), default="default") == "default"


def test_breaker_raises_programming_errors() -> None:
    with pytest.raises(ZeroDivisionError):
        breaker_with_failing_ping().call(failing_operation(ZeroDivisionError()))


def test_lasting_failure_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(shared, "RECOVERY_SECONDS", 0.0)
    breaker, calls = breaker_with_failing_ping(), []

    def operation() -> None:
        calls.append(1)
        raise RedisError

    for _ in range(5):
        breaker.call(operation)
    assert (len(calls), len(caplog.records)) == (5, 1)


def test_one_caller_tests_whether_the_cache_is_available_again() -> None:
    """The other callers would each wait for a timeout."""
    breaker, started, resume = breaker_with_failing_ping(), threading.Event(), threading.Event()
    breaker.call(failing_operation(RedisError("down")))
    breaker.open_until = 0.0

    def operation() -> str:
        started.set()
        resume.wait(TIMEOUT)
        return "available"

    with ThreadPoolExecutor() as pool:
        first = pool.submit(breaker.call, operation)
        started.wait(TIMEOUT)
        assert breaker.call(lambda: "called", default="skipped") == "skipped"
        resume.set()
        assert first.result() == "available"
    assert breaker.call(lambda: "called") == "called"
