"""Every endpoint rejects unknown query parameters and form fields, and ignores a few that clients add."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from deals_api.ingest import service
from deals_api.models import Upload
from tests.builders import csv_of, deal, load
from tests.test_rest import UPLOAD, error_of, multipart, part, post

pytestmark = pytest.mark.django_db

QUERY = quote("{ topClients { username } }")
ENDPOINTS = {
    "top clients": "/api/top-clients/?",
    "upload": "/api/upload/?",
    "deals as csv": "/api/exports/deals.csv?",
    "deals as ndjson": "/api/exports/deals.ndjson?",
    "ranking as csv": "/api/exports/top-clients.csv?",
    "ranking as ndjson": "/api/exports/top-clients.ndjson?",
    "addresses": "/api/?",
    "openapi": "/api/schema/?",
    "docs": "/api/docs/?",
    "graphql": f"/graphql/?query={QUERY}&",
    "sdl": "/graphql/schema.graphql?",
}
IGNORED = ["_=1764340000000", "format=json", "utm_source=mail&utm_campaign=x", "gclid=1", "fbclid=1", "_=1&_=2"]
UNKNOWN = [
    "dryrun=1",
    "mode=append",
    "Limit=2",
    "utm=1",
    "format=xml",
    "format=api",
    "format=json&format=xml",
    "=1",
    "__=1",
]


def post_graphql(client: Client, query: str) -> Any:
    body = json.dumps({"query": "{ topClients { username } }"})
    return client.post(f"/graphql/?{query}", body, content_type="application/json")


def post_file(client: Client, query: str) -> Any:
    return post(client, csv_of(deal("new")), f"{UPLOAD}?{query}")


def post_csv(client: Client, query: str) -> Any:
    return client.generic("POST", f"{UPLOAD}?{query}", csv_of(deal("new")), "text/csv")


def message_of(response: Any) -> str:
    body = response.json()
    return str(body["Desc"] if "Desc" in body else body["errors"][0]["message"])


@pytest.mark.parametrize("path", ENDPOINTS.values(), ids=ENDPOINTS)
@pytest.mark.parametrize("query", UNKNOWN)
def test_get_rejects_an_unknown_parameter_by_name(client: Client, path: str, query: str) -> None:
    response = client.get(path + query)
    if path == ENDPOINTS["openapi"] and "format" in query:
        assert response.status_code == (404 if query.endswith(("xml", "api")) else 200)  # its formats are JSON and YAML
        return
    assert response.status_code == 400
    assert query.partition("=")[0] in message_of(response)


@pytest.mark.parametrize("path", ENDPOINTS.values(), ids=ENDPOINTS)
@pytest.mark.parametrize("query", IGNORED)
def test_get_ignores_parameters_that_clients_add(client: Client, path: str, query: str) -> None:
    load(deal("ann"))
    with closing(client.get(path + query)) as response:  # a running export would occupy a slot
        assert response.status_code == 200


@pytest.mark.parametrize("send", [post_file, post_csv, post_graphql])
@pytest.mark.parametrize("query", [*UNKNOWN, "limit=2", "query=%7Ba%7D"])
def test_post_rejects_an_unknown_parameter_by_name(
    client: Client, send: Callable[[Client, str], Any], query: str
) -> None:
    load(deal("old"))
    before = client.get(UPLOAD)
    response = send(client, query)
    assert response.status_code == 400
    assert query.partition("=")[0] in message_of(response)
    after = client.get(UPLOAD)
    assert (after.content, after["ETag"], Upload.objects.count()) == (before.content, before["ETag"], 1)


@pytest.mark.parametrize("send", [post_file, post_csv, post_graphql])
@pytest.mark.parametrize("query", IGNORED)
def test_post_ignores_parameters_that_clients_add(
    client: Client, send: Callable[[Client, str], Any], query: str
) -> None:
    assert send(client, query).status_code == 200


def test_upload_with_an_unknown_parameter_is_rejected_before_its_body(client: Client) -> None:
    response = client.generic("POST", f"{UPLOAD}?dryrun=1", b"not a form", "multipart/form-data; boundary=b")
    assert error_of(response, 400)["Desc"] == "dryrun: Unknown parameter 'dryrun'."


FILE = part(csv_of(deal("new")))
TEXT = part(b"append", 'form-data; name="mode"')
CSRF_TOKEN = part(b"x", 'form-data; name="csrfmiddlewaretoken"')
DEALS_AS_TEXT = part(b"x", 'form-data; name="deals"')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (FILE + TEXT, "mode: Unknown field 'mode'."),
        (TEXT + FILE, "mode: Unknown field 'mode'."),
        (FILE + DEALS_AS_TEXT, "deals: Duplicate field."),
        (DEALS_AS_TEXT + FILE, "deals: Duplicate field."),
        (FILE + FILE, "Expected one file; the request has more."),
        (FILE + part(b"x", 'form-data; name="more"; filename="m.csv"'), "Expected one file; the request has more."),
    ],
)
def test_upload_with_another_form_field_changes_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, body: bytes, message: str
) -> None:
    load(deal("old"))
    before = client.get(UPLOAD)
    monkeypatch.setattr(service, "ingest_deals", None)  # the file is not read
    assert error_of(multipart(client, body + b"--b--\r\n"), 400)["Desc"] == message
    after = client.get(UPLOAD)
    assert (after.content, after["ETag"], Upload.objects.count()) == (before.content, before["ETag"], 1)


def test_upload_with_a_csrf_token_is_accepted(client: Client) -> None:
    assert multipart(client, CSRF_TOKEN + FILE + b"--b--\r\n").status_code == 200


def test_format_json_gives_json_to_a_browser(client: Client) -> None:
    response = client.get(f"{UPLOAD}?format=json", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_ignored_parameters_share_one_computation(client: Client, limits: Any) -> None:
    limits(computations_per_minute=1)
    load(deal("ann"))
    responses = [client.get(f"{UPLOAD}?_={number}") for number in range(5)]
    assert {response.status_code for response in responses} == {200}
    assert len({response["ETag"] for response in responses}) == 1


def test_deals_as_text_with_another_file_is_rejected(client: Client) -> None:
    response = client.post(UPLOAD, {"deals": "x", "file": SimpleUploadedFile("d.csv", b"x")})
    assert error_of(response, 400)["Code"] == "parse_error"
