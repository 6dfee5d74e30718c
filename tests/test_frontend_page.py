"""The web page in a real browser: uploads, tables, history, languages and keyboard."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import settings
from graphql import build_schema, parse, validate
from playwright.sync_api import Browser, Download, Page, Route, expect

from deals_api.models import Upload
from tests import graphql, node
from tests.axe import violations
from tests.builders import csv_of, deal, load, many
from tests.chromium import open_page
from tests.servers import REAL_FILE, ROOT, Server, serving, wait_until

pytestmark = pytest.mark.database_independent

SCRIPTS = ROOT / "project" / "frontend" / "static" / "frontend"
SOURCE: Final = (SCRIPTS / "operations.js").read_text()
OPERATIONS: Final = dict(re.findall(r"export const (\w+) = `(.*?)`;", SOURCE, re.DOTALL))
assert len(OPERATIONS) == SOURCE.count("export const") > 0
DESKTOP: Final = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US"}
PHONE: Final = {"viewport": {"width": 375, "height": 812}, "locale": "ru-RU", "color_scheme": "dark"}
TOP_FIVE: Final = [
    ("resplendent", "451,731", ["Рубин", "Сапфир", "Танзанит"]),
    ("bellwether", "217,794", ["Петерсит", "Сапфир"]),
    ("uvulaperfly117", "120,419", ["Петерсит", "Танзанит"]),
    ("braggadocio", "108,957", ["Изумруд"]),
    ("turophile", "100,132", ["Изумруд", "Рубин"]),
]
#: The most expensive filter of the page.
SEARCH: Final = {
    "customer": {"in": ["c1", "c2"]},
    "date": {"gte": "2019-01-01T00:00:00Z", "lt": "2021-01-01T00:00:00Z"},
    "OR": [{"customer": {"iContains": "c"}}, {"gem": {"iContains": "r"}}],
}
REAL_DEALS: Final = list(csv.DictReader(REAL_FILE.read_text().splitlines()))


# Operations, texts and scripts


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_of_the_page_fits_the_schema(name: str) -> None:
    schema = build_schema((ROOT / "graphql_schema" / "schema.graphql").read_text())
    assert validate(schema, parse(OPERATIONS[name])) == []


@pytest.mark.django_db
def test_each_operation_of_the_page_costs_less_than_a_third_of_the_limit() -> None:
    upload = load(*many(2000, [f"c{number}" for number in range(300)]))
    upload_id = graphql.id_of(upload)
    variables: dict[str, dict[str, Any]] = {
        "SHOWN": {"upload": upload_id},
        "DEALS_BY_PERIOD": {"by": ["DAY"], "filter": SEARCH},
        "DEALS_BY_GROUP": {"by": ["CUSTOMER"], "order": "TOTAL_DESC", "filter": SEARCH},
        "DEALS_OF_GROUPS": {"by": ["GEM", "DAY"], "filter": {"AND": [SEARCH, {"gem": {"in": ["a", "b"]}}]}},
        "DEALS_BY_CUSTOMER": {"filter": SEARCH, "limit": 1000},
        "DEALS_BY_GEM": {"filter": SEARCH, "limit": 1000},
        "DEALS_BY_MONTH": {"filter": SEARCH, "limit": 1000},
        "CUSTOMERS": {
            "orderBy": "LAST_DEAL_DESC",
            "filter": {"username": {"iContains": "c"}},
            "first": 100,
            "deals": {"customer": {"iContains": "c"}},
        },
        "GEMS": {"orderBy": "NAME_ASC", "first": 100},
        "DEALS": {"orderBy": "TOTAL_DESC", "filter": SEARCH, "first": 100},
        "COMPARE": {"base": upload_id},
        "CHANGED_CUSTOMERS": {"base": upload_id, "first": 100},
        "CHANGED_GEMS": {"base": upload_id, "first": 100},
        "MAKE_CURRENT": {"id": upload_id},
    }
    for name, query in OPERATIONS.items():
        result = graphql.execute_query(query, **variables.get(name, {}))
        assert "errors" not in result, result
        assert result["extensions"]["cost"]["requested"] < settings.DEALS_LIMITS.max_nodes / 3, name


def test_modules_of_the_page_work_without_a_browser() -> None:
    node.run("node", "--test", "page.test.mjs")


def test_every_text_that_the_page_uses_exists() -> None:
    texts = "".join(path.read_text() for path in SCRIPTS.glob("messages_*.js"))
    defined = set(re.findall(r"\b(\w+): ", re.sub(r'"[^"]*"|`[^`]*`', '""', texts)))
    sources = [path.read_text() for path in SCRIPTS.glob("*.js") if not path.name.startswith("messages_")]
    sources.append((ROOT / "project" / "frontend" / "templates" / "frontend" / "page.html").read_text())
    used = set(re.findall(r'\bmessages\.(\w+)|data-i18n="(\w+)"', "\n".join(sources)))
    assert {name for pair in used for name in pair if name} <= defined
    assert {state.name for state in Upload.State} <= defined


def test_scripts_never_insert_html() -> None:
    scripts = "".join(path.read_text() for path in SCRIPTS.glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", scripts)


# Use in a browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture
def real_page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page with the real file, which is uploaded first, so that the page never shows the data of another test."""
    assert server.upload(REAL_FILE.read_bytes()).status_code == 200
    with open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        expect(page.locator(".clients .name").first).to_have_text("resplendent")
        expect(page.locator("#deals .status")).to_have_text("767 deals (the first 20 are shown)")
        yield page


