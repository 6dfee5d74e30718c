"""Whole tables as files: what is in them, which upload they are of, and that none is short unnoticed."""

from __future__ import annotations

import csv
import io
import json
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
from tests.servers import TIMEOUT, Server, serving
from tests.test_rest import refusal

pytestmark = pytest.mark.django_db

DEALS, RANKING = "/api/exports/deals", "/api/exports/top-clients"
FILES = [f"{DEALS}.csv", f"{DEALS}.ndjson", f"{RANKING}.csv", f"{RANKING}.ndjson"]
BYTE_ORDER_MARK = "\ufeff"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def ask(client: Client, path: str, parameters: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """An answer that is read to its end, as ``body``: until then it holds a thread's place."""
    answer: Any = client.get(path, parameters, **kwargs)
    answer.body = answer.getvalue() if answer.streaming else answer.content
    return answer


def taken(client: Client, path: str, **parameters: Any) -> bytes:
    """The bytes of a whole download."""
    answer = ask(client, path, parameters)
    assert answer.status_code == 200
    body: bytes = answer.body
    return body


def rows_of(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")))[1:]


def objects_of(text: bytes) -> list[Any]:
    return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]


def send(client: Client, content: bytes) -> None:
    answer = client.post("/api/upload/", {"deals": SimpleUploadedFile("deals.csv", content)})
    assert answer.content == b'{"Status":"OK"}'


def file_of(*names: str) -> bytes:
    """A file in which each name buys from itself."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER.split(","))
    writer.writerows([name, name, "1.5", "2", "2020-01-02 03:04:05"] for name in names)
    return text.getvalue().encode()


# What is in them


def test_the_real_file_comes_out_as_it_went_in(client: Client, real_file: bytes) -> None:
    send(client, real_file)
    assert taken(client, f"{DEALS}.csv", raw=1) == real_file


def test_a_spreadsheet_gets_the_same_after_a_byte_order_mark(client: Client, real_file: bytes) -> None:
    send(client, real_file)
    assert taken(client, f"{DEALS}.csv") == BYTE_ORDER_MARK.encode() + real_file


@pytest.mark.parametrize("raw", [0, 1])
def test_an_export_of_the_real_file_can_be_uploaded_and_gives_the_same_answer(
    client: Client, real_file: bytes, raw: int
) -> None:
    send(client, real_file)
    before = client.get("/api/upload/?limit=100").content
    exported = taken(client, f"{DEALS}.csv", raw=raw)
    load(deal("somebody else"))
    send(client, exported)
    assert client.get("/api/upload/?limit=100").content == before


ODD_NAMES = [
    '"', '"quoted"', 'a"b', "semi;colon", "com,ma", ";", ",", "'", "'=1+1", "=1+1", "+7 900", "-x", "@ann", "a;=b",
    "\\", "\\n", "\\.", "NULL", "nan", "0", "007", "1e5", "é", "Ёжик", "👩‍🚀", "‮rtl", "﷽", "a\u2028b",
    "a  b", "\u200bwide", "#", "x" * 255,
]  # fmt: skip


def test_odd_names_come_out_and_go_in_again_unchanged(client: Client) -> None:
    send(client, file_of(*ODD_NAMES))
    exported = taken(client, f"{DEALS}.csv", raw=1)
    assert [row[:2] for row in rows_of(exported)] == [[name, name] for name in ODD_NAMES]
    assert [one["customer"] for one in objects_of(taken(client, f"{DEALS}.ndjson"))] == ODD_NAMES
    before = client.get("/api/upload/?limit=100").content
    load(deal("somebody else"))
    send(client, exported)
    assert client.get("/api/upload/?limit=100").content == before
    assert taken(client, f"{DEALS}.csv", raw=1) == exported


@pytest.mark.parametrize(
    ("total", "in_csv", "in_json"),
    [
        ("612", "612", "612"),
        ("100.50", "100.5", "100.5"),
        ("0", "0", "0"),
        ("0.01", "0.01", "0.01"),
        ("1000000", "1000000", "1000000"),
        ("999999999999.99", "999999999999.99", "999999999999.99"),
    ],
)
def test_money_is_written_exactly(client: Client, total: str, in_csv: str, in_json: str) -> None:
    load(deal(total=total))
    assert rows_of(taken(client, f"{DEALS}.csv"))[0][2] == in_csv
    assert f'"total":{in_json},' in taken(client, f"{DEALS}.ndjson").decode()


@pytest.mark.parametrize(
    ("date", "in_csv", "in_json"),
    [
        ("2018-12-14 08:29:52.506166", "2018-12-14 08:29:52.506166", "2018-12-14T08:29:52.506166+00:00"),
        ("2018-12-14T08:29:52", "2018-12-14 08:29:52", "2018-12-14T08:29:52+00:00"),
        ("2018-12-14 08:29:52.5+03:00", "2018-12-14 05:29:52.500000", "2018-12-14T05:29:52.500000+00:00"),
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_dates_are_written_in_utc(client: Client, date: str, in_csv: str, in_json: str) -> None:
    load(deal(date=date))
    assert rows_of(taken(client, f"{DEALS}.csv"))[0][4] == in_csv
    assert objects_of(taken(client, f"{DEALS}.ndjson"))[0]["date"] == in_json


def test_the_deals_add_up_to_the_ranking(client: Client, real_file: bytes) -> None:
    send(client, real_file)
    spent: dict[str, Decimal] = {}
    for one in objects_of(taken(client, f"{DEALS}.ndjson")):
        spent[one["customer"]] = spent.get(one["customer"], Decimal()) + one["total"]
    ranking = objects_of(taken(client, f"{RANKING}.ndjson", limit=100))
    assert {one["username"]: one["spent_money"] for one in ranking} == spent


@pytest.mark.parametrize("limit", [None, 1, 5, 100])
def test_the_ranking_is_the_one_that_rest_gives(client: Client, real_file: bytes, limit: int | None) -> None:
    send(client, real_file)
    asked = {} if limit is None else {"limit": limit}
    ranking = client.get("/api/top-clients/", asked).json()["response"]
    assert objects_of(taken(client, f"{RANKING}.ndjson", **asked)) == ranking
    assert rows_of(taken(client, f"{RANKING}.csv", **asked)) == [
        [one["username"], str(one["spent_money"]), ", ".join(one["gems"])] for one in ranking
    ]


def test_before_the_first_upload_there_are_no_rows(client: Client) -> None:
    assert taken(client, f"{DEALS}.csv", raw=1).decode() == "customer,item,total,quantity,date\r\n"
    assert taken(client, f"{RANKING}.csv", raw=1).decode() == "username,spent_money,gems\r\n"
    assert taken(client, f"{DEALS}.ndjson") == taken(client, f"{RANKING}.ndjson") == b""


@pytest.mark.parametrize("rows", [1, 1999, 2000, 2001, 4000])
def test_no_row_is_lost_where_two_chunks_meet(client: Client, rows: int) -> None:
    load(*(deal(total=str(number)) for number in range(rows)))
    assert [int(row[2]) for row in rows_of(taken(client, f"{DEALS}.csv"))] == list(range(rows))


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
def test_a_spreadsheet_finds_no_formula(client: Client, name: str, neutral: str) -> None:
    send(client, file_of(name, "bob") + f"bob,{name},1,1,2020-01-02 03:04:05".encode())
    assert rows_of(taken(client, f"{DEALS}.csv"))[0][:2] == [neutral, neutral]
    assert rows_of(taken(client, f"{RANKING}.csv"))[1][0] == neutral
    assert rows_of(taken(client, f"{RANKING}.csv"))[1][2] == neutral
    assert rows_of(taken(client, f"{DEALS}.csv", raw=1))[0][:2] == [name, name]
    assert objects_of(taken(client, f"{DEALS}.ndjson"))[0]["customer"] == name


def file_name(answer: Any) -> str:
    return str(answer["Content-Disposition"]).partition("filename=")[2].strip('"')


@pytest.mark.parametrize("name", ["=1", "a;-b", "\uff1d1", "a; \uff20b"])
@pytest.mark.parametrize("place", ["customer", "item"])
def test_the_name_of_a_file_says_that_names_in_it_were_changed(client: Client, name: str, place: str) -> None:
    load(deal(**{place: name}))
    assert file_name(client.head(f"{DEALS}.csv")).endswith("-neutralised.csv")
    for path in (f"{DEALS}.csv?raw=1", f"{DEALS}.ndjson"):
        assert "neutralised" not in file_name(client.head(path))
    load(deal("a=1", "b-2"))
    assert "neutralised" not in file_name(client.head(f"{DEALS}.csv"))


def test_a_neutralised_file_uploaded_again_has_its_apostrophes_and_no_other_change(client: Client) -> None:
    """Names are taken exactly as they stand: whoever wants them back unchanged takes ``?raw=1``."""
    send(client, file_of("=1", "ann"))
    send(client, taken(client, f"{DEALS}.csv"))
    assert [row[0] for row in rows_of(taken(client, f"{DEALS}.csv", raw=1))] == ["'=1", "ann"]


# Which upload


NAMES: dict[str, Callable[[Upload], str]] = {
    "GraphQL's id": lambda upload: write_upload_id(upload.snapshot),
    "UUID": lambda upload: str(upload.snapshot),
    "UUID without dashes": lambda upload: upload.snapshot.hex,
}


@pytest.mark.parametrize("name_of", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("path", FILES)
def test_any_kept_upload_can_be_named(client: Client, path: str, name_of: Callable[[Upload], str]) -> None:
    old = load(deal("old"))
    at_that_time = taken(client, path)
    new = load(deal("new"))
    assert b"new" in taken(client, path)
    assert taken(client, path, upload=name_of(old)) == at_that_time
    assert taken(client, path, upload=name_of(new)) == taken(client, path)


@pytest.mark.parametrize("path", FILES)
def test_an_upload_that_is_not_kept_is_404(client: Client, path: str, limits: Any) -> None:
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
        assert refusal(client.get(path, {"upload": upload}), 404)["Code"] == "upload_not_retained"


@pytest.mark.parametrize(
    "address",
    [
        f"{DEALS}.csv?limit=5", f"{DEALS}.csv?raw=2", f"{DEALS}.csv?raw=", f"{DEALS}.csv?raw=true",
        f"{DEALS}.csv?raw=1&raw=1", f"{DEALS}.csv?uplaod=x", f"{DEALS}.ndjson?raw=1", f"{RANKING}.csv?limit=0",
        f"{RANKING}.csv?limit=101", f"{RANKING}.ndjson?raw=1", f"{RANKING}.ndjson?format=csv",
    ],
)  # fmt: skip
def test_a_question_that_is_not_understood_is_400(client: Client, address: str) -> None:
    load(deal())
    refusal(client.get(address), 400)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "image/png"])
def test_the_address_says_what_comes_whatever_the_client_would_accept(client: Client, path: str, accept: str) -> None:
    load(deal())
    media_type = "text/csv; charset=utf-8" if path.endswith("csv") else "application/x-ndjson"
    assert ask(client, path, headers={"Accept": accept})["Content-Type"] == media_type
    refusal(ask(client, path, {"upload": "x"}, headers={"Accept": accept}), 404)


@pytest.mark.parametrize("path", FILES)
def test_only_reading_is_allowed_and_only_with_a_token_where_reading_needs_one(
    client: Client, settings: Settings, path: str
) -> None:
    load(deal())
    refusal(client.post(path), 405)
    settings.API_TOKENS = read_tokens("ann:correct horse battery")
    settings.READ_REQUIRES_TOKEN = True
    refusal(ask(client, path), 401)
    assert ask(client, path, headers={"Authorization": "Bearer correct horse battery"}).status_code == 200


# What a client may keep


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_the_client_has_is_not_sent_again(client: Client, path: str) -> None:
    first_upload = load(deal("ann"))
    first = ask(client, path)
    assert first["Cache-Control"] == "no-cache"
    assert file_name(first).startswith(Path(path).stem)
    assert first_upload.snapshot.hex[:8] in file_name(first)
    again = ask(client, path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.body) == (304, b"")
    load(deal("bob"))
    assert ask(client, path, headers={"If-None-Match": first["ETag"]}).status_code == 200
    named = ask(client, path, {"upload": str(first_upload.snapshot)}, headers={"If-None-Match": first["ETag"]})
    assert named.status_code == 304


def test_files_that_differ_have_etags_that_differ(client: Client) -> None:
    load(deal())
    etags = [
        ask(client, address)["ETag"]
        for address in [*FILES, f"{DEALS}.csv?raw=1", f"{RANKING}.csv?raw=1", f"{RANKING}.csv?limit=1", "/api/upload/"]
    ]
    assert len(set(etags)) == len(etags)
    assert ask(client, f"{RANKING}.csv?limit=5&raw=0")["ETag"] == ask(client, f"{RANKING}.csv")["ETag"]


@pytest.mark.parametrize("path", FILES)
def test_head_has_the_headers_of_get_and_reads_no_deal(client: Client, path: str) -> None:
    load(deal())
    with CaptureQueriesContext(connection) as captured:
        head = client.head(path)
    assert head.getvalue() == b""
    assert not any("deals_api_deal" in statement["sql"] for statement in captured)
    got = ask(client, path)
    for name in ("ETag", "Content-Type", "Content-Disposition", "Cache-Control"):
        assert head[name] == got[name]


# Some rows at a time


def test_rows_are_read_as_they_are_sent_and_with_no_transaction_around_them(
    client: Client, transactional_db: None
) -> None:
    load(*many(3 * exports.CHUNK_ROWS))
    with CaptureQueriesContext(connection) as captured:
        pieces = iter(client.get(f"{DEALS}.csv"))
        assert next(pieces)
        after_the_first = len(reads(captured))
        assert not connection.in_atomic_block
        assert b"".join(pieces).count(b"\n") == 2 * exports.CHUNK_ROWS
    assert (after_the_first, len(reads(captured))) == (1, 3)
    assert not any("OFFSET" in statement for statement in reads(captured))


def reads(captured: CaptureQueriesContext) -> list[str]:
    return [statement["sql"] for statement in captured if "deals_api_deal" in statement["sql"]]


def peak_of_download(client: Client, path: str) -> int:
    tracemalloc.start()
    try:
        for piece in iter(client.get(path)):
            assert piece
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", FILES[:2])
def test_memory_does_not_grow_with_rows(client: Client, path: str) -> None:
    peaks = []
    for chunks in (2, 8):
        load(*many(chunks * exports.CHUNK_ROWS))
        peak_of_download(client, path)  # not counted: objects that are created once exist from now on
        # Threads of the service allocate memory too, at any time; not during each of three downloads.
        peaks.append(min(peak_of_download(client, path) for _ in range(3)))
    assert peaks[1] < 1.3 * peaks[0]


# Whole, or visibly broken


def pieces_of(client: Client, path: str, meanwhile: Callable[[], object]) -> Iterator[bytes]:
    """A download, in whose middle something happens."""
    pieces = iter(client.get(path))
    yield next(pieces)
    meanwhile()
    yield from pieces


def prune_all_but_the_newest(limits: Any) -> None:
    limits(keep_uploads=2)
    for name in ("new", "newer", "newest"):
        load(deal(name))
    apply_retention(settings.DEALS_LIMITS)


@pytest.mark.parametrize("path", FILES[:2])
def test_a_download_whose_upload_is_pruned_breaks_off(client: Client, path: str, limits: Any) -> None:
    load(*many(3 * exports.CHUNK_ROWS))
    with pytest.raises(BrokenPipeError) as broken:
        list(pieces_of(client, path, lambda: prune_all_but_the_newest(limits)))
    assert isinstance(broken.value.__cause__, SnapshotGone)


def test_a_download_of_which_half_a_chunk_is_pruned_breaks_off(client: Client, limits: Any) -> None:
    """Pruning deletes the names too, so that deals which are still there lose theirs."""
    upload = load(*many(3 * exports.CHUNK_ROWS))

    def prune_names() -> None:
        Customer.objects.rows_between(upload, 1, 2).delete()

    with pytest.raises(BrokenPipeError):
        list(pieces_of(client, f"{DEALS}.csv", prune_names))


def test_a_ranking_whose_upload_is_pruned_while_it_is_read_is_not_told(
    client: Client, limits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = load(deal("old"))
    read = top_clients_report.top_clients

    def read_and_prune(*arguments: Any, **options: Any) -> Any:
        ranking = read(*arguments, **options)
        prune_all_but_the_newest(limits)
        return ranking

    monkeypatch.setattr(top_clients_report, "top_clients", read_and_prune)
    refusal(client.get(f"{RANKING}.csv", {"upload": str(upload.snapshot)}), 503)
    refusal(client.get(f"{RANKING}.csv", {"upload": str(upload.snapshot)}), 404)


def test_a_download_ends_whole_if_its_rows_outlive_it(client: Client, limits: Any) -> None:
    load(*many(3 * exports.CHUNK_ROWS))
    body = b"".join(pieces_of(client, f"{DEALS}.csv", lambda: load(deal("another"))))
    assert body.count(b"\n") == 3 * exports.CHUNK_ROWS + 1
    assert b"another" not in body


@pytest.mark.parametrize("error", [SnapshotGone(), OperationalError("gone")], ids=repr)
@pytest.mark.parametrize("path", FILES)
def test_trouble_before_the_first_row_is_told_as_a_refusal(
    client: Client, path: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(deal())

    def fail(*_: object) -> Iterator[exports.Rows]:
        raise error
        yield []

    monkeypatch.setattr(exports, "_deals", fail)
    monkeypatch.setattr(exports, "_top_clients", fail)
    for protocol in ("HTTP/1.0", "HTTP/1.1"):
        answer = client.get(path, SERVER_PROTOCOL=protocol)
        assert refusal(answer, 503)["Code"] == "database_busy"
        assert answer["Retry-After"] == "2"
    assert "Content-Disposition" not in answer


@pytest.mark.django_db(transaction=True)
def test_half_of_the_threads_are_never_held_by_downloads(client: Client) -> None:
    load(*many(2 * exports.CHUNK_ROWS))
    with ExitStack() as stack:
        for _ in range(max(1, settings.WEB_THREADS // 2)):
            stack.callback(client.get(f"{DEALS}.csv").close)
        answer = client.get(f"{DEALS}.ndjson")
        assert refusal(answer, 429)["Code"] == "too_many_requests"
        assert answer["Retry-After"] == "5"
        assert client.head(f"{DEALS}.csv").status_code == client.get("/api/upload/").status_code == 200
    assert taken(client, f"{DEALS}.ndjson").count(b"\n") == 2 * exports.CHUNK_ROWS


@pytest.mark.django_db(transaction=True)
def test_downloads_that_fail_or_end_hold_no_thread(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    load(deal())
    for _ in range(settings.WEB_THREADS):
        taken(client, f"{DEALS}.csv")
        client.get(f"{DEALS}.csv").close()  # and never read
    monkeypatch.setattr(exports, "_deals", lambda _: iter([[("a", object())]]))
    for _ in range(settings.WEB_THREADS):
        refusal(client.get(f"{DEALS}.csv"), 500)
    monkeypatch.undo()
    assert ask(client, f"{DEALS}.csv").status_code == 200


def test_downloads_are_counted(client: Client, limits: Any) -> None:
    load(deal())
    limits(computations_per_minute=2)
    assert [ask(client, path).status_code for path in FILES[:3]] == [200, 200, 429]


# Over a real connection


def deals_in(folder: Path, rows: int) -> bytes:
    path = folder / "large.csv"
    write_deals(path, rows)
    return path.read_bytes()


def connect(server: Server, protocol: str) -> socket.socket:
    """Asks for all deals, and is slow to take them: little waits between it and the server."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(TIMEOUT)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET {DEALS}.ndjson {protocol}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return client


def test_a_client_sees_that_a_download_was_broken_off(tmp_path: Path, environment: dict[str, str]) -> None:
    most_in_between = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    rows = most_in_between // 100 + 20_000
    with serving(tmp_path, **environment, KEEP_UPLOADS="2") as server:
        assert server.upload(deals_in(tmp_path, rows)).status_code == 200
        with connect(server, "HTTP/1.1") as client:
            received = [client.recv(1000)]
            for name in ("new", "newer", "newest"):
                assert server.upload(csv_of(deal(name))).status_code == 200
            while data := client.recv(1 << 20):
                received.append(data)
        answer = b"".join(received)
        assert b"Transfer-Encoding: chunked" in answer
        assert answer.count(b'"customer"') < rows
        assert not answer.endswith(b"0\r\n\r\n")
        log = server.log.read_text()
        assert "A download was broken off" in log
        assert "Traceback" not in log
        assert server.get().json()["response"][0]["username"] == "newest"


def test_the_same_download_is_whole_where_nothing_happens(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as server:
        server.upload(deals_in(tmp_path, 5_000))
        whole = server.get(f"{DEALS}.ndjson")
        assert whole.content.count(b"\n") == 5_000
        with connect(server, "HTTP/1.1") as client, client.makefile("rb") as answer:
            assert answer.read().endswith(b"0\r\n\r\n")
        with connect(server, "HTTP/1.0") as client, client.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
        assert f"Content-Length: {len(whole.content)}".encode() in head.splitlines()
        assert body == whole.content
        assert httpx.head(server.url + f"{DEALS}.ndjson").headers["ETag"] == whole.headers["ETag"]
        assert "WARNING" not in server.log.read_text()
