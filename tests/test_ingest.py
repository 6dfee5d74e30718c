"""Uploads: stored rows, replacement of the current upload, rejected files, and roll-backs."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
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
from deals_api.ingest.csv_reader import DealsReader
from deals_api.ingest.service import ingest_deals
from deals_api.models import CurrentUpload, Customer, Deal, Gem, GemDay, GemMonth, Purchase, Upload
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots import current as current_snapshot
from deals_api.snapshots import retention
from deals_api.snapshots.lease import PointerChangeIntent
from tests.builders import csv_of, deal, load, many
from tests.servers import TIMEOUT
from tests.threads import call_and_close_connection

pytestmark = pytest.mark.django_db


def register(*deals: str) -> tuple[Upload, Any]:
    """Create an upload that is not loaded yet; return it with its batches of deals."""
    content = csv_of(*deals)
    upload = Upload.objects.create(file_name="f", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return upload, DealsReader(io.BytesIO(content), settings.DEALS_LIMITS)


def store(upload: Upload, batches: Any) -> None:
    loader.store_snapshot(upload, batches, settings.DEALS_LIMITS)


def current() -> Upload | None:
    return Upload.objects.current()


ROW_MODELS: tuple[Any, ...] = (Customer, Gem, Purchase, Deal, GemDay, GemMonth)


def all_rows() -> dict[str, list[Any]]:
    models = (CurrentUpload, *ROW_MODELS)
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in models}


def test_upload_stores_deals_and_sums() -> None:
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
    assert (purchase.min_total, purchase.max_total) == (Decimal("0.25"), Decimal("10.50"))
    assert sums_by_period(GemDay, upload) == [
        ("ruby", date(2020, 1, 2), 2, 5, Decimal("10.75"), Decimal("0.25"), Decimal("10.50")),
        ("opal", date(2020, 1, 1), 1, 1, Decimal(7), Decimal(7), Decimal(7)),
    ]
    assert [month[1:3] for month in sums_by_period(GemMonth, upload)] == [(date(2020, 1, 1), 2), (date(2020, 1, 1), 1)]
    assert (upload.purchase_count, upload.gem_day_count, upload.gem_month_count) == (2, 2, 2)
    deals = list(
        Deal.objects.rows_between(upload, 1, 4).order_by("pk").values_list("customer__username", "quantity", "total")
    )
    assert deals == [("ann", 2, Decimal("10.50")), ("bob", 1, Decimal("7.00")), ("ann", 3, Decimal("0.25"))]


def sums_by_period(model: Any, upload: Upload) -> list[Any]:
    columns = ("gem__name", "start", "deal_count", "quantity", "total", "min_total", "max_total")
    return list(model.objects.in_pk_range(upload).order_by("pk").values_list(*columns))


def test_upload_record_describes_its_file() -> None:
    content = csv_of(deal())
    upload = ingest_deals(io.BytesIO(content), "january\x00.csv")
    upload.refresh_from_db()
    assert (upload.state, upload.deal_count, upload.size, upload.error) == ("loaded", 1, len(content), "")
    assert (upload.file_name, upload.sha256) == ("january.csv", hashlib.sha256(content).hexdigest())
    assert upload.finished_at is not None
    assert upload.arrived_at <= upload.finished_at


def test_long_file_name_is_truncated() -> None:
    upload = ingest_deals(io.BytesIO(csv_of(deal())), "a" * 300)
    upload.refresh_from_db()
    assert upload.file_name == "a" * 255


def test_files_on_disk_are_read_from_their_beginning(tmp_path: Path) -> None:
    """The position of the file does not matter."""
    for name in ("ann", "bob"):
        path = tmp_path / f"{name}.csv"
        path.write_bytes(csv_of(deal(name)))
        with path.open("rb") as file:
            file.read(3)
            upload = ingest_deals(file, path.name)
        assert (current(), upload.sha256) == (upload, hashlib.sha256(path.read_bytes()).hexdigest())
        assert Customer.objects.for_upload(upload).get().username == name


def test_names_keep_every_character() -> None:
    names = ["back\\slash", "a\\N", "Ёлка 💎", "a'b", "tab-less", "%s", "\\t"]
    upload = load(*(deal(name, name) for name in names))
    assert set(Customer.objects.for_upload(upload).values_list("username", flat=True)) == set(names)
    assert set(Gem.objects.for_upload(upload).values_list("name", flat=True)) == set(names)


def test_sums_beyond_float_precision_are_exact() -> None:
    upload = load(*[deal(total="99999999999.99")] * 5000)
    assert Customer.objects.for_upload(upload).get().spent_money == Decimal("499999999999950.00")
    assert Deal.objects.for_upload(upload).aggregate(sum=Sum("total"))["sum"] == Decimal("499999999999950.00")


def test_every_cent_is_stored() -> None:
    totals = [Decimal(cents) / 100 for cents in (*range(1000), 99_999_999_999_999)]
    upload = load(*(deal(total=f"{total:.2f}") for total in totals))
    assert list(Deal.objects.for_upload(upload).order_by("pk").values_list("total", flat=True)) == totals


def test_first_and_last_possible_dates_are_stored() -> None:
    upload = load(deal(date="0001-01-01 00:00:00"), deal(date="9999-12-31 23:59:59.999999"))
    assert [date.year for date in Deal.objects.for_upload(upload).order_by("date").values_list("date", flat=True)] == [
        1,
        9999,
    ]


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2020-01-02 03:04:05", 0),
        ("2020-01-02 03:04:05.0", 0),
        ("2020-01-02 03:04:05.000000", 0),
        ("2020-01-02 03:04:05.5", 500_000),
        ("2020-01-02 03:04:05.500000", 500_000),
        ("2020-01-02 03:04:05.000001", 1),
        ("2020-01-02T03:04:05.05Z", 50_000),
        ("2.1.2020 3:4:5,25", 250_000),
    ],
)
def test_stored_date_equals_the_same_date_in_a_condition(text: str, microsecond: int) -> None:
    """SQLite compares dates as text."""
    date = datetime(2020, 1, 2, 3, 4, 5, microsecond, UTC)
    upload = load(f'ann,ruby,1,1,"{text}"')
    assert Deal.objects.for_upload(upload).filter(date=date).count() == 1
    assert Deal.objects.for_upload(upload).get().date == date
    assert Customer.objects.for_upload(upload).filter(first_deal=date, last_deal=date).count() == 1


def test_stored_values_equal_those_of_the_orm() -> None:
    """A row that the ORM writes again does not change, in its value and its type in the database."""
    load(deal("ann", "ruby", "10.50", "2", "2020-01-02 03:04:05.5"), deal("Ёлка 💎", "opal", "7"))
    before = database_values()
    for model in (Deal, Purchase, Customer, Gem, GemDay, GemMonth):
        for row in model._default_manager.all():
            row.save(force_update=True)
    assert database_values() == before


def database_values() -> list[Any]:
    """Return the values of all rows of snapshots as the database stores them; on SQLite, with their types."""
    values: list[Any] = []
    with connection.cursor() as cursor:
        for model in (Deal, Purchase, Customer, Gem, GemDay, GemMonth):
            names = [connection.ops.quote_name(str(field.column)) for field in model._meta.concrete_fields]
            types = [f"typeof({name})" for name in names] if connection.vendor == "sqlite" else []
            columns = ", ".join([f"CAST({name} AS text)" for name in names] + types)
            cursor.execute(f"SELECT {columns} FROM {model._meta.db_table} ORDER BY id")  # noqa: S608
            values += cursor.fetchall()
    return values


def page_cache_size() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA cache_size")
        return int(cursor.fetchall()[0][0])


@pytest.mark.usefixtures("sqlite_only")
def test_larger_page_cache_ends_with_the_load() -> None:
    before = page_cache_size()
    _, batches = register(*many(3))
    sizes = []

    def measured() -> Any:
        for batch in batches:
            sizes.append(page_cache_size())
            yield batch
        raise RuntimeError

    upload, _ = register(*many(3))
    with pytest.raises(RuntimeError):
        store(upload, measured())
    assert page_cache_size() == before
    assert sizes == [4 * before]


def test_two_identical_lines_are_two_deals() -> None:
    upload = load(deal(total="3"), deal(total="3"))
    assert Deal.objects.for_upload(upload).count() == 2
    assert Customer.objects.for_upload(upload).get().spent_money == 6


def test_second_file_replaces_the_first() -> None:
    load(deal("ann"))
    second = load(deal("bob"))
    assert current() == second
    assert [client.username for client in top_clients_report.top_clients(second, 5)] == ["bob"]


@pytest.mark.parametrize(
    "content",
    [csv_of(deal(), deal(total="x")), b"", csv_of(), csv_of(*many(5000), deal(date="2020-02-30 00:00:00"))],
    ids=["invalid cell", "empty", "no deals", "invalid cell after 5000 valid deals"],
)
def test_rejected_file_changes_only_the_upload_record(content: bytes) -> None:
    load(deal("ann"))
    before = all_rows()
    with pytest.raises(DealsError) as raised:
        ingest_deals(io.BytesIO(content), "bad.csv")
    assert all_rows() == before
    rejected = Upload.objects.get(state=Upload.State.REFUSED)
    assert (rejected.file_name, rejected.error) == ("bad.csv", raised.value.message)


def test_error_during_the_load_stores_no_rows() -> None:
    def failing_batches() -> Any:
        yield from DealsReader(io.BytesIO(csv_of(*many(3000))), settings.DEALS_LIMITS)
        raise RuntimeError("simulated crash")

    load(deal("ann"))
    before = all_rows()
    upload, _ = register(deal())
    with pytest.raises(RuntimeError):
        store(upload, failing_batches())
    assert all_rows() == before


def test_the_same_bytes_are_loaded_once() -> None:
    first = load(deal("ann"))
    assert load(deal("ann")) == first
    assert Upload.objects.count() == 1


def test_bytes_of_an_older_upload_are_loaded_again() -> None:
    first = load(deal("ann"))
    load(deal("bob"))
    reloaded = load(deal("ann"))
    assert reloaded != first
    assert current() == reloaded


def test_slow_older_upload_does_not_replace_a_newer_one() -> None:
    slow, slow_batches = register(deal("slow"))
    newer = load(deal("newer"))
    store(slow, slow_batches)
    assert current() == newer
    slow.refresh_from_db()
    assert slow.state == Upload.State.LOADED


def test_duplicate_of_the_current_file_wins_over_an_older_loading_upload() -> None:
    first = load(deal("ann"))
    slow, slow_batches = register(deal("slow"))
    load(deal("ann"))
    store(slow, slow_batches)
    assert current() == first


def test_retention_keeps_the_rows_of_the_newest_uploads(limits: Any) -> None:
    limits(keep_uploads=2)
    uploads = [load(deal(name)) for name in ("ann", "bob", "cid", "dan")]
    retention.apply_retention(settings.DEALS_LIMITS)
    states = list(Upload.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["pruned", "pruned", "loaded", "loaded"]
    for model in ROW_MODELS:
        assert set(model._default_manager.values_list("upload", flat=True)) == {uploads[2].pk, uploads[3].pk}


def test_interrupted_deletion_of_rows_is_completed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_DELETE_CHUNK_ROWS", 10)
    upload, newer = load(*many(35, [f"client {number}" for number in range(35)])), load(deal("bob"))
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.RETIRED)
    retention.apply_retention(settings.DEALS_LIMITS)
    for model in ROW_MODELS:
        assert set(model._default_manager.values_list("upload", flat=True)) == {newer.pk}


def test_sums_left_by_the_previous_release_are_deleted() -> None:
    """A process of the previous release deletes the rows that it knows, and marks the upload as pruned."""
    upload, newer = load(deal("ann")), load(deal("bob"))
    for model in (Customer, Gem, Purchase, Deal):
        model.objects.for_upload(upload).delete()
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.PRUNED)
    retention.apply_retention(settings.DEALS_LIMITS)
    for model in ROW_MODELS:
        assert set(model.objects.values_list("upload", flat=True)) == {newer.pk}
    upload.refresh_from_db()
    assert (upload.state, upload.purchase_count, upload.gem_day_count) == ("pruned", None, None)


def test_failed_retention_is_logged_and_can_be_repeated(caplog: pytest.LogCaptureFixture) -> None:
    load(deal())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE deals_api_currentupload RENAME TO elsewhere")
        retention.apply_retention_safely(settings.DEALS_LIMITS)
        cursor.execute("ALTER TABLE elsewhere RENAME TO deals_api_currentupload")
    assert len(caplog.records) == 1
    retention.apply_retention(settings.DEALS_LIMITS)


def test_current_upload_is_retained_at_any_age(limits: Any) -> None:
    limits(keep_uploads=2)
    old, *_ = (load(deal(name)) for name in ("ann", "bob", "cid", "dan"))
    CurrentUpload.objects.update(upload=old)
    retention.apply_retention(settings.DEALS_LIMITS)
    assert old.is_readable()
    assert Deal.objects.for_upload(old).exists()


def test_upload_of_a_crashed_process_is_marked_as_interrupted() -> None:
    crashed, _ = register(deal())
    Upload.objects.filter(pk=crashed.pk).update(arrived_at=timezone.now() - timedelta(minutes=1))
    recent, _ = register(deal("bob"))
    retention.apply_retention(settings.DEALS_LIMITS)
    states = dict(Upload.objects.values_list("pk", "state"))
    assert states == {crashed.pk: "interrupted", recent.pk: "loading"}


@pytest.mark.django_db(transaction=True)
def test_upload_interrupted_before_its_load_is_announced_again() -> None:
    """Otherwise readers would take leases during the load, and return the previous upload after it."""
    first = load(deal("ann"))
    upload, batches = register(deal("bob"))
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.INTERRUPTED, finished_at=Now())
    assert Upload.objects.current_and_pending_change() == (first, False)

    def batches_after_check() -> Any:
        with ThreadPoolExecutor() as pool:
            future = pool.submit(call_and_close_connection, Upload.objects.current_and_pending_change)
            assert future.result(TIMEOUT) == (first, True)
        yield from batches

    store(upload, batches_after_check())
    assert current() == upload
    assert Upload.objects.get(pk=upload.pk).state == Upload.State.LOADED


def test_times_of_uploads_come_from_the_database_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(hours=1))
    upload, _ = register(deal())
    loaded = load(deal("bob"))
    with pytest.raises(DealsError):
        load(deal(total="x"))
    retention.apply_retention(settings.DEALS_LIMITS)
    upload.refresh_from_db()
    assert upload.state == Upload.State.LOADING
    rejected = Upload.objects.get(state=Upload.State.REFUSED)
    for timestamp in (upload.arrived_at, loaded.finished_at, rejected.finished_at):
        assert timestamp is not None
        assert abs(now() - timestamp) < timedelta(minutes=10)


@pytest.mark.parametrize("error", [OSError("the disk"), OperationalError("the database"), KeyboardInterrupt()])
def test_failed_upload_is_marked_as_interrupted_immediately(error: BaseException) -> None:
    first = load(deal("ann"))

    class UnreadableFile(io.BytesIO):
        """A file whose reads fail after the first 100 kB."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100_000:
                raise error
            return super().read(size)

    with pytest.raises(type(error)):
        ingest_deals(UnreadableFile(csv_of(*many(20_000))), "deals.csv")
    assert Upload.objects.get(pk=first.pk + 1).state == Upload.State.INTERRUPTED
    assert Upload.objects.current_and_pending_change() == (first, False)


