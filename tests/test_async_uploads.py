"""Asynchronous uploads: responses, states, order of arrival, cancellation, and recovery from killed workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files import File
from django.db.models.functions import Now
from django.test import Client
from django_tasks import TaskResultStatus
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from deals_api.errors import UnreadableUpload
from deals_api.ingest import queue, rejections, service
from deals_api.ingest.rejections import Rejection, record_rejection
from deals_api.models import Deal, LoadProgress, QueuedUpload, RejectionDetails, Upload
from deals_api.security.tokens import read_tokens
from deals_api.snapshots import interruption
from tests.builders import csv_of, deal, load
from tests.graphql import clear_caches, data, id_of
from tests.test_rest import UPLOAD, error_of, post
from tests.worker import run_tasks

pytestmark = pytest.mark.django_db

ASYNC = {"Prefer": "respond-async"}
OLD = timedelta(minutes=2)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture(autouse=True)
def folder(uploads_dir: Path) -> Path:
    return uploads_dir


def queue_file(client: Client, *deals: str, **headers: str) -> str:
    """Send a file asynchronously; return the URL of its state."""
    response = post(client, csv_of(*deals), headers=ASYNC | headers)
    assert response.status_code == 202, response.content
    return str(response["Location"])


def state_of(client: Client, url: str) -> Any:
    response = client.get(url)
    assert response.status_code == 200, response.content
    return response.json()


def username(client: Client) -> str:
    clear_caches()
    return str(client.get("/api/top-clients/").json()["response"][0]["username"])


# Responses and states


def test_upload_is_accepted_and_loaded_by_a_worker(client: Client, folder: Path) -> None:
    response = post(client, csv_of(deal("ann")), headers=ASYNC)
    assert (response.status_code, response.json()) == (202, {"Status": "Accepted"})
    assert (response["Preference-Applied"], response["Retry-After"]) == ("respond-async", "1")
    upload = Upload.objects.get()
    assert response["Location"] == f"/api/uploads/{upload.snapshot}"
    body = {"RowsRead": 0, "BytesRead": 0, "TotalBytes": len(csv_of(deal("ann"))), "Upload": id_of(upload)}
    waiting = client.get(response["Location"])
    assert waiting.json() == {"Status": "Accepted", "State": "queued", **body}
    assert (waiting["Retry-After"], waiting["Cache-Control"]) == ("1", "no-store")
    assert data("{uploads {nodes {state}}}") == {"uploads": {"nodes": [{"state": "QUEUED"}]}}
    assert client.get("/api/top-clients/").json() == {"response": []}

    run_tasks()
    loaded = client.get(response["Location"] + "/")
    body |= {"RowsRead": 1, "BytesRead": body["TotalBytes"]}
    report = post(client, csv_of(deal("ann")), f"{UPLOAD}?dry_run=1").json()["Report"]
    assert loaded.json() == {"Status": "OK", "Report": report, "State": "loaded", **body}
    assert "Retry-After" not in loaded.headers
    assert username(client) == "ann"
    assert list(folder.iterdir()) == []


def test_state_is_found_by_the_id_of_graphql(client: Client) -> None:
    queue_file(client, deal())
    assert state_of(client, f"/api/uploads/{id_of(Upload.objects.get())}")["State"] == "queued"


def test_state_of_a_load_contains_its_progress(client: Client) -> None:
    url = queue_file(client, deal())
    Upload.objects.update(state=Upload.State.LOADING)
    state = state_of(client, url)
    assert (state["Status"], state["State"], state["RowsRead"]) == ("Accepted", "loading", 0)


@pytest.mark.parametrize(
    "prefer", ["respond-async, wait=10", "return=representation, Respond-Async", "respond-async;x=1"]
)
def test_preference_is_found_among_others(client: Client, prefer: str) -> None:
    assert post(client, headers={"Prefer": prefer}).status_code == 202


@pytest.mark.parametrize("prefer", ["", "wait=10", "respond-asynchronously", 'x="respond-async"'])
def test_other_preferences_are_synchronous(client: Client, prefer: str) -> None:
    response = post(client, headers={"Prefer": prefer})
    assert (response.status_code, response.json()) == (200, {"Status": "OK"})


def test_preference_is_ignored_without_a_worker_and_in_dry_runs(client: Client, settings: Settings) -> None:
    dry_run = post(client, path=f"{UPLOAD}?dry_run=1", headers=ASYNC)
    settings.UPLOADS_DIR = ""
    response = post(client, headers=ASYNC)
    assert (dry_run.status_code, response.status_code, response.json()) == (200, 200, {"Status": "OK"})
    assert "Preference-Applied" not in {**dry_run.headers, **response.headers}


def test_current_file_is_not_queued_again(client: Client, folder: Path) -> None:
    content = csv_of(deal())
    post(client, content)
    response = post(client, content, headers=ASYNC)
    assert (response.status_code, response.json()) == (200, {"Status": "OK"})
    assert (Upload.objects.count(), list(folder.iterdir())) == (1, [])


def test_file_is_moved_into_the_storage_and_not_copied(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the file is read to copy it")

    monkeypatch.setattr(File, "chunks", fail)
    for content_type in ("multipart/form-data", "text/csv"):
        content = csv_of(deal(content_type))
        response = (
            client.post(UPLOAD, content, content_type, headers=ASYNC)
            if content_type == "text/csv"
            else post(client, content, headers=ASYNC)
        )
        assert response.status_code == 202
    run_tasks()
    assert username(client) == "text/csv"


@pytest.mark.parametrize(
    "content",
    [
        csv_of(deal(total="12x"), deal("a\0b")), b"%PDF-1.7", b"", csv_of(*[deal()] * 5),
    ],
    ids=["cells", "text", "empty", "rows"],
)  # fmt: skip
def test_rejection_is_that_of_a_synchronous_upload(client: Client, limits: Any, folder: Path, content: bytes) -> None:
    limits(max_rows=4)
    load(deal("ann"))
    expected = post(client, content).json()
    response = post(client, content, headers=ASYNC)
    assert response.status_code == 202
    run_tasks()
    state = state_of(client, response["Location"])
    assert {name: state[name] for name in expected} == expected
    assert state.keys() - expected.keys() == {"State", "RowsRead", "BytesRead", "TotalBytes", "Upload"}
    assert state["State"] == "refused"
    assert (username(client), list(folder.iterdir())) == ("ann", [])


def test_errors_that_are_known_at_once_are_synchronous(client: Client, limits: Any, folder: Path) -> None:
    limits(max_upload_bytes=10)
    error_of(post(client, headers=ASYNC), 413)
    error_of(client.post(UPLOAD, {}, headers=ASYNC), 400)
    error_of(post(client, path=f"{UPLOAD}?x=1", headers=ASYNC), 400)
    assert (Upload.objects.count(), list(folder.iterdir())) == (0, [])


def test_full_queue_is_a_503(client: Client, limits: Any, folder: Path) -> None:
    limits(max_queued_uploads=2)
    for name in ("ann", "bob"):
        queue_file(client, deal(name))
    response = post(client, csv_of(deal("cid")), headers=ASYNC)
    assert error_of(response, 503)["Code"] == "queue_full"
    assert response["Retry-After"] == "30"
    assert (Upload.objects.count(), len(list(folder.iterdir()))) == (2, 2)
    run_tasks()
    queue_file(client, deal("cid"))


def test_queue_that_fills_while_a_file_arrives_is_a_503(
    client: Client, limits: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_file(client, deal("ann"))
    receive: Callable[..., Upload] = service.receive_deals

    def receive_and_fill(*arguments: Any) -> Upload:
        upload = receive(*arguments)
        limits(max_queued_uploads=1)
        return upload

    monkeypatch.setattr(service, "receive_deals", receive_and_fill)
    assert error_of(post(client, csv_of(deal("bob")), headers=ASYNC), 503)["Code"] == "queue_full"
    assert (Upload.objects.count(), len(list(folder.iterdir()))) == (1, 1)


def test_state_and_cancellation_require_the_tokens_of_reads_and_writes(client: Client, settings: Settings) -> None:
    url = queue_file(client, deal())
    settings.API_TOKENS = read_tokens("ann:correct horse battery")
    token = {"Authorization": "Bearer correct horse battery"}
    assert client.get(url).status_code == 200
    settings.READ_REQUIRES_TOKEN = True
    assert error_of(client.get(url), 401)["Code"] == "token_required"
    assert client.get(url, headers=token).status_code == 200
    assert error_of(client.delete(url), 401)["Code"] == "token_required"
    assert error_of(post(client, headers=ASYNC), 401)["Code"] == "token_required"
    assert client.delete(url, headers=token).status_code == 200


def test_page_of_another_site_cancels_nothing(client: Client) -> None:
    url = queue_file(client, deal())
    assert error_of(client.delete(url, headers={"Origin": "https://evil.example"}), 403)["Code"] == "not_allowed"
    assert state_of(client, url)["State"] == "queued"


def test_cancellations_count_as_uploads(client: Client, limits: Any) -> None:
    url = queue_file(client, deal())
    limits(uploads_per_minute=2)
    assert client.delete(url).status_code == 200
    assert error_of(client.delete(url), 429)["Code"] == "too_many_requests"


@pytest.mark.parametrize("id_", ["x", "00000000-0000-0000-0000-000000000000"])
def test_unknown_upload_has_no_state(client: Client, id_: str) -> None:
    load(deal())
    assert error_of(client.get(f"/api/uploads/{id_}"), 404)["Code"] == "upload_not_retained"
    assert error_of(client.delete(f"/api/uploads/{id_}"), 404)["Code"] == "upload_not_retained"


def test_synchronous_upload_has_a_state_and_cannot_be_cancelled(client: Client) -> None:
    bodies = [
        post(client, csv_of(total), headers={"Prefer": "return=representation"}).json()
        for total in (deal(), deal(total="x"))
    ]
    loaded, rejected = Upload.objects.order_by("pk")
    for upload, body, state in zip((loaded, rejected), bodies, ("loaded", "refused"), strict=True):
        url = f"/api/uploads/{upload.snapshot}"
        assert state_of(client, url).items() >= {**body, "State": state}.items()
        assert error_of(client.delete(url), 409)["Code"] == "upload_finished"
    interruption.mark_interrupted(Upload.objects.create(file_name="f", sha256="0" * 64, size=1))
    interrupted = state_of(client, f"/api/uploads/{Upload.objects.latest('pk').snapshot}")
    assert (interrupted["State"], interrupted["Code"]) == ("interrupted", "internal_error")


def test_errors_of_a_rejection_are_kept_for_a_month(client: Client) -> None:
    old, recent = (Upload.objects.create(file_name="f", sha256="0" * 64, size=1) for _ in range(2))
    for upload, days in ((old, 31), (recent, 29)):
        record_rejection(upload, Rejection.of(UnreadableUpload("Bad.")))
        Upload.objects.filter(pk=upload.pk).update(finished_at=Now() - timedelta(days=days))
    post(client, b"%PDF-1.7")
    assert error_of(client.get(f"/api/uploads/{old.snapshot}"), 404)["Code"] == "upload_not_retained"
    assert state_of(client, f"/api/uploads/{recent.snapshot}")["Desc"] == "Bad."


def test_errors_of_the_newest_rejections_are_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "_MAX_DETAILS", 2)
    for _ in range(3):
        post(client, csv_of(deal(total="x")))
    oldest, *newest = (f"/api/uploads/{upload.snapshot}" for upload in Upload.objects.order_by("pk"))
    assert error_of(client.get(oldest), 404)["Code"] == "upload_not_retained"
    assert [len(state_of(client, url)["Errors"]) for url in newest] == [1, 1]


def test_errors_of_an_upload_that_waited_are_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It arrived before all others, and was rejected after them."""
    monkeypatch.setattr(rejections, "_MAX_DETAILS", 2)
    waiting = Upload.objects.create(file_name="f", sha256="0" * 64, size=1)
    for _ in range(2):
        post(client, csv_of(deal(total="x")))
    record_rejection(waiting, Rejection.of(UnreadableUpload("Bad.")))
    assert state_of(client, f"/api/uploads/{waiting.snapshot}")["Desc"] == "Bad."


