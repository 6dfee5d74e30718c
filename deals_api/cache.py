"""The one cache-invalidation layer: answers kept under keys that can never mean anything else.

A key is made of the build, the snapshot and the question, and a snapshot never changes, so the
value under a key is right for ever and a new upload simply asks under new keys. Nothing is deleted
for correctness; therefore nothing can be forgotten, lost with a dead Redis, or raced.

Three steps, each as fresh as the last: which snapshot is current (``Lease``), the responses of this
process by raw request (``served``), and responses by canonical question (``respond``, ``remember``),
in this process first, then in Redis if there is one. Knows no model and no face. Redis trouble costs speed only.

Memory of one process: ``LOCAL_BYTES`` here and ``graphql_schema.documents.MAX_BYTES`` for parsed documents.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from django.conf import settings
from django.core.cache import cache as backend
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from django_redis.serializers.base import BaseSerializer
from redis.exceptions import RedisError

from deals_api import notes
from deals_api.bounded_cache import BoundedCache
from deals_api.limits import Limits

log = logging.getLogger(__name__)

#: How long a process may go on with the pointer it has read; see ``Lease``.
LEASE_SECONDS: Final = 0.05
#: Linux's clock that counts while the machine is suspended; that of macOS is its CLOCK_MONOTONIC, on which
#: ``time.monotonic`` is not based.
_LEASE_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: How often a change that stays announced is looked into.
ANNOUNCED_SECONDS: Final = 2.0
#: Housekeeping only: how long an answer that nobody asks for takes up memory.
KEPT_SECONDS: Final = 24 * 3600
#: How long a reader waits for another's computation of the same answer before it computes it too.
PATIENCE_SECONDS: Final = 2.0
#: How long Redis is left alone after it failed once.
REST_SECONDS: Final = 5.0
#: Memory for cached responses in each process.
LOCAL_BYTES: Final = 16 * 1024 * 1024
#: Larger responses are not cached anywhere: a few of them would displace everything else.
MAX_CACHED_BYTES: Final = 1024 * 1024


class Snapshot(Protocol):
    """What the cache must know of an upload."""

    def cache_name(self) -> str:
        """A name that no other snapshot ever had or will have."""
        ...

    def is_readable(self) -> bool: ...


S = TypeVar("S", bound=Snapshot)
R = TypeVar("R", bound=HttpResponseBase)


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of one answer; one with errors in it is not kept."""

    body: bytes
    kept: bool = True
    status: int = 200


class SnapshotGone(Exception):
    """The upload was pruned while its rows were being read: ask again, of the current one."""


# Which snapshot is current


class Lease(Generic[S]):
    """The current snapshot, as fresh as a read by every request and without its cost.

    ``read`` tells the current snapshot and whether a change of it is announced, in one statement. If
    none is, the value is good for ``LEASE_SECONDS`` from when the read began. A process that changes the
    pointer announces it first and waits that long, so at the moment of the change no lease is left:
    all were given before the announcement. (A read per request took two thirds of the throughput.)

    Both sides measure with clocks of their own, and each may err in one direction only. The reader's clock
    must never count less than the time that has passed, so it is one that also counts while the machine
    is suspended. The writer's must never count more; if its machine is suspended, it waits longer.

    While a change stays announced, ``check_announcement`` is called every ``ANNOUNCED_SECONDS``: the
    process that announced it may have been killed. It must neither wait nor fail.
    """

    def __init__(
        self, read: Callable[[], tuple[S | None, bool]], check_announcement: Callable[[], None] = lambda: None
    ) -> None:
        self._read = read
        self._check_announcement = check_announcement
        self._held: tuple[S | None, float] = (None, 0.0)
        self._next_check: float | None = None

    def __call__(self) -> S | None:
        now = time.clock_gettime(_LEASE_CLOCK)
        snapshot, until = self._held
        if now < until:
            return snapshot
        snapshot, change_announced = self._read()
        if not change_announced:
            self._held = (snapshot, now + LEASE_SECONDS)
            self._next_check = None
        elif self._next_check is None:
            self._next_check = now + ANNOUNCED_SECONDS
        elif now >= self._next_check:
            self._next_check = now + ANNOUNCED_SECONDS
            self._check_announcement()
        return snapshot

    def end(self) -> None:
        self._held, self._next_check = (None, 0.0), None


# Ready answers of this process


class Ready(NamedTuple):
    """How to answer a raw request: the key of the body, and what the body does not say."""

    key: str
    media_type: str
    operation: str


