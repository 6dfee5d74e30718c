"""GraphiQL in a real browser with the real file, and without access to other hosts."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from graphql_schema.http.graphiql import example_queries
from tests.axe import violations
from tests.chromium import BROWSER_TIMEOUT_MS
from tests.servers import REAL_FILE, Server, serving

pytestmark = pytest.mark.database_independent

NAMES: Final = ["TopFive", "MoneyByGemAndMonth", "WhoBoughtWhat", "DealsPageByPage", "HistoryOfUploads"]
PHONE: Final = {"width": 390, "height": 844}


@dataclass
class Visit:
    """A browser window with GraphiQL that records its requests and errors."""

    page: Page
    server: Server
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.page.set_default_timeout(BROWSER_TIMEOUT_MS)
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("console", lambda message: self.errors.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        # The console shows violations of enforced policies only; this event also reports report-only policies.
        self.page.expose_function("recordViolation", lambda violation: self.errors.append(violation))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation',"
            " (event) => recordViolation(event.violatedDirective + ' ' + event.blockedURI))"
        )
        self.open("")

    def open(self, address: str) -> None:
        """Open a new page of GraphiQL at ``/graphql/`` followed by a query string or a fragment."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.server.url}/graphql/{address}")
        self.page.wait_for_selector(".graphiql-query-editor .CodeMirror")

    def text_of(self, editor: str) -> str:
        """Return the text of the editor of ``query`` or of ``variables``."""
        place = ".graphiql-query-editor" if editor == "query" else ".graphiql-editor-tool"
        text: str = self.page.evaluate(f"document.querySelector('{place} .CodeMirror').CodeMirror.getValue()")
        return text

    def check(self) -> None:
        """Check that the page used no other host and reported no errors."""
        assert {request.url.split("/", 3)[2] for request in self.requests} == {self.server.url.split("/", 3)[2]}
        assert self.errors == []

    def write(self, query: str) -> None:
        """Replace the text of the query editor."""
        self.page.click(".graphiql-query-editor .CodeMirror")
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(query)

    def wait_for_operation(self) -> None:
        """Wait until GraphiQL has parsed the operation name, which it does some time after a change."""
        editor = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
        deadline = time.monotonic() + BROWSER_TIMEOUT_MS / 1000
        while True:
            text, parsed_name = self.page.evaluate(f"[{editor}.getValue(), {editor}.operationName]")
            name = re.search(r"^query (\w+)", text, re.MULTILINE)
            if parsed_name == (name and name[1]):
                return
            assert time.monotonic() < deadline, f"GraphiQL has the operation name {parsed_name}"
            self.page.wait_for_timeout(50)

    def run(self) -> Any:
        """Press the button and return the response of the server once it is displayed."""
        self.wait_for_operation()
        with self.page.expect_response(lambda response: response.request.method == "POST") as received:
            self.page.click("button.graphiql-execute-button")
        self.page.wait_for_selector(".graphiql-spinner", state="detached")
        return received.value.json()

    def expect_result(self, text: str) -> None:
        expect(self.page.locator(".result-window")).to_contain_text(text)


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("graphiql")) as server:
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        yield server


Visiting = Callable[..., contextlib.AbstractContextManager[Visit]]


@pytest.fixture
def visiting(browser: Browser) -> Visiting:
    """Return a context manager that opens GraphiQL in a window with the given options, and checks it afterwards."""

    @contextlib.contextmanager
    def visiting(server: Server, **window: Any) -> Iterator[Visit]:
        with browser.new_context(**window) as context:
            visit = Visit(context.new_page(), server)
            visit.start()
            yield visit
            visit.check()

    return visiting


@pytest.fixture
def visit(server: Server, visiting: Visiting) -> Iterator[Visit]:
    with visiting(server) as visit:
        yield visit


def test_page_opens_with_example_queries_and_schema(visit: Visit) -> None:
    expect(visit.page).to_have_title("Deals in gems: GraphiQL")
    expect(visit.page.locator(".graphiql-tab-button")).to_have_text(NAMES)
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("The top five clients")
    visit.page.wait_for_load_state("networkidle")
    [introspection] = [request for request in visit.requests if request.method == "POST"]
    assert json.loads(introspection.post_data or "")["operationName"] == "IntrospectionQuery"
    response = introspection.response()
    assert response
    assert "errors" not in response.json()
    icon = visit.page.locator("link[rel=icon]").get_attribute("href")
    assert any(request.url.endswith(str(icon)) for request in visit.requests)