def test_characters_of_stored_errors_are_not_escaped(client: Client) -> None:
    post(client, csv_of(*[deal(total="💎" * 100)] * 100))
    (problems,) = RejectionDetails.objects.values_list("problems", flat=True)
    assert len(problems.encode()) < 100 * (4 * 100 + 200)


def test_long_list_of_errors_is_also_in_the_state_of_the_upload(client: Client) -> None:
    body = post(client, csv_of(*[deal(total="x")] * 12_000)).json()
    assert [error["line"] for error in body["Errors"]] == [*range(2, 10_002), 10_001]
    assert body["Errors"][-1]["reason_code"] == "too_many_errors"
    assert body["Desc"].startswith("The file has at least 10000 errors: 10000 × total (is not an amount")
    assert state_of(client, f"/api/uploads/{Upload.objects.get().snapshot}")["Errors"] == body["Errors"]
    dry_run = client.post(f"{UPLOAD}?dry_run=1", csv_of(*[deal(total="x")] * 12_000), "text/csv").json()
    assert dry_run["Errors"] == body["Errors"]


# If-Match


@pytest.fixture
def etag(client: Client) -> str:
    """The ETag of a current upload."""
    load(deal("ann"))
    return str(client.get(UPLOAD)["ETag"])


def test_file_replaces_the_expected_upload(client: Client, etag: str) -> None:
    for name, expected in (("bob", etag), ("cid", "*")):
        queue_file(client, deal(name), **{"If-Match": expected})
        run_tasks()
        assert username(client) == name