def test_file_over_the_byte_limit_is_rejected(limits: Any) -> None:
    limits(max_upload_bytes=40)
    with pytest.raises(UploadTooLarge):
        load(deal())
    assert not Upload.objects.exists()


def test_file_over_the_row_limit_is_rejected(limits: Any) -> None:
    limits(max_rows=3)
    load(*many(3))
    with pytest.raises(UploadTooLarge, match="more than 3 rows"):
        load(*many(4))


def test_file_over_the_name_limit_is_rejected(limits: Any) -> None:
    limits(max_names=2)
    load(*many(4, ["ann", "bob"]))
    with pytest.raises(UploadTooLarge, match="2 different"):
        load(*many(4, ["ann", "bob", "cid"]))


def test_error_lists_problems_up_to_the_limit(limits: Any) -> None:
    limits(max_problems=3)
    with pytest.raises(UploadHasProblems) as raised:
        load(*[deal(total="x")] * 10)
    reasons = [problem.reason_code for problem in raised.value.problems]
    assert reasons == ["not_an_amount"] * 3 + ["too_many_errors"]


def query_count(rows: int) -> int:
    load(deal(f"before {rows}"))
    with CaptureQueriesContext(connection) as captured:
        load(*many(rows))
    return len(captured)


def test_query_count_grows_with_batches_not_rows() -> None:
    assert query_count(2000) - query_count(20) <= 2000 / 100


