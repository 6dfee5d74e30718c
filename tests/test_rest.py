"""The REST API: bodies, statuses and headers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deals_api.caching import local as local_cache
from deals_api.models import Upload
from deals_api.reports import top_clients as top_clients_report
from deals_api.snapshots import current as current_snapshot
from tests.builders import csv_of, deal, load, many

pytestmark = pytest.mark.django_db

UPLOAD = "/api/upload/"
URLS = ["/api/upload/", "/api/upload", "/api/top-clients/", "/api/top-clients"]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def post(client: Client, content: bytes = csv_of(deal()), path: str = UPLOAD, **kwargs: Any) -> Any:
    return client.post(path, {"deals": SimpleUploadedFile("deals.csv", content)}, **kwargs)


def error_of(response: Any, status: int) -> dict[str, Any]:
    """Check the properties common to all error responses, and return the body."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert body["Status"] == "Error"
    assert isinstance(body["Desc"], str)
    assert body["Desc"].endswith((".", "…"))
    assert "\n" not in body["Desc"]
    assert body["Code"].replace("_", "").isalpha()
    return body


# Reading


@pytest.mark.parametrize("path", URLS)
def test_real_file_returns_the_five_top_clients(client: Client, real_file: bytes, path: str) -> None:
    post(client, real_file)
    assert client.get(path).json() == {
        "response": [
            {"username": "resplendent", "spent_money": 451731, "gems": ["Рубин", "Сапфир", "Танзанит"]},
            {"username": "bellwether", "spent_money": 217794, "gems": ["Петерсит", "Сапфир"]},
            {"username": "uvulaperfly117", "spent_money": 120419, "gems": ["Петерсит", "Танзанит"]},
            {"username": "braggadocio", "spent_money": 108957, "gems": ["Изумруд"]},
            {"username": "turophile", "spent_money": 100132, "gems": ["Изумруд", "Рубин"]},
        ]
    }


@pytest.mark.parametrize("path", URLS)
def test_list_is_empty_before_the_first_upload(client: Client, path: str) -> None:
    assert client.get(path).content == b'{"response":[]}'


def test_equal_sums_are_ordered_by_username_and_gems_by_name(client: Client) -> None:
    load(*(deal(name, gem) for name in ("cid", "ann", "bob") for gem in ("ruby", "Ёлка", "agate", "яшма")))
    clients = client.get(UPLOAD).json()["response"]
    assert [item["username"] for item in clients] == ["ann", "bob", "cid"]
    assert clients[0]["gems"] == ["agate", "ruby", "Ёлка", "яшма"]


def test_gems_are_shared_among_the_listed_clients_only(client: Client) -> None:
    load(deal("ann", "ruby", "30"), deal("bob", "opal", "20"), deal("cid", "ruby", "10"), deal("ann", "ruby", "1"))
    assert [item["gems"] for item in client.get(UPLOAD, {"limit": 2}).json()["response"]] == [[], []]
    assert [item["gems"] for item in client.get(UPLOAD, {"limit": 3}).json()["response"]] == [["ruby"], [], ["ruby"]]


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        (["451731"], "451731"),
        (["100.50"], "100.5"),
        (["0.25"], "0.25"),
        (["0"], "0"),
        (["1000000"], "1000000"),
        (["999999999999.99"] * 900, "899999999999991"),
        (["999999999999.99"] * 899, "898999999999991.01"),
    ],
)
def test_money_is_written_as_a_plain_exact_number(client: Client, totals: list[str], expected: str) -> None:
    load(*(deal(total=total) for total in totals))
    body = client.get(UPLOAD).content.decode()
    assert f'"spent_money":{expected},' in body
    assert json.loads(body, parse_float=Decimal)["response"][0]["spent_money"] == Decimal(expected)


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (5, 5), (7, 7), (100, 7)])
def test_limit_sets_the_number_of_clients(client: Client, limit: int, count: int) -> None:
    load(*many(7, [f"client {number}" for number in range(7)]))
    assert len(client.get(UPLOAD, {"limit": limit}).json()["response"]) == count


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=5.5", "limit=٥", "limit=1&limit=2",
     "limit=99999999999999999999", "limit=%00", "limit=%ff"],
)  # fmt: skip
def test_invalid_limit_is_rejected(client: Client, query: str) -> None:
    load(deal())
    error_of(client.get(f"{UPLOAD}?{query}"), 400)


def test_statements_do_not_grow_with_the_number_of_deals(client: Client) -> None:
    counts = []
    for rows in (10, 3000):
        load(*many(rows, [f"client {number}" for number in range(9)]))
        with CaptureQueriesContext(connection) as captured:
            client.get(UPLOAD)
        # How often the current-upload pointer is read depends on time; see snapshots.lease.Lease.
        pointer_reads = [statement for statement in captured if "currentupload" in statement["sql"]]
        assert len(pointer_reads) <= 2
        counts.append(len(captured) - len(pointer_reads))
    ranking, gems, snapshot_check = 1, 1, 1
    assert counts[0] == counts[1] <= ranking + gems + snapshot_check