def test_changed_upload_is_noticed_at_once(client: Client, etag: str) -> None:
    load(deal("bob"))
    response = post(client, csv_of(deal("cid")), headers=ASYNC | {"If-Match": etag})
    assert error_of(response, 412)["Code"] == "upload_changed"


def test_upload_that_changes_before_the_load_is_not_replaced(client: Client, etag: str) -> None:
    url = queue_file(client, deal("bob"), **{"If-Match": etag})
    any_upload = queue_file(client, deal("eve"), **{"If-Match": "*"})
    load(deal("cid"))
    run_tasks()
    state = state_of(client, url)
    assert (state["Status"], state["State"], state["Code"]) == ("Error", "refused", "upload_changed")
    assert state_of(client, any_upload)["State"] == "loaded"
    assert username(client) == "cid"  # it arrived last


# Order and delivery


def test_later_arrival_stays_current_although_it_is_loaded_first(client: Client) -> None:
    older, newer = queue_file(client, deal("ann")), queue_file(client, deal("bob"))
    first, second = QueuedUpload.objects.order_by("pk")
    queue.load_queued_upload.call(str(second.pk))
    assert (state_of(client, older)["State"], state_of(client, newer)["State"]) == ("queued", "loaded")
    queue.load_queued_upload.call(str(first.pk))
    assert state_of(client, older)["State"] == "loaded"
    assert username(client) == "bob"


