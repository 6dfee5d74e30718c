"""The cache layer alone: keys, leases, turns, and a Redis in trouble."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache as backend
from django.http import HttpResponse
from django.test import RequestFactory
from django_redis.cache import RedisCache
from pytest_django import Settings
from redis.exceptions import OutOfMemoryError, RedisError

from deals_api import cache
from deals_api.cache import Answer, Lease, SnapshotGone
from tests import services

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
        self.answer = Answer(body, kept)
        self.seconds = seconds

    def __call__(self, *_: object) -> Answer:
        self.runs += 1
        time.sleep(self.seconds)
        return self.answer


@pytest.fixture(autouse=True)
def _breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_shared", cache.Breaker())


def asked(version: Version | None, compute: Counted, question: list[object] | None = None) -> HttpResponse:
    return cache.respond(request, lambda: version, "test", question or [5], "application/json", compute)


# Keys


def test_keys_differ_in_every_part(settings: Settings) -> None:
    base = (Version("a"), "face", [5], "application/json")
    keys = {
        cache.key_of(*base),
        cache.key_of(Version("b"), *base[1:]),
        cache.key_of(None, *base[1:]),
        cache.key_of(base[0], "other", *base[2:]),
        cache.key_of(*base[:2], [6], base[3]),
        cache.key_of(*base[:2], ["5"], base[3]),
        cache.key_of(*base[:3], "text/csv"),
    }
    settings.DEALS_BUILD = "another build"
    keys.add(cache.key_of(*base))
    assert len(keys) == 8


def test_equal_questions_have_equal_keys() -> None:
    first = cache.key_of(None, "face", [{"a": 1, "b": 2}], "x")
    assert first == cache.key_of(None, "face", [{"b": 2, "a": 1}], "x")


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
    def fail(_: object) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.respond(request, lambda: Version("a"), "test", [5], "application/json", fail)
    assert asked(Version("a"), Counted(b"{1}")).content == b"{1}"


def test_the_etag_saves_the_answer() -> None:
    compute = Counted()
    etag = asked(Version("a"), compute)["ETag"]
    backend.clear()
    cache.near.clear()
    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = RequestFactory().get("/", headers={"If-None-Match": header})
        answer = cache.respond(again, lambda: Version("a"), "test", [5], "application/json", compute)
        assert (answer.status_code, answer["ETag"], answer["Cache-Control"]) == (304, etag, "no-cache")
    assert compute.runs == 1


def test_the_etag_of_another_snapshot_does_not_match() -> None:
    etag = asked(Version("a"), Counted())["ETag"]
    again = RequestFactory().get("/", headers={"If-None-Match": etag})
    answer = cache.respond(again, lambda: Version("b"), "test", [5], "application/json", Counted(b"{2}"))
    assert (answer.status_code, answer.content) == (200, b"{2}")


def test_only_a_get_is_told_that_it_has_the_answer_already() -> None:
    etag = asked(Version("a"), Counted())["ETag"]
    posted = RequestFactory().post("/", headers={"If-None-Match": etag})
    assert cache.respond(posted, lambda: Version("a"), "test", [5], "application/json", Counted()).status_code == 200


def test_a_reader_does_not_run_after_uploads_for_ever() -> None:
    versions = iter([Version(str(number), readable=False) for number in range(10)])
    with pytest.raises(SnapshotGone):
        cache.respond(request, lambda: next(versions), "test", [5], "application/json", Counted())
    assert next(versions) == Version("3", readable=False)


def test_a_snapshot_pruned_under_a_reader_is_asked_again_of_the_current_one() -> None:
    versions = iter([Version("pruned", readable=False), Version("current")])
    read: list[str] = []

    def compute(version: Version | None) -> Answer:
        assert version is not None
        read.append(version.name)
        return Answer(version.name.encode())

    answer = cache.respond(request, lambda: next(versions), "test", [5], "application/json", compute)
    assert read == ["pruned", "current"]
    assert answer.content == b"current"


def test_a_frozen_reader_cannot_store_the_old_answer_under_the_new_name() -> None:
    """It read the pointer, froze, and wakes after an upload: what it stores is nobody's answer any more."""
    current = [Version("old")]
    frozen, thawed = threading.Event(), threading.Event()

    def compute(version: Version | None) -> Answer:
        assert version is not None
        if version.name == "old":
            frozen.set()
            thawed.wait(300)
        return Answer(version.name.encode())

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(cache.respond, request, lambda: current[0], "test", [5], "application/json", compute)
        frozen.wait(300)
        current[0] = Version("new")
        during = cache.respond(request, lambda: current[0], "test", [5], "application/json", compute)
        thawed.set()
        assert reader.result(300).content == b"old"
    after = cache.respond(request, lambda: current[0], "test", [5], "application/json", compute)
    assert (during.content, after.content) == (b"new", b"new")


# Ready answers


