"""Pages of other sites, in a real browser of somebody who can reach the service: they change and read nothing."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.builders import csv_of, deal
from tests.chromium import BROWSER_TIMEOUT_MS, chromium
from tests.servers import Server

pytestmark = pytest.mark.database_independent

#: A stranger's names, which he lets lead here.
NAMES = "--host-resolver-rules=MAP *.com 127.0.0.1"

#: A form that sends itself, as multipart, with a file made by a script; and requests that need no permission.
PAGE = """<!doctype html><title>win</title><iframe name=hole></iframe>
<form id=form method=post enctype=multipart/form-data action="%(url)s/api/upload/" target=hole>
<input type=file name=deals></form>
<script>
const csv = "customer,item,total,quantity,date\\nevil,ruby,1,1,2020-01-01 00:00:00\\n";
const file = new DataTransfer();
file.items.add(new File([csv], "deals.csv"));
form.deals.files = file.files;
form.submit();
const body = new FormData();
body.append("deals", new File([csv], "deals.csv"));
const activate = JSON.stringify({query: 'mutation {activateUpload(id: "%(first)s") {__typename}}'});
const read = async (path, options) => {
  try { return (await (await fetch("%(url)s" + path, options)).text()); } catch (refused) { return "refused"; }
};
(async () => {
  window.found = [
    await read("/api/upload/", {method: "POST", body, mode: "no-cors"}),
    await read("/api/upload/", {method: "POST", body, credentials: "include"}),
    await read("/graphql/", {method: "POST", body: activate, headers: {"Content-Type": "text/plain"}, mode: "no-cors"}),
    await read("/graphql/", {method: "POST", body: activate, headers: {"Content-Type": "application/json"}}),
    await read("/api/top-clients/"),
    await read("/graphql/?query={topClients{username}}"),
  ];
})();
</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(NAMES) as browser:
        yield browser


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, dict[str, str]]]:
    """Another site: its port, and what it says at ``/``."""
    pages: dict[str, str] = {}

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages.get("/", "").encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield str(site.server_port), pages
        site.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.com"])
def test_a_page_of_another_site_changes_nothing_and_reads_nothing(
    browser: Browser, shared_server: Server, elsewhere: tuple[str, dict[str, str]], host: str
) -> None:
    """Another port of the same machine, another name of it, and a stranger's name."""
    server, (port, pages) = shared_server, elsewhere
    server.upload(csv_of(deal("first")))
    (first,) = [one["id"] for one in uploads(server)[:1]]
    server.upload(csv_of(deal("ours", host)))
    pages["/"] = PAGE % {"url": server.url, "first": first}
    before = len(uploads(server))
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(BROWSER_TIMEOUT_MS)
        page.goto(f"http://{host}:{port}/")
        page.wait_for_function("window.found !== undefined")
        found = page.evaluate("window.found")
        page.wait_for_timeout(300)  # the form's answer
    assert found == ["", "refused", "", "refused", "refused", "refused"]
    assert server.get().json()["response"][0]["username"] == "ours"
    assert len(uploads(server)) == before


def test_a_page_that_has_its_own_name_lead_here_reads_nothing(browser: Browser, shared_server: Server) -> None:
    """DNS rebinding: to the browser it is one of our own pages."""
    with browser.new_context() as context:
        page = context.new_page()
        answer = page.goto(f"http://evil.com:{shared_server.port}/api/top-clients/")
        assert answer is not None
        assert answer.status == 400
        assert "does not answer to this name" in answer.text()


def uploads(server: Server) -> list[dict[str, str]]:
    query = "{uploads(first: 100) {nodes {id state}}}"
    nodes: list[dict[str, str]] = server.get("/graphql/", params={"query": query}).json()["data"]["uploads"]["nodes"]
    return nodes
