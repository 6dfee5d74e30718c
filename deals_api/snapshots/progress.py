"""The heartbeat of running loads, and how far they have read their files.

One thread of a process writes the progress of all its loads once a second, in a transaction of its own, because other
processes do not see the transaction of a load. On SQLite, that transaction also blocks every other write, so the
progress is in a file beside the database.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from django.db import Error, connection
from django.db.models.functions import Now

from deals_api.models import LoadProgress, Upload

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 1.0


class Progress(NamedTuple):
    """How far a load has read its file."""

    rows_read: int = 0
    bytes_read: int = 0


def read_progress(uploads: Iterable[Upload]) -> dict[UUID, Progress]:
    """Return the progress of those uploads that are being loaded, by snapshot, in at most one statement."""
    progress = {upload.snapshot: Progress() for upload in uploads if upload.state == Upload.State.LOADING}
    if progress:
        written = _read_file() if connection.vendor == "sqlite" else _read_rows(progress)
        progress.update((snapshot, found) for snapshot, found in written.items() if snapshot in progress)
    return progress


def _read_rows(snapshots: Iterable[UUID]) -> dict[UUID, Progress]:
    rows = LoadProgress.objects.filter(snapshot__in=list(snapshots))
    return {row.snapshot: Progress(row.rows_read, row.bytes_read) for row in rows}


@contextlib.contextmanager
def heartbeat(upload: Upload) -> Iterator[Callable[[int, int], None]]:
    """Write the heartbeat of a load; yield the function to call with the rows and bytes that were read."""
    load = _heartbeats.add(upload.snapshot)
    try:
        yield load.update
    finally:
        _heartbeats.remove(load)


class _RunningLoad:
    def __init__(self, snapshot: UUID) -> None:
        self.snapshot = snapshot
        self.progress = Progress()

    def update(self, rows_read: int, bytes_read: int) -> None:
        self.progress = Progress(rows_read, bytes_read)


class _HeartbeatThread:
    """The loads of this process, and the thread that writes their progress while there are any."""

    def __init__(self) -> None:
        self._loads: list[_RunningLoad] = []
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def add(self, snapshot: UUID) -> _RunningLoad:
        load = _RunningLoad(snapshot)
        with self._changed:
            self._loads.append(load)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                with contextlib.suppress(RuntimeError):  # the process cannot start a thread
                    thread.start()
                    self._thread = thread
        return load

    def remove(self, load: _RunningLoad) -> None:
        with self._changed:
            self._loads.remove(load)
            self._changed.notify_all()

    def _run(self) -> None:
        while loads := self._wait():
            try:
                _write(loads)
            except (Error, OSError) as error:
                log.info("The progress of a load was not written: %s", error)
                connection.close()
        connection.close()
        if connection.vendor == "sqlite":
            with contextlib.suppress(OSError):
                _file().unlink()

    def _wait(self) -> list[_RunningLoad]:
        """Wait for the next heartbeat, and return the running loads; none to end the thread."""
        with self._changed:
            self._changed.wait_for(lambda: not self._loads, HEARTBEAT_SECONDS)
            if not self._loads:
                self._thread = None
            return list(self._loads)


_heartbeats: Final = _HeartbeatThread()


def _write(loads: list[_RunningLoad]) -> None:
    if connection.vendor == "sqlite":
        _write_file(loads)
        return
    rows = [
        LoadProgress(load.snapshot, load.progress.rows_read, load.progress.bytes_read, heartbeat_at=Now())
        for load in loads
    ]
    LoadProgress.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["snapshot"],
        update_fields=["rows_read", "bytes_read", "heartbeat_at"],
    )


# The file beside a SQLite database


def _file() -> Path:
    return Path(f"{connection.settings_dict['NAME']}-progress")


def _write_file(loads: list[_RunningLoad]) -> None:
    """Write the progress of the one load that has the write lock; others have not read anything yet."""
    for load in loads:
        if load.progress.rows_read:
            new = Path(f"{_file()}-{os.getpid()}")
            new.write_text(f"{load.snapshot} {load.progress.rows_read} {load.progress.bytes_read}")
            new.replace(_file())


def _read_file() -> dict[UUID, Progress]:
    try:
        snapshot, rows_read, bytes_read = _file().read_text().split()
    except OSError:
        return {}
    return {UUID(snapshot): Progress(int(rows_read), int(bytes_read))}
