"""A backup is restored while the service runs: other rows get the same primary keys."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache as backend
from django.db import connection
from django.test import RequestFactory

from deals_api.caching import response_cache
from deals_api.caching.response_cache import CacheableQuery, ResponseBody
from deals_api.errors import DatabaseBusy
from deals_api.ingest import loader
from deals_api.ingest.csv_reader import DealsReader
from deals_api.ingest.rejections import Rejection, record_rejection
from deals_api.models import CurrentUpload, Customer, Deal, Gem, GemDay, GemMonth, Purchase, Upload
from deals_api.reports import exports
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots import interruption, retention
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.cost import CostBudget
from tests.builders import csv_of, deal, load, many
from tests.graphql import clear_caches, data, row_global_id

pytestmark = pytest.mark.django_db


def restore_before(upload: Upload) -> None:
    """Restore the state before this upload, so that the next upload gets the same primary key."""
    CurrentUpload.objects.update(upload=None, highest_upload_id=upload.pk - 1)
    for model in (Deal, Purchase, Customer, Gem, GemDay, GemMonth):
        model.objects.filter(upload__gte=upload.pk).delete()
    Upload.objects.filter(pk__gte=upload.pk).delete()
    table = Upload._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = %s", [upload.pk - 1, table])
        else:
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, false)", [table, upload.pk])


def replace(upload: Upload, *deals: str) -> Upload:
    """Load another upload with the same primary key."""
    restore_before(upload)
    other = load(*deals)
    assert other.pk == upload.pk
    return other


def test_export_aborts_instead_of_mixing_two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS", 2)
    upload = load(*many(6, ["ann"]))
    chunks = exports.deals(upload).chunks
    next(chunks)
    replace(upload, *many(6, ["bob"]))
    with pytest.raises(SnapshotGone):
        next(chunks)


def test_response_is_computed_again_after_a_restore() -> None:
    """The first computation reads rows of the other file, which must not be cached under the key of the first file."""
    upload = load(deal("ann"))
    uploads = [upload]

    def compute(snapshot: Upload | None) -> ResponseBody:
        assert snapshot is not None
        if snapshot.snapshot == upload.snapshot:
            uploads.append(replace(upload, deal("bob")))
        return ResponseBody(top_clients_report.top_clients(snapshot, 5)[0].username.encode())

    query = CacheableQuery("test", [5], "text/plain")
    response = response_cache.respond(RequestFactory().get("/"), None, query, lambda: uploads[-1], compute)
    assert response.content == b"bob"
    assert backend.get(query.key(upload)) is None


def test_graphql_operation_detects_a_restore() -> None:
    upload = load(deal("ann"))
    context = OperationContext(upload, CostBudget(), {})
    context.ensure_not_pruned()
    replace(upload, deal("bob"))
    with pytest.raises(SnapshotGone):
        context.ensure_not_pruned()


def test_row_id_from_before_a_restore_finds_no_row() -> None:
    """Rows of both files have the same primary keys, so only the snapshot in the id distinguishes them."""
    node = "query ($id: ID!) {node(id: $id) {id}}"
    upload = load(deal("ann"))
    rows = [model.objects.for_upload(upload).get() for model in (Customer, Gem, Purchase, Deal)]
    ids = [row_global_id(row) for row in rows]
    other = replace(upload, deal("bob"))
    clear_caches()
    assert [data(node, id=old_id) for old_id in ids] == [{"node": None}] * 4
    for row in rows:
        new_id = row_global_id(type(row).objects.for_upload(other).get(pk=row.pk))
        assert data(node, id=new_id) == {"node": {"id": new_id}}


def test_load_during_a_restore_stores_nothing() -> None:
    content = csv_of(deal("ann"))
    upload = Upload.objects.create(file_name="f", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    other = replace(upload, deal("bob"))
    with pytest.raises(DatabaseBusy):
        loader.store_snapshot(upload, DealsReader(io.BytesIO(content), settings.DEALS_LIMITS), settings.DEALS_LIMITS)
    record_rejection(upload, Rejection.of(DatabaseBusy("The database is busy.")))
    interruption.mark_interrupted(upload)
    assert Upload.objects.get().state == Upload.State.LOADED
    assert top_clients_report.top_clients(other, 5)[0].username == "bob"


def test_same_bytes_are_loaded_again_after_a_restore() -> None:
    upload = load(deal("ann"))
    with after_statement("SELECT", lambda: replace(upload, deal("bob"))):
        repeated = load(deal("ann"))
    assert repeated.pk == upload.pk + 1
    assert Upload.objects.current() == repeated


def test_retention_does_not_delete_restored_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_DELETE_CHUNK_ROWS", 2)
    upload, _ = load(*many(6)), load(deal("bob"))
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.RETIRED)
    with after_statement('DELETE FROM "deals_api_gem"', lambda: replace(upload, *many(6))):
        retention.apply_retention(settings.DEALS_LIMITS)
    assert Upload.objects.get(pk=upload.pk).state == Upload.State.LOADED
    assert Deal.objects.filter(upload=upload.pk).count() == 6


@contextmanager
def after_statement(prefix: str, action: Callable[[], Any]) -> Iterator[None]:
    """Call ``action`` once, after the first statement with this prefix."""
    actions = [action]

    def wrap(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        result = execute(sql, *arguments)
        if sql.startswith(prefix) and actions:
            actions.pop()()
        return result

    with connection.execute_wrapper(wrap):
        yield