def test_cached_response_reads_only_the_pointer(client: Client) -> None:
    load(deal())
    first = client.get(UPLOAD)
    current_snapshot.current_upload.invalidate()
    with CaptureQueriesContext(connection) as captured:
        assert client.get(UPLOAD).content == first.content
    assert len(captured) == 1


def test_responses_may_be_stored_and_must_be_revalidated(client: Client) -> None:
    load(deal())
    first = client.get(UPLOAD)
    assert (first["Cache-Control"], first["Vary"]) == ("no-cache", "Accept")
    conditional = client.get(UPLOAD, headers={"If-None-Match": first["ETag"]})
    assert (conditional.status_code, conditional.content) == (304, b"")


def test_etag_does_not_match_after_a_new_upload(client: Client) -> None:
    load(deal("ann"))
    first = client.get(UPLOAD)
    load(deal("bob"))
    second = client.get(UPLOAD, headers={"If-None-Match": first["ETag"]})
    assert second.status_code == 200
    assert second.json()["response"][0]["username"] == "bob"


def test_etag_is_the_same_for_all_urls_and_without_local_cache(client: Client) -> None:
    load(deal())
    etags = set()
    for path in (*URLS, "/api/upload/?limit=5"):
        local_cache.local_responses.clear()
        etags.add(client.get(path)["ETag"])
    assert len(etags) == 1


def test_head_has_the_headers_of_get(client: Client) -> None:
    load(deal())
    assert client.head(UPLOAD)["ETag"] == client.get(UPLOAD)["ETag"]


# Uploading


@pytest.mark.parametrize("path", ["/api/upload/", "/api/upload"])
def test_accepted_file_returns_status_ok(client: Client, path: str) -> None:
    response = post(client, path=path)
    assert (response.status_code, response.content) == (200, b'{"Status":"OK"}')


def test_rejected_file_lists_its_invalid_cells(client: Client) -> None:
    body = error_of(post(client, csv_of(deal(), deal(total="12x", quantity="0"))), 400)
    assert body == {
        "Status": "Error",
        "Desc": "The file has 2 errors: 1 × total (is not an amount such as 612 or 100.50), 1 × quantity (is not a"
        " whole number of 1 or more); the first is in line 3, column 'total': '12x'.",
        "Code": "bad_cells",
        "Errors": [
            {
                "line": 3,
                "column": "total",
                "value": "12x",
                "reason": "is not an amount such as 612 or 100.50",
                "reason_code": "not_an_amount",
                "params": {},
            },
            {
                "line": 3,
                "column": "quantity",
                "value": "0",
                "reason": "is not a whole number of 1 or more",
                "reason_code": "not_a_quantity",
                "params": {},
            },
        ],
    }


def test_rejected_file_keeps_the_previous_response(client: Client) -> None:
    post(client, csv_of(deal("ann")))
    before = client.get(UPLOAD)
    error_of(post(client, csv_of(deal(total="x"))), 400)
    after = client.get(UPLOAD)
    assert (after.content, after["ETag"]) == (before.content, before["ETag"])


def test_file_over_a_limit_is_413(client: Client, limits: Any) -> None:
    limits(max_rows=2)
    assert error_of(post(client, csv_of(*many(3))), 413)["Code"] == "upload_too_large"
    limits(max_upload_bytes=100)
    assert error_of(post(client, csv_of(*many(30))), 413)["Code"] == "upload_too_large"


def test_retention_runs_after_the_response(client: Client, limits: Any) -> None:
    limits(keep_uploads=2)
    for name in ("ann", "bob", "cid"):
        post(client, csv_of(deal(name)))
    assert list(Upload.objects.order_by("pk").values_list("state", flat=True)) == ["pruned", "loaded", "loaded"]


# Errors that do not depend on the content of the file


def test_all_errors_have_the_same_body(client: Client) -> None:
    text_field = {"deals": "customer,item"}
    two_files = {"deals": [SimpleUploadedFile("a.csv", b"a"), SimpleUploadedFile("b.csv", b"b")]}
    wrong_field = {"file": SimpleUploadedFile("a.csv", b"a")}
    additional_file = {"deals": SimpleUploadedFile("a.csv", b"a"), "more": SimpleUploadedFile("b.csv", b"b")}
    assert "no file" in error_of(client.post(UPLOAD, {}), 400)["Desc"]
    assert "text" in error_of(client.post(UPLOAD, text_field), 400)["Desc"]
    assert "one file" in error_of(client.post(UPLOAD, two_files), 400)["Desc"]
    assert "'deals', not in 'file'" in error_of(client.post(UPLOAD, wrong_field), 400)["Desc"]
    assert "one file" in error_of(client.post(UPLOAD, additional_file), 400)["Desc"]
    error_of(client.post(UPLOAD), 400)
    error_of(client.post(UPLOAD, {"deals": "x"}, content_type="application/json"), 415)
    error_of(client.post(UPLOAD, "deals=x", content_type="application/x-www-form-urlencoded"), 415)
    error_of(client.post(UPLOAD, b"x", content_type="text/csv"), 400)
    error_of(client.post(UPLOAD, b"x", content_type="text/plain"), 415)
    error_of(client.get("/api/nothing/"), 404)
    error_of(client.get("/nothing"), 404)
    error_of(client.get(UPLOAD, headers={"Accept": "text/csv"}), 406)
    error_of(client.post("/api/top-clients/", {}), 405)