def test_change_is_announced_from_arrival_to_end_of_an_upload() -> None:
    """Readers take no lease during an upload or before the first upload."""
    assert Upload.objects.current_and_pending_change() == (None, True)
    first = load(deal("ann"))
    assert Upload.objects.current_and_pending_change() == (first, False)
    second, batches = register(deal("bob"))
    assert Upload.objects.current_and_pending_change() == (first, True)
    store(second, batches)
    assert Upload.objects.current_and_pending_change() == (second, False)
    CurrentUpload.objects.update(rollback_announcement=uuid.uuid4())
    assert Upload.objects.current_and_pending_change() == (second, True)


def test_reader_with_a_lease_reads_a_new_upload_immediately() -> None:
    """The file loads before the lease expires, so the upload must wait for the lease."""
    load(deal("ann"))
    for name in ("bob", "cid", "dan"):
        before = current_snapshot.current_upload()
        loaded = load(deal(name))
        assert current_snapshot.current_upload() == loaded != before


@pytest.mark.django_db(transaction=True)
def test_last_of_concurrent_uploads_becomes_current() -> None:
    uploads = [partial(load, *many(3000, [f"client {number}"])) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(call_and_close_connection, uploads))
    newest = Upload.objects.order_by("-pk")[0]
    assert current() == newest
    assert Customer.objects.for_upload(newest).get().deal_count == 3000