def test_typed_query_is_executed_and_displayed(visit: Visit) -> None:
    visit.write('{ gem(name: "Рубин") { total buyerCount } }')
    assert visit.run()["data"] == {"gem": {"total": "27001", "buyerCount": 3}}
    visit.expect_result('"total": "27001"')


@pytest.mark.parametrize(
    ("name", "expected"), list(zip(NAMES, ["451731", "86813", "266753", "Рубин", "deals.csv"], strict=True))
)
def test_example_query_is_sent_unchanged(visit: Visit, name: str, expected: str) -> None:
    example = example_queries()[NAMES.index(name)]
    visit.page.get_by_role("tab", name=name).click()
    expect(visit.page.locator(".result-window")).not_to_contain_text(expected)
    response = visit.run()
    assert "errors" not in response
    sent = json.loads(visit.requests[-1].post_data or "")
    assert sent["query"] == example["query"]
    assert sent.get("variables", {}) == json.loads(example["variables"] or "{}")
    visit.expect_result(expected)


def test_documentation_lists_the_fields_of_query(visit: Visit) -> None:
    visit.page.get_by_label("Show Documentation Explorer").click()
    docs = visit.page.locator(".graphiql-doc-explorer")
    docs.get_by_text("Query", exact=True).click()
    for name in ("topClients", "customers", "gems", "deals", "dealStats", "uploads"):
        expect(docs.get_by_role("link", name=name, exact=True)).to_be_visible(timeout=BROWSER_TIMEOUT_MS)
    expect(docs).to_contain_text("Clients by the sum of their deals, highest first; equal sums are sorted by username.")


def test_fields_are_suggested_while_typing(visit: Visit) -> None:
    visit.page.wait_for_load_state("networkidle")
    visit.write("{ deal")
    visit.page.keyboard.press("Control+Space")
    expect(visit.page.locator(".CodeMirror-hint")).to_contain_text(["deals", "dealStats"])


def test_rejected_query_displays_its_error(visit: Visit) -> None:
    visit.write("{ topClients(limit: 1000) { username } }")
    assert visit.run()["errors"]
    visit.expect_result("limit may be 1 to 100, not 1000.")
    visit.expect_result('"code": "limit_exceeded"')


def test_query_is_prettified_and_stored_in_the_history(visit: Visit) -> None:
    visit.write("query Pretty{topClients(limit:1){username}}")
    visit.page.get_by_label("Prettify query").click()
    expect(visit.page.locator(".graphiql-query-editor .CodeMirror-line")).to_have_count(5)
    visit.run()
    visit.page.get_by_label("Show History").click()
    expect(visit.page.locator(".graphiql-history-items")).to_contain_text("Pretty")


@pytest.mark.parametrize(
    ("label", "title"), [("Open settings dialog", "Settings"), ("Open short keys dialog", "Short Keys")]
)
def test_dialog_opens_and_closes(visit: Visit, label: str, title: str) -> None:
    visit.page.get_by_label(label).click()
    expect(visit.page.locator(".graphiql-dialog-title")).to_have_text(title)
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator(".graphiql-dialog-title")).to_have_count(0)


def test_example_queries_return_after_clearing_stored_data(visit: Visit) -> None:
    for _ in NAMES[1:]:
        visit.page.click(".graphiql-tab-close >> nth=0")
    expect(visit.page.locator(".graphiql-tab-button")).to_have_count(0)  # GraphiQL hides a single tab
    visit.page.get_by_label("Open settings dialog").click()
    visit.page.get_by_role("button", name="Clear data").click()
    visit.page.get_by_role("button", name="Cleared data").wait_for()
    visit.page.reload()
    expect(visit.page.locator(".graphiql-tab-button")).to_have_text(NAMES)


# Links


