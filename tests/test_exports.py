"""Exports: contents, the exported upload, caching, and detection of incomplete files."""

from __future__ import annotations

import csv
import io
import json
import random
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from deals_api.global_ids import write_row_id, write_upload_id
from deals_api.models import Customer, Upload
from deals_api.reports import exports
from deals_api.reports import top_clients as top_clients_report
from deals_api.security.tokens import read_tokens
from deals_api.snapshots.lease import SnapshotGone
from deals_api.snapshots.retention import apply_retention
from tests.bench.files import write_deals
from tests.builders import HEADER, csv_of, deal, load, many
from tests.servers import NO_TLS, TIMEOUT, Server, serving
from tests.test_rest import error_of

pytestmark = pytest.mark.django_db

DEALS, RANKING = "/api/exports/deals", "/api/exports/top-clients"
FILES = [f"{DEALS}.csv", f"{DEALS}.ndjson", f"{RANKING}.csv", f"{RANKING}.ndjson"]
BYTE_ORDER_MARK = "\ufeff"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def get(client: Client, path: str, parameters: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """Request an export and read it to its end, into ``body``; until then it occupies an export slot."""
    response: Any = client.get(path, parameters, **kwargs)
    response.body = response.getvalue() if response.streaming else response.content
    return response


def download(client: Client, path: str, **parameters: Any) -> bytes:
    response = get(client, path, parameters)
    assert response.status_code == 200
    body: bytes = response.body
    return body


def rows_of(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")))[1:]


def objects_of(text: bytes) -> list[Any]:
    return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]


def send(client: Client, content: bytes) -> None:
    response = client.post("/api/upload/", {"deals": SimpleUploadedFile("deals.csv", content)})
    assert response.content == b'{"Status":"OK"}'


def file_of(*names: str) -> bytes:
    """Return a file in which each name is a customer that bought a gem with the same name."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER.split(","))
    writer.writerows([name, name, "1.5", "2", "2020-01-02 03:04:05"] for name in names)
    return text.getvalue().encode()


# Contents


def test_raw_export_of_the_real_file_is_identical(client: Client, real_file: bytes) -> None:
    send(client, real_file)
    assert download(client, f"{DEALS}.csv", raw=1) == real_file


def test_spreadsheet_export_adds_a_byte_order_mark(client: Client, real_file: bytes) -> None:
    send(client, real_file)
    assert download(client, f"{DEALS}.csv") == BYTE_ORDER_MARK.encode() + real_file


@pytest.mark.parametrize("raw", [0, 1])
def test_uploaded_export_gives_the_same_top_clients(client: Client, real_file: bytes, raw: int) -> None:
    send(client, real_file)
    before = client.get("/api/upload/?limit=100").content
    exported = download(client, f"{DEALS}.csv", raw=raw)
    load(deal("another customer"))
    send(client, exported)
    assert client.get("/api/upload/?limit=100").content == before


ODD_NAMES = [
    '"', '"quoted"', 'a"b', "semi;colon", "com,ma", ";", ",", "'", "'=1+1", "=1+1", "+7 900", "-x", "@ann", "a;=b",
    "\\", "\\n", "\\.", "NULL", "nan", "0", "007", "1e5", "é", "Ёжик", "👩‍🚀", "%s", "100%", "a\u202ertl", "﷽",
    "a\u2028b", "a  b", "wide\u200bspace", "#", "x" * 255,
]  # fmt: skip


def test_unusual_names_survive_export_and_upload(client: Client) -> None:
    send(client, file_of(*ODD_NAMES))
    exported = download(client, f"{DEALS}.csv", raw=1)
    assert exported == file_of(*ODD_NAMES)
    assert [row[:2] for row in rows_of(exported)] == [[name, name] for name in ODD_NAMES]
    assert [item["customer"] for item in objects_of(download(client, f"{DEALS}.ndjson"))] == ODD_NAMES
    before = client.get("/api/upload/?limit=100").content
    load(deal("another customer"))
    send(client, exported)
    assert client.get("/api/upload/?limit=100").content == before
    assert download(client, f"{DEALS}.csv", raw=1) == exported


@pytest.mark.parametrize(
    ("total", "in_csv", "in_json"),
    [
        ("612", "612", "612"),
        ("100.50", "100.5", "100.5"),
        ("0", "0", "0"),
        ("0.01", "0.01", "0.01"),
        ("0.10", "0.1", "0.1"),
        ("1.09", "1.09", "1.09"),
        ("1000000", "1000000", "1000000"),
        ("999999999999.99", "999999999999.99", "999999999999.99"),
    ],
)
def test_money_is_written_exactly(client: Client, total: str, in_csv: str, in_json: str) -> None:
    load(deal(total=total))
    assert rows_of(download(client, f"{DEALS}.csv"))[0][2] == in_csv
    assert f'"total":{in_json},' in download(client, f"{DEALS}.ndjson").decode()


@pytest.mark.parametrize(
    ("date", "in_csv", "in_json"),
    [
        ("2018-12-14 08:29:52.506166", "2018-12-14 08:29:52.506166", "2018-12-14T08:29:52.506166+00:00"),
        ("2018-12-14T08:29:52", "2018-12-14 08:29:52", "2018-12-14T08:29:52+00:00"),
        ("2018-12-14 08:29:52.5+03:00", "2018-12-14 05:29:52.500000", "2018-12-14T05:29:52.500000+00:00"),
        ("2018-12-14 08:29:52.000000", "2018-12-14 08:29:52", "2018-12-14T08:29:52+00:00"),
        ("2018-12-14 08:29:52.000001", "2018-12-14 08:29:52.000001", "2018-12-14T08:29:52.000001+00:00"),
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_dates_are_written_in_utc(client: Client, date: str, in_csv: str, in_json: str) -> None:
    load(deal(date=date))
    assert rows_of(download(client, f"{DEALS}.csv"))[0][4] == in_csv
    assert objects_of(download(client, f"{DEALS}.ndjson"))[0]["date"] == in_json


@pytest.mark.usefixtures("postgresql_only")
def test_dates_do_not_depend_on_the_settings_of_the_session(client: Client) -> None:
    load(deal(date="2018-12-14 08:29:52.5"))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
    assert rows_of(download(client, f"{DEALS}.csv"))[0][4] == "2018-12-14 08:29:52.500000"


def test_every_cent_is_written(client: Client) -> None:
    load(*(deal(total=f"7.{cents:02}") for cents in range(100)))
    expected = ["7", *(f"7.{cents:02}".rstrip("0") for cents in range(1, 100))]
    assert [row[2] for row in rows_of(download(client, f"{DEALS}.csv"))] == expected
    lines = download(client, f"{DEALS}.ndjson").decode().splitlines()
    assert [json.loads(line, parse_int=str, parse_float=str)["total"] for line in lines] == expected


def test_ndjson_is_what_a_json_library_writes(client: Client) -> None:
    send(client, file_of(*ODD_NAMES))
    for line in download(client, f"{DEALS}.ndjson").decode().split("\n")[:-1]:
        assert json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")) == line


def test_sums_of_exported_deals_equal_the_ranking(client: Client, real_file: bytes) -> None:
    send(client, real_file)
    spent: dict[str, Decimal] = {}
    for item in objects_of(download(client, f"{DEALS}.ndjson")):
        spent[item["customer"]] = spent.get(item["customer"], Decimal()) + item["total"]
    ranking = objects_of(download(client, f"{RANKING}.ndjson", limit=100))
    assert {item["username"]: item["spent_money"] for item in ranking} == spent


@pytest.mark.parametrize("limit", [None, 1, 5, 100])
def test_exported_ranking_equals_top_clients(client: Client, real_file: bytes, limit: int | None) -> None:
    send(client, real_file)
    params = {} if limit is None else {"limit": limit}
    ranking = client.get("/api/top-clients/", params).json()["response"]
    assert objects_of(download(client, f"{RANKING}.ndjson", **params)) == ranking
    assert rows_of(download(client, f"{RANKING}.csv", **params)) == [
        [item["username"], str(item["spent_money"]), ", ".join(item["gems"])] for item in ranking
    ]


def test_exports_are_empty_before_the_first_upload(client: Client) -> None:
    assert download(client, f"{DEALS}.csv", raw=1).decode() == "customer,item,total,quantity,date\r\n"
    assert download(client, f"{RANKING}.csv", raw=1).decode() == "username,spent_money,gems\r\n"
    assert download(client, f"{DEALS}.ndjson") == download(client, f"{RANKING}.ndjson") == b""


@pytest.mark.parametrize("rows", [1, *(exports.CHUNK_ROWS + more for more in (-1, 0, 1)), 2 * exports.CHUNK_ROWS])
def test_no_row_is_lost_between_two_chunks(client: Client, rows: int) -> None:
    load(*(deal(total=str(number)) for number in range(rows)))
    assert [int(row[2]) for row in rows_of(download(client, f"{DEALS}.csv"))] == list(range(rows))


# Formulas


@pytest.mark.parametrize(
    ("name", "neutral"),
    [
        ("=HYPERLINK(0)", "'=HYPERLINK(0)"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("a;=1;b;-2", "a;'=1;b;'-2"),
        ("a; =1;\u00a0+2", "a;' =1;'\u00a0+2"),
        *((f"{sign}1;{sign}2", f"'{sign}1;'{sign}2") for sign in "\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        ("a-b", "a-b"),
    ],
)
def test_formulas_are_neutralised_for_spreadsheets(client: Client, name: str, neutral: str) -> None:
    send(client, file_of(name, "bob") + f"bob,{name},1,1,2020-01-02 03:04:05".encode())
    assert rows_of(download(client, f"{DEALS}.csv"))[0][:2] == [neutral, neutral]
    assert rows_of(download(client, f"{RANKING}.csv"))[1][0] == neutral
    assert rows_of(download(client, f"{RANKING}.csv"))[1][2] == neutral
    assert rows_of(download(client, f"{DEALS}.csv", raw=1))[0][:2] == [name, name]
    assert objects_of(download(client, f"{DEALS}.ndjson"))[0]["customer"] == name


def file_name(response: Any) -> str:
    return str(response["Content-Disposition"]).partition("filename=")[2].strip('"')


@pytest.mark.parametrize("name", ["=1", "a;-b", "\uff1d1", "a; \uff20b"])
@pytest.mark.parametrize("column", ["customer", "item"])
def test_file_name_states_that_names_are_neutralised(client: Client, name: str, column: str) -> None:
    load(deal(**{column: name}))
    assert file_name(client.head(f"{DEALS}.csv")).endswith("-neutralised.csv")
    for path in (f"{DEALS}.csv?raw=1", f"{DEALS}.ndjson"):
        assert "neutralised" not in file_name(client.head(path))
    load(deal("a=1", "b-2"))
    assert "neutralised" not in file_name(client.head(f"{DEALS}.csv"))


def test_uploaded_neutralised_export_keeps_its_apostrophes(client: Client) -> None:
    """Uploads do not change names; ``?raw=1`` exports the original names."""
    send(client, file_of("=1", "ann"))
    send(client, download(client, f"{DEALS}.csv"))
    assert [row[0] for row in rows_of(download(client, f"{DEALS}.csv", raw=1))] == ["'=1", "ann"]


# The exported upload


ID_FORMATS: dict[str, Callable[[Upload], str]] = {
    "GraphQL's id": lambda upload: write_upload_id(upload.snapshot),
    "UUID": lambda upload: str(upload.snapshot),
    "UUID without dashes": lambda upload: upload.snapshot.hex,
}


@pytest.mark.parametrize("id_of", ID_FORMATS.values(), ids=ID_FORMATS)
@pytest.mark.parametrize("path", FILES)
def test_any_retained_upload_can_be_exported(client: Client, path: str, id_of: Callable[[Upload], str]) -> None:
    old = load(deal("old"))
    old_export = download(client, path)
    new = load(deal("new"))
    assert b"new" in download(client, path)
    assert download(client, path, upload=id_of(old)) == old_export
    assert download(client, path, upload=id_of(new)) == download(client, path)


@pytest.mark.parametrize("path", FILES)
def test_upload_that_is_not_retained_is_404(client: Client, path: str, limits: Any) -> None:
    pruned = load(deal("old"))
    load(deal("new"))
    load(deal("newest"))
    limits(keep_uploads=2)
    apply_retention(settings.DEALS_LIMITS)
    refused = Upload.objects.create(file_name="x", sha256="x", size=1, state=Upload.State.REFUSED)
    unknown = [
        str(pruned.snapshot), write_upload_id(pruned.snapshot), str(refused.snapshot),
        write_row_id("Customer", 1, pruned.snapshot),
        "00000000-0000-0000-0000-000000000000", "1", "", "x", "\0", "é", "VXBsb2FkOg==", "a" * 3000,
    ]  # fmt: skip
    for upload in unknown:
        assert error_of(client.get(path, {"upload": upload}), 404)["Code"] == "upload_not_retained"


@pytest.mark.parametrize(
    "url",
    [
        f"{DEALS}.csv?limit=5", f"{DEALS}.csv?raw=2", f"{DEALS}.csv?raw=", f"{DEALS}.csv?raw=true",
        f"{DEALS}.csv?raw=1&raw=1", f"{DEALS}.csv?uplaod=x", f"{DEALS}.ndjson?raw=1", f"{RANKING}.csv?limit=0",
        f"{RANKING}.csv?limit=101", f"{RANKING}.ndjson?raw=1", f"{RANKING}.ndjson?format=csv",
    ],
)  # fmt: skip
def test_invalid_parameters_are_400(client: Client, url: str) -> None:
    load(deal())
    error_of(client.get(url), 400)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "image/png"])
def test_url_decides_the_format_and_accept_does_not(client: Client, path: str, accept: str) -> None:
    load(deal())
    media_type = "text/csv; charset=utf-8" if path.endswith("csv") else "application/x-ndjson"
    assert get(client, path, headers={"Accept": accept})["Content-Type"] == media_type
    error_of(get(client, path, {"upload": "x"}, headers={"Accept": accept}), 404)


@pytest.mark.parametrize("path", FILES)
def test_exports_are_read_only_and_respect_read_requires_token(client: Client, settings: Settings, path: str) -> None:
    load(deal())
    error_of(client.post(path), 405)
    settings.API_TOKENS = read_tokens("ann:correct horse battery")
    settings.READ_REQUIRES_TOKEN = True
    error_of(get(client, path), 401)
    assert get(client, path, headers={"Authorization": "Bearer correct horse battery"}).status_code == 200


# Caching by clients


@pytest.mark.parametrize("path", FILES)
def test_unchanged_export_is_304(client: Client, path: str) -> None:
    first_upload = load(deal("ann"))
    first = get(client, path)
    assert first["Cache-Control"] == "no-cache"
    assert file_name(first).startswith(Path(path).stem)
    assert first_upload.snapshot.hex[:8] in file_name(first)
    repeated = get(client, path, headers={"If-None-Match": first["ETag"]})
    assert (repeated.status_code, repeated.body) == (304, b"")
    load(deal("bob"))
    assert get(client, path, headers={"If-None-Match": first["ETag"]}).status_code == 200
    selected = get(client, path, {"upload": str(first_upload.snapshot)}, headers={"If-None-Match": first["ETag"]})
    assert selected.status_code == 304


def test_different_exports_have_different_etags(client: Client) -> None:
    load(deal())
    etags = [
        get(client, url)["ETag"]
        for url in [*FILES, f"{DEALS}.csv?raw=1", f"{RANKING}.csv?raw=1", f"{RANKING}.csv?limit=1", "/api/upload/"]
    ]
    assert len(set(etags)) == len(etags)
    assert get(client, f"{RANKING}.csv?limit=5&raw=0")["ETag"] == get(client, f"{RANKING}.csv")["ETag"]


@pytest.mark.parametrize("path", FILES)
def test_head_has_the_headers_of_get_without_reading_deals(client: Client, path: str) -> None:
    load(deal())
    with CaptureQueriesContext(connection) as captured:
        head = client.head(path)
    assert head.getvalue() == b""
    assert not any("deals_api_deal" in statement["sql"] for statement in captured)
    full = get(client, path)
    for name in ("ETag", "Content-Type", "Content-Disposition", "Cache-Control"):
        assert head[name] == full[name]


# Chunks


def test_rows_are_read_on_demand_outside_a_transaction(client: Client, transactional_db: None) -> None:
    load(*many(3 * exports.CHUNK_ROWS))
    with CaptureQueriesContext(connection) as captured:
        chunks = iter(client.get(f"{DEALS}.csv"))
        assert next(chunks)
        reads_before_first = len(reads(captured))
        assert not connection.in_atomic_block
        assert b"".join(chunks).count(b"\n") == 2 * exports.CHUNK_ROWS
    assert (reads_before_first, len(reads(captured))) == (1, 3)
    assert not any("OFFSET" in statement for statement in reads(captured))


@pytest.mark.usefixtures("sqlite_only")
def test_chunk_is_read_by_primary_key_on_sqlite() -> None:
    """A condition on the upload of the customers would make SQLite read all of them and the deals of each."""
    upload = load(deal("ann"))
    with CaptureQueriesContext(connection) as captured:
        list(exports.deals(upload).chunks)
    [statement] = reads(captured)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
        first_step = cursor.fetchone()[3]
    assert first_step.startswith("SEARCH deals_api_deal")
    assert first_step.endswith("INTEGER PRIMARY KEY (rowid>? AND rowid<?)")


def reads(captured: CaptureQueriesContext) -> list[str]:
    return [statement["sql"] for statement in captured if "deals_api_deal" in statement["sql"]]


def peak_of_download(client: Client, path: str) -> int:
    tracemalloc.start()
    try:
        for chunk in iter(client.get(path)):
            assert chunk
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", FILES[:2])
def test_memory_does_not_grow_with_the_number_of_rows(
    client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK_ROWS", 500)  # tracing of memory is slow
    peaks = []
    for chunks in (2, 8):
        load(*many(chunks * exports.CHUNK_ROWS))
        peak_of_download(client, path)  # warm-up: creates cached objects
        # Background threads may allocate memory during one download, but not during each of three.
        peaks.append(min(peak_of_download(client, path) for _ in range(3)))
    assert peaks[1] < 1.3 * peaks[0]


def test_ranking_is_read_in_chunks_of_bounded_gem_count(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)  # noqa: S311
    names = [f"client {number}" for number in range(30)]
    load(*(deal(rng.choice(names), f"gem {rng.randrange(60)}", str(rng.randrange(9))) for _ in range(400)))
    upload = Upload.objects.get()
    expected = top_clients_report.top_clients(upload, 20)
    monkeypatch.setattr(top_clients_report, "CHUNK_GEMS", 25)
    chunks = list(top_clients_report.iter_top_clients(upload, 20))
    assert [item for chunk in chunks for item in chunk] == expected
    assert len(chunks) > 5
    assert any(item.gems for item in expected)
    counts = dict(Customer.objects.values_list("pk", "gem_count"))
    assert all(len(chunk) == 1 or sum(counts[item.customer_id] for item in chunk) <= 25 for chunk in chunks)


# Aborted exports


def chunks_of(client: Client, path: str, interrupt: Callable[[], object]) -> Iterator[bytes]:
    """Yield the chunks of a download, and call ``interrupt`` after the first one."""
    chunks = iter(client.get(path))
    yield next(chunks)
    interrupt()
    yield from chunks


def prune_all_but_the_newest(limits: Any) -> None:
    limits(keep_uploads=2)
    for name in ("new", "newer", "newest"):
        load(deal(name))
    apply_retention(settings.DEALS_LIMITS)


@pytest.mark.parametrize("path", FILES[:2])
def test_export_of_a_pruned_upload_is_aborted(client: Client, path: str, limits: Any) -> None:
    load(*many(3 * exports.CHUNK_ROWS))
    with pytest.raises(BrokenPipeError) as aborted:
        list(chunks_of(client, path, lambda: prune_all_but_the_newest(limits)))
    assert isinstance(aborted.value.__cause__, SnapshotGone)


def test_export_is_aborted_if_half_of_a_chunk_is_pruned(client: Client, limits: Any) -> None:
    """Pruning also deletes the names of deals that still exist."""
    upload = load(*many(3 * exports.CHUNK_ROWS))

    def prune_names() -> None:
        Customer.objects.rows_between(upload, 1, 2).delete()

    with pytest.raises(BrokenPipeError):
        list(chunks_of(client, f"{DEALS}.csv", prune_names))


def test_ranking_of_an_upload_pruned_during_reading_is_not_exported(
    client: Client, limits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = load(deal("old"))
    read = top_clients_report.iter_top_clients

    def read_and_prune(*arguments: Any) -> Any:
        chunks = list(read(*arguments))
        prune_all_but_the_newest(limits)
        return chunks

    monkeypatch.setattr(top_clients_report, "iter_top_clients", read_and_prune)
    error_of(client.get(f"{RANKING}.csv", {"upload": str(upload.snapshot)}), 503)
    error_of(client.get(f"{RANKING}.csv", {"upload": str(upload.snapshot)}), 404)


def test_export_completes_during_another_upload(client: Client, limits: Any) -> None:
    load(*many(3 * exports.CHUNK_ROWS))
    body = b"".join(chunks_of(client, f"{DEALS}.csv", lambda: load(deal("another"))))
    assert body.count(b"\n") == 3 * exports.CHUNK_ROWS + 1
    assert b"another" not in body


@pytest.mark.parametrize("error", [SnapshotGone(), OperationalError("gone")], ids=repr)
@pytest.mark.parametrize("path", FILES)
def test_errors_before_the_first_row_are_error_responses(
    client: Client, path: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(deal())

    def fail(*_: object) -> Iterator[Any]:
        raise error
        yield []

    monkeypatch.setattr(exports, "_deals", fail)
    monkeypatch.setattr(exports, "_top_clients", fail)
    for protocol in ("HTTP/1.0", "HTTP/1.1"):
        response = client.get(path, SERVER_PROTOCOL=protocol)
        assert error_of(response, 503)["Code"] == "database_busy"
        assert response["Retry-After"] == "2"
    assert "Content-Disposition" not in response


@pytest.mark.django_db(transaction=True)
def test_exports_occupy_at_most_half_of_the_threads(client: Client) -> None:
    load(*many(2 * exports.CHUNK_ROWS))
    with ExitStack() as stack:
        for _ in range(max(1, settings.WEB_THREADS // 2)):
            stack.callback(client.get(f"{DEALS}.csv").close)
        response = client.get(f"{DEALS}.ndjson")
        assert error_of(response, 429)["Code"] == "too_many_requests"
        assert response["Retry-After"] == "5"
        assert client.head(f"{DEALS}.csv").status_code == client.get("/api/upload/").status_code == 200
    assert download(client, f"{DEALS}.ndjson").count(b"\n") == 2 * exports.CHUNK_ROWS


@pytest.mark.django_db(transaction=True)
def test_failed_and_closed_exports_release_their_slots(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    load(deal())
    for _ in range(settings.WEB_THREADS):
        download(client, f"{DEALS}.csv")
        client.get(f"{DEALS}.csv").close()  # without reading it
    monkeypatch.setattr(exports, "_deals", lambda _: iter([[("a", object())]]))
    for _ in range(settings.WEB_THREADS):
        error_of(client.get(f"{DEALS}.csv"), 500)
    monkeypatch.undo()
    assert get(client, f"{DEALS}.csv").status_code == 200


def test_exports_count_against_the_rate_limit(client: Client, limits: Any) -> None:
    load(deal())
    limits(computations_per_minute=2)
    assert [get(client, path).status_code for path in FILES[:3]] == [200, 200, 429]


# Over a real connection


def large_file(folder: Path, rows: int) -> bytes:
    path = folder / "large.csv"
    write_deals(path, rows)
    return path.read_bytes()


def connect(server: Server, protocol: str) -> socket.socket:
    """Request all deals with a small receive buffer, so that little data is in transit."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(TIMEOUT)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET {DEALS}.ndjson {protocol}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return client


def test_client_detects_an_aborted_export(tmp_path: Path, environment: dict[str, str]) -> None:
    max_in_transit = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    rows = max_in_transit // 100 + 20_000
    with serving(tmp_path, **environment, KEEP_UPLOADS="2") as server:
        assert server.upload(large_file(tmp_path, rows)).status_code == 200
        with connect(server, "HTTP/1.1") as client:
            received = [client.recv(1000)]
            for name in ("new", "newer", "newest"):
                assert server.upload(csv_of(deal(name))).status_code == 200
            while data := client.recv(1 << 20):
                received.append(data)
        response = b"".join(received)
        assert b"Transfer-Encoding: chunked" in response
        assert response.count(b'"customer"') < rows
        assert not response.endswith(b"0\r\n\r\n")
        log = server.log.read_text()
        assert "Export aborted" in log
        assert "Traceback" not in log
        assert server.get().json()["response"][0]["username"] == "newest"


def test_uninterrupted_export_is_complete(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as server:
        server.upload(large_file(tmp_path, 5_000))
        export = server.get(f"{DEALS}.ndjson")
        assert export.content.count(b"\n") == 5_000
        with connect(server, "HTTP/1.1") as client, client.makefile("rb") as response:
            assert response.read().endswith(b"0\r\n\r\n")
        with connect(server, "HTTP/1.0") as client, client.makefile("rb") as response:
            head, _, body = response.read().partition(b"\r\n\r\n")
        assert f"Content-Length: {len(export.content)}".encode() in head.splitlines()
        assert body == export.content
        assert httpx.head(server.url + f"{DEALS}.ndjson", verify=NO_TLS).headers["ETag"] == export.headers["ETag"]
        assert "WARNING" not in server.log.read_text()
