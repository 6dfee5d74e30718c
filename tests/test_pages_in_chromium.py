"""Swagger UI, the browsable API, errors 404 and the admin in a browser, with the service's Content-Security-Policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import violations
from tests.builders import csv_of, deal
from tests.chromium import open_page
from tests.server_actions import top_client, upload
from tests.servers import REAL_FILE, ROOT, Server
from tests.test_admin import PASSWORD, create_admin

pytestmark = pytest.mark.database_independent


@pytest.fixture
def page(browser: Browser, shared_server: Server) -> Iterator[Page]:
    with open_page(browser, shared_server) as page:
        yield page


def test_swagger_ui_lists_all_operations_and_executes_one(page: Page, shared_server: Server, real_file: bytes) -> None:
    shared_server.upload(real_file)
    page.goto("/api/docs/")
    expect(page.locator(".opblock")).to_have_count(9)
    operation = page.locator(".opblock", has_text="/api/top-clients/").first
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("resplendent")


def test_browsable_api_uploads_a_file(page: Page, shared_server: Server) -> None:
    upload(shared_server, "before")
    page.goto("/api/upload/")
    expect(page.locator(".response-info")).to_contain_text('"username": "before"')
    page.set_input_files("input[name=deals]", REAL_FILE)
    page.get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text('"Status": "OK"')
    page.goto("/api/top-clients/?limit=1")
    expect(page.locator(".response-info")).to_contain_text('"spent_money": 451731')


def test_browsable_api_shows_why_a_file_was_rejected(page: Page) -> None:
    page.goto("/api/upload/")
    page.set_input_files("input[name=deals]", ROOT / "manage.py")
    page.get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text("HTTP 400 Bad Request")
    expect(page.locator(".response-info")).to_contain_text('"Code": "unreadable_upload"')
    expect(page.locator("input[name=deals]")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_without_libraries_have_no_barriers(browser: Browser, shared_server: Server, scheme: Any) -> None:
    upload(shared_server, "ann")
    for width in (375, 1280):
        with open_page(browser, shared_server, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
            for path in ("/api/", "/api/upload/", "/api/top-clients/?limit=x", "/nothing"):
                page.goto(path)
                assert violations(page) == [], path
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_swagger_ui_follows_the_color_scheme_and_has_no_barriers_around_it(
    browser: Browser, shared_server: Server, scheme: Any
) -> None:
    with open_page(browser, shared_server, color_scheme=scheme) as page:
        page.goto("/api/docs/")
        expect(page.locator(".opblock-summary-description")).to_have_count(9)
        assert violations(page, without="#swagger-ui") == []
        color = page.evaluate("getComputedStyle(document.querySelector('.opblock-summary-description')).color")
        brightness = sum(map(int, re.findall(r"\d+", color)[:3]))
        assert (brightness > 3 * 128) == (scheme == "dark")
        page.get_by_role("link", name="Deals in gems").click()
        expect(page.locator("h1")).to_have_text("Deals in gems")


def test_page_not_found_leads_back(page: Page) -> None:
    page.goto("/nothing/here")
    expect(page.locator("h1")).to_have_text("Page not found")
    page.get_by_role("link", name="Go to the report of deals").click()
    expect(page.locator("h1")).to_have_text("Deals in gems")


def test_admin_logs_in_searches_and_makes_an_upload_current(
    page: Page, shared_server: Server, real_file: bytes
) -> None:
    create_admin({"DATABASE_URL": shared_server.database_url})
    shared_server.upload(csv_of(deal("january")), "january.csv")
    shared_server.upload(real_file)
    page.goto("/admin")
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Deals", exact=True).first.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(100)
    expect(page.locator(".paginator")).to_contain_text("767 deals")
    page.get_by_role("link", name="Customers", exact=True).first.click()
    page.locator("#searchbar").fill("resplendent")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("resplendent")
    page.goto("/admin/deals_api/upload/")
    page.locator("#result_list tbody tr", has_text="january.csv").first.locator("input").check()
    page.locator("select[name=action]").select_option("make_current")
    page.get_by_role("button", name="Go").click()
    expect(page.locator(".messagelist")).to_contain_text(re.compile("Upload [0-9]+ is current now."))
    assert top_client(shared_server) == "january"
