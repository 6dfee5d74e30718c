"""Accessibility, stability and size of the web page, in every theme, language and width."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.axe import violations
from tests.builders import csv_of, deal
from tests.chromium import open_page
from tests.servers import REAL_FILE, ROOT, Server, serving, wait_until

pytestmark = pytest.mark.database_independent

SCRIPTS: Final = ROOT / "project" / "frontend" / "static" / "frontend"
TEMPLATE: Final = ROOT / "project" / "frontend" / "templates" / "frontend" / "page.html"
WIDE: Final = {"width": 1280, "height": 900}
NARROW: Final = {"width": 375, "height": 812}
VIEWS: Final = [("en", "light", WIDE), ("ru", "dark", NARROW), ("en", "dark", NARROW), ("ru", "light", WIDE)]
MAX_SCRIPT_BYTES: Final = 60_000
MAX_LAYOUT_SHIFT: Final = 0.05


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("layout")) as server:
        yield server


@pytest.fixture
def two_files(server: Server) -> None:
    corrected = REAL_FILE.read_text().replace("buckaroo,Рубин,342,", "buckaroo,Рубин,432,")
    server.upload(corrected.encode(), "corrected.csv")
    server.upload(REAL_FILE.read_bytes())


def load_page(page: Page, address: str = "/") -> None:
    page.goto(address)
    expect(page.locator("#deals-content")).to_have_attribute("aria-busy", "false")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def barriers(page: Page) -> list[str]:
    """Return what axe-core reports, once no colour changes any more."""
    wait_until(lambda: page.evaluate("document.getAnimations().every(({ playState }) => playState !== 'running')"))
    return violations(page)


def overflow(page: Page) -> list[str]:
    """Return the elements that are wider than the window, and boxes that scroll inside others."""
    return list(
        page.evaluate(
            "() => [...document.querySelectorAll('body *')].filter((node) => {"
            " const { right, width } = node.getBoundingClientRect();"
            " const scrolls = (box) => box && /auto|scroll/.test(getComputedStyle(box).overflowX);"
            " let box = node.parentElement; while (box && !scrolls(box)) box = box.parentElement;"
            " return width && ((right > innerWidth + 1 && !box) || (box && scrolls(node)));"
            "}).map((node) => node.outerHTML.slice(0, 150))"
        )
    )


def moving_elements(page: Page) -> list[str]:
    """Return the elements with a transition or an animation of over 0.01 s, and those that scroll smoothly."""
    return list(
        page.evaluate(
            "() => [...document.querySelectorAll('*')].flatMap((node) =>"
            " [null, '::before', '::after', '::backdrop'].flatMap((part) => {"
            " const style = getComputedStyle(node, part);"
            " const seconds = [style.transitionDuration, style.animationDuration].join().split(',').map(parseFloat);"
            " const isMoving = Math.max(...seconds) > 0.01 || style.scrollBehavior === 'smooth';"
            " return isMoving ? [`${node.outerHTML.slice(0, 150)} ${part ?? ''}`] : []; }))"
        )
    )


@pytest.mark.parametrize(("language", "theme", "size"), VIEWS)
def test_every_state_is_free_of_barriers(
    browser: Browser, server: Server, two_files: None, language: str, theme: Any, size: Any
) -> None:
    with open_page(browser, server, viewport=size, locale=language, color_scheme=theme) as page:
        load_page(page)
        assert barriers(page) == []
        for summary in page.locator("#data summary").all():
            summary.click()
        page.set_input_files("#file", {"name": "bad.csv", "mimeType": "", "buffer": csv_of(deal(total="x"))})
        expect(page.locator("#result .bad").first).to_be_visible()
        page.locator("#versions a").first.click()
        expect(page.locator("#changed-gems tbody tr")).to_have_count(1)
        page.locator("#gem-facet a").first.click()
        expect(page.locator("#gem-facet [aria-current]")).to_have_count(1)
        page.route("**/graphql/?query=query+DealsByGem*", lambda route: route.abort())
        page.locator("#customer-facet a").first.click()
        expect(page.locator("#gem-facet").get_by_role("alert")).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        assert barriers(page) == []
        assert overflow(page) == []


def test_empty_page_is_free_of_barriers(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as empty, open_page(browser, empty, viewport=WIDE, locale="en-US") as page:
        page.goto("/")
        expect(page.locator("#empty")).to_be_visible()
        assert barriers(page) == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_layout_does_not_shift(browser: Browser, server: Server, two_files: None, size: Any, language: str) -> None:
    with open_page(browser, server, viewport=size, locale=language) as page:
        page.add_init_script(
            "window.shifts = []; new PerformanceObserver((list) => shifts.push(...list.getEntries()))"
            ".observe({ type: 'layout-shift', buffered: true });"
        )
        load_page(page)
        page.wait_for_timeout(500)
        shifts = page.evaluate(
            "shifts.map(({ value, sources }) => [value, sources.map(({ node }) => node?.id || node?.className || '')])"
        )
        assert sum(value for value, _ in shifts) <= MAX_LAYOUT_SHIFT, shifts


def test_page_reflows_at_400_percent(browser: Browser, server: Server, two_files: None) -> None:
    """WCAG 1.4.10: 400 percent of 1280 pixels are 320 pixels."""
    with open_page(browser, server, viewport={"width": 320, "height": 256}, locale="ru-RU") as page:
        load_page(page, "/?facets=gem-facet&gem=%D0%A0%D1%83%D0%B1%D0%B8%D0%BD")
        assert overflow(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_money_and_actions_are_visible_on_a_phone(browser: Browser, server: Server, two_files: None) -> None:
    names = [deal("a" * 60, "б" * 60, "123456789012.34", "999999999")]
    server.upload(csv_of(*names), "wide.csv")
    with open_page(browser, server, viewport=NARROW, locale="en-US", has_touch=True, is_mobile=True) as page:
        load_page(page)
        for selector in ("#deals td.money", "#customers td.money", "#gems td.money", "#uploads button, #uploads a"):
            for item in page.locator(selector).all():
                right = item.evaluate("(node) => node.getBoundingClientRect().right")
                assert right <= NARROW["width"], selector
        assert overflow(page) == []


def test_selected_values_are_visible_in_forced_colours(browser: Browser, server: Server, two_files: None) -> None:
    with open_page(browser, server, viewport=WIDE, locale="en-US", forced_colors="active") as page:
        load_page(page, "/?gem=%D0%A0%D1%83%D0%B1%D0%B8%D0%BD&facets=gem-facet")
        border = "(node) => getComputedStyle(node).borderTopWidth"
        for selector in (".gem", ".chip"):
            assert page.locator(selector).first.evaluate(border) != "0px"
        marker = "(node) => getComputedStyle(node, '::before').content"
        assert "✓" in page.locator("#gem-facet [aria-current] .label").evaluate(marker)


def test_reduced_motion_stops_animations_and_smooth_scrolling(
    browser: Browser, server: Server, two_files: None
) -> None:
    with open_page(browser, server, viewport=WIDE, locale="en-US", reduced_motion="reduce") as page:
        load_page(page)
        assert moving_elements(page) == []
        page.hover("#drop")
        running = "document.getAnimations().filter(({ effect }) => effect.getTiming().duration > 10).length"
        assert page.evaluate(running) == 0
        link = page.locator(".clients .name a").first
        follow = "(link) => { link.click(); return document.querySelector('#deals-card').getBoundingClientRect().top; }"
        assert abs(link.evaluate(follow)) < 1
        page.get_by_role("button", name="Make current").first.click()
        expect(page.locator("dialog")).to_be_visible()
        assert moving_elements(page) == []


def test_every_control_is_reached_by_tab_in_reading_order(browser: Browser, server: Server, two_files: None) -> None:
    with open_page(browser, server, viewport=WIDE, locale="en-US") as page:
        load_page(page)
        expected = page.evaluate(
            "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]"
            ".filter((node) => node.checkVisibility() && !node.disabled && node.tabIndex === 0).length"
        )
        positions: list[int] = []
        page.evaluate("window.all = [...document.querySelectorAll('*')]")
        while len(positions) < expected:
            page.keyboard.press("Tab")
            position = page.evaluate("all.indexOf(document.activeElement)")
            # A date field has several stops.
            if not positions or position != positions[-1]:
                positions.append(position)
        assert positions == sorted(positions)
        assert len(set(positions)) == expected


def test_scripts_are_small_and_requested_at_once(browser: Browser, server: Server, two_files: None) -> None:
    with open_page(browser, server, viewport=WIDE) as page:
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        load_page(page)
        scripts = {url for url in requested if url.endswith(".js")}
        preloaded = page.locator("link[rel=modulepreload]").evaluate_all("(links) => links.map(({ href }) => href)")
    assert set(preloaded) == scripts
    sizes = [len(gzip.compress((SCRIPTS / url.rpartition("/")[2]).read_bytes())) for url in scripts]
    assert sum(sizes) < MAX_SCRIPT_BYTES


def test_text_of_the_page_is_there_before_its_scripts() -> None:
    html = TEMPLATE.read_text()
    empty = re.findall(r'data-i18n="(\w+)"[^>]*>\s*<', html)
    assert empty == []
