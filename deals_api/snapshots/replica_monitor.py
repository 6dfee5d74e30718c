"""Which replicas are available, and a thread that disconnects from those that do not respond.

A replica that hangs without closing its connections (a hung disk, SIGSTOP, a suspended machine) would block its
readers forever: neither TCP nor a timeout of the server ends their statements.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg2
from django.db import Error, connection, connections

log = logging.getLogger(__name__)

#: Time before a replica is tried again for a snapshot that it could not read.
_PAUSE_SECONDS: Final = 0.25
#: Interval at which the monitor looks for slow statements.
_INTERVAL_SECONDS: Final = 0.5
#: After this time, the monitor tests by a new connection whether the replica responds.
_SLOW_SECONDS: Final = 1.0
#: More than every time limit of the server.
_HUNG_SECONDS: Final = 70.0
#: Interval between two tests of one replica.
_TEST_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The lag of a replica behind the primary; None if it is unknown.

    ``lag_seconds`` is an upper bound: the time since the last transaction that the replica has replayed, or 0 if it has
    replayed everything.
    """

    name: str
    is_available: bool
    lag_bytes: int | None = None
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PrimaryPosition:
    """The end of the write-ahead log (WAL) of the primary, and the time at which it was read."""

    wal_position: str
    time: datetime

    @classmethod
    def read(cls) -> PrimaryPosition:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_flush_lsn()::text, clock_timestamp()")
            return cls(*cursor.fetchone())


class Replica:
    """A replica, and whether this process can use it."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.is_available = True
        #: A snapshot that the replica could not read, and the end of the pause.
        self._paused: tuple[uuid.UUID | None, float] = (None, 0.0)

    def may_hold(self, snapshot: uuid.UUID) -> bool:
        paused, until = self._paused
        return self.is_available and (snapshot != paused or time.monotonic() >= until)

    def pause(self, snapshot: uuid.UUID) -> None:
        self._paused = (snapshot, time.monotonic() + _PAUSE_SECONDS)

    def report_failure(self, error: BaseException | None) -> None:
        """Close a lost connection. The replica stays available unless a new connection failed."""
        log.info("A read on %s is repeated on the primary: %s", self.alias, _on_one_line(error))
        lost = connections[self.alias]
        if lost.connection is None:
            self.report_unavailable(error)
        elif lost.connection.closed:
            lost.close()

    def report_unavailable(self, error: BaseException | None) -> None:
        if self.is_available:
            log.warning("%s is unavailable; the primary is read in its place: %s", self.alias, _on_one_line(error))
        self.is_available = False
        monitor.retry(self)

    def report_available(self) -> None:
        if not self.is_available:
            log.warning("%s is available again.", self.alias)
        self.is_available = True

    def connect(self) -> Any:
        """Return a new connection, which no other thread uses.

        Raises: psycopg2.Error, at the latest after ``connect_timeout``.
        """
        wrapper = connections.create_connection(self.alias)
        return wrapper.get_new_connection(wrapper.get_connection_params())

    def status(self, primary: PrimaryPosition) -> ReplicaStatus:
        if self.is_available:
            try:
                with contextlib.closing(self.connect()) as opened, monitor.watching(self, opened):
                    lag_bytes, seconds = _read_lag(opened, primary)
                    return ReplicaStatus(self.alias, True, max(0, lag_bytes), seconds if lag_bytes > 0 else 0.0)
            except (Error, psycopg2.Error) as error:
                self.report_unavailable(error)
        return ReplicaStatus(self.alias, False)


def _read_lag(connection: Any, primary: PrimaryPosition) -> tuple[int, float | None]:
    """Return the bytes that are not replayed, and the seconds since the last transaction that is.

    A server that was promoted replays nothing; its own position counts.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_wal_lsn_diff("
            "  %s, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
            ")::bigint, extract(epoch FROM %s - pg_last_xact_replay_timestamp())::float",
            [primary.wal_position, primary.time],
        )
        lag: tuple[int, float | None] = cursor.fetchone()
        return lag


def _on_one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())


@dataclass(eq=False, slots=True)
class _Statement:
    """A running statement, and a duplicate of the socket of its connection."""

    replica: Replica
    socket: socket.socket
    started: float = field(default_factory=time.monotonic)


class _Monitor:
    """Tests replicas that are slow or unavailable, in one thread of this process that starts when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statements: set[_Statement] = set()
        self._unavailable: set[Replica] = set()
        #: Set while a statement is running or a replica is unavailable.
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, replica: Replica, connection: Any) -> Iterator[None]:
        """Disconnect this connection of psycopg2 if the replica does not respond during the block."""
        # A duplicate, because libpq may close its own descriptor at any time, and another file may then get the number.
        statement = _Statement(replica, socket.socket(fileno=os.dup(connection.fileno())))
        with self._lock:
            self._statements.add(statement)
        self._wake()
        try:
            yield
        finally:
            with self._lock:
                self._statements.discard(statement)
                statement.socket.close()

    def retry(self, replica: Replica) -> None:
        """Connect to an unavailable replica at intervals until it responds."""
        with self._lock:
            self._unavailable.add(replica)
        self._wake()

    def _wake(self) -> None:
        self._work.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="replicas", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        next_tests: dict[Replica, float] = {}
        while True:
            self._work.wait()
            time.sleep(_INTERVAL_SECONDS)
            for replica in self._to_be_tested():
                if time.monotonic() >= next_tests.get(replica, 0.0):
                    self._test(replica)
                    next_tests[replica] = time.monotonic() + _TEST_SECONDS
            self._disconnect(lambda statement: time.monotonic() - statement.started > _HUNG_SECONDS)

    def _to_be_tested(self) -> set[Replica]:
        slow_since = time.monotonic() - _SLOW_SECONDS
        with self._lock:
            if not self._statements and not self._unavailable:
                self._work.clear()
            slow = {statement.replica for statement in self._statements if statement.started < slow_since}
            return slow | self._unavailable

    def _test(self, replica: Replica) -> None:
        try:
            replica.connect().close()
        except (Error, psycopg2.Error) as error:
            replica.report_unavailable(error)
            self._disconnect(lambda statement: statement.replica is replica)
        else:
            with self._lock:
                self._unavailable.discard(replica)
            replica.report_available()

    def _disconnect(self, is_selected: Callable[[_Statement], bool]) -> None:
        """Let statements fail in their threads."""
        with self._lock:
            for statement in filter(is_selected, self._statements):
                with contextlib.suppress(OSError):
                    statement.socket.shutdown(socket.SHUT_RDWR)


monitor: Final = _Monitor()