@pytest.fixture
def empty_page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The page of a service without uploads."""
    with serving(tmp_path) as server, open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        yield page


def graphql_id(server: Server) -> str:
    """Return the id of the current upload."""
    result = server.get("/graphql/", params={"query": "{ currentUpload { id } }"}).json()
    return str(result["data"]["currentUpload"]["id"])


def show_new_data(page: Page) -> None:
    """Show the upload of another client, which the page announces."""
    page.locator("#announcement").get_by_role("button", name="Show").click()


def drop(page: Page, name: str, content: bytes) -> None:
    """Dispatch the events of a file that is dragged from a folder and dropped."""
    files = page.evaluate_handle(
        "([name, content]) => { const files = new DataTransfer(); files.items.add(new File([content], name));"
        " return files; }",
        [name, content.decode()],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#drop", event, {"dataTransfer": files})


def test_dropping_a_file_shows_the_top_clients(empty_page: Page) -> None:
    expect(empty_page.locator("#empty")).to_be_visible()
    expect(empty_page.locator("#data")).to_be_hidden()
    drop(empty_page, "deals.csv", REAL_FILE.read_bytes())
    expect(empty_page.locator("#result .good")).to_have_text("deals.csv was accepted.")
    expect(empty_page.locator(".clients > li")).to_have_count(5)
    for index, (username, spent, gems) in enumerate(TOP_FIVE):
        client = empty_page.locator(".clients > li").nth(index)
        expect(client.locator(".name")).to_have_text(username)
        expect(client.locator(".money")).to_have_text(spent)
        expect(client.locator(".gem")).to_have_text(gems)
    expect(empty_page.locator("#facts")).to_have_text(re.compile("Deals767Customers18Gems25"))
    expect(empty_page.locator("#timeline [data-lines]")).to_have_count(13)
    expect(empty_page.locator("#ranking [data-lines]").first).to_have_attribute(
        "aria-label", re.compile("^Танзанит, Total: 401,527")
    )


def test_tables_sort_filter_and_show_all_rows(real_page: Page) -> None:
    table = real_page.locator("#deals")
    expect(table.locator("th[aria-sort=descending]")).to_have_text("Date (UTC)")
    table.get_by_role("button", name="Total").click()
    expect(table.locator("th[aria-sort=descending]")).to_have_text("Total")
    largest = max(REAL_DEALS, key=lambda row: int(row["total"]))
    expect(table.locator("tbody tr").first).to_contain_text(f"{largest['customer']}{largest['item']}")
    table.get_by_role("button", name="Total").click()
    expect(table.locator("th[aria-sort=ascending]")).to_have_text("Total")
    rows = table.locator("tbody tr")
    while (count := rows.count()) < 767:
        table.get_by_role("button", name="Show more").click()
        expect(rows).not_to_have_count(count)
    expect(table.get_by_role("button", name="Show more")).to_have_count(0)
    expect(table.locator("tfoot")).to_have_text(re.compile(r"All rows.*1,509,597"))
    filters = real_page.locator("#deal-controls")
    filters.get_by_label("Customer or gem contains").fill("руб")
    filters.get_by_label("From").fill("2019-06-01")
    found = [row for row in REAL_DEALS if "Руб" in row["item"] and row["date"] >= "2019-06-01"]
    expect(table.locator(".status")).to_have_text(f"{len(found)} deals (the first 20 are shown)")
    expect(table.locator("tfoot")).to_contain_text(f"{sum(int(row['total']) for row in found):,}")
    filters.get_by_label("Customer or gem contains").fill("unknown")
    expect(table.locator(".status")).to_contain_text("No deals match these filters.")
    table.get_by_role("link", name="Reset filters").click()
    expect(table.locator(".status")).to_contain_text("767 deals")
    expect(filters.get_by_label("Customer or gem contains")).to_have_value("")


@pytest.mark.parametrize("table", ["deals", "customers", "gems"])
def test_every_column_of_a_table_can_be_shown_and_sorted(real_page: Page, table: str) -> None:
    card = real_page.locator(f"#{table}-card")
    card.locator("summary", has_text="Columns").click()
    for box in card.get_by_role("checkbox").all():
        box.check()
    titles = card.get_by_role("columnheader").all_text_contents()
    assert len(titles) == card.get_by_role("checkbox").count()
    for title in titles:
        card.get_by_role("columnheader", name=title).get_by_role("button").click()
        expect(card.locator("th[aria-sort=ascending], th[aria-sort=descending]")).to_have_text(title)
        expect(card.locator("[aria-busy=true]")).to_have_count(0)
        expect(card.locator(".bad")).to_have_count(0)


def test_copied_table_has_the_rows_that_are_not_shown_yet(browser: Browser, server: Server) -> None:
    server.upload(csv_of(*(deal(f"c{number}") for number in range(1050))), "many.csv")
    with open_page(browser, server, **DESKTOP, permissions=["clipboard-read"]) as page:
        page.goto("/")
        expect(page.locator("#deals .status").first).to_have_text("1,050 deals (the first 20 are shown)")
        copy = page.locator("#deals").get_by_role("button", name="Copy table")
        message = page.locator("#deals .copy:has-text('Copy table') [role=status]")
        page.evaluate("() => { document.execCommand = () => false; }")
        copy.click()
        expect(message).to_have_text("The rows have been read. Press the button again to copy them.")
        page.evaluate("() => { delete document.execCommand; }")
        copy.click()
        expect(message).to_have_text("1,000 of 1,050 rows copied; a file has all of them.")
        assert len(page.evaluate("navigator.clipboard.readText()").splitlines()) == 1 + 1000
        assert page.locator("#deals tbody tr").count() == 20


def test_two_files_of_one_table_have_each_row_once(browser: Browser, server: Server) -> None:
    server.upload(csv_of(*(deal(f"c{number}") for number in range(250))), "many.csv")
    with open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        customers = page.locator("#customers")
        expect(customers.locator(".status").first).to_contain_text("250")
        downloads: list[Download] = []
        page.on("download", lambda download: downloads.append(download))
        press = (
            "(buttons) => buttons.filter(({ innerText }) => /^(CSV|NDJSON)$/.test(innerText)).map((it) => it.click())"
        )
        customers.get_by_role("button").evaluate_all(press)
        wait_until(lambda: page.evaluate("true") and len(downloads) == 2)
        counts = {download.suggested_filename: len(download.path().read_text().splitlines()) for download in downloads}
        assert counts == {"customers.csv": 1 + 250, "customers.ndjson": 250}


@pytest.mark.parametrize(
    ("key", "code"), [("p", "KeyP"), ("з", "KeyP"), ("p", "KeyR")], ids=["us", "russian", "dvorak"]
)
def test_print_key_prints_all_rows(real_page: Page, key: str, code: str) -> None:
    real_page.evaluate("() => { window.print = () => { window.isPrinted = true; }; }")
    press = "(options) => !document.body.dispatchEvent(new KeyboardEvent('keydown', options))"
    options = {"bubbles": True, "cancelable": True, "ctrlKey": True}
    assert not real_page.evaluate(press, {**options, "key": "l", "code": "KeyP"})
    assert real_page.evaluate(press, {**options, "key": key, "code": code})
    wait_until(lambda: real_page.evaluate("window.isPrinted"))
    assert real_page.locator("#deals tbody tr").count() == 767


def test_preparation_of_a_print_is_shown_and_can_be_cancelled(real_page: Page) -> None:
    held: list[Route] = []
    is_held = True
    real_page.route("**/graphql/?*after*", lambda route: held.append(route) if is_held else route.continue_())
    real_page.evaluate("() => { window.prints = 0; window.print = () => { window.prints += 1; }; }")
    status = real_page.locator("#announcement")
    for is_key in (True, False):
        real_page.keyboard.press("Control+p")
        # 767 deals, 18 customers and 25 gems
        expect(status).to_contain_text("Preparing to print. Rows: 810. Escape cancels.")
        real_page.keyboard.press("Control+p")  # has no effect
        assert violations(real_page) == []
        if is_key:
            real_page.keyboard.press("Escape")
        else:
            status.get_by_role("button", name="Cancel").press("Enter")
        expect(status).to_be_empty()
    expect(real_page.locator("#print")).to_be_focused()
    assert real_page.evaluate("window.prints") == 0
    real_page.get_by_label("Language").select_option("ru")
    real_page.locator("#print").click()
    expect(status).to_contain_text("Подготовка к печати. Строк: 810. Escape – отмена.")
    is_held = False
    for route in held:  # requests of the first attempt
        route.continue_()
    wait_until(lambda: real_page.evaluate("window.prints"))
    expect(status).to_be_empty()
    assert real_page.evaluate("window.prints") == 1
    assert real_page.locator("#deals tbody tr").count() == 767


def test_rows_are_requested_again_if_their_request_failed_before(real_page: Page) -> None:
    real_page.evaluate("() => { window.prints = 0; window.print = () => { window.prints += 1; }; }")
    real_page.route("**/graphql/?*after*", lambda route: route.abort())
    real_page.locator("#print").click()
    wait_until(lambda: real_page.evaluate("window.prints") == 1)
    real_page.unroute("**/graphql/?*after*")
    real_page.locator("#print").click()
    wait_until(lambda: real_page.evaluate("window.prints") == 2)
    assert real_page.locator("#deals tbody tr").count() == 767


def test_new_upload_appears_and_unchanged_data_is_not_sent_again(real_page: Page, server: Server) -> None:
    requests = "performance.getEntriesByType('resource').filter(({name}) => name.includes('query+Current'))"
    # A 304 has no body; the first responses to a new page and after an upload have one.
    not_modified = "({transferSize, encodedBodySize}) => transferSize < encodedBodySize + 300"
    wait_until(lambda: real_page.evaluate(f"{requests}.some({not_modified})"))
    server.upload(csv_of(deal("ann", total="100.5")), name="other.csv")
    show_new_data(real_page)
    expect(real_page.locator(".clients .money")).to_have_text(["100.50"])
    expect(real_page.locator("#current")).to_contain_text("other.csv")
    expect(real_page.locator("#deals .status")).to_have_text("1 deal")


def test_view_is_in_the_address_and_survives_data_language_and_reload(real_page: Page, server: Server) -> None:
    real_page.get_by_label("Customer or gem contains").fill("OPA")
    expect(real_page.locator("#deals .status")).to_contain_text("No deals match these filters.")
    server.upload(csv_of(deal(item="Opal"), deal(item="topaz"), deal(item="ruby")))
    show_new_data(real_page)
    expect(real_page.locator("#deals .status")).to_have_text("2 deals")
    real_page.get_by_label("Language").select_option("ru")
    expect(real_page.locator("#deals .status")).to_have_text("2 сделки")
    expect(real_page.get_by_label("Покупатель или камень содержит")).to_have_value("OPA")
    assert real_page.url.endswith("/?search=OPA")
    real_page.locator("#gem-facet").get_by_role("link", name="topaz").click()
    expect(real_page.locator("#deals .status")).to_have_text("1 сделка")
    real_page.reload()
    expect(real_page.locator("#deals .status")).to_have_text("1 сделка")
    real_page.go_back()
    expect(real_page.locator("#deals .status")).to_have_text("2 сделки")


def test_redrawing_keeps_focus_caret_and_scroll_position(real_page: Page) -> None:
    expect(real_page.locator("#gems tbody tr").first).to_be_visible()
    expect(real_page.locator("[aria-busy=true]")).to_have_count(0)
    search = real_page.locator("#customers").get_by_label("Customer contains")
    search.focus()
    scrolled = real_page.evaluate("scrollY")
    real_page.keyboard.type("BELL", delay=50)
    expect(real_page.locator("#customers tbody th")).to_have_text(["bellwether"])
    expect(search).to_be_focused()
    expect(search).to_have_value("BELL")
    assert abs(real_page.evaluate("scrollY") - scrolled) < 5
    link = real_page.locator("#gem-facet a").nth(2)
    link.focus()
    real_page.keyboard.press("Enter")
    expect(link).to_have_attribute("aria-current", "true")
    expect(link).to_be_focused()


def test_older_upload_is_shown_compared_and_made_current(real_page: Page, server: Server) -> None:
    server.upload(csv_of(deal("resplendent", total="0.01")), name="newer.csv")
    show_new_data(real_page)
    expect(real_page.locator("#current")).to_contain_text("newer.csv")
    expect(real_page.locator("[aria-busy=true]")).to_have_count(0)
    real_page.locator("#versions a", has_text="deals.csv").first.click()
    expect(real_page.locator("#comparison-title")).to_be_focused()
    compared = real_page.locator("#comparison tbody tr")
    expect(compared.nth(0)).to_have_text("Deals7671−766")
    expect(compared.nth(3)).to_have_text("Total of all deals1,509,597.000.01−1,509,596.99")
    changed = real_page.locator("#changed-customers tbody tr", has_text="resplendent")
    expect(changed).to_have_text("resplendentchanged451,7310.01−451,730.99−97")
    base = real_page.evaluate("new URLSearchParams(location.search).get('base')")
    real_page.goto(f"/?upload={base}")
    expect(real_page.locator("#current")).to_contain_text("This is an earlier file.")
    expect(real_page.locator("#deals .status")).to_contain_text("767 deals")
    real_page.get_by_role("link", name="Show the current file").click()
    expect(real_page.locator("#deals .status")).to_have_text("1 deal")
    older = real_page.locator(".uploads > li", has_text="767").first
    older.get_by_role("button", name="Make current").click()
    real_page.get_by_role("dialog").get_by_role("button", name="Make current").click()
    expect(real_page.locator("#history-message")).to_contain_text("deals.csv is now current.")
    expect(real_page.locator(".clients .name").first).to_have_text("resplendent")
    expect(real_page.locator("#facts")).to_contain_text("767")


def test_differences_are_sorted_when_all_are_shown(real_page: Page, server: Server) -> None:
    base = graphql_id(server)
    server.upload(csv_of(deal("ann", "Рубин", "9"), deal("bob", "Опал", "10"), deal("resplendent", "Опал", "451731")))
    show_new_data(real_page)
    real_page.goto(f"/?base={base}")
    table = real_page.locator("#changed-customers")
    expect(table.locator(".status").first).to_have_text("Differences: 20")
    table.get_by_role("button", name="After").click()
    expect(table.locator("tbody th").nth(0)).to_have_text("resplendent")
    expect(table.locator("tbody th").nth(1)).to_have_text("bob")
    expect(table.locator("tbody th").nth(2)).to_have_text("ann")
    real_page.reload()
    expect(table.locator("th[aria-sort=descending]")).to_have_text("After")
    table.get_by_role("button", name="Difference", exact=True).click()
    table.get_by_role("button", name="Difference", exact=True).click()
    expect(table.locator("tbody th").first).to_have_text("bellwether")
    gems = real_page.locator("#changed-gems")
    expect(gems.locator(".status").first).to_contain_text("(the first 20 are shown; show all to sort them)")
    expect(gems.locator("thead button")).to_have_count(0)
    gems.get_by_role("button", name="Show more").click()
    expect(gems.locator("thead button")).to_have_count(6)


def test_upload_that_is_not_retained_is_reported_with_a_way_back(real_page: Page, server: Server) -> None:
    base = graphql_id(server)
    for number in range(4):
        server.upload(csv_of(deal(f"c{number}")))
    real_page.goto(f"/?upload={base}")
    expect(real_page.get_by_role("alert")).to_contain_text("no longer retained")
    real_page.get_by_role("link", name="Show the current file").click()
    expect(real_page.locator(".clients .name")).to_have_text("c3")
    expect(real_page.get_by_role("alert")).to_have_count(0)


def test_failed_card_is_read_again(real_page: Page) -> None:
    real_page.route("**/graphql/?query=query+DealsByGem*", lambda route: route.abort())
    real_page.locator("#customer-facet a").first.click()
    facet = real_page.locator("#gem-facet")
    expect(facet.get_by_role("alert")).to_contain_text("The service does not respond.")
    expect(real_page.locator("#deals .status")).to_contain_text("98 deals")
    real_page.unroute("**/graphql/?query=query+DealsByGem*")
    facet.get_by_role("button", name="Try again").click()
    expect(facet.locator("li").first).to_contain_text("Танзанит")


def test_cards_are_read_again_when_the_service_is_back(real_page: Page) -> None:
    real_page.route("**/graphql/?query=*", lambda route: route.abort())
    real_page.locator("#gem-facet a").first.click()
    expect(real_page.locator("#deals").get_by_role("alert")).to_be_visible()
    expect(real_page.locator("#connection-error")).to_be_visible()
    real_page.unroute_all()
    expect(real_page.locator("#connection-error")).to_be_hidden()
    expect(real_page.locator("#data").get_by_role("alert")).to_have_count(0)
    expect(real_page.locator("#deals .status").first).to_contain_text("49 deals")


def test_card_that_gets_no_response_can_be_read_again(real_page: Page) -> None:
    real_page.evaluate(
        "() => { const { timeout } = AbortSignal; window.restore = () => { AbortSignal.timeout = timeout; };"
        " AbortSignal.timeout = (milliseconds) => { window.limit = milliseconds; return AbortSignal.abort(); }; }"
    )
    real_page.locator("#gem-facet a").first.click()
    deals = real_page.locator("#deals")
    expect(deals.get_by_role("alert")).to_contain_text("The service does not respond.")
    expect(real_page.locator("#connection-error")).to_be_visible()
    assert real_page.evaluate("window.limit") == 60_000
    real_page.evaluate("window.restore()")
    expect(deals.locator(".status").first).to_contain_text("49 deals")


def test_page_whose_scripts_fail_to_load_offers_to_load_them_again(browser: Browser, server: Server) -> None:
    server.upload(REAL_FILE.read_bytes())
    finish_animations = "document.getAnimations().forEach((animation) => animation.finish())"
    with open_page(browser, server, **DESKTOP) as page:
        page.route("**/overview.js", lambda route: route.abort())
        page.goto("/?gem=topaz#deals-card")
        expect(page.locator("#not-loaded")).to_be_hidden()
        page.evaluate(finish_animations)
        expect(page.locator("#not-loaded")).to_have_text("The page has not loaded completely. Load it again")
        page.unroute("**/overview.js")
        page.get_by_role("link", name="Load it again").click()
        expect(page.locator(".clients .name").first).to_have_text("resplendent")
        page.evaluate(finish_animations)
        expect(page.locator("#not-loaded")).to_be_hidden()


def test_names_are_shown_as_plain_text(real_page: Page, server: Server) -> None:
    names = ["<img src=x onerror=alert(1)>", "x" * 255, "not\u202eevil", "{{ 7*7 }}"]
    deals = [deal(name, "<script>alert(1)</script>", str(9 - index)) for index, name in enumerate(names)]
    server.upload(csv_of(*deals))
    show_new_data(real_page)
    expect(real_page.locator(".clients .name")).to_have_text(names)
    assert real_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert real_page.locator("#data img, #data script").count() == 0


def test_phone_shows_the_page_in_russian_and_dark(browser: Browser, server: Server) -> None:
    server.upload(REAL_FILE.read_bytes())
    with open_page(browser, server, **PHONE) as page:
        page.goto("/")
        expect(page.locator(".clients .money").first).to_have_text(re.compile(r"^451\s731$"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Сделки с камнями")
        expect(page.locator("html")).to_have_attribute("lang", "ru")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_label("Тема").select_option("light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
        page.get_by_label("Язык").select_option("en")
        expect(page.get_by_role("heading", level=1)).to_have_text("Deals in gems")
        expect(page.locator(".clients .money").first).to_have_text("451,731")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Deals in gems")


def test_every_control_has_a_name_and_works_by_keyboard(real_page: Page) -> None:
    real_page.locator("#theme").focus()
    for control in ("#copy-link", "#print", "#file"):
        real_page.keyboard.press("Tab")
        expect(real_page.locator(control)).to_be_focused()
    real_page.locator("#gems").get_by_role("button", name="Gem", exact=True).focus()
    real_page.keyboard.press("Enter")
    expect(real_page.locator("#gems th[aria-sort=ascending]")).to_have_text("Gem")
    unnamed = real_page.evaluate(
        "[...document.querySelectorAll('input, select, button, a, section, [role=region]')].filter((node) =>"
        " !node.closest('[hidden]') && !node.labels?.length && !node.textContent.trim()"
        " && !node.ariaLabel && !node.getAttribute('aria-labelledby')).map((node) => node.outerHTML)"
    )
    assert unnamed == []
    assert real_page.evaluate("document.querySelectorAll('h1').length") == 1


def test_query_copied_from_graphiql_works_in_the_page(real_page: Page) -> None:
    module_url = real_page.evaluate("document.querySelector('script[src*=main]').src").replace(
        "main.js", "graphql_client.js"
    )
    real_page.goto("/graphql/")
    expect(real_page.locator(".graphiql-query-editor .CodeMirror-line").first).to_be_visible()
    copied = real_page.evaluate("document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.getValue()")
    assert "topClients" in copied
    real_page.goto("/")
    data = real_page.evaluate("async ([url, query]) => (await import(url)).query(query)", [module_url, copied])
    assert [client["username"] for client in data["topClients"]] == [username for username, *_ in TOP_FIVE]


def test_token_is_entered_once(browser: Browser, tmp_path: Path) -> None:
    environment = {"API_TOKENS": "ann:a-long-secret-word", "READ_REQUIRES_TOKEN": "1"}
    with serving(tmp_path, **environment) as server, open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        page.get_by_label("Token").fill("a-long-secret-word")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#empty")).to_be_visible()
        page.set_input_files("#file", REAL_FILE)
        expect(page.locator(".clients .name").first).to_have_text("resplendent")
        expect(page.locator("#token")).to_be_hidden()
        expect(page.locator(".uploads > li")).to_contain_text("by ann")


def test_page_reports_a_stopped_service(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as server, open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        expect(page.locator("#empty")).to_be_visible()
        server.stop()
        expect(page.locator("#connection-error")).to_have_text("The service does not respond. Is it running?")