class KeptResponse(HttpResponse):
    """An answer that ``served`` may give again; ``snapshot`` names what it was computed from."""

    def __init__(self, body: bytes, media_type: str, key: str, snapshot: str | None) -> None:
        super().__init__(body, content_type=media_type)
        self.ready = Ready(key, media_type, notes.current().operation)
        self.snapshot = snapshot
        _label(self, _etag(key))


#: Bodies by ``key_of``, so that each is in memory once, and ``Ready`` by raw request.
local: Final[BoundedCache[Any]] = BoundedCache(LOCAL_BYTES)


def served(
    request: HttpRequest,
    snapshot: Snapshot | None,
    as_it_came: Hashable,
    compute: Callable[[], HttpResponseBase],
) -> HttpResponseBase:
    """The answer to a request that came in exactly this form before, else what ``compute`` makes.

    ``as_it_came`` is everything of the request that an answer may depend on, unparsed.
    """
    ready: Ready | None = local.get((_variant(), _name(snapshot), as_it_came))
    if ready is not None:
        etag = _etag(ready.key)
        body = None
        if (has_it := _client_has(request, etag)) or (body := local.get(ready.key)) is not None:
            its = notes.current()
            its.cache, its.operation = "hit", ready.operation
            return _label(HttpResponseNotModified() if has_it else HttpResponse(body, ready.media_type), etag)
    response = compute()
    if isinstance(response, KeptResponse):
        local.put((_variant(), response.snapshot, as_it_came), response.ready, 0)
    return response


def _name(snapshot: Snapshot | None) -> str | None:
    return None if snapshot is None else snapshot.cache_name()


def _etag(key: str) -> str:
    return f'"{key}"'


def _client_has(request: HttpRequest, etag: str) -> bool:
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None or request.method not in ("GET", "HEAD"):
        return False
    theirs = [tag.removeprefix("W/") for tag in parse_etags(header)]
    return etag in theirs or theirs == ["*"]