# Concurrent writers, on PostgreSQL only


def wait_for_blocked_process() -> None:
    """Wait until a process waits for a lock."""
    deadline = time.monotonic() + TIMEOUT
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone():
                return
            time.sleep(0.02)
    pytest.fail("no process waits for a lock")


@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.django_db(transaction=True)
def test_later_of_two_uploads_ending_concurrently_stays_current() -> None:
    load(deal("ann"))
    (older, older_batches), (newer, newer_batches) = register(deal("older")), register(deal("newer"))
    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            store(newer, newer_batches)
            future = pool.submit(call_and_close_connection, lambda: store(older, older_batches))
            wait_for_blocked_process()
        future.result(TIMEOUT)
    assert current() == newer


@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.django_db(transaction=True)
def test_duplicate_of_a_file_being_replaced_is_loaded_again() -> None:
    first = load(deal("ann"))
    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            load(deal("bob"))
            future = pool.submit(call_and_close_connection, lambda: load(deal("ann")))
            wait_for_blocked_process()
        reloaded = future.result(TIMEOUT)
    assert reloaded != first
    assert current() == reloaded


@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.django_db(transaction=True)
def test_slow_upload_is_not_marked_as_interrupted() -> None:
    upload, slow_batches = register(deal("slow"))
    Upload.objects.filter(pk=upload.pk).update(arrived_at=timezone.now() - timedelta(minutes=1))
    started, resume = threading.Event(), threading.Event()

    def paused_batches() -> Any:
        started.set()
        resume.wait(TIMEOUT)
        yield from slow_batches

    with ThreadPoolExecutor() as pool:
        future = pool.submit(call_and_close_connection, lambda: store(upload, paused_batches()))
        started.wait(TIMEOUT)
        retention.apply_retention(settings.DEALS_LIMITS)
        assert Upload.objects.get(pk=upload.pk).state == Upload.State.LOADING
        resume.set()
        future.result(TIMEOUT)
    assert Upload.objects.get(pk=upload.pk).state == Upload.State.LOADED
    assert current() == upload


