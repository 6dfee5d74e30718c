"""The REST face in a browser: a page around the same answers, with a form that sends a file."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from deals_api.snapshots import current as current_snapshot
from tests.builders import csv_of, deal, load
from tests.test_rest import ADDRESSES, UPLOAD, post, refusal

pytestmark = pytest.mark.django_db

#: What Firefox and Chromium send.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def page(response: Any, status: int = 200) -> str:
    """What a person reads, after checking that it is a page."""
    assert response.status_code == status
    assert response["Content-Type"] == "text/html; charset=utf-8"
    return html.unescape(response.content.decode())


@pytest.mark.parametrize("accept", ["text/html", "text/*", "text/html, */*", "application/json;q=0.5, text/html"])
def test_whoever_likes_a_page_better_gets_one(client: Client, accept: str) -> None:
    load(deal())
    page(client.get(UPLOAD, headers={"Accept": accept}))


@pytest.mark.parametrize("accept", ["image/png", "text/csv", "nonsense", "\xff;q=x,,,", ";", "text/html;q=0"])
def test_whoever_likes_neither_is_refused_in_json(client: Client, accept: str) -> None:
    assert refusal(client.get(UPLOAD, headers={"Accept": accept}), 406)["Code"] == "not_acceptable"


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_browser_gets_the_answer_on_a_page(client: Client, path: str) -> None:
    load(deal("ann", total="100.50"))
    answer = client.get(path, headers=BROWSER)
    assert '"username": "ann"' in page(answer)
    assert '"spent_money": 100.5' in page(answer)
    assert (answer["Cache-Control"], "ETag" in answer) == ("no-store", False)


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/*", "application/json, text/html", "text/html;q=0.1, */*",
     "text/html;q=0.9, application/json", "text/html;q=0, */*", "application/json; indent=4", None],
)  # fmt: skip
def test_programs_get_json_as_ever(client: Client, accept: str | None) -> None:
    load(deal())
    client.get(UPLOAD, headers=BROWSER)
    answer = client.get(UPLOAD, headers=None if accept is None else {"Accept": accept})
    assert answer["Content-Type"] == "application/json"
    assert answer.content == b'{"response":[{"username":"ann","spent_money":10,"gems":[]}]}'
    assert answer["Vary"] == "Accept"
    again = client.get(UPLOAD, headers={"If-None-Match": answer["ETag"]} | ({"Accept": accept} if accept else {}))
    assert again.status_code == 304


def test_a_ready_answer_for_programs_is_no_slower_for_the_pages(client: Client) -> None:
    load(deal())
    for _ in range(2):
        client.get(UPLOAD, headers=BROWSER)
        client.get(UPLOAD)
    current_snapshot.current_upload.invalidate()
    with CaptureQueriesContext(connection) as captured:
        client.get(UPLOAD)
    assert len(captured) == 1  # the pointer


def test_a_page_is_never_not_modified(client: Client) -> None:
    load(deal())
    etag = client.get(UPLOAD)["ETag"]
    for tags in (etag, "*"):
        page(client.get(UPLOAD, headers={**BROWSER, "If-None-Match": tags}))


def test_the_form_sends_the_file_that_it_asks_for(client: Client) -> None:
    text = page(client.get(UPLOAD, headers=BROWSER))
    (form,) = re.findall(r"<form .*?</form>", text, re.DOTALL)
    assert 'action="/api/upload/" method="POST" enctype="multipart/form-data"' in form
    assert re.findall(r'<input name="(\w+)"\s+type="file"', form) == ["deals"]
    sent = post(client, csv_of(deal("bob")), headers={**BROWSER, "Origin": "http://testserver", "Host": "testserver"})
    assert '"Status": "OK"' in page(sent)
    assert "<form" in page(sent)
    assert '"username": "bob"' in page(client.get(UPLOAD, headers=BROWSER))


def test_where_nothing_is_sent_there_is_no_form(client: Client) -> None:
    assert "<form" not in page(client.get("/api/top-clients/", headers=BROWSER))


def test_refusals_are_told_on_pages_too(client: Client) -> None:
    bad = page(post(client, csv_of(deal(total="12x")), headers=BROWSER), 400)
    assert '"Code": "bad_cells"' in bad
    assert '"value": "12x"' in bad
    assert "<form" in bad
    assert '"Code": "parse_error"' in page(client.post(UPLOAD, {}, headers=BROWSER), 400)
    assert '"Code": "invalid"' in page(client.get(UPLOAD, {"limit": "0"}, headers=BROWSER), 400)
    assert '"Code": "method_not_allowed"' in page(client.delete(UPLOAD, headers=BROWSER), 405)
    assert '"Code": "unsupported_media_type"' in page(
        client.post(UPLOAD, {}, content_type="application/json", headers=BROWSER), 415
    )
    assert '"Code": "not_allowed"' in page(post(client, headers={**BROWSER, "Origin": "https://evil.example"}), 403)
    refusal(client.get("/api/nothing/", headers=BROWSER), 404)


def test_formats_other_than_json_are_rejected(client: Client) -> None:
    for query in ("format=api", "format=xml"):
        assert refusal(client.get(f"{UPLOAD}?{query}"), 400)["Code"] == "invalid"


def test_what_stands_in_a_file_is_text_on_the_page(client: Client) -> None:
    load(deal("<script>alert(1)</script>", "<img src=x onerror=alert(1)>"))
    client.get(f"{UPLOAD}?<b>", headers=BROWSER)
    for answer in (
        client.get(UPLOAD, headers=BROWSER),
        post(client, csv_of(deal(total="<b onclick=x>")), headers=BROWSER),
        client.get(f"{UPLOAD}?<b onclick=x>", headers=BROWSER),
    ):
        assert not re.search(rb"<script|<img|<b ", answer.content)


def test_the_page_needs_no_script_and_loads_what_is_here(client: Client, settings: Settings) -> None:
    text = client.get(UPLOAD, headers=BROWSER).content.decode()
    assert not re.search(r"<script|<style|\bstyle=|\bon\w+=", text)
    loaded = [address for address in re.findall(r'<(?:link|img)[^>]+href="([^"]+)"', text) if address != "data:,"]
    assert loaded
    static = f"/{settings.STATIC_URL.strip('/')}/"
    for address in loaded:
        assert address.startswith(static)
        assert finders.find(address.removeprefix(static)), address