def test_a_request_in_the_same_form_is_answered_ready() -> None:
    version = Version("a")
    first = cache.served(request, version, "form", lambda: asked(version, Counted(b"{1}")))
    second = cache.served(request, version, "form", lambda: pytest.fail("parsed again"))
    assert isinstance(second, HttpResponse)
    assert (second.content, second["ETag"], second["Vary"]) == (b"{1}", first["ETag"], "Accept")


def test_a_ready_answer_belongs_to_its_snapshot() -> None:
    for name in ("a", "b", "a"):
        version = Version(name)
        answer = cache.served(request, version, "form", lambda v=version: asked(v, Counted(v.name.encode())))  # type: ignore[misc]
        assert isinstance(answer, HttpResponse)
        assert answer.content == name.encode()


def test_an_answer_of_a_later_snapshot_is_not_kept_under_the_earlier_ones_name() -> None:
    """An upload landed between the two readings; a roll-back makes the earlier one current again."""
    earlier, later = Version("earlier"), Version("later")
    cache.served(request, earlier, "form", lambda: asked(later, Counted(b"later")))
    answer = cache.served(request, earlier, "form", lambda: asked(earlier, Counted(b"earlier")))
    assert isinstance(answer, HttpResponse)
    assert answer.content == b"earlier"


def test_refusals_are_not_kept_ready() -> None:
    version = Version("a")
    cache.served(request, version, "form", lambda: HttpResponse(b"no", status=400))
    answer = cache.served(request, version, "form", lambda: asked(version, Counted(b"{1}")))
    assert answer.status_code == 200


def kept_ready(bodies: dict[str, bytes]) -> set[str]:
    """Puts these answers, in turn; returns those that are there in the end."""
    for key, body in bodies.items():
        cache.near.put(key, (body, "text/plain", "etag", ""))
    return {key for key in bodies if cache.near.get(key)}


@pytest.fixture
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "NEAR_BYTES", 64 * 2000)


@pytest.mark.usefixtures("_little_room")
def test_ready_answers_stay_within_their_bytes() -> None:
    bodies = {f"key {number}": b"x" * 1000 for number in range(1000)}
    for _ in range(2):
        kept = kept_ready(bodies)
        assert 50 < len(kept) < 65
        assert "key 999" in kept
        cache.near.clear()


@pytest.mark.usefixtures("_little_room")
def test_what_was_asked_takes_room_too() -> None:
    assert 20 < len(kept_ready({f"{number:03}" + "?" * 4000: b"{}" for number in range(100)})) < 28


@pytest.mark.usefixtures("_little_room")
def test_an_answer_too_large_is_not_kept_ready() -> None:
    assert kept_ready({"large": b"x" * 2001, "small": b"x" * 2000}) == {"small"}


@pytest.mark.usefixtures("_little_room")
def test_the_answers_used_last_stay_ready() -> None:
    kept_ready({"popular": b"{}", "forgotten": b"{}"})
    for number in range(200):
        kept_ready({str(number): b"x" * 1000})
        assert cache.near.get("popular")
    assert cache.near.get("forgotten") is None


@pytest.mark.usefixtures("_little_room")
def test_an_answer_put_twice_takes_its_room_once() -> None:
    for _ in range(1000):
        kept_ready({"same": b"x" * 1000})
    kept_ready({"other": b"{}"})
    assert cache.near.get("same")


def test_threads_may_use_ready_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two, each answer is pushed out while others look for it."""
    monkeypatch.setattr(cache, "NEAR_BYTES", 2500)

    def use(begin: int) -> None:
        for number in range(begin, begin + 20_000):
            cache.near.put(number % 3, (b"{}", "text/plain", "etag", ""))
            cache.near.get((number + 1) % 3)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert len(kept_ready({str(number): b"{}" for number in range(9)})) == 2


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
    monkeypatch.setattr(cache, "time", clock)
    return clock


def test_a_lease_spares_reads_for_its_time_only(clock: Clock) -> None:
    pointer = Pointer()
    lease = Lease(pointer)
    reads = []
    for share in (0.0, 0.5, 0.99, 1.01, 1.5, 2.0, 2.02):
        clock.awake = 1000 + share * cache.LEASE_SECONDS
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
        time.sleep(cache.LEASE_SECONDS)
        return seen

    lease = Lease(slow)
    lease()
    pointer.value = Version("b")
    assert lease() == Version("b")


# One computation at a time


@pytest.fixture
def _much_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever waited it out would be noticed."""
    monkeypatch.setattr(cache, "PATIENCE_SECONDS", 300.0)


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
    monkeypatch.setattr(cache, "backend", noted)
    compute = Counted(seconds=0.2)
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: asked(Version("a"), compute).content, range(8)))
    assert compute.runs == 1
    assert set(answers) == {b"{}"}
    assert time.monotonic() - begin < 250
    assert "has_key" not in noted.used  # they waited for each other, and did not ask Redis again and again


