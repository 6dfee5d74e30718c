"""Uploader names: stored with the upload, logged, and shown to token holders and in the admin."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from deals_api.limits import MAX_HOLDER_LENGTH
from deals_api.models import FORMAT_FIELDS, Upload
from deals_api.security.tokens import read_tokens
from project.telemetry import logs
from tests.builders import csv_of, deal, load
from tests.graphql import id_of
from tests.test_logs import AccessLogReader, read_access_log

__all__ = ["read_access_log"]  # the fixture

pytestmark = pytest.mark.django_db

ANN, BOB = "correct horse battery", "staple staple staple"
HISTORY = "{ uploads { nodes { fileName uploadedBy } } }"
CURRENT = "{ currentUpload { uploadedBy } }"


@pytest.fixture
def _tokens(settings: Settings) -> None:
    settings.API_TOKENS = read_tokens(f"ann:{ANN}, bob:{BOB}")


with_tokens = pytest.mark.usefixtures("_tokens")


def bearer(secret: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def upload(secret: str | None, content: bytes = csv_of(deal()), name: str = "deals.csv") -> int:
    file = SimpleUploadedFile(name, content)
    return Client().post("/api/upload/", {"deals": file}, headers=bearer(secret)).status_code


def query(text: str, secret: str | None = None, **variables: str) -> Any:
    body = json.dumps({"query": text, "variables": variables})
    return Client().post("/graphql/", body, content_type="application/json", headers=bearer(secret))


def activate(target: Upload, secret: str | None) -> Any:
    mutation = "mutation ($id: ID!) { activateUpload(id: $id) { __typename } }"
    return query(mutation, secret, id=id_of(target)).json()["data"]["activateUpload"]["__typename"]


def uploaders() -> list[str]:
    return list(Upload.objects.order_by("pk").values_list("uploaded_by", flat=True))


# Recorded


@with_tokens
def test_accepted_and_rejected_uploads_record_the_token_holder() -> None:
    assert upload(ANN) == 200
    assert upload(BOB, csv_of(deal(total="x"))) == 400
    assert upload("not a token of this service") == 401
    assert uploaders() == ["ann", "bob"]


def test_without_configured_tokens_no_uploader_is_recorded() -> None:
    upload(None)
    upload(ANN, csv_of(deal("bob")))
    assert uploaders() == ["", ""]


@with_tokens
def test_repeated_file_keeps_its_first_uploader(read_access_log: AccessLogReader) -> None:
    upload(ANN)
    upload(BOB)
    assert uploaders() == ["ann"]
    assert [line["user"] for line in read_access_log()] == ["ann", "bob"]


def test_load_deals_records_the_command_as_uploader(tmp_path: Path) -> None:
    file = tmp_path / "deals.csv"
    file.write_bytes(csv_of(deal()))
    call_command("load_deals", str(file))
    assert uploaders() == ["manage.py load_deals"]


def test_rows_of_the_previous_release_get_empty_new_columns() -> None:
    """During the start of a new release, processes of the previous release insert rows without these columns."""
    previous_fields = [
        field for field in Upload._meta.concrete_fields if field.name != "id" and not field.has_db_default()
    ]
    row = Upload(file_name="old.csv", sha256="0", size=1, snapshot=uuid.uuid4())
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in previous_fields]
    with connection.cursor() as cursor:
        columns, placeholders = (
            ", ".join(str(field.column) for field in previous_fields),
            ", ".join(["%s"] * len(previous_fields)),
        )
        cursor.execute(f"INSERT INTO deals_api_upload ({columns}) VALUES ({placeholders})", values)  # noqa: S608
    assert uploaders() == [""]
    assert Upload.objects.values_list(*FORMAT_FIELDS).get() == ("",) * len(FORMAT_FIELDS)


@pytest.mark.parametrize("holder", ["x" * (MAX_HOLDER_LENGTH + 1), "a\x1b[31m", "a\x00", "a\nb", "\udcff"])
def test_holder_names_are_short_and_printable(holder: str) -> None:
    with pytest.raises(ValueError, match=r"^The holders in API_TOKENS must be 1 to 100 printable characters long$"):
        read_tokens(f"{holder}:{ANN}")
    assert read_tokens(f"{'x' * MAX_HOLDER_LENGTH}:{ANN}")


# Logged


@with_tokens
def test_access_log_names_the_user_and_never_the_token(read_access_log: AccessLogReader, settings: Settings) -> None:
    settings.READ_REQUIRES_TOKEN = True
    upload(ANN)
    for secret in (BOB, None, "no token of this service"):
        Client().get("/api/top-clients/", headers=bearer(secret))
    query(CURRENT, BOB)
    lines = read_access_log()
    assert [(line["endpoint"], line["user"]) for line in lines] == [
        ("upload", "ann"), ("top-clients", "bob"), ("top-clients", ""), ("top-clients", ""), ("graphql", "bob")
    ]  # fmt: skip
    assert not any(secret in json.dumps(lines) for secret in (ANN, BOB))


def activation_event(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (record,) = [record for record in caplog.records if record.name == "deals_api.snapshots.current"]
    event: dict[str, Any] = json.loads(logs.formatter().format(record))
    return event


@with_tokens
def test_activation_is_logged_with_user_and_upload(caplog: pytest.LogCaptureFixture) -> None:
    older = load(deal("old"))
    load(deal("new"))
    with caplog.at_level(logging.INFO):
        assert activate(older, BOB) == "UploadActivated"
        event = activation_event(caplog)
    assert (event["event"], event["user"]) == (f"Upload {older.pk} activated.", "bob")
    assert event["request_id"]
    assert uploaders() == ["", ""]


def test_activation_in_the_admin_is_logged_with_the_account(caplog: pytest.LogCaptureFixture, client: Client) -> None:
    older = load(deal("old"))
    load(deal("new"))
    client.force_login(User.objects.create_superuser("root"))
    with caplog.at_level(logging.INFO):
        client.post("/admin/deals_api/upload/", {"action": "make_current", "_selected_action": [older.pk]})
        assert activation_event(caplog)["user"] == "root"


def test_log_level_of_the_api_includes_activations(settings: Settings) -> None:
    levels = {name: logger["level"] for name, logger in settings.LOGGING["loggers"].items()}
    assert levels["deals_api"] == "INFO"


# Shown


def names_in(response: Any) -> list[str]:
    return [upload["uploadedBy"] for upload in response.json()["data"]["uploads"]["nodes"]]


@with_tokens
@pytest.mark.parametrize("first", [ANN, None], ids=["with token first", "without token first"])
def test_only_token_holders_get_names_with_any_cached_response(first: str | None) -> None:
    upload(ANN)
    for secret in (first, None if first else ANN, first, "no token of this service"):
        visible = "ann" if secret == ANN else ""
        history, current = query(HISTORY, secret), query(CURRENT, secret)
        assert names_in(history) == [visible]
        assert current.json()["data"]["currentUpload"] == {"uploadedBy": visible}
        assert history["Cache-Control"] == current["Cache-Control"] == "no-store"
        assert "ETag" not in current


@with_tokens
def test_other_fields_of_the_current_upload_stay_cacheable() -> None:
    upload(ANN)
    assert "ETag" in query("{ currentUpload { fileName } }", ANN)


def test_without_configured_tokens_recorded_names_are_hidden() -> None:
    load(deal())
    Upload.objects.update(uploaded_by="ann")
    assert names_in(query(HISTORY, ANN)) == [""]


def test_admin_lists_and_filters_by_uploader(client: Client) -> None:
    for name in ("ann", "bob"):
        load(deal(name), name=f"{name}.csv")
        Upload.objects.filter(uploaded_by="").update(uploaded_by=name)
    client.force_login(User.objects.create_superuser("root"))
    page: Callable[..., str] = lambda **parameters: client.get("/admin/deals_api/upload/", parameters).text  # noqa: E731
    assert all(f'<td class="field-uploaded_by">{name}</td>' in page() for name in ("ann", "bob"))
    assert "ann.csv" not in page(uploaded_by="bob")
    assert "bob.csv" in page(uploaded_by="bob")
