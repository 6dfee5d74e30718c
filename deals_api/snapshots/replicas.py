"""Reads of snapshots on replicas, which may lag, fail, or continue on another timeline.

A snapshot never changes, so all servers that hold it completely return the same rows. Only rows of snapshots are read
on replicas; the pointer to the current upload, the check that an upload is still retained, and all other tables are
read on the primary. Hence a replica may delay a response, but never makes it stale or mixed:

1. Each statement on a replica is sent in one message with a check, and both see the same state of the database: the
   replica has all uploads of the read with these ids and UUIDs, and they are LOADED. An upload becomes LOADED in the
   transaction that stores its rows, and RETIRED before the first of them is deleted. Nothing is remembered about a
   connection or a server, so the check also holds behind a connection pooler or a load balancer, and on a server that
   is ahead of a promoted primary, or was promoted itself.
2. If a check or a statement fails, the whole read is repeated on the primary.
3. ``replica_monitor`` closes the connections to a replica that does not respond.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, OperationalError, connections
from psycopg2.errors import DivisionByZero

from deals_api.models import SnapshotRow, Upload
from deals_api.request_context import SnapshotReadResult, get_request_context
from deals_api.snapshots.replica_monitor import PrimaryPosition, Replica, ReplicaStatus, monitor

T = TypeVar("T")


def read(upload: Upload, compute: Callable[[], T]) -> T:
    """Return the result of ``compute`` on a replica that holds the snapshot, or else on the primary.

    ``compute`` reads only rows of this upload, and of uploads that it passes to ``require``. It may be called several
    times, so it must have no side effects.
    """
    replicas = [replica for replica in _replicas() if replica.may_hold(upload.snapshot)]
    for replica in random.sample(replicas, len(replicas)):
        attempt = _Attempt(replica, upload)
        try:
            with attempt.installed():
                result = compute()
        except Error:
            if attempt.failure is None:  # the primary failed
                raise
        if attempt.failure is None:
            _record(replica.alias, "complete")
            return result
        replica.pause(upload.snapshot)
        if not attempt.is_incomplete:
            replica.report_failure(attempt.failure)
            _record(replica.alias, "failed")
            break
        _record(replica.alias, "incomplete")
    if settings.REPLICAS:
        _record(DEFAULT_DB_ALIAS, "complete")
    return compute()


def require(upload: Upload) -> None:
    """Let the current read also read rows of this upload."""
    if (attempt := _current_attempt.get()) is not None:
        attempt.uploads[upload.pk] = upload


@contextmanager
def execute_wrapper(wrapper: Callable[..., Any]) -> Iterator[None]:
    """Install an execute wrapper of Django on the connections to the primary and to the replica of the current read."""
    attempt = _current_attempt.get()
    aliases = [DEFAULT_DB_ALIAS] if attempt is None else [DEFAULT_DB_ALIAS, attempt.replica.alias]
    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(connections[alias].execute_wrapper(wrapper))
        yield


def statuses() -> list[ReplicaStatus]:
    """Return the status of each replica, measured now unless it is unavailable."""
    if not settings.REPLICAS:
        return []
    position = PrimaryPosition.read()
    return [replica.status(position) for replica in _replicas()]


class Router:
    """Django's database router: rows of snapshots are read on the replica of the current read."""

    def db_for_read(self, model: type, **_hints: object) -> str:
        attempt = _current_attempt.get()
        return DEFAULT_DB_ALIAS if attempt is None or not issubclass(model, SnapshotRow) else attempt.replica.alias

    def db_for_write(self, _model: type, **_hints: object) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, *_: object, **_hints: object) -> bool:
        return True

    def allow_migrate(self, db: str, *_: object, **_hints: object) -> bool:
        return db == DEFAULT_DB_ALIAS


class _Attempt:
    """A read on one replica. ``failure`` is its first error, even if ``compute`` handled it."""

    def __init__(self, replica: Replica, upload: Upload) -> None:
        self.replica = replica
        self.uploads = {upload.pk: upload}
        self.failure: Error | None = None

    @property
    def is_incomplete(self) -> bool:
        """Whether the replica responded, but lacks one of the uploads."""
        return self.failure is not None and isinstance(self.failure.__cause__, DivisionByZero)

    @contextmanager
    def installed(self) -> Iterator[None]:
        connection = connections[self.replica.alias]
        token = _current_attempt.set(self)
        try:
            self._connect()
            with connection.execute_wrapper(self._execute):
                yield
        finally:
            _current_attempt.reset(token)

    def _connect(self) -> None:
        try:
            connections[self.replica.alias].ensure_connection()
        except Error as error:
            self.failure = error
            raise

    def _execute(self, run: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        """Run a statement together with the check. After a failure, fail without sending further statements."""
        if self.failure is not None:
            raise OperationalError("An earlier statement on the replica failed.") from self.failure
        try:
            with monitor.watching(self.replica, connections[self.replica.alias].connection):
                return run(f"{self._check()}{sql}", *arguments)
        except Error as error:
            self.failure = error
            raise

    def _check(self) -> str:
        """Return statements that fail with a division by zero unless the replica holds all uploads."""
        rows = " OR ".join(
            f"(id = {upload.pk:d} AND snapshot = '{upload.snapshot}'{' AND names_folded' * upload.names_folded})"
            for upload in self.uploads.values()
        )
        is_complete = f"(count(*) = {len(self.uploads)})::int"
        loaded = f"{Upload._meta.db_table} WHERE state = '{Upload.State.LOADED.value}' AND ({rows})"
        return f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1 / {is_complete} FROM {loaded}; "  # noqa: S608


_current_attempt: ContextVar[_Attempt | None] = ContextVar("current_attempt", default=None)
_known: dict[str, Replica] = {}


def _replicas() -> list[Replica]:
    return [_known.setdefault(alias, Replica(alias)) for alias in settings.REPLICAS]


def _record(database: str, result: SnapshotReadResult) -> None:
    get_request_context().snapshot_reads.append((database, result))
