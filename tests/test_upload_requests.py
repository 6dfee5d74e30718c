"""Uploads as a whole body of type ``text/csv``, and the error messages that explain how to upload."""

from __future__ import annotations

import http.client
import io
import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from django.test import Client

from deals_api.ingest import service
from deals_api.models import Upload
from deals_api.rest.parsers import SingleFileUploadHandler
from tests.builders import csv_of, deal, load, many
from tests.requires import require
from tests.servers import NO_TLS, TIMEOUT, Server
from tests.test_rest import UPLOAD, error_of, multipart, part

HOW = (
    "send the file in the field 'deals' of a multipart/form-data body "
    "(curl -F deals=@deals.csv http://testserver/api/upload/) or as the whole body with Content-Type text/csv."
)


@pytest.fixture
def client(db: None) -> Client:
    return Client(raise_request_exception=False)


def send(client: Client, body: bytes, content_type: str = "text/csv", **kwargs: Any) -> Any:
    return client.generic("POST", UPLOAD, body, content_type, **kwargs)


# A body of type text/csv


@pytest.mark.parametrize(
    "content_type", ["text/csv", "Text/CSV", "text/csv; charset=utf-8", "text/csv;header=present;charset=utf-16"]
)
def test_csv_body_is_the_file(client: Client, content_type: str) -> None:
    response = send(client, csv_of(deal("ann")), content_type)
    assert (response.status_code, response.content) == (200, b'{"Status":"OK"}')
    assert client.get(UPLOAD).json()["response"][0]["username"] == "ann"


def test_encoding_of_a_csv_body_is_detected(client: Client) -> None:
    content = csv_of(deal("Анна", "Сапфир")).decode().encode("windows-1251")
    assert send(client, content, "text/csv; charset=utf-8").status_code == 200
    assert client.get(UPLOAD).json()["response"][0]["username"] == "Анна"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, ""),
        ("attachment", ""),
        ("attachment; filename=may.csv", "may.csv"),
        ('attachment; filename="../a/may 2026.csv"', "may 2026.csv"),
        ('attachment; filename="C:\\\\files\\\\may.csv"', "may.csv"),
        ("attachment; filename*=UTF-8''%D0%BC%D0%B0%D0%B9.csv", "май.csv"),
        ("attachment; filename*=nothing''%D0%BC.csv", ""),
        ("attachment; filename=май.csv".encode().decode("latin-1"), "май.csv"),
        ("attachment; filename=a/", ""),
        ('attachment; filename=""', ""),
        (";;=", ""),
        ('attachment; filename="a.' + "x" * 300 + '"', "." + "x" * 254),
        ("attachment; filename=a\0b.c\0v", "ab.cv"),
    ],
)
def test_name_of_a_csv_body_is_that_of_its_content_disposition(client: Client, header: str | None, name: str) -> None:
    headers = {} if header is None else {"HTTP_CONTENT_DISPOSITION": header}
    assert send(client, csv_of(deal()), **headers).status_code == 200
    assert Upload.objects.latest("pk").file_name == name


def test_csv_body_without_a_usable_name_is_rejected_without_an_internal_error(client: Client) -> None:
    error_of(send(client, csv_of(deal()), HTTP_CONTENT_DISPOSITION="attachment; filename=.."), 400)


@pytest.mark.parametrize("rejected", [False, True])
def test_csv_body_is_stored_in_a_file_without_a_name_and_closed(
    client: Client, monkeypatch: pytest.MonkeyPatch, rejected: bool
) -> None:
    files = []
    ingest = service.ingest_deals

    def record(file: Any, *args: Any, **kwargs: Any) -> Upload:
        files.append(file)
        assert os.fstat(file.fileno()).st_nlink == 0  # on disk, without a name
        return ingest(file, *args, **kwargs)

    monkeypatch.setattr(service, "ingest_deals", record)
    assert send(client, csv_of(deal(total="x" if rejected else "1"))).status_code == (400 if rejected else 200)
    (file,) = files
    assert file.closed


def test_rejected_csv_body_changes_nothing(client: Client) -> None:
    load(deal("old"))
    assert error_of(send(client, csv_of(deal(total="x"))), 400)["Code"] == "bad_cells"
    assert client.get(UPLOAD).json()["response"][0]["username"] == "old"


