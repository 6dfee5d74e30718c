"""GraphiQL in a real browser, on the real file, with no network but the service."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from graphql_schema.http.graphiql import ready_queries
from tests.chromium import PATIENCE_MS, chromium
from tests.servers import REAL_FILE, Server, serving

pytestmark = pytest.mark.database_independent

NAMES: Final = ["TopFive", "MoneyByGemAndMonth", "WhoBoughtWhat", "DealsPageByPage", "HistoryOfUploads"]
PHONE: Final = {"width": 390, "height": 844}


@dataclass
class Visit:
    """One window on the page, and everything in it that should not happen."""

    page: Page
    server: Server
    requests: list[Request] = field(default_factory=list)
    mishaps: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("console", lambda message: self.mishaps.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.mishaps.append(f"error: {error}"))
        # A violation would show in the console as well, but a policy that only reports would not.
        self.page.expose_function("tell", lambda violation: self.mishaps.append(violation))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', (one) => tell(one.violatedDirective + ' ' + one.blockedURI))"
        )
        self.page.goto(f"{self.server.url}/graphql/")
        self.page.wait_for_selector(".graphiql-query-editor .CodeMirror")

    def end(self) -> None:
        assert {one.url.split("/", 3)[2] for one in self.requests} == {self.server.url.split("/", 3)[2]}
        assert self.mishaps == []

    def write(self, query: str) -> None:
        """Type a query over what stands there."""
        self.page.click(".graphiql-query-editor .CodeMirror")
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(query)

    def settle(self) -> None:
        """Wait until GraphiQL knows which operation it has before it, which it reads a moment after a change."""
        editor = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while True:
            text, known = self.page.evaluate(f"[{editor}.getValue(), {editor}.operationName]")
            name = re.search(r"^query (\w+)", text, re.MULTILINE)
            if known == (name and name[1]):
                return
            assert time.monotonic() < deadline, f"GraphiQL takes the operation for {known}"
            self.page.wait_for_timeout(50)

    def run(self) -> Any:
        """Press the button; what the server answers, once it is shown."""
        self.settle()
        with self.page.expect_response(lambda one: one.request.method == "POST") as answered:
            self.page.click("button.graphiql-execute-button")
        self.page.wait_for_selector(".graphiql-spinner", state="detached")
        return answered.value.json()

    def shows(self, text: str) -> None:
        expect(self.page.locator(".result-window")).to_contain_text(text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("graphiql")) as server:
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        yield server


Visiting = Callable[..., contextlib.AbstractContextManager[Visit]]


@pytest.fixture
def visiting(browser: Browser) -> Visiting:
    """A visit, with the options of a window; afterwards nothing may have gone wrong in it."""

    @contextlib.contextmanager
    def visiting(server: Server, **window: Any) -> Iterator[Visit]:
        with browser.new_context(**window) as context:
            visit = Visit(context.new_page(), server)
            visit.begin()
            yield visit
            visit.end()

    return visiting


@pytest.fixture
def visit(server: Server, visiting: Visiting) -> Iterator[Visit]:
    with visiting(server) as visit:
        yield visit


def test_the_page_opens_with_the_ready_queries_and_the_schema(visit: Visit) -> None:
    expect(visit.page).to_have_title("Deals in gems: GraphiQL")
    expect(visit.page.locator(".graphiql-tab-button")).to_have_text(NAMES)
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("The five who spent most")
    visit.page.wait_for_load_state("networkidle")
    [introspection] = [one for one in visit.requests if one.method == "POST"]
    assert json.loads(introspection.post_data or "")["operationName"] == "IntrospectionQuery"
    answer = introspection.response()
    assert answer
    assert "errors" not in answer.json()
    icon = visit.page.locator("link[rel=icon]").get_attribute("href")
    assert any(one.url.endswith(str(icon)) for one in visit.requests)


def test_a_typed_query_runs_and_its_rows_appear(visit: Visit) -> None:
    visit.write('{ gem(name: "Рубин") { total buyerCount } }')
    assert visit.run()["data"] == {"gem": {"total": "27001", "buyerCount": 3}}
    visit.shows('"total": "27001"')


@pytest.mark.parametrize(
    ("name", "shown"), list(zip(NAMES, ["451731", "86813", "266753", "Рубин", "deals.csv"], strict=True))
)
def test_a_ready_query_runs_as_it_is_written(visit: Visit, name: str, shown: str) -> None:
    ready = ready_queries()[NAMES.index(name)]
    visit.page.get_by_role("tab", name=name).click()
    expect(visit.page.locator(".result-window")).not_to_contain_text(shown)
    answer = visit.run()
    assert "errors" not in answer
    asked = json.loads(visit.requests[-1].post_data or "")
    assert asked["query"] == ready["query"]
    assert asked.get("variables", {}) == json.loads(ready["variables"] or "{}")
    visit.shows(shown)


def test_the_documentation_opens_and_names_the_fields_of_the_query(visit: Visit) -> None:
    visit.page.get_by_label("Show Documentation Explorer").click()
    docs = visit.page.locator(".graphiql-doc-explorer")
    docs.get_by_text("Query", exact=True).click()
    for name in ("topClients", "customers", "gems", "deals", "dealStats", "uploads"):
        expect(docs.get_by_role("link", name=name, exact=True)).to_be_visible(timeout=PATIENCE_MS)
    expect(docs).to_contain_text("Clients who spent most, richest first; equal sums by username.")


def test_fields_are_suggested_while_typing(visit: Visit) -> None:
    visit.page.wait_for_load_state("networkidle")
    visit.write("{ deal")
    visit.page.keyboard.press("Control+Space")
    expect(visit.page.locator(".CodeMirror-hint")).to_contain_text(["deals", "dealStats"])


def test_what_is_refused_is_told_in_words(visit: Visit) -> None:
    visit.write("{ topClients(limit: 1000) { username } }")
    assert visit.run()["errors"]
    visit.shows("limit may be 1 to 100, not 1000.")
    visit.shows('"code": "limit_exceeded"')


def test_a_query_is_made_pretty_and_remembered(visit: Visit) -> None:
    visit.write("query Pretty{topClients(limit:1){username}}")
    visit.page.get_by_label("Prettify query").click()
    expect(visit.page.locator(".graphiql-query-editor .CodeMirror-line")).to_have_count(5)
    visit.run()
    visit.page.get_by_label("Show History").click()
    expect(visit.page.locator(".graphiql-history-items")).to_contain_text("Pretty")


@pytest.mark.parametrize(
    ("label", "title"), [("Open settings dialog", "Settings"), ("Open short keys dialog", "Short Keys")]
)
def test_a_dialog_opens_and_closes(visit: Visit, label: str, title: str) -> None:
    visit.page.get_by_label(label).click()
    expect(visit.page.locator(".graphiql-dialog-title")).to_have_text(title)
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator(".graphiql-dialog-title")).to_have_count(0)


def test_the_ready_queries_come_back_when_the_stored_ones_are_cleared(visit: Visit) -> None:
    for _ in NAMES[1:]:
        visit.page.click(".graphiql-tab-close >> nth=0")
    expect(visit.page.locator(".graphiql-tab-button")).to_have_count(0)  # one tab shows no tabs
    visit.page.get_by_label("Open settings dialog").click()
    visit.page.get_by_role("button", name="Clear data").click()
    visit.page.get_by_role("button", name="Cleared data").wait_for()
    visit.page.reload()
    expect(visit.page.locator(".graphiql-tab-button")).to_have_text(NAMES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_light_or_dark_like_the_system(server: Server, visiting: Visiting, scheme: str) -> None:
    with visiting(server, color_scheme=scheme) as visit:
        color = visit.page.evaluate("getComputedStyle(document.querySelector('.graphiql-container')).backgroundColor")
        red, green, blue = map(int, color.removeprefix("rgb(").removesuffix(")").split(","))
        assert (red + green + blue > 600) == (scheme == "light")
        assert (red + green + blue < 200) == (scheme == "dark")


def test_a_phone_has_room_for_the_query_and_the_answer(server: Server, visiting: Visiting) -> None:
    with visiting(server, viewport=PHONE, has_touch=True) as visit:
        visit.run()
        visit.shows("resplendent")
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


def test_where_reading_needs_a_token_it_goes_into_the_headers(visiting: Visiting, tmp_path: Path) -> None:
    guarded = {"API_TOKENS": "ann:secret-of-ann-0123456789", "READ_REQUIRES_TOKEN": "1"}
    with serving(tmp_path, **guarded) as server, visiting(server) as visit:
        visit.run()
        visit.shows("Reading needs a token")
        visit.page.get_by_role("button", name="Headers").click()
        visit.page.click(".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror")
        visit.page.keyboard.insert_text('{"Authorization": "Bearer secret-of-ann-0123456789"}')
        # GraphiQL takes up what is typed after a moment, which is long on a busy machine.
        answers = (visit.run() for _ in range(20))
        assert next(answer["data"] for answer in answers if "data" in answer) == {"topClients": []}
        # A browser tells of each 401 that there was without the token.
        assert all("401" in one for one in visit.mishaps)
        visit.mishaps.clear()
