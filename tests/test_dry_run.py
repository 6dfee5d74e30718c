"""Dry runs and reports of files, in REST, the command ``load_deals``, the upload history, GraphQL and the admin."""

from __future__ import annotations

import io
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from deals_api.errors import DealsError
from deals_api.formats import load_json
from deals_api.ingest.report import report_upload
from deals_api.ingest.service import check_deals, ingest_deals
from deals_api.models import FORMAT_FIELDS, Upload
from deals_api.rest.preferences import prefers_representation
from deals_api.security.throttling import counters
from deals_api.security.tokens import read_tokens
from tests.builders import HEADER, csv_of, deal, load, many
from tests.graphql import data
from tests.servers import REAL_FILE
from tests.test_commands import INVALID_FILE, command, write_file
from tests.test_logs import AccessLogReader, read_access_log
from tests.test_rest import UPLOAD, error_of, post

__all__ = ["read_access_log"]  # the fixture

pytestmark = pytest.mark.django_db

DRY_RUN = f"{UPLOAD}?dry_run=1"
PREFER = {"Prefer": "return=representation"}
OK = b'{"Status":"OK"}'

#: Windows-1251 with semicolons, decimal commas and dates that begin with the day.
RUSSIAN_FILE = """customer;item;total;quantity;date
Пётр;Цаворит;1 612,50;1;14.12.2018 8:29:52,5
Пётр;Сапфир;0,07;2;31.12.2018 23:59
Анна;Сапфир;100;3;2019-01-01 01:30:00+03:00
""".encode("cp1251")
RUSSIAN_REPORT = {
    "rows": 3,
    "customers": 2,
    "gems": 2,
    "first_date": "2018-12-14T08:29:52.500000Z",
    "last_date": "2018-12-31T23:59:00Z",
    "total": Decimal("1712.57"),
    "encoding": "Windows-1251",
    "delimiter": ";",
    "decimal_separator": ",",
    "date_format": "DD.MM.YYYY YYYY-MM-DD",
}
REAL_REPORT = {
    "rows": 767,
    "customers": 18,
    "gems": 25,
    "first_date": "2018-12-14T08:29:52.506166Z",
    "last_date": "2019-12-13T18:17:21.866834Z",
    "total": 1509597,
    "encoding": "UTF-8",
    "delimiter": ",",
    "decimal_separator": "",
    "date_format": "YYYY-MM-DD",
}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def post_raw(client: Client, content: bytes, path: str = UPLOAD, **headers: str) -> Any:
    return post(client, content, path, headers=headers)


def report_of(response: Any) -> Any:
    assert response.status_code == 200
    body = load_json(response.content)
    assert body.keys() == {"Status", "Report"}
    assert body["Status"] == "OK"
    return body["Report"]


# The report


@pytest.mark.parametrize(
    ("content", "expected"), [(RUSSIAN_FILE, RUSSIAN_REPORT), (REAL_FILE.read_bytes(), REAL_REPORT)]
)
def test_dry_run_upload_and_duplicate_have_the_same_report(
    client: Client, content: bytes, expected: dict[str, Any]
) -> None:
    assert report_of(post_raw(client, content, DRY_RUN)) == expected
    assert report_of(post_raw(client, content, **PREFER)) == expected
    assert report_of(post_raw(client, content, **PREFER)) == expected
    assert report_of(post_raw(client, content, DRY_RUN)) == expected
    assert Upload.objects.count() == 1


def test_total_is_an_exact_number(client: Client) -> None:
    content = csv_of(*(deal(total="999999999999.99") for _ in range(899)))
    for response in (post_raw(client, content, DRY_RUN), post_raw(client, content, **PREFER)):
        assert b'"total":898999999999991.01,' in response.content


def test_report_of_a_stored_upload_takes_one_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    load(deal("other", total="1000"))
    upload = load(*many(50, ["ann", "bob", "cid"]))
    load(deal("newer", total="1000"))
    with django_assert_num_queries(1):
        report = report_upload(upload).as_json()
    assert (report["rows"], report["customers"], report["total"]) == (50, 3, 50)