def test_current_file_that_arrives_again_wins_over_queued_uploads(client: Client) -> None:
    current = csv_of(deal("ann"))
    post(client, current)
    url = queue_file(client, deal("bob"))
    assert post(client, current, headers=ASYNC).status_code == 200
    run_tasks()
    assert state_of(client, url)["State"] == "loaded"
    assert username(client) == "ann"


def test_task_that_is_delivered_twice_loads_once(client: Client) -> None:
    queue_file(client, deal("ann"), deal("bob"))
    loaded = []
    for _ in range(3):
        queue.load_queued_upload.call(str(Upload.objects.get().pk))
        loaded.append(Upload.objects.get().finished_at)
    assert loaded[0] is not None
    assert (len({*loaded}), Deal.objects.count()) == (1, 2)


def test_task_of_a_running_load_does_nothing(client: Client) -> None:
    queue_file(client, deal("ann"))
    Upload.objects.update(state=Upload.State.LOADING)
    run_tasks()
    assert (Upload.objects.get().state, Deal.objects.count()) == ("loading", 0)


# Cancellation


def test_queued_upload_is_cancelled(client: Client, folder: Path) -> None:
    load(deal("ann"))
    url = queue_file(client, deal("bob"))
    for _ in range(2):
        response = client.delete(url)
        assert (response.status_code, response.json()) == (200, {"Status": "OK"})
    state = state_of(client, url)
    assert (state["Status"], state["State"], state["Code"]) == ("Error", "cancelled", "upload_cancelled")
    run_tasks()
    assert state_of(client, url) == state
    assert (username(client), list(folder.iterdir())) == ("ann", [])


def test_finished_upload_cannot_be_cancelled(client: Client) -> None:
    loaded, rejected = queue_file(client, deal("ann")), queue_file(client, deal(total="x"))
    run_tasks()
    for url, state in ((loaded, "loaded"), (rejected, "refused")):
        assert error_of(client.delete(url), 409)["Code"] == "upload_finished"
        assert state_of(client, url)["State"] == state
    assert username(client) == "ann"


def test_worker_cancels_an_upload_whose_file_is_gone(client: Client, folder: Path) -> None:
    """The process that cancelled it was killed after it had deleted the file."""
    url = queue_file(client, deal("ann"))
    for file in folder.iterdir():
        file.unlink()
    run_tasks()
    assert state_of(client, url)["State"] == "cancelled"


# Recovery; tests/test_worker.py kills real workers