def test_a_thread_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PATIENCE_SECONDS", 0.2)
    hanging, released = threading.Event(), threading.Event()

    def hang(_: object) -> Answer:
        hanging.set()
        released.wait(300)
        return Answer(b"late")

    with ThreadPoolExecutor() as pool:
        late = pool.submit(cache.respond, request, lambda: Version("a"), "test", [5], "application/json", hang)
        hanging.wait(300)
        assert asked(Version("a"), Counted(b"mine")).content == b"mine"
        assert not late.done()
        released.set()


@pytest.mark.usefixtures("_much_patience")
def test_another_process_computing_is_waited_for() -> None:
    key = cache.key_of(Version("a"), "test", [5], "application/json")
    backend.add(f"{key}:computing", b"1", 30)
    threading.Timer(0.2, backend.set, (key, b"theirs")).start()
    compute = Counted()
    begin = time.monotonic()
    assert asked(Version("a"), compute).content == b"theirs"
    assert time.monotonic() - begin < 250
    assert compute.runs == 0
    assert backend.has_key(f"{key}:computing")  # it is theirs to take away


def test_another_process_that_died_computing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PATIENCE_SECONDS", 0.2)
    backend.add(f"{cache.key_of(Version('a'), 'test', [5], 'application/json')}:computing", b"1", 60)
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
        use_redis(url, monkeypatch, SOCKET_TIMEOUT=300, SOCKET_CONNECT_TIMEOUT=300)
        yield service


def use_redis(url: str, monkeypatch: pytest.MonkeyPatch, **changed: float) -> None:
    from project import settings as published

    options = published.redis_cache(url)["OPTIONS"] | changed
    monkeypatch.setattr(cache, "backend", RedisCache(url, {"OPTIONS": options}))


def seconds_of(version: Version, compute: Counted) -> float:
    begin = time.monotonic()
    assert asked(version, compute).status_code == 200
    return time.monotonic() - begin


def test_a_turn_ends_by_itself_if_its_process_dies(own_redis: services.Service) -> None:
    import redis

    def compute(_: object) -> Answer:
        with redis.Redis(port=own_redis.port) as client:
            (flag,) = client.keys("*:computing")
            assert 0 < client.pttl(flag) <= 1000 * cache.PATIENCE_SECONDS
        return Answer(b"{}")

    assert cache.respond(request, lambda: Version("a"), "test", [5], "application/json", compute).content == b"{}"


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
        assert 0 < client.ttl(name) <= cache.KEPT_SECONDS


def test_a_dead_redis_costs_one_warning_and_little_time(
    own_redis: services.Service, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.stop()
    compute = Counted()
    with caplog.at_level(logging.WARNING):
        assert seconds_of(Version("a"), compute) < 30
        assert quickest(compute) < 0.05
    assert len(caplog.records) == 1


def test_a_hung_redis_costs_well_under_a_second(
    own_redis: services.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    use_redis(f"redis://127.0.0.1:{own_redis.port}/0", monkeypatch)
    asked(Version("a"), Counted())
    own_redis.send(signal.SIGSTOP)
    assert seconds_of(Version("b"), Counted()) < 30
    assert quickest(Counted()) < 0.05


def test_a_redis_that_comes_back_is_used_again(
    own_redis: services.Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "REST_SECONDS", 0.1)
    own_redis.stop()
    compute = Counted()
    asked(Version("a"), compute)
    own_redis.start()
    time.sleep(0.15)
    asked(Version("a"), compute)
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


@pytest.mark.parametrize("error", [RedisError("down"), OSError("no network"), TimeoutError()], ids=repr)
def test_trouble_with_the_shared_cache_is_no_error(error: Exception) -> None:
    assert cache.Breaker().call(fails(error), otherwise="otherwise") == "otherwise"


def test_a_bug_is_not_taken_for_trouble() -> None:
    with pytest.raises(ZeroDivisionError):
        cache.Breaker().call(fails(ZeroDivisionError()))


def test_trouble_that_lasts_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(cache, "REST_SECONDS", 0.0)
    breaker, tries = cache.Breaker(), []

    def operation() -> None:
        tries.append(1)
        raise RedisError

    for _ in range(5):
        breaker.call(operation)
    assert (len(tries), len(caplog.records)) == (5, 1)


def test_one_call_finds_out_whether_the_cache_is_back() -> None:
    """The others would each wait for a time-out."""
    breaker, trying, done = cache.Breaker(), threading.Event(), threading.Event()
    breaker.call(fails(RedisError("down")))
    breaker.resting_until = 0.0

    def operation() -> str:
        trying.set()
        done.wait(300)
        return "back"

    with ThreadPoolExecutor() as pool:
        first = pool.submit(breaker.call, operation)
        trying.wait(300)
        assert breaker.call(lambda: "asked too", otherwise="rests on") == "rests on"
        done.set()
        assert first.result() == "back"
    assert breaker.call(lambda: "asked") == "asked"
