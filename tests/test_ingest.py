"""Uploads: what is stored, what replaces what, and what a refusal leaves behind."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deals_api.errors import DealsError, UploadHasProblems, UploadNotRetained, UploadTooLarge
from deals_api.ingest import loader
from deals_api.ingest.csv_reader import read_deals
from deals_api.ingest.service import ingest_deals
from deals_api.models import CurrentUpload, Customer, Deal, Gem, Purchase, Upload
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots import current as current_snapshot
from deals_api.snapshots import retention
from deals_api.snapshots.lease import PointerChangeIntent
from tests.builders import csv_of, deal, load, many
from tests.servers import TIMEOUT

pytestmark = pytest.mark.django_db


def register(*deals: str) -> tuple[Upload, Any]:
    """An upload that has arrived and is not loaded yet, and its deals."""
    content = csv_of(*deals)
    upload = Upload.objects.create(file_name="f", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return upload, read_deals(io.BytesIO(content), settings.DEALS_LIMITS)


def finish(upload: Upload, batches: Any) -> None:
    loader.store_snapshot(upload, batches, settings.DEALS_LIMITS)


def current() -> Upload | None:
    return Upload.objects.current()


def everything() -> dict[str, list[Any]]:
    models = (CurrentUpload, Customer, Gem, Purchase, Deal)
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in models}


def test_an_upload_stores_deals_and_sums() -> None:
    upload = load(
        deal("ann", "ruby", "10.50", "2", "2020-01-02 03:04:05.5"),
        deal("bob", "opal", "7", "1", "2020-01-01 00:00:00"),
        deal("ann", "ruby", "0.25", "3", "2020-01-03 00:00:00+03:00"),
    )
    ann, bob = Customer.objects.for_upload(upload).order_by("username")
    assert (ann.spent_money, ann.deal_count, ann.gem_count) == (Decimal("10.75"), 2, 1)
    assert ann.first_deal == datetime(2020, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)
    assert ann.last_deal == datetime(2020, 1, 2, 21, tzinfo=UTC)
    assert (bob.spent_money, bob.deal_count) == (Decimal("7.00"), 1)
    ruby = Gem.objects.for_upload(upload).get(name="ruby")
    assert (ruby.total, ruby.deal_count, ruby.buyer_count) == (Decimal("10.75"), 2, 1)
    purchase = Purchase.objects.for_upload(upload).get(customer=ann)
    assert (purchase.gem, purchase.deal_count, purchase.quantity, purchase.total) == (ruby, 2, 5, Decimal("10.75"))
    deals = list(
        Deal.objects.rows_between(upload, 1, 4).order_by("pk").values_list("customer__username", "quantity", "total")
    )
    assert deals == [("ann", 2, Decimal("10.50")), ("bob", 1, Decimal("7.00")), ("ann", 3, Decimal("0.25"))]


def test_an_upload_is_on_record_with_its_file() -> None:
    content = csv_of(deal())
    upload = ingest_deals(io.BytesIO(content), "january\x00.csv")
    upload.refresh_from_db()
    assert (upload.state, upload.deal_count, upload.size, upload.error) == ("loaded", 1, len(content), "")
    assert (upload.file_name, upload.sha256) == ("january.csv", hashlib.sha256(content).hexdigest())
    assert upload.finished_at is not None
    assert upload.arrived_at <= upload.finished_at


def test_a_long_file_name_is_cut() -> None:
    upload = ingest_deals(io.BytesIO(csv_of(deal())), "a" * 300)
    upload.refresh_from_db()
    assert upload.file_name == "a" * 255


def test_two_files_on_disk_are_two_uploads(tmp_path: Path) -> None:
    """Whatever was read of a file before, all of it counts."""
    for name in ("ann", "bob"):
        path = tmp_path / f"{name}.csv"
        path.write_bytes(csv_of(deal(name)))
        with path.open("rb") as file:
            file.read(3)
            upload = ingest_deals(file, path.name)
        assert (current(), upload.sha256) == (upload, hashlib.sha256(path.read_bytes()).hexdigest())
        assert Customer.objects.for_upload(upload).get().username == name


def test_names_keep_every_character() -> None:
    names = ["back\\slash", "\\N", "Ёлка 💎", "a'b", "tab-less", "%s", "\\t"]
    upload = load(*(deal(name, name) for name in names))
    assert set(Customer.objects.for_upload(upload).values_list("username", flat=True)) == set(names)
    assert set(Gem.objects.for_upload(upload).values_list("name", flat=True)) == set(names)


def test_money_is_exact_where_floats_are_not() -> None:
    upload = load(*[deal(total="99999999999.99")] * 5000)
    assert Customer.objects.for_upload(upload).get().spent_money == Decimal("499999999999950.00")
    assert Deal.objects.for_upload(upload).aggregate(sum=Sum("total"))["sum"] == Decimal("499999999999950.00")


def test_every_cent_is_kept() -> None:
    totals = [Decimal(cents) / 100 for cents in (*range(1000), 99_999_999_999_999)]
    upload = load(*(deal(total=f"{total:.2f}") for total in totals))
    assert list(Deal.objects.for_upload(upload).order_by("pk").values_list("total", flat=True)) == totals


def test_extreme_dates_survive() -> None:
    upload = load(deal(date="0001-01-01 00:00:00"), deal(date="9999-12-31 23:59:59.999999"))
    assert [
        moment.year for moment in Deal.objects.for_upload(upload).order_by("date").values_list("date", flat=True)
    ] == [
        1,
        9999,
    ]


def test_two_identical_lines_are_two_deals() -> None:
    upload = load(deal(total="3"), deal(total="3"))
    assert Deal.objects.for_upload(upload).count() == 2
    assert Customer.objects.for_upload(upload).get().spent_money == 6


def test_a_second_file_replaces_the_first() -> None:
    load(deal("ann"))
    second = load(deal("bob"))
    assert current() == second
    assert [client.username for client in top_clients_report.top_clients(second, 5)] == ["bob"]


@pytest.mark.parametrize(
    "content",
    [csv_of(deal(), deal(total="x")), b"", csv_of(), csv_of(*many(5000), deal(date="2020-02-30 00:00:00"))],
    ids=["bad cell", "empty", "no deals", "bad cell after 5000 good ones"],
)
def test_a_refused_file_changes_nothing_but_the_record(content: bytes) -> None:
    load(deal("ann"))
    before = everything()
    with pytest.raises(DealsError) as refusal:
        ingest_deals(io.BytesIO(content), "bad.csv")
    assert everything() == before
    refused = Upload.objects.get(state=Upload.State.REFUSED)
    assert (refused.file_name, refused.error) == ("bad.csv", refusal.value.message)


def test_a_crash_in_the_middle_leaves_nothing() -> None:
    def break_off() -> Any:
        yield from read_deals(io.BytesIO(csv_of(*many(3000))), settings.DEALS_LIMITS)
        raise RuntimeError("the process would have died here")

    load(deal("ann"))
    before = everything()
    upload, _ = register(deal())
    with pytest.raises(RuntimeError):
        finish(upload, break_off())
    assert everything() == before


def test_the_same_bytes_are_loaded_once() -> None:
    first = load(deal("ann"))
    assert load(deal("ann")) == first
    assert Upload.objects.count() == 1


def test_the_same_bytes_as_an_older_upload_are_a_new_one() -> None:
    first = load(deal("ann"))
    load(deal("bob"))
    again = load(deal("ann"))
    assert again != first
    assert current() == again


def test_a_slow_old_upload_does_not_replace_a_newer_one() -> None:
    slow, its_deals = register(deal("slow"))
    newer = load(deal("newer"))
    finish(slow, its_deals)
    assert current() == newer
    slow.refresh_from_db()
    assert slow.state == Upload.State.LOADED


def test_bytes_sent_again_win_over_an_older_upload_still_loading() -> None:
    first = load(deal("ann"))
    slow, its_deals = register(deal("slow"))
    load(deal("ann"))
    finish(slow, its_deals)
    assert current() == first


def test_the_newest_uploads_keep_their_rows(limits: Any) -> None:
    limits(keep_uploads=2)
    uploads = [load(deal(name)) for name in ("ann", "bob", "cid", "dan")]
    retention.apply_retention(settings.DEALS_LIMITS)
    states = list(Upload.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["pruned", "pruned", "loaded", "loaded"]
    for model in (Customer, Gem, Purchase, Deal):
        assert set(model._default_manager.values_list("upload", flat=True)) == {uploads[2].pk, uploads[3].pk}


def test_rows_are_deleted_to_the_last_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_DELETE_CHUNK_ROWS", 10)
    upload = load(*many(35, [f"client {number}" for number in range(35)]))
    load(deal("bob"))
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.RETIRED)
    retention.apply_retention(settings.DEALS_LIMITS)
    for model in (Customer, Gem, Purchase, Deal):
        assert not model._default_manager.filter(upload=upload).exists()


def test_what_cannot_be_tidied_now_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    load(deal())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE deals_api_currentupload RENAME TO elsewhere")
        retention.apply_retention_safely(settings.DEALS_LIMITS)
        cursor.execute("ALTER TABLE elsewhere RENAME TO deals_api_currentupload")
    assert len(caplog.records) == 1
    retention.apply_retention(settings.DEALS_LIMITS)


def test_the_current_upload_is_kept_however_old(limits: Any) -> None:
    limits(keep_uploads=2)
    old, *_ = (load(deal(name)) for name in ("ann", "bob", "cid", "dan"))
    CurrentUpload.objects.update(upload=old)
    retention.apply_retention(settings.DEALS_LIMITS)
    assert old.is_readable()
    assert Deal.objects.for_upload(old).exists()


def test_a_deletion_that_was_cut_short_is_finished() -> None:
    upload, newer = load(deal("ann")), load(deal("bob"))
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.RETIRED)
    retention.apply_retention(settings.DEALS_LIMITS)
    assert not Deal.objects.for_upload(upload).exists()
    assert Deal.objects.for_upload(newer).exists()


def test_an_upload_whose_process_died_is_marked() -> None:
    dead, _ = register(deal())
    Upload.objects.filter(pk=dead.pk).update(arrived_at=timezone.now() - timedelta(minutes=1))
    young, _ = register(deal("bob"))
    retention.apply_retention(settings.DEALS_LIMITS)
    states = dict(Upload.objects.values_list("pk", "state"))
    assert states == {dead.pk: "interrupted", young.pk: "loading"}


@pytest.mark.django_db(transaction=True)
def test_an_upload_swept_before_its_load_is_announced_again() -> None:
    """Otherwise readers would take leases during the load, and read the old pointer after its change."""
    first = load(deal("ann"))
    upload, batches = register(deal("bob"))
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.INTERRUPTED, finished_at=Now())
    assert Upload.objects.current_and_pending_change() == (first, False)

    def observed() -> Any:
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(apart, Upload.objects.current_and_pending_change)
            assert reading.result(TIMEOUT) == (first, True)
        yield from batches

    finish(upload, observed())
    assert current() == upload
    assert Upload.objects.get(pk=upload.pk).state == Upload.State.LOADED


def test_times_of_uploads_come_from_the_clock_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(hours=1))
    upload, _ = register(deal())
    loaded = load(deal("bob"))
    with pytest.raises(DealsError):
        load(deal(total="x"))
    retention.apply_retention(settings.DEALS_LIMITS)
    upload.refresh_from_db()
    assert upload.state == Upload.State.LOADING
    refused = Upload.objects.get(state=Upload.State.REFUSED)
    for moment in (upload.arrived_at, loaded.finished_at, refused.finished_at):
        assert moment is not None
        assert abs(now() - moment) < timedelta(minutes=10)


@pytest.mark.parametrize("error", [OSError("the disk"), OperationalError("the database"), KeyboardInterrupt()])
def test_a_failed_upload_is_marked_as_interrupted_at_once(error: BaseException) -> None:
    first = load(deal("ann"))

    class Broken(io.BytesIO):
        """A file of which only the beginning can be read."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100_000:
                raise error
            return super().read(size)

    with pytest.raises(type(error)):
        ingest_deals(Broken(csv_of(*many(20_000))), "deals.csv")
    assert Upload.objects.get(pk=first.pk + 1).state == Upload.State.INTERRUPTED
    assert Upload.objects.current_and_pending_change() == (first, False)


