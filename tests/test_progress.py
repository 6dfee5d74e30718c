"""Progress and heartbeat of running loads."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from deals_api.ingest.service import ingest_deals
from deals_api.models import LoadProgress, Upload
from deals_api.snapshots import progress
from deals_api.snapshots.retention import apply_retention
from tests.builders import csv_of, deal, load, many
from tests.graphql import clear_caches, data
from tests.servers import TIMEOUT, wait_until
from tests.threads import call_and_close_connection

pytestmark = pytest.mark.django_db

ROWS = 30_000
CONTENT = csv_of(*many(ROWS))
NEWEST = "{uploads(first: 1) {nodes {state rowsRead bytesRead size dealCount}}}"


class PausedFile(io.BytesIO):
    """A file whose second half is not read until ``resumed`` is set, after a first pass that looks for its encoding."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.paused, self.resumed = threading.Event(), threading.Event()
        self.passes = 0

    def read(self, size: int | None = -1) -> bytes:
        if self.passes and self.tell() > len(CONTENT) // 2:
            self.paused.set()
            self.resumed.wait(TIMEOUT)
        chunk = super().read(size)
        self.passes += not chunk
        return chunk


@contextmanager
def paused_load(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Load a file in another thread, paused after its first half during the block."""
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.05)
    file = PausedFile(CONTENT)
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(call_and_close_connection, lambda: ingest_deals(file, "deals.csv"))
        try:
            file.paused.wait(TIMEOUT)
            yield
        finally:
            file.resumed.set()
        loading.result(TIMEOUT)


def newest() -> dict[str, Any]:
    (upload,) = data(NEWEST)["uploads"]["nodes"]
    return dict(upload)


@pytest.mark.django_db(transaction=True)
def test_history_shows_the_progress_of_a_running_load(monkeypatch: pytest.MonkeyPatch) -> None:
    with paused_load(monkeypatch):
        wait_until(lambda: newest()["rowsRead"])
        running = newest()
        assert (running["state"], running["size"], running["dealCount"]) == ("LOADING", len(CONTENT), 0)
        assert 0 < running["rowsRead"] < ROWS
        assert 0 < running["bytesRead"] < len(CONTENT)
    assert newest() == {
        "state": "LOADED", "rowsRead": None, "bytesRead": None, "size": len(CONTENT), "dealCount": ROWS,
    }  # fmt: skip


def test_load_without_a_heartbeat_yet_has_read_nothing() -> None:
    loading("a")
    assert (newest()["rowsRead"], newest()["bytesRead"]) == (0, 0)


def count_reads_of_progress() -> int:
    clear_caches()
    with CaptureQueriesContext(connection) as captured:
        data("{uploads {nodes {state rowsRead bytesRead}}}")
    return sum('FROM "deals_api_loadprogress"' in statement["sql"] for statement in captured)


@pytest.mark.usefixtures("postgresql_only")
def test_progress_of_all_running_loads_is_read_by_one_statement() -> None:
    load(deal())
    assert count_reads_of_progress() == 0
    loading("a")
    loading("b")
    assert count_reads_of_progress() == 1


@pytest.mark.django_db(transaction=True)
def test_load_succeeds_if_its_progress_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def fail(_loads: object) -> None:
        failed.set()
        raise OperationalError("the database is gone")

    monkeypatch.setattr(progress, "_write", fail)
    with paused_load(monkeypatch):
        assert failed.wait(TIMEOUT)
    assert Upload.objects.get().state == Upload.State.LOADED


# Interrupted loads


def loading(name: str, heartbeat_age: timedelta | None = None) -> Upload:
    """Create an upload that is being loaded since a minute, with its last heartbeat."""
    upload = Upload.objects.create(file_name=name, sha256="0" * 64, size=1)
    Upload.objects.filter(pk=upload.pk).update(arrived_at=Now() - timedelta(minutes=1))
    if heartbeat_age is not None:
        LoadProgress.objects.create(snapshot=upload.snapshot)
        LoadProgress.objects.filter(snapshot=upload.snapshot).update(heartbeat_at=Now() - heartbeat_age)
    return upload


def test_loads_without_a_recent_heartbeat_are_marked_as_interrupted() -> None:
    loading("running", timedelta(seconds=5))
    loading("killed", timedelta(seconds=30))
    loading("killed before its first heartbeat")
    apply_retention(settings.DEALS_LIMITS)
    assert dict(Upload.objects.values_list("file_name", "state")) == {
        "running": "loading", "killed": "interrupted", "killed before its first heartbeat": "interrupted",
    }  # fmt: skip


def test_progress_of_ended_loads_is_deleted() -> None:
    running, killed = loading("running", timedelta()), loading("killed", timedelta(minutes=1))
    assert LoadProgress.objects.filter(snapshot=killed.snapshot).exists()
    apply_retention(settings.DEALS_LIMITS)
    assert list(LoadProgress.objects.values_list("snapshot", flat=True)) == [running.snapshot]


@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.django_db(transaction=True)
def test_heartbeat_of_a_running_load_is_newer_than_its_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    with paused_load(monkeypatch):
        upload = Upload.objects.get()
        wait_until(lambda: LoadProgress.objects.filter(rows_read__gt=0, heartbeat_at__gt=upload.arrived_at).exists())


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.django_db(transaction=True)
def test_file_of_the_progress_is_deleted_after_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    with paused_load(monkeypatch):
        wait_until(progress._file().exists)
    wait_until(lambda: not progress._file().exists())