def task_of(url: str) -> DBTaskResult[Any, Any]:
    queued = QueuedUpload.objects.get(upload__snapshot=url.rpartition("/")[2])
    assert queued.task_id
    return DBTaskResult.objects.get(pk=queued.task_id)


def make_old() -> None:
    """Let two minutes pass for all uploads and their loads."""
    Upload.objects.update(arrived_at=Now() - OLD)
    QueuedUpload.objects.update(due_at=Now() - OLD)
    LoadProgress.objects.update(heartbeat_at=Now() - OLD)


@pytest.mark.parametrize(
    "status", [TaskResultStatus.RUNNING, TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL, None]
)
def test_upload_whose_task_was_lost_gets_another_one(client: Client, status: str | None) -> None:
    url = queue_file(client, deal("ann"))
    if status:
        DBTaskResult.objects.update(status=status)
    else:
        DBTaskResult.objects.all().delete()
    queue.run_maintenance()
    run_tasks()
    assert state_of(client, url)["State"] == "queued"  # the worker may just be about to begin
    make_old()
    queue.run_maintenance()
    run_tasks()
    assert state_of(client, url)["State"] == "loaded"


def test_waiting_upload_keeps_its_only_task(client: Client) -> None:
    queue_file(client, deal("ann"))
    make_old()
    for _ in range(2):
        queue.run_maintenance()
    assert DBTaskResult.objects.count() == 1


def test_load_of_a_killed_worker_is_repeated(client: Client) -> None:
    url = queue_file(client, deal("ann"))
    DBTaskResult.objects.update(status=TaskResultStatus.RUNNING)
    queue._claim(Upload.objects.get().pk)
    queue.run_maintenance()
    assert state_of(client, url)["State"] == "loading"
    make_old()
    queue.run_maintenance()
    assert state_of(client, url)["State"] == "queued"
    run_tasks()
    assert (state_of(client, url)["State"], Deal.objects.count()) == ("loaded", 1)


def test_load_that_waited_long_is_not_swept(client: Client) -> None:
    url = queue_file(client, deal("ann"))
    make_old()
    queue._claim(Upload.objects.get().pk)
    queue.run_maintenance()
    assert state_of(client, url)["State"] == "loading"


def test_load_that_fails_is_repeated_up_to_the_limit(client: Client, folder: Path) -> None:
    load(deal("ann"))
    url = queue_file(client, deal("bob"))
    (file,) = folder.iterdir()
    file.unlink()
    file.mkdir()  # cannot be read
    for _ in range(queue.MAX_ATTEMPTS):
        run_tasks()
        assert state_of(client, url)["Status"] == "Accepted"
        make_old()
        queue.run_maintenance()
    file.rmdir()
    run_tasks()
    state = state_of(client, url)
    assert (state["Status"], state["State"], state["Code"]) == ("Error", "interrupted", "internal_error")
    assert str(queue.MAX_ATTEMPTS) in state["Desc"]
    assert username(client) == "ann"


def test_files_of_killed_processes_are_deleted(client: Client, folder: Path) -> None:
    queue_file(client, deal("ann"))
    waiting = {file.name for file in folder.iterdir()}
    queue_file(client, deal("bob"))
    ended = QueuedUpload.objects.latest("pk")
    Upload.objects.filter(pk=ended.pk).update(state=Upload.State.REFUSED)
    for name in ("recent", "orphan"):
        (folder / name).touch()
    hours_ago = (folder / "orphan").stat().st_mtime - 7200
    for name in (*waiting, "orphan"):
        os.utime(folder / name, (hours_ago, hours_ago))
    queue.run_maintenance()
    assert {file.name for file in folder.iterdir()} == {*waiting, "recent"}


def test_tasks_are_deleted_after_a_day(client: Client) -> None:
    url, waiting = queue_file(client, deal("ann")), queue_file(client, deal("bob"))
    task = task_of(url)
    queue.load_queued_upload.call(str(QueuedUpload.objects.earliest("pk").pk))
    DBTaskResult.objects.filter(pk=task.pk).update(status="SUCCESSFUL", started_at=task.enqueued_at)
    queue.run_maintenance()
    assert DBTaskResult.objects.count() == 2
    DBTaskResult.objects.filter(pk=task.pk).update(started_at=task.enqueued_at - timedelta(days=2))
    queue.run_maintenance()
    assert [result.pk for result in DBTaskResult.objects.all()] == [task_of(waiting).pk]
    assert [state_of(client, each)["State"] for each in (url, waiting)] == ["loaded", "queued"]