def test_csv_body_over_the_limit_is_413(client: Client, limits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(max_upload_bytes=100)
    assert error_of(send(client, csv_of(*many(30))), 413)["Code"] == "upload_too_large"
    monkeypatch.setattr(SingleFileUploadHandler, "new_file", None)  # the body is not read
    assert error_of(send(client, b"x", CONTENT_LENGTH="10000000"), 413)["Code"] == "upload_too_large"


@pytest.fixture
def stored_files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The files that were created for uploads."""
    files = []
    new_file = SingleFileUploadHandler.new_file

    def record(handler: Any, *args: Any) -> None:
        new_file(handler, *args)
        files.append(handler.file)

    monkeypatch.setattr(SingleFileUploadHandler, "new_file", record)
    return files


def test_incomplete_csv_body_is_rejected_and_its_file_closed(client: Client, stored_files: list[Any]) -> None:
    load(deal("old"))
    content = csv_of(deal("half"))
    short: dict[str, Any] = {"wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content) + 9)}
    body = error_of(send(client, content, **short), 400)
    assert body["Desc"] == f"The body ended early: {len(content)} of {len(content) + 9} bytes arrived."
    assert client.get(UPLOAD).json()["response"][0]["username"] == "old"
    assert [file.closed for file in stored_files] == [True]


@pytest.mark.parametrize(
    "body",
    [
        part(csv_of(deal())),
        part(csv_of(deal())) + b"--c--\r\n",
        part(csv_of(deal())) + part(b"second file") + b"--b--\r\n",
        part(csv_of(deal())) + part(b"x", 'form-data; name="other"') + b"--b--\r\n",
        part(csv_of(deal())) + part(b"x" * 3_000_000, 'form-data; name="other"') + b"--b--\r\n",
        part(csv_of(deal()), 'form-data; name="other"; filename="d.csv"') + b"--b--\r\n",
    ],
    ids=["no end", "end of another body", "two files", "unknown field", "large field", "file in another field"],
)
def test_file_of_a_rejected_form_is_closed(client: Client, stored_files: list[Any], body: bytes) -> None:
    assert multipart(client, body).status_code in (400, 413)
    assert [file.closed for file in stored_files] == [True]


def test_chunked_csv_body_is_411(client: Client) -> None:
    error_of(send(client, csv_of(deal()), headers={"Transfer-Encoding": "chunked"}), 411)


def test_csv_body_with_an_unknown_parameter_is_rejected(client: Client) -> None:
    response = client.generic("POST", f"{UPLOAD}?mode=append", csv_of(deal()), "text/csv")
    assert error_of(response, 400)["Desc"] == "mode: Unknown parameter 'mode'."


# Error messages


@pytest.mark.parametrize(
    "content_type", ["", "application/x-www-form-urlencoded", "application/json", "text/plain", "text/csvx"]
)
def test_other_content_types_are_415_with_instructions(client: Client, content_type: str) -> None:
    body = error_of(send(client, csv_of(deal()), content_type), 415)
    assert body["Desc"] == f"The Content-Type of the body is not supported; {HOW}"


@pytest.mark.parametrize("content_type", ["text/csv", "multipart/form-data; boundary=b", "application/json", ""])
def test_request_without_a_body_is_400_with_instructions(client: Client, content_type: str) -> None:
    assert error_of(send(client, b"", CONTENT_TYPE=content_type), 400)["Desc"] == f"The request has no file; {HOW}"


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_missing_boundary_is_explained(client: Client, content_type: str) -> None:
    body = error_of(send(client, part(csv_of(deal())) + b"--b--\r\n", content_type), 400)
    assert body["Desc"] == (
        "The Content-Type lacks the boundary of the multipart body: "
        "do not set this header, so that the HTTP client sets it."
    )


def test_text_instead_of_a_file_is_explained(client: Client) -> None:
    body = part(b"deals.csv", 'form-data; name="deals"') + b"--b--\r\n"
    assert error_of(multipart(client, body), 400)["Desc"] == (
        "The field 'deals' has no file name, so it is text, not a file: with curl, write @ before the file name, "
        "as in -F deals=@deals.csv; in a program, give the file a name such as deals.csv."
    )


@pytest.mark.parametrize(
    ("path", "method", "message"),
    [
        (UPLOAD, "PUT", f"Method 'PUT' is not allowed; this URL supports GET, POST, HEAD, OPTIONS; with POST, {HOW}"),
        ("/api/top-clients", "POST", "Method 'POST' is not allowed; this URL supports GET, HEAD, OPTIONS."),
        ("/api/exports/deals.csv", "PATCH", "Method 'PATCH' is not allowed; this URL supports GET, HEAD, OPTIONS."),
        ("/api/schema/", "DELETE", "Method 'DELETE' is not allowed; this URL supports GET, HEAD, OPTIONS."),
        ("/api/docs/", "BREW", "Method 'BREW' is not allowed; this URL supports GET, HEAD, OPTIONS."),
        ("/api/", "POST", "Method 'POST' is not allowed; this URL supports GET, HEAD, OPTIONS."),
    ],
)
def test_other_methods_are_405_with_the_supported_methods(client: Client, path: str, method: str, message: str) -> None:
    assert error_of(client.generic(method, path), 405)["Desc"] == message


# HTTP clients


def raw_with_requests(url: str, path: Path) -> Any:
    with path.open("rb") as file:
        return requests.post(url, file, headers={"Content-Type": "text/csv"}, timeout=TIMEOUT).json()


def raw_with_httpx(url: str, path: Path) -> Any:
    return httpx.post(
        url, content=path.read_bytes(), headers={"Content-Type": "text/csv"}, timeout=TIMEOUT, verify=NO_TLS
    ).json()


def untyped_with_requests(url: str, path: Path) -> Any:
    with path.open("rb") as file:
        return requests.post(url, file, timeout=TIMEOUT).json()


def untyped_with_httpx(url: str, path: Path) -> Any:
    return httpx.post(url, content=path.read_bytes(), timeout=TIMEOUT, verify=NO_TLS).json()


def curl(*arguments: str) -> Callable[[str, Path], Any]:
    def run(url: str, path: Path) -> Any:
        require("curl")
        command = ["curl", "--silent", "--max-time", str(TIMEOUT), *arguments, url]
        result = subprocess.run(command, cwd=path.parent, check=True, capture_output=True)
        return httpx.Response(200, content=result.stdout).json()

    return run


@pytest.mark.database_independent
@pytest.mark.parametrize(
    ("send_file", "text"),
    [
        (raw_with_requests, "OK"),
        (raw_with_httpx, "OK"),
        (curl("-H", "Content-Type: text/csv", "--data-binary", "@deals.csv"), "OK"),
        (curl("-F", "deals=@deals.csv"), "OK"),
        (untyped_with_requests, "curl -F deals=@deals.csv {url})"),
        (untyped_with_httpx, "curl -F deals=@deals.csv {url})"),
        (curl("--data-binary", "@deals.csv"), "curl -F deals=@deals.csv {url})"),
        (curl("-X", "PUT", "--data-binary", "@deals.csv"), "this URL supports GET, POST"),
        (curl("-F", "deals=deals.csv"), "write @ before the file name"),
        (curl("-H", "Content-Type: multipart/form-data", "--data-binary", "@deals.csv"), "lacks the boundary"),
    ],
    ids=["requests", "httpx", "curl", "curl form", "untyped requests", "untyped httpx", "untyped curl", "PUT", "no @",
         "no boundary"],
)  # fmt: skip
def test_http_clients_upload_or_get_instructions(
    shared_server: Server, tmp_path: Path, send_file: Callable[[str, Path], Any], text: str
) -> None:
    (tmp_path / "deals.csv").write_bytes(csv_of(*many(20_000, ["ann"])))
    url = f"{shared_server.url}{UPLOAD}"
    body = send_file(url, tmp_path / "deals.csv")
    assert text.format(url=url) in (body["Status"] if text == "OK" else body["Desc"])


@pytest.mark.database_independent
def test_csv_body_of_a_client_that_disconnects_changes_nothing(shared_server: Server) -> None:
    shared_server.upload(csv_of(deal("before")))
    content = csv_of(*many(1000, ["half"]))
    head = (
        f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {len(content) + 1000}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared_server.port), TIMEOUT) as connection:
        connection.sendall(head.encode() + content)
        connection.shutdown(socket.SHUT_WR)
        response = connection.makefile("rb").read()
    assert b"400 Bad Request" in response
    assert b"ended early" in response
    assert shared_server.get().json()["response"][0]["username"] == "before"


@pytest.mark.database_independent
def test_connection_carries_several_csv_bodies(shared_server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", shared_server.port, timeout=TIMEOUT)) as connection:
        for name in ("ann", "bob"):
            connection.request("POST", UPLOAD, csv_of(deal(name)), {"Content-Type": "text/csv"})
            assert connection.getresponse().read() == b'{"Status":"OK"}'
            used = connection.sock
            connection.request("GET", "/api/top-clients/")
            assert name.encode() in connection.getresponse().read()
            assert connection.sock is used