def test_a_file_over_the_byte_limit_is_refused(limits: Any) -> None:
    limits(max_upload_bytes=40)
    with pytest.raises(UploadTooLarge):
        load(deal())
    assert not Upload.objects.exists()


def test_a_file_over_the_row_limit_is_refused(limits: Any) -> None:
    limits(max_rows=3)
    load(*many(3))
    with pytest.raises(UploadTooLarge, match="more than 3 rows"):
        load(*many(4))


def test_a_file_over_the_name_limit_is_refused(limits: Any) -> None:
    limits(max_names=2)
    load(*many(4, ["ann", "bob"]))
    with pytest.raises(UploadTooLarge, match="2 different"):
        load(*many(4, ["ann", "bob", "cid"]))


def test_a_refusal_lists_problems_up_to_the_limit(limits: Any) -> None:
    limits(max_problems=3)
    with pytest.raises(UploadHasProblems) as refusal:
        load(*[deal(total="x")] * 10)
    assert len(refusal.value.problems) == 3


def statements(rows: int) -> int:
    load(deal(f"before {rows}"))
    with CaptureQueriesContext(connection) as captured:
        load(*many(rows))
    return len(captured)


def test_statements_grow_with_batches_not_rows() -> None:
    assert statements(2000) - statements(20) <= 2000 / 100