def test_report_of_an_upload_of_an_earlier_version_has_totals_and_no_format() -> None:
    ingest_deals(io.BytesIO(RUSSIAN_FILE), "deals.csv")
    Upload.objects.update(**dict.fromkeys(FORMAT_FIELDS, ""))
    upload = Upload.objects.current()
    assert upload is not None
    assert report_upload(upload).as_json() == RUSSIAN_REPORT | dict.fromkeys(FORMAT_FIELDS, "")


@pytest.mark.parametrize(
    "change", [{"state": Upload.State.RETIRED}, {"snapshot": uuid.uuid4()}], ids=["state", "snapshot"]
)
def test_report_never_has_sums_of_rows_that_are_being_deleted(change: dict[str, Any]) -> None:
    upload = load(deal())
    Upload.objects.update(**change)
    report = report_upload(upload).as_json()
    assert (report["rows"], report["total"], report["first_date"], report["last_date"]) == (1, None, None, None)


# Dry run in REST


def test_dry_run_uses_neither_the_database_nor_the_cache(
    client: Client, limits: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        load(deal(f"old {number}"))
    limits(keep_uploads=2)  # the next run of the retention would delete an upload
    before = client.get(UPLOAD)
    for content in (csv_of(deal("new")), csv_of(deal("old 2")), INVALID_FILE):
        with django_assert_num_queries(0):
            post_raw(client, content, DRY_RUN)
    assert list(Upload.objects.values_list("state", flat=True)) == ["loaded"] * 3
    after = client.get(UPLOAD)
    assert (after.content, after["ETag"]) == (before.content, before["ETag"])


def test_dry_run_accepts_a_csv_body(client: Client) -> None:
    response = client.post(DRY_RUN, RUSSIAN_FILE, "text/csv")
    assert report_of(response) == RUSSIAN_REPORT
    assert not Upload.objects.exists()


def test_dry_run_0_is_an_upload(client: Client) -> None:
    assert post_raw(client, csv_of(deal("new")), f"{UPLOAD}?dry_run=0").content == OK
    assert client.get(UPLOAD).json()["response"][0]["username"] == "new"


@pytest.mark.parametrize("query", ["dry_run=", "dry_run=2", "dry_run=true", "dry_run=1&dry_run=1", "dry_run=1&mode=x"])
def test_other_values_and_parameters_are_rejected(client: Client, query: str) -> None:
    assert error_of(post_raw(client, csv_of(deal()), f"{UPLOAD}?{query}"), 400)["Code"] == "invalid"
    assert not Upload.objects.exists()


def test_get_does_not_accept_dry_run(client: Client) -> None:
    assert error_of(client.get(DRY_RUN), 400)["Desc"] == "dry_run: Unknown parameter 'dry_run'."


REJECTED = {
    "invalid cells": INVALID_FILE,
    "not CSV": b"%PDF-1.7",
    "empty": b"",
    "no deals": HEADER.encode(),
    "too many rows": csv_of(*many(6)),
    "too many names": csv_of(*many(5, "abcd")),
    "too many bytes": csv_of(deal("a" * 250), deal("b" * 250)),
}


@pytest.mark.parametrize("content", REJECTED.values(), ids=REJECTED)
def test_dry_run_rejects_what_an_upload_rejects(client: Client, limits: Any, content: bytes) -> None:
    limits(max_rows=5, max_names=3, max_upload_bytes=500)
    checked, uploaded = post_raw(client, content, DRY_RUN), post_raw(client, content)
    assert checked.status_code in (400, 413)
    assert (checked.status_code, checked.content) == (uploaded.status_code, uploaded.content)


def test_dry_run_rejects_sums_that_are_too_large() -> None:
    content = csv_of(*[deal(total="999999999999.99")] * 92_235)
    for read in (check_deals, lambda file: ingest_deals(file, "deals.csv")):
        with pytest.raises(DealsError, match=r"add up to more than 92233720368547758\.07\."):
            read(io.BytesIO(content))


def test_dry_run_requires_a_token_and_an_allowed_origin_as_an_upload_does(client: Client, settings: Settings) -> None:
    assert error_of(post_raw(client, csv_of(deal()), DRY_RUN, Origin="https://other.example"), 403)
    settings.API_TOKENS = read_tokens("ann:correct horse battery")
    assert error_of(post_raw(client, csv_of(deal()), DRY_RUN), 401)["Code"] == "token_required"
    authorized = {"Authorization": "Bearer correct horse battery"}
    assert report_of(post_raw(client, csv_of(deal()), DRY_RUN, **authorized))["rows"] == 1


def test_dry_runs_and_uploads_share_a_rate_limit(client: Client, limits: Any) -> None:
    limits(uploads_per_minute=2)
    counters.clear()
    statuses = [post_raw(client, csv_of(deal()), path).status_code for path in (DRY_RUN, UPLOAD, DRY_RUN, DRY_RUN)]
    assert statuses == [200, 200, 429, 429]


def test_outcome_of_a_dry_run_is_logged(client: Client, read_access_log: AccessLogReader) -> None:
    for content, path in ((csv_of(deal()), DRY_RUN), (INVALID_FILE, DRY_RUN), (csv_of(deal()), UPLOAD)):
        post_raw(client, content, path)
    client.get(UPLOAD)
    assert [(line["upload"], line["code"]) for line in read_access_log()] == [
        ("checked", ""), ("checked", "bad_cells"), ("loaded", ""), ("", "")
    ]  # fmt: skip


# Prefer


@pytest.mark.parametrize(
    "prefer",
    [
        "return=representation",
        "Return = Representation",
        'respond-async, wait=10 , return="representation"; x=1',
        'note="a, b", return=representation',
        "return=representation, return=minimal",
    ],
)
def test_preference_for_the_representation_is_recognised(prefer: str) -> None:
    assert prefers_representation(prefer)


@pytest.mark.parametrize(
    "prefer",
    [
        "",
        "return",
        "return=minimal",
        "representation",
        "returns=representation",
        "wait=10; return=representation",
        'note="x, return=representation"',
        "return=minimal, return=representation",
        ',=,;,"',
    ],
)
def test_other_preferences_are_ignored(prefer: str) -> None:
    assert not prefers_representation(prefer)


def test_preference_is_confirmed_only_if_it_is_applied(client: Client) -> None:
    plain, other = post_raw(client, csv_of(deal("a"))), post_raw(client, csv_of(deal("b")), Prefer="return=minimal")
    for response in (plain, other):
        assert response.content == OK
        assert "Preference-Applied" not in response
    for path in (UPLOAD, DRY_RUN):
        applied = post_raw(client, csv_of(deal("c")), path, **PREFER)
        assert applied["Preference-Applied"] == "return=representation"
    assert "Preference-Applied" not in post_raw(client, INVALID_FILE, **PREFER)


# Command line


@pytest.fixture
def without_database() -> dict[str, str]:
    """The environment of a command whose database does not exist."""
    return {"DATABASE_URL": "postgres://deals@127.0.0.1:1/deals", "REDIS_URL": ""}


@pytest.mark.database_independent
def test_command_prints_the_report_without_a_database(without_database: dict[str, str], tmp_path: Path) -> None:
    done = command(without_database, "load_deals", "--dry-run", write_file(RUSSIAN_FILE, tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        "The file is valid; nothing was stored.",
        "",
        "rows               3",
        "customers          2",
        "gems               2",
        "first_date         2018-12-14T08:29:52.500000Z",
        "last_date          2018-12-31T23:59:00Z",
        "total              1712.57",
        "encoding           Windows-1251",
        "delimiter          ;",
        "decimal_separator  ,",
        "date_format        DD.MM.YYYY YYYY-MM-DD",
    ]


@pytest.mark.database_independent
def test_command_prints_unknown_and_invisible_values(without_database: dict[str, str], tmp_path: Path) -> None:
    content = csv_of(deal()).replace(b",", b"\t")
    lines = command(without_database, "load_deals", "--dry-run", "-", stdin=content).stdout.decode().splitlines()
    assert "delimiter          \\t" in lines
    assert "decimal_separator  none" in lines


@pytest.mark.database_independent
@pytest.mark.parametrize("content", [RUSSIAN_FILE, INVALID_FILE], ids=["valid", "invalid"])
def test_command_prints_the_rest_body_as_json(client: Client, without_database: dict[str, str], content: bytes) -> None:
    done = command(without_database, "load_deals", "--dry-run", "-", "--format", "json", stdin=content)
    response = post_raw(client, content, DRY_RUN)
    assert (done.returncode, done.stdout) == (int(response.status_code != 200), response.content + b"\n")


@pytest.mark.database_independent
def test_rejected_dry_run_and_missing_file_have_the_usual_exit_codes(without_database: dict[str, str]) -> None:
    rejected = command(without_database, "load_deals", "--dry-run", "-", stdin=INVALID_FILE)
    assert (rejected.returncode, rejected.stdout) == (1, b"")
    assert b"line  column" in rejected.stderr
    unreadable = command(without_database, "load_deals", "--dry-run", "-", stdin=b"%PDF-1.7")
    assert unreadable.stderr.splitlines() == [b"CommandError: The file is a PDF document."]
    assert command(without_database, "load_deals", "--dry-run", "no such.csv").returncode == 2


# Upload history


def history() -> list[tuple[str, ...]]:
    return list(Upload.objects.order_by("pk").values_list(*FORMAT_FIELDS))


def test_history_stores_the_format_of_accepted_and_rejected_files(client: Client) -> None:
    post_raw(client, RUSSIAN_FILE)
    post_raw(client, csv_of(deal(), deal(total="12x")).replace(b",", b"\t"))
    post_raw(client, b"%PDF-1.7")
    assert history() == [
        ("Windows-1251", ";", ",", "DD.MM.YYYY YYYY-MM-DD"), ("UTF-8", "\t", "", "YYYY-MM-DD"), ("", "", "", "")
    ]  # fmt: skip


def test_graphql_returns_the_format_and_null_for_unknown(client: Client) -> None:
    post_raw(client, b"%PDF-1.7")
    post_raw(client, RUSSIAN_FILE)
    fields = "{ encoding delimiter decimalSeparator dateFormat }"
    detected = {
        "encoding": "Windows-1251", "delimiter": ";", "decimalSeparator": ",", "dateFormat": "DD.MM.YYYY YYYY-MM-DD"
    }  # fmt: skip
    assert data(f"{{ currentUpload {fields} uploads {{ nodes {fields} }} }}") == {
        "currentUpload": detected, "uploads": {"nodes": [detected, dict.fromkeys(detected)]}
    }  # fmt: skip


def test_admin_shows_the_format(client: Client) -> None:
    post_raw(client, RUSSIAN_FILE)
    client.force_login(User.objects.create_superuser("root"))
    page = client.get("/admin/deals_api/upload/").text
    for name, value in zip(FORMAT_FIELDS, history()[0], strict=True):
        assert f'<td class="field-{name}">{value}</td>' in page
    assert "Windows-1251" in client.get(f"/admin/deals_api/upload/{Upload.objects.get().pk}/change/").text


# OpenAPI


def test_openapi_describes_the_report_and_the_invalid_cells(client: Client) -> None:
    document = client.get("/api/schema/", {"format": "json"}).json()
    schemas = document["components"]["schemas"]
    assert schemas["Report"]["properties"].keys() == report_of(post_raw(client, RUSSIAN_FILE, DRY_RUN)).keys()
    cell = schemas["Error"]["properties"]["Errors"]["items"]["properties"]
    for problem in post_raw(client, INVALID_FILE).json()["Errors"]:
        assert problem.keys() == cell.keys()
    parameters = {parameter["name"]: parameter for parameter in document["paths"][UPLOAD]["post"]["parameters"]}
    assert parameters["dry_run"]["schema"]["enum"] == ["0", "1"]
    assert parameters["Prefer"]["in"] == "header"
    assert "Preference-Applied" in document["paths"][UPLOAD]["post"]["responses"]["200"]["headers"]
