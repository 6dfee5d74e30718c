"""Pages of other sites, in a real browser that can reach the service, can neither change nor read data."""

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

#: Host names of other sites that resolve to this machine.
RESOLVER_RULES = "--host-resolver-rules=MAP *.com 127.0.0.1"

#: A multipart form that submits itself with a file created by a script, and requests that need no CORS permission.
PAGE = """<!doctype html><title>Attack</title><iframe name=response></iframe>
<form id=form method=post enctype=multipart/form-data action="%(url)s/api/upload/" target=response>
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
  try { return (await (await fetch("%(url)s" + path, options)).text()); } catch (error) { return "blocked"; }
};
(async () => {
  window.bodies = [
    await read("/api/upload/", {method: "POST", body, mode: "no-cors"}),
    await read("/api/upload/", {method: "POST", body, credentials: "include"}),
    await read("/api/upload/", {method: "POST", body: new Blob([csv], {type: "text/csv"}), mode: "no-cors"}),
    await read("/api/upload/", {method: "POST", body: csv, headers: {"Content-Type": "text/csv"}}),
    await read("/graphql/", {method: "POST", body: activate, headers: {"Content-Type": "text/plain"}, mode: "no-cors"}),
    await read("/graphql/", {method: "POST", body: activate, headers: {"Content-Type": "application/json"}}),
    await read("/api/top-clients/"),
    await read("/graphql/?query={topClients{username}}"),
  ];
})();
</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(RESOLVER_RULES) as browser:
        yield browser


@pytest.fixture
def other_site() -> Iterator[tuple[str, dict[str, str]]]:
    """Serve another site; yield its port and its pages by path."""
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
def test_page_of_another_site_changes_and_reads_nothing(
    browser: Browser, shared_server: Server, other_site: tuple[str, dict[str, str]], host: str
) -> None:
    """Hosts: another port of the same host name, another name of the machine, and a foreign name."""
    server, (port, pages) = shared_server, other_site
    server.upload(csv_of(deal("first")))
    (first,) = [upload["id"] for upload in uploads(server)[:1]]
    server.upload(csv_of(deal("service", host)))
    pages["/"] = PAGE % {"url": server.url, "first": first}
    before = len(uploads(server))
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(BROWSER_TIMEOUT_MS)
        page.goto(f"http://{host}:{port}/")
        page.wait_for_function("window.bodies !== undefined")
        bodies = page.evaluate("window.bodies")
        page.wait_for_timeout(300)  # for the response to the form
    assert bodies == ["", "blocked", "", "blocked", "", "blocked", "blocked", "blocked"]
    assert server.get().json()["response"][0]["username"] == "service"
    assert len(uploads(server)) == before


def test_dns_rebinding_page_reads_nothing(browser: Browser, shared_server: Server) -> None:
    """The browser treats the service as part of the attacker's site."""
    with browser.new_context() as context:
        page = context.new_page()
        response = page.goto(f"http://evil.com:{shared_server.port}/api/top-clients/")
        assert response is not None
        assert response.status == 400
        assert "host name is not allowed" in response.text()


def uploads(server: Server) -> list[dict[str, str]]:
    query = "{uploads(first: 100) {nodes {id state}}}"
    nodes: list[dict[str, str]] = server.get("/graphql/", params={"query": query}).json()["data"]["uploads"]["nodes"]
    return nodes