def conditional(request: HttpRequest, etag: str, make: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """304 for a client that has the answer already, else what ``make`` gives, as one that may be kept."""
    return _label(HttpResponseNotModified() if _client_has(request, etag) else make(), etag)


def _label(response: R, etag: str) -> R:
    """Any cache on the way may keep it, and must ask us before each use."""
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    return response


# Answers shared by all processes


def key_of(snapshot: Snapshot | None, face: str, question: Sequence[object], media_type: str) -> str:
    """The name of one answer; also its ETag.

    ``question`` is the canonical form: whatever JSON can write, equal for questions that mean the same.
    """
    parts = [_variant(), _name(snapshot), face, question, media_type]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _variant() -> str:
    """A digest of what the process itself puts into responses: its code and its limits.

    All limits count, so that a new one cannot be forgotten. The other settings decide whether a request is
    answered at all, and they are checked before the cache: tokens, hosts, rate limits, GraphiQL.
    """
    return _digest(settings.DEALS_BUILD, settings.DEALS_LIMITS)


@lru_cache(maxsize=4)
def _digest(build: str, limits: Limits) -> str:
    return hashlib.sha256(json.dumps([build, asdict(limits)]).encode()).hexdigest()


def respond(
    request: HttpRequest,
    find_snapshot: Callable[[], S | None],
    face: str,
    question: Sequence[object],
    media_type: str,
    compute: Callable[[S | None], Answer],
) -> HttpResponse:
    """The answer to a question, from the cache or computed, or 304 if the client has it already.

    ``compute`` must read nothing but the rows of the snapshot that it is given.

    Raises: SnapshotGone, when uploads replace each other faster than one can be read.
    """
    for _ in range(3):
        snapshot = find_snapshot()
        key = key_of(snapshot, face, question, media_type)
        etag = _etag(key)
        if _client_has(request, etag):
            return _label(HttpResponseNotModified(), etag)
        try:
            answer = remember(key, partial(_vouched, compute, snapshot))
        except SnapshotGone:
            continue
        if answer.kept:
            return KeptResponse(answer.body, media_type, key, _name(snapshot))
        return unkept(answer, media_type)
    raise SnapshotGone


def unkept(answer: Answer, media_type: str) -> HttpResponse:
    """An answer for this one request, which no cache on the way may keep either."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    return HttpResponse(answer.body, media_type, answer.status, headers=headers)


def _vouched(compute: Callable[[S | None], Answer], snapshot: S | None) -> Answer:
    answer = compute(snapshot)
    if snapshot is not None and not snapshot.is_readable():
        raise SnapshotGone
    return answer


def remember(key: str, compute: Callable[[], Answer]) -> Answer:
    """The kept answer, or the computed one; at most one computation of it at a time."""
    its = notes.current()
    its.cache = "hit"
    if (body := _find(key)) is not None:
        return Answer(body)
    with _Turn(key):
        if (body := _find(key)) is not None:
            return Answer(body)
        its.cache = "miss"
        answer = compute()
        if answer.kept and len(answer.body) <= MAX_CACHED_BYTES:
            local.put(key, answer.body, len(answer.body))
            _shared.call(backend.set, key, answer.body, KEPT_SECONDS)
        return answer


def _find(key: str) -> bytes | None:
    body: bytes | None = local.get(key)
    if body is None:
        body = _shared.call(backend.get, key)
        if body is not None:
            local.put(key, body, len(body))
    return body


def increment(key: str, seconds: int) -> int | None:
    """One more under a key that lives so long; None while the shared cache is in trouble."""
    if _shared.call(backend.add, key, 0, seconds) is None:
        return None
    try:
        number: int | None = _shared.call(backend.incr, key)
    except ValueError:  # thrown out between the two
        return None
    return number


def answers() -> bool:
    """Whether the shared cache does; asked at most every ``REST_SECONDS`` while it does not."""
    return bool(_shared.call(_ping, otherwise=False))


def _ping() -> bool:
    backend.get("ping")
    return True


class _Turn:
    """First among the threads of this process, then among the processes that share the cache.

    Waiting is bounded: who has waited long enough goes ahead, and only work is done twice.
    """

    _locks: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
    _guard = threading.Lock()

    def __init__(self, key: str) -> None:
        self.key = key
        self.flag = f"{key}:computing"

    def __enter__(self) -> None:
        with self._guard:
            self.lock = self._locks.setdefault(self.key, threading.Lock())
        self.locked = self.lock.acquire(timeout=PATIENCE_SECONDS)
        self.flagged = False
        until, pause = time.monotonic() + PATIENCE_SECONDS, 0.005
        while time.monotonic() < until:
            added = _shared.call(backend.add, self.flag, b"1", PATIENCE_SECONDS)
            self.flagged = bool(added)
            if added is not False or _shared.call(backend.has_key, self.key, otherwise=True):
                return  # the turn is ours, Redis takes no flag, or the answer is there
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def __exit__(self, *_: object) -> None:
        if self.flagged:
            _shared.call(backend.delete, self.flag)
        if self.locked:
            self.lock.release()


class Breaker:
    """Lets calls through to the shared cache, and none for a while after it stopped answering.

    A call that fails while ``probe`` succeeds was rejected for what it carries, such as a value that is too
    large for Redis, so it does not cost the others their cache.
    """

    def __init__(self, probe: Callable[[], object] = _ping) -> None:
        self.probe = probe
        self.resting_until = 0.0
        self.failing = False
        self.rejected_once = False

    def call(self, operation: Callable[..., Any], *arguments: Any, otherwise: Any = None) -> Any:
        """What ``operation`` returns, or ``otherwise`` if the cache is in trouble or rejects the call."""
        now = time.monotonic()
        if now < self.resting_until:
            return otherwise
        if self.failing:
            self.resting_until = now + REST_SECONDS  # the others rest on while this call tries
        try:
            result = operation(*arguments)
        except (RedisError, OSError) as error:
            if not self.failing and self._answers():
                if not self.rejected_once:
                    log.warning("The cache answers, but a call to it failed (logged once by each process): %s", error)
                self.rejected_once = True
                return otherwise
            self.resting_until = time.monotonic() + REST_SECONDS
            if not self.failing:
                log.warning("The cache does not answer; answers are computed until it does: %s", error)
            self.failing = True
            return otherwise
        if self.failing:
            log.warning("The cache answers again.")
            self.failing, self.resting_until = False, 0.0
        return result

    def _answers(self) -> bool:
        try:
            self.probe()
        except (RedisError, OSError):
            return False
        return True


_shared = Breaker()


class PlainBytes(BaseSerializer):  # type: ignore[misc]  # django-redis has no types
    """Values go to Redis as they are: it never holds anything that could be run on loading."""

    def dumps(self, value: bytes) -> bytes:
        return value

    def loads(self, value: bytes) -> bytes:
        return value