# Roll-back


def test_retained_upload_is_made_current_again() -> None:
    first, second = load(deal("ann")), load(deal("bob"))
    assert current_snapshot.activate(first.snapshot) == first
    assert current() == first
    assert current_snapshot.activate(second.snapshot) == second
    assert current() == second


def test_roll_back_wins_over_an_older_loading_upload() -> None:
    first = load(deal("ann"))
    slow, slow_batches = register(deal("slow"))
    load(deal("bob"))
    current_snapshot.activate(first.snapshot)
    store(slow, slow_batches)
    assert current() == first


def test_roll_back_counts_as_the_last_arrival() -> None:
    first, _ = load(deal("ann")), load(deal("bob"))
    slow, slow_batches = register(deal("slow"))
    current_snapshot.activate(first.snapshot)
    store(slow, slow_batches)
    assert current() == first


def test_upload_during_a_roll_back_becomes_current_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = load(deal("ann")), load(deal("bob"))
    wait = PointerChangeIntent.wait

    def wait_and_load(self: PointerChangeIntent) -> None:
        monkeypatch.setattr(PointerChangeIntent, "wait", wait)
        wait(self)
        load(deal("cid"))

    monkeypatch.setattr(PointerChangeIntent, "wait", wait_and_load)
    current_snapshot.activate(first.snapshot)
    assert Customer.objects.for_upload(Upload.objects.latest("pk")).get().username == "cid"
    assert current() == Upload.objects.latest("pk")