def test_a_change_is_announced_from_an_uploads_arrival_to_its_end() -> None:
    """Nobody may take a lease meanwhile, nor before there is anything to lease."""
    assert Upload.objects.current_and_pending_change() == (None, True)
    first = load(deal("ann"))
    assert Upload.objects.current_and_pending_change() == (first, False)
    second, its_deals = register(deal("bob"))
    assert Upload.objects.current_and_pending_change() == (first, True)
    finish(second, its_deals)
    assert Upload.objects.current_and_pending_change() == (second, False)
    CurrentUpload.objects.update(announced=uuid.uuid4())
    assert Upload.objects.current_and_pending_change() == (second, True)


def test_a_reader_with_a_lease_sees_an_upload_at_once() -> None:
    """The file is tiny and loads faster than a lease runs out; the upload waits for the lease instead."""
    load(deal("ann"))
    for name in ("bob", "cid", "dan"):
        before = current_snapshot.current_upload()
        loaded = load(deal(name))
        assert current_snapshot.current_upload() == loaded != before


@pytest.mark.django_db(transaction=True)
def test_uploads_at_once_leave_the_last_to_arrive() -> None:
    failures: list[BaseException] = []

    def upload(name: str) -> None:
        try:
            load(*many(3000, [name]))
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=upload, args=(f"client {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    newest = Upload.objects.order_by("-pk")[0]
    assert current() == newest
    assert Customer.objects.for_upload(newest).get().deal_count == 3000


# At once, where the database serves several writers


def apart(act: Callable[[], Any]) -> Any:
    """In a thread, which has a connection of its own."""
    try:
        return act()
    finally:
        connection.close()


@pytest.fixture
def _several_writers(on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("needs PostgreSQL")


def wait_until_somebody_waits() -> None:
    deadline = time.monotonic() + TIMEOUT
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone():
                return
            time.sleep(0.02)
    pytest.fail("nobody waits for a lock")


@pytest.mark.usefixtures("_several_writers")
@pytest.mark.django_db(transaction=True)
def test_of_two_uploads_that_end_at_once_the_later_stays() -> None:
    load(deal("ann"))
    (older, its_deals), (newer, newer_deals) = register(deal("older")), register(deal("newer"))
    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            finish(newer, newer_deals)
            finishing = pool.submit(apart, lambda: finish(older, its_deals))
            wait_until_somebody_waits()
        finishing.result(TIMEOUT)
    assert current() == newer


@pytest.mark.usefixtures("_several_writers")
@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_sent_again_while_another_replaces_it_is_loaded_again() -> None:
    first = load(deal("ann"))
    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            load(deal("bob"))
            sending = pool.submit(apart, lambda: load(deal("ann")))
            wait_until_somebody_waits()
        again = sending.result(TIMEOUT)
    assert again != first
    assert current() == again


@pytest.mark.usefixtures("_several_writers")
@pytest.mark.django_db(transaction=True)
def test_an_upload_that_takes_long_is_not_taken_for_dead() -> None:
    upload, its_deals = register(deal("slow"))
    Upload.objects.filter(pk=upload.pk).update(arrived_at=timezone.now() - timedelta(minutes=1))
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        begun.set()
        go_on.wait(TIMEOUT)
        yield from its_deals

    with ThreadPoolExecutor() as pool:
        finishing = pool.submit(apart, lambda: finish(upload, slowly()))
        begun.wait(TIMEOUT)
        retention.apply_retention(settings.DEALS_LIMITS)
        assert Upload.objects.get(pk=upload.pk).state == Upload.State.LOADING
        go_on.set()
        finishing.result(TIMEOUT)
    assert Upload.objects.get(pk=upload.pk).state == Upload.State.LOADED
    assert current() == upload


# Roll-back


def test_a_kept_upload_is_made_current_again() -> None:
    first, second = load(deal("ann")), load(deal("bob"))
    assert current_snapshot.activate(first.snapshot) == first
    assert current() == first
    assert current_snapshot.activate(second.snapshot) == second
    assert current() == second


def test_a_roll_back_wins_over_an_older_upload_still_loading() -> None:
    first = load(deal("ann"))
    slow, its_deals = register(deal("slow"))
    load(deal("bob"))
    current_snapshot.activate(first.snapshot)
    finish(slow, its_deals)
    assert current() == first


def test_a_roll_back_counts_as_the_last_to_arrive() -> None:
    first, _ = load(deal("ann")), load(deal("bob"))
    slow, its_deals = register(deal("slow"))
    current_snapshot.activate(first.snapshot)
    finish(slow, its_deals)
    assert current() == first


def test_an_upload_that_lands_during_a_roll_back_arrived_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = load(deal("ann")), load(deal("bob"))
    wait = PointerChangeIntent.wait

    def land(self: PointerChangeIntent) -> None:
        monkeypatch.setattr(PointerChangeIntent, "wait", wait)
        wait(self)
        load(deal("cid"))

    monkeypatch.setattr(PointerChangeIntent, "wait", land)
    current_snapshot.activate(first.snapshot)
    assert Customer.objects.for_upload(Upload.objects.latest("pk")).get().username == "cid"
    assert current() == Upload.objects.latest("pk")


def test_before_the_first_upload_there_is_nothing_to_go_back_to() -> None:
    with pytest.raises(UploadNotRetained):
        current_snapshot.activate(uuid.uuid4())


@pytest.mark.django_db(transaction=True)
def test_roll_backs_at_once_wait_for_one_another_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """While they undid each other's announcements, six of them could take a minute."""
    uploads = [load(deal("ann")), load(deal("bob"))] * 3
    wait = PointerChangeIntent.wait
    waits: list[PointerChangeIntent] = []

    def noted(self: PointerChangeIntent) -> None:
        waits.append(self)
        wait(self)

    monkeypatch.setattr(PointerChangeIntent, "wait", noted)

    def go_back(upload: Upload) -> None:
        try:
            current_snapshot.activate(upload.snapshot)
        finally:
            connection.close()

    threads = [threading.Thread(target=go_back, args=(upload,), daemon=True) for upload in uploads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not any(thread.is_alive() for thread in threads)
    assert len(waits) <= 6 + 5 + 4 + 3 + 2 + 1  # each time one of them gets through
    assert current() in uploads
    assert Upload.objects.current_and_pending_change()[1] is False


def test_an_upload_without_rows_is_not_made_current(limits: Any) -> None:
    limits(keep_uploads=2)
    pruned, _, newest = load(deal("ann")), load(deal("bob")), load(deal("cid"))
    retention.apply_retention(settings.DEALS_LIMITS)
    for snapshot in (pruned.snapshot, uuid.uuid4()):
        with pytest.raises(UploadNotRetained):
            current_snapshot.activate(snapshot)
    assert current() == newest
    assert Upload.objects.current_and_pending_change()[1] is False


def test_an_announcement_that_somebody_cleared_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = load(deal("ann")), load(deal("bob"))
    wait, waits = PointerChangeIntent.wait, []

    def clear_once(self: PointerChangeIntent) -> None:
        wait(self)
        waits.append(self)
        if len(waits) == 1:
            retention.apply_retention(settings.DEALS_LIMITS)

    monkeypatch.setattr(PointerChangeIntent, "wait", clear_once)
    current_snapshot.activate(first.snapshot)
    assert len(waits) == 2
    assert current() == first