@pytest.mark.parametrize("separator", ["#", "?"])
def test_link_opens_its_query_and_variables(visit: Visit, separator: str) -> None:
    query, variables = (
        "query Linked($limit: Int) {\n  topClients(limit: $limit) { username } # 50 % & more\n}",
        '{"limit": 1}',
    )
    for _ in range(2):  # the second time, the browser has stored the tab
        visit.open(f"{separator}query={quote(query)}&variables={quote(variables)}")
        assert (visit.text_of("query"), visit.text_of("variables")) == (query, variables)
        expect(visit.page.locator(".graphiql-tab-active .graphiql-tab-button")).to_have_text("Linked")
        expect(visit.page.locator(".graphiql-tab-button")).to_have_count(len(NAMES) + 1)
    assert visit.run()["data"] == {"topClients": [{"username": "resplendent"}]}


def test_link_opens_in_a_new_browser_before_the_examples(server: Server, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/graphql/?query={quote('query Linked { __typename }')}")
        expect(page.locator(".graphiql-tab-button")).to_have_text(["Linked", *NAMES])


def test_copied_link_opens_the_same_query_until_it_is_edited(server: Server, visiting: Visiting) -> None:
    with visiting(server, permissions=["clipboard-read", "clipboard-write"]) as visit:
        visit.write("query Shared { topClients(limit: 2) { username } }")
        visit.page.get_by_label("Copy link").click()
        visit.page.get_by_label("Link copied").wait_for()
        link = visit.page.evaluate("navigator.clipboard.readText()")
        assert link == visit.page.url
        visit.open("#query=%7B__typename%7D")
        expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("__typename")
        visit.page.goto(link)  # the same page with another fragment
        expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("query Shared")
        visit.write("{ __typename }")
        visit.page.wait_for_url(f"{server.url}/graphql/")


def test_explorer_builds_a_query(visit: Visit) -> None:
    visit.page.get_by_label("Show GraphiQL Explorer").click()
    explorer = visit.page.locator(".graphiql-explorer-root")
    expect(explorer.get_by_role("textbox", name="Query Name")).to_have_value("TopFive")  # the query of the first tab
    explorer.get_by_text("uploads", exact=True).click()
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("uploads")


def test_header_leads_to_the_page_and_has_no_barriers(visit: Visit) -> None:
    assert violations(visit.page, without="#graphiql") == []
    visit.page.get_by_role("link", name="Deals in gems").click()
    expect(visit.page).to_have_title("Deals in gems")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_follows_the_color_scheme_of_the_system(server: Server, visiting: Visiting, scheme: str) -> None:
    with visiting(server, color_scheme=scheme) as visit:
        color = visit.page.evaluate("getComputedStyle(document.querySelector('.graphiql-container')).backgroundColor")
        red, green, blue = map(int, color.removeprefix("rgb(").removesuffix(")").split(","))
        assert (red + green + blue > 600) == (scheme == "light")
        assert (red + green + blue < 200) == (scheme == "dark")


def test_phone_has_room_for_query_and_result(server: Server, visiting: Visiting) -> None:
    with visiting(server, viewport=PHONE, has_touch=True) as visit:
        visit.run()
        visit.expect_result("resplendent")
        visit.page.get_by_label("Show Documentation Explorer").click()
        for pane in (".graphiql-query-editor", ".result-window", ".graphiql-plugin"):
            box = visit.page.locator(pane).bounding_box()
            assert box
            assert box["width"] > 250
            assert box["height"] > 80
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
            assert box["y"] + box["height"] <= PHONE["height"]
        assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_required_token_can_be_sent_in_a_header(visiting: Visiting, tmp_path: Path) -> None:
    environment = {"API_TOKENS": "ann:secret-of-ann-0123456789", "READ_REQUIRES_TOKEN": "1"}
    with serving(tmp_path, **environment) as server, visiting(server) as visit:
        visit.run()
        visit.expect_result("Reading requires a token")
        visit.page.get_by_role("button", name="Headers").click()
        visit.page.click(".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror")
        visit.page.keyboard.insert_text('{"Authorization": "Bearer secret-of-ann-0123456789"}')
        # GraphiQL reads the headers some time after they are typed, which takes long on a busy machine.
        responses = (visit.run() for _ in range(20))
        assert next(response["data"] for response in responses if "data" in response) == {"topClients": []}
        # The browser console reports each 401 that was received without the token.
        assert all("401" in error for error in visit.errors)
        visit.errors.clear()