def test_roll_back_before_the_first_upload_is_an_error() -> None:
    with pytest.raises(UploadNotRetained):
        current_snapshot.activate(uuid.uuid4())


@pytest.mark.django_db(transaction=True)
def test_concurrent_roll_backs_wait_for_each_other_and_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """If each of six roll-backs cleared the announcements of the others, they could take a minute."""
    uploads = [load(deal("ann")), load(deal("bob"))] * 3
    wait = PointerChangeIntent.wait
    waits: list[PointerChangeIntent] = []

    def record_wait(self: PointerChangeIntent) -> None:
        waits.append(self)
        wait(self)

    monkeypatch.setattr(PointerChangeIntent, "wait", record_wait)

    roll_backs = [partial(current_snapshot.activate, upload.snapshot) for upload in uploads]
    threads = [
        threading.Thread(target=call_and_close_connection, args=(roll_back,), daemon=True) for roll_back in roll_backs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not any(thread.is_alive() for thread in threads)
    assert len(waits) <= 6 + 5 + 4 + 3 + 2 + 1  # one roll-back succeeds in each round
    assert current() in uploads
    assert Upload.objects.current_and_pending_change()[1] is False


def test_pruned_or_unknown_upload_cannot_be_made_current(limits: Any) -> None:
    limits(keep_uploads=2)
    pruned, _, newest = load(deal("ann")), load(deal("bob")), load(deal("cid"))
    retention.apply_retention(settings.DEALS_LIMITS)
    for snapshot in (pruned.snapshot, uuid.uuid4()):
        with pytest.raises(UploadNotRetained):
            current_snapshot.activate(snapshot)
    assert current() == newest
    assert Upload.objects.current_and_pending_change()[1] is False


def test_cleared_announcement_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
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