def test_too_many_parameters_are_rejected_with_a_message(client: Client) -> None:
    body = error_of(client.get(f"{UPLOAD}?{'a&' * 200}"), 400)
    assert body["Desc"] == "The request has too many parameters or fields."
    response = multipart(client, part(b"x", 'form-data; name="f"') * 500 + b"--b--\r\n")
    assert error_of(response, 400)["Desc"] == body["Desc"]


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_405_with_allowed_methods(client: Client, method: str) -> None:
    response = getattr(client, method)(UPLOAD)
    error_of(response, 405)
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_unexpected_exception_is_500_without_details(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(top_clients_report, "top_clients", fail)
    load(deal())
    response = client.get(UPLOAD)
    assert error_of(response, 500)["Code"] == "internal_error"
    assert b"secret" not in response.content


def test_chunked_body_is_411(client: Client) -> None:
    response = client.post(UPLOAD, {}, headers={"Transfer-Encoding": "chunked"})
    assert "Content-Length" in error_of(response, 411)["Desc"]


# Malformed multipart bodies


def multipart(client: Client, body: bytes, boundary: str = "b") -> Any:
    return client.generic("POST", UPLOAD, body, f"multipart/form-data; boundary={boundary}")


def part(content: bytes, disposition: str = 'form-data; name="deals"; filename="d.csv"') -> bytes:
    return b"--b\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


def test_well_formed_body_is_accepted(client: Client) -> None:
    assert multipart(client, part(csv_of(deal())) + b"--b--\r\n").status_code == 200
    assert multipart(client, part(csv_of(deal("bob"))) + b"--b--").status_code == 200


MALFORMED = {
    "wrong boundary": (part(csv_of(deal())) + b"--b--\r\n", "x"),
    "no closing boundary": (part(csv_of(deal())), "b"),
    "truncated after the file": (
        part(csv_of(deal())) + b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhal',
        "b",
    ),
    "closing boundary of another body": (part(csv_of(deal())) + b"--c--\r\n", "b"),
    "no multipart structure": (csv_of(deal()), "b"),
    "empty boundary": (part(csv_of(deal())) + b"--b--\r\n", ""),
    "long boundary": (part(csv_of(deal())) + b"--b--\r\n", "b" * 300),
    "no disposition": (b"--b\r\n\r\nx\r\n--b--\r\n", "b"),
    "no name": (part(csv_of(deal()), 'form-data; filename="d.csv"') + b"--b--\r\n", "b"),
    "invalid base64": (
        b'--b\r\nContent-Disposition: form-data; name="deals"; filename="d"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n!\r\n--b--\r\n",
        "b",
    ),
    "endless header": (b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 20000 + b"\r\n\r\nx\r\n--b--\r\n", "b"),
    "many files": (part(b"x") * 50 + b"--b--\r\n", "b"),
    "many fields": (part(b"x", 'form-data; name="f"') * 500 + b"--b--\r\n", "b"),
    "empty body": (b"", "b"),
    "all byte values": (bytes(range(256)), "b"),
}


@pytest.mark.parametrize(("body", "boundary"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_body_is_rejected(client: Client, body: bytes, boundary: str) -> None:
    load(deal("before"))
    response = multipart(client, body, boundary)
    error_of(response, 415 if len(boundary) > 200 else 400)  # A long boundary makes the Content-Type header too long.
    assert client.get(UPLOAD).json()["response"][0]["username"] == "before"


def test_large_text_field_is_413(client: Client) -> None:
    body = part(b"x" * 3_000_000, 'form-data; name="deals"') + b"--b--\r\n"
    error_of(multipart(client, body), 413)


def test_unusual_file_names_cause_no_errors(client: Client) -> None:
    for name in ("../../etc/passwd", "a" * 2000, "a." + "b" * 300, "имя.csv", "a\x00b", "💎", ""):
        disposition = f'form-data; name="deals"; filename="{name}"'
        status = multipart(client, part(csv_of(deal(name[:5] or "x")), disposition) + b"--b--\r\n").status_code
        assert status in (200, 400)
    assert all("/" not in name for name in Upload.objects.values_list("file_name", flat=True))
