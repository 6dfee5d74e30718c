"""Tasks of a gem dealer on the web page.

Each one is done by mouse, by keyboard and on a phone, in both languages, in at most three steps. The short form changes
the language with the device.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.builders import csv_of, deal
from tests.chromium import open_page
from tests.long_form import sample
from tests.servers import REAL_FILE, Server, serving, wait_until

pytestmark = [pytest.mark.database_independent, pytest.mark.second_run]

DESKTOP: Final = {"viewport": {"width": 1280, "height": 900}}
PHONE: Final = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
REAL_DEALS: Final = list(csv.DictReader(REAL_FILE.read_text().splitlines()))
MAX_STEPS: Final = 3
#: Every second one has each device once, and both languages.
USES: Final = [
    ("mouse", "en"), ("mouse", "ru"), ("keyboard", "ru"), ("keyboard", "en"), ("phone", "en"), ("phone", "ru"),
]  # fmt: skip
#: The index of the first of them, for one test after the other.
_starts: Final = itertools.cycle((0, 1))
TEXTS: Final = {
    "en": {
        "copy link": "Copy link",
        "print": "Print",
        "search": "Customer or gem contains",
        "total": "Total",
        "retry": "Try again",
        "copy table": "Copy table",
        "curl": "As curl",
        "may": "May 2019",
        "sapphires": "12 deals",
    },
    "ru": {
        "copy link": "Копировать ссылку",
        "print": "Печать",
        "search": "Покупатель или камень содержит",
        "total": "Сумма",
        "retry": "Повторить",
        "copy table": "Копировать таблицу",
        "curl": "Команда curl",
        "may": "май 2019",
        "sapphires": "12 сделок",
    },
}


@dataclass
class Dealer:
    """A user of the page, who activates controls in one way and counts the steps."""

    page: Page
    device: str
    language: str
    steps: int = 0

    def text(self, key: str) -> str:
        return TEXTS[self.language][key]

    def activate(self, control: Locator) -> None:
        self.steps += 1
        control.scroll_into_view_if_needed()
        if self.device == "mouse":
            control.click()
        elif self.device == "phone":
            left, right = control.evaluate(
                "(node) => (({ left, right }) => [left, right])(node.getBoundingClientRect())"
            )
            assert left >= 0
            assert right <= 375
            control.tap()
        else:
            control.focus()
            expect(control).to_be_focused()
            assert control.evaluate("(node) => node.tabIndex") >= 0
            self.page.keyboard.press("Enter")

    def type(self, field: Locator, text: str) -> None:
        self.steps += 1
        field.focus()
        self.page.keyboard.type(text)

    def choose_file(self, name: str, content: bytes) -> None:
        self.steps += 1
        self.page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": content})

    def loaded(self) -> None:
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("tasks")) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dealer" in metafunc.fixturenames:
        metafunc.parametrize(("device", "language"), sample(USES, 2, next(_starts)))


@pytest.fixture
def dealer(browser: Browser, server: Server, device: str, language: str) -> Iterator[Dealer]:
    server.upload(REAL_FILE.read_bytes())
    options: dict[str, Any] = PHONE if device == "phone" else DESKTOP
    locale = {"en": "en-US", "ru": "ru-RU"}[language]
    with open_page(browser, server, **options, locale=locale, permissions=["clipboard-read"]) as page:
        page.add_init_script("window.print = () => { window.isPrinted = true; }")
        page.goto("/")
        expect(page.locator("#deals tbody tr").first).to_be_visible()
        dealer = Dealer(page, device, language)
        yield dealer
        assert dealer.steps <= MAX_STEPS


def spent_by_customer(gem: str, month: str) -> list[str]:
    """Return the customers who bought a gem in a month, the largest sum first."""
    sums: dict[str, int] = defaultdict(int)
    for row in REAL_DEALS:
        if row["item"] == gem and row["date"].startswith(month):
            sums[row["customer"]] += int(row["total"])
    return sorted(sums, key=lambda customer: -sums[customer])


def facet(dealer: Dealer, name: str, value: str) -> Locator:
    return dealer.page.locator(f"#{name}-facet").get_by_role("link", name=re.compile(f"^{re.escape(value)}"))


def filter_sapphires_of_may(dealer: Dealer) -> None:
    dealer.activate(facet(dealer, "gem", "Сапфир"))
    dealer.activate(facet(dealer, "month", dealer.text("may")))
    expect(dealer.page.locator("#deals .status")).to_contain_text(dealer.text("sapphires"))


def test_who_spent_most_is_visible_at_once(dealer: Dealer) -> None:
    expect(dealer.page.locator(".clients .name").first).to_have_text("resplendent")
    expect(dealer.page.locator(".clients .money").first).to_have_text(re.compile("^451[,\\s]731$"))


def test_who_bought_most_sapphires_in_may(dealer: Dealer) -> None:
    filter_sapphires_of_may(dealer)
    customers = dealer.page.locator("#customer-facet .label")
    expect(customers).to_have_text(spent_by_customer("Сапфир", "2019-05"))


def test_view_is_sent_to_a_colleague(dealer: Dealer) -> None:
    filter_sapphires_of_may(dealer)
    dealer.activate(dealer.page.get_by_role("button", name=dealer.text("copy link")))
    link = dealer.page.evaluate("navigator.clipboard.readText()")
    dealer.page.goto("about:blank")
    dealer.page.goto(link)
    expect(dealer.page.locator("#deals .status")).to_contain_text(dealer.text("sapphires"))


def test_report_is_printed_with_all_rows(dealer: Dealer) -> None:
    dealer.activate(dealer.page.get_by_role("button", name=dealer.text("print")))
    wait_until(lambda: dealer.page.evaluate("window.isPrinted"))
    for table, count in (("deals", 767), ("customers", 18), ("gems", 25)):
        assert dealer.page.locator(f"#{table} tbody tr").count() == count


def test_what_changed_since_the_last_file(dealer: Dealer, server: Server) -> None:
    corrected = REAL_FILE.read_text().replace("buckaroo,Рубин,342,", "buckaroo,Рубин,432,")
    server.upload(corrected.encode(), "corrected.csv")
    dealer.activate(dealer.page.locator("#announcement button"))
    expect(dealer.page.locator("#current")).to_contain_text("corrected.csv")
    dealer.loaded()
    dealer.activate(dealer.page.locator("#versions a").first)
    changed = dealer.page.locator("#changed-customers tbody tr")
    expect(changed).to_have_count(1)
    expect(changed).to_contain_text("buckaroo")
    expect(changed).to_contain_text("+90")


def test_rejected_file_is_corrected(dealer: Dealer) -> None:
    dealer.choose_file("deals.csv", csv_of(deal("ann", total="12"), deal("bob", total='"1,234"')))
    expect(dealer.page.locator(".problems tbody tr").first).to_contain_text("1,234")
    expect(dealer.page.locator(".problems tbody th").first).to_have_text("3")
    dealer.choose_file("deals.csv", csv_of(deal("ann", total="12"), deal("bob", total="1234")))
    expect(dealer.page.locator(".clients .name")).to_have_text(["bob", "ann"])


def test_deals_of_a_client_are_downloaded(dealer: Dealer) -> None:
    dealer.activate(dealer.page.locator(".clients .name a").nth(1))
    expect(dealer.page.locator("#deals .status")).to_contain_text("83")
    dealer.loaded()
    with dealer.page.expect_download() as download:
        dealer.activate(dealer.page.locator("#deals").get_by_role("link", name="CSV", exact=True))
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert len(rows) == 83
    assert {row["customer"] for row in rows} == {"bellwether"}
    assert [row["date"] for row in rows] == sorted((row["date"] for row in rows), reverse=True)


def test_table_is_copied_into_a_spreadsheet(dealer: Dealer) -> None:
    dealer.activate(dealer.page.locator("#gems").get_by_role("button", name=dealer.text("copy table")))
    message = dealer.page.locator("#gems .copy", has_text=dealer.text("copy table")).get_by_role("status")
    expect(message).to_contain_text("25")
    copied = dealer.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[1].split("\t")[:3] == ["Танзанит", "401527", "49"]
    assert len(copied) == 1 + 25


def test_deals_are_found_whatever_the_case(dealer: Dealer) -> None:
    dealer.type(dealer.page.get_by_label(dealer.text("search")), "BELL")
    expect(dealer.page.locator("#deals .status")).to_contain_text("83")


def test_largest_deal_is_found(dealer: Dealer) -> None:
    largest = max(REAL_DEALS, key=lambda row: int(row["total"]))
    dealer.activate(dealer.page.locator("#deals").get_by_role("button", name=dealer.text("total"), exact=True))
    expect(dealer.page.locator("#deals th[aria-sort=descending]")).to_have_text(dealer.text("total"))
    expect(dealer.page.locator("#deals tbody tr").first).to_contain_text(largest["customer"])


def test_question_is_asked_again_by_a_program(dealer: Dealer) -> None:
    dealer.activate(dealer.page.locator("#gems tbody th a", has_text="Рубин"))
    dealer.loaded()
    dealer.activate(dealer.page.locator("#deals summary", has_text=dealer.text("curl")))
    command = dealer.page.locator("#deals .curl pre")
    expect(command).to_be_visible()
    expect(command).to_contain_text('"gem":{"eq":"Рубин"}')
