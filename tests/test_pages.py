"""Pages for browsers: responses of the API with a form that uploads a file, errors 404, and files of the host."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.robotparser import RobotFileParser

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from deals_api.security.tokens import read_tokens
from deals_api.snapshots import current as current_snapshot
from tests.builders import csv_of, deal, load
from tests.test_rest import UPLOAD, URLS, error_of, post

pytestmark = pytest.mark.django_db

#: Sent by Firefox and Chromium.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}

ALLOWED_TO_CRAWLERS = {
    "/": True, "/static/x/frontend/main.js": True, "/api/upload/": False, "/api": False, "/graphql/?query={a}": False,
    "/admin/": False,
}  # fmt: skip


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def page(response: Any, status: int = 200) -> str:
    """Return the text of an HTML response."""
    assert response.status_code == status
    assert response["Content-Type"] == "text/html; charset=utf-8"
    return html.unescape(response.content.decode())


@pytest.mark.parametrize(
    "accept",
    ["text/html", "text/*", "text/html, */*", "application/json;q=0.5, text/html", "application/json;q=0, */*"],
)
def test_accept_that_prefers_html_gets_the_page(client: Client, accept: str) -> None:
    load(deal())
    page(client.get(UPLOAD, headers={"Accept": accept}))


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "text/csv",
        "nonsense",
        "\xff;q=x,,,",
        ";",
        "text/html;q=0",
        "application/json;q=0",
        "application/json; Q=0.000",
        "application/json;v=1;q=0, text/html;q=0",
        "*/*;q=0",
    ],
)
def test_accept_without_json_and_html_is_406_as_json(client: Client, accept: str) -> None:
    assert error_of(client.get(UPLOAD, headers={"Accept": accept}), 406)["Code"] == "not_acceptable"


@pytest.mark.parametrize("path", URLS)
def test_browser_gets_the_response_on_a_page(client: Client, path: str) -> None:
    load(deal("ann", total="100.50"))
    response = client.get(path, headers=BROWSER)
    assert '"username": "ann"' in page(response)
    assert '"spent_money": 100.5' in page(response)
    assert (response["Cache-Control"], "ETag" in response) == ("no-store", False)


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/*", "application/json, text/html", "text/html;q=0.1, */*",
     "text/html;q=0.9, application/json", "text/html;q=0, */*", "application/json; indent=4", None],
)  # fmt: skip
def test_other_clients_get_json(client: Client, accept: str | None) -> None:
    load(deal())
    client.get(UPLOAD, headers=BROWSER)
    response = client.get(UPLOAD, headers=None if accept is None else {"Accept": accept})
    assert response["Content-Type"] == "application/json"
    assert response.content == b'{"response":[{"username":"ann","spent_money":10,"gems":[]}]}'
    assert response["Vary"] == "Accept"
    conditional = client.get(
        UPLOAD, headers={"If-None-Match": response["ETag"]} | ({"Accept": accept} if accept else {})
    )
    assert conditional.status_code == 304


def test_pages_do_not_replace_the_cached_json_response(client: Client) -> None:
    load(deal())
    for _ in range(2):
        client.get(UPLOAD, headers=BROWSER)
        client.get(UPLOAD)
    current_snapshot.current_upload.invalidate()
    with CaptureQueriesContext(connection) as captured:
        client.get(UPLOAD)
    assert len(captured) == 1  # the pointer


def test_page_is_never_304(client: Client) -> None:
    load(deal())
    etag = client.get(UPLOAD)["ETag"]
    for tags in (etag, "*"):
        page(client.get(UPLOAD, headers={**BROWSER, "If-None-Match": tags}))


def test_form_uploads_a_file(client: Client) -> None:
    text = page(client.get(UPLOAD, headers=BROWSER))
    (form,) = re.findall(r"<form .*?</form>", text, re.DOTALL)
    assert 'action="/api/upload/" method="POST" enctype="multipart/form-data"' in form
    assert re.findall(r'<label for="(\w+)">', form) == re.findall(r'<input name="(\w+)" type="file"', form) == ["deals"]
    response = post(
        client, csv_of(deal("bob")), headers={**BROWSER, "Origin": "http://testserver", "Host": "testserver"}
    )
    assert '"Status": "OK"' in page(response)
    assert "<form" in page(response)
    assert '"username": "bob"' in page(client.get(UPLOAD, headers=BROWSER))


def test_read_only_page_has_no_form(client: Client) -> None:
    assert "<form" not in page(client.get("/api/top-clients/", headers=BROWSER))


def test_page_has_no_form_if_uploads_require_a_token(client: Client, settings: Settings) -> None:
    settings.API_TOKENS = read_tokens("ann:correct horse battery")
    text = page(client.get(UPLOAD, headers=BROWSER))
    assert "<form" not in text
    assert "Uploads require a token" in text


@pytest.mark.parametrize(
    ("path", "title"), [("/api/", "Endpoints"), (UPLOAD, "Upload"), ("/api/top-clients/", "Top clients")]
)
def test_each_page_has_its_own_title_and_leads_to_the_other_pages(client: Client, path: str, title: str) -> None:
    text = page(client.get(path, headers=BROWSER))
    assert f"<title>{title} – Deals in gems</title>" in text
    assert f"<h1>{title}</h1>" in text
    links = re.findall(r'<a (?:class="site-home" )?href="([^"]+)"', text.split("</header>")[0])
    assert links == ["/", "/graphql/", "/api/docs/", "/api/", "/admin/"]


def test_errors_are_shown_on_pages(client: Client) -> None:
    rejected = page(post(client, csv_of(deal(total="12x")), headers=BROWSER), 400)
    assert '"Code": "bad_cells"' in rejected
    assert '"value": "12x"' in rejected
    assert "<form" in rejected
    assert '"Code": "parse_error"' in page(client.post(UPLOAD, {}, headers=BROWSER), 400)
    assert '"Code": "invalid"' in page(client.get(UPLOAD, {"limit": "0"}, headers=BROWSER), 400)
    assert '"Code": "method_not_allowed"' in page(client.delete(UPLOAD, headers=BROWSER), 405)
    assert '"Code": "unsupported_media_type"' in page(
        client.post(UPLOAD, {}, content_type="application/json", headers=BROWSER), 415
    )
    assert '"Code": "not_allowed"' in page(post(client, headers={**BROWSER, "Origin": "https://evil.example"}), 403)
    error_of(client.get("/api/nothing/", headers=BROWSER), 404)


def test_page_escapes_text_from_files(client: Client) -> None:
    load(deal("<script>alert(1)</script>", "<img src=x onerror=alert(1)>"))
    client.get(f"{UPLOAD}?<b>", headers=BROWSER)
    for response in (
        client.get(UPLOAD, headers=BROWSER),
        post(client, csv_of(deal(total="<b onclick=x>")), headers=BROWSER),
        client.get(f"{UPLOAD}?<b onclick=x>", headers=BROWSER),
    ):
        assert not re.search(rb"<script|<img src=x|<b ", response.content)


def test_page_has_no_scripts_and_only_local_files(client: Client, settings: Settings) -> None:
    text = client.get(UPLOAD, headers=BROWSER).content.decode()
    assert not re.search(r"<script|<style|\bstyle=|\bon\w+=", text)
    loaded = re.findall(r'<(?:link|img)\b[^>]*(?:href|src)="([^"]+)"', text)
    assert loaded
    static = f"/{settings.STATIC_URL.strip('/')}/"
    for url in loaded:
        assert url.startswith(static)
        assert finders.find(url.removeprefix(static)), url


# Errors 404, and files of the host


def test_browser_gets_a_page_for_an_unknown_path(client: Client) -> None:
    response = client.get("/nothing/<b>", headers=BROWSER)
    text = page(response, 404)
    assert "There is nothing at <code>/nothing/<b></code>." in text
    assert b"<b>" not in response.content
    assert '<a href="/">Go to the report of deals</a>' in text
    assert response["Vary"] == "Accept, Accept-Language"


def test_page_for_an_unknown_path_is_in_the_language_of_the_browser(client: Client) -> None:
    text = page(client.get("/nothing", headers={**BROWSER, "Accept-Language": "ru-RU,ru;q=0.9,en;q=0.8"}), 404)
    assert '<html lang="ru">' in text
    assert "Страница не найдена" in text
    english = page(client.get("/nothing", headers={**BROWSER, "Accept-Language": "en,ru;q=0.5"}), 404)
    assert '<html lang="en">' in english


@pytest.mark.parametrize("path", ["/api/nothing/", "/graphql/nothing", "/health/nothing", "/metrics/x", "/static/x.js"])
def test_unknown_path_of_an_api_is_json_for_browsers_too(client: Client, path: str) -> None:
    assert error_of(client.get(path, headers=BROWSER), 404)["Code"] == "not_found"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", "text/csv", None])
def test_unknown_path_is_json_for_programs(client: Client, accept: str | None) -> None:
    response = client.get("/nothing", headers={"Accept": accept} if accept else {})
    assert error_of(response, 404)["Code"] == "not_found"


def test_favicon_leads_to_the_icon_of_the_pages(client: Client) -> None:
    icon = client.get("/favicon.ico", follow=True)
    assert icon["Content-Type"] == "image/svg+xml"
    assert b"<svg" in icon.getvalue()


def test_crawlers_are_excluded_from_everything_except_the_page(client: Client) -> None:
    response = client.get("/robots.txt")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    rules = RobotFileParser()
    rules.parse(response.content.decode().splitlines())
    allowed = {path: rules.can_fetch("Googlebot", f"http://testserver{path}") for path in ALLOWED_TO_CRAWLERS}
    assert allowed == ALLOWED_TO_CRAWLERS
