"""Pages of the origins in ``CORS_ORIGINS``: what browsers let them send and read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser

from tests.chromium import BROWSER_TIMEOUT_MS
from tests.servers import REAL_FILE, TIMEOUT, Server, serving
from tests.test_other_sites import other_site

pytestmark = pytest.mark.database_independent

__all__ = ["other_site"]

ALLOWED: Final = [
    "authorization", "content-type", "if-match", "if-none-match", "prefer", "x-request-id",
    "apollographql-client-name", "apollographql-client-version", "apollo-require-preflight",
    "x-apollo-operation-id", "x-apollo-operation-name", "traceparent", "tracestate", "baggage",
]  # fmt: skip
#: Sends a query with the headers of Apollo Client and of OpenTelemetry, and an upload with If-Match.
PAGE: Final = """<!doctype html><title>Shop</title><script>
const read = async (path, options) => {
  try { const response = await fetch("%(url)s" + path, options);
        return [response.status, response.headers.get("ETag") !== null, (await response.text()).slice(0, 40)]; }
  catch (error) { return "blocked"; }
};
const headers = {"Content-Type": "application/json"};
for (const name of %(headers)s) headers[name] ??= "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const csv = "customer,item,total,quantity,date\\nann,ruby,1,1,2020-01-01 00:00:00\\n";
(async () => {
  window.results = [
    await read("/graphql/", {method: "POST", body: JSON.stringify({query: "{__typename}"}), headers}),
    await read("/api/upload/", {method: "POST", body: csv, headers: {"Content-Type": "text/csv", "If-Match": '"x"'}}),
    await read("/api/upload/", {headers: {"X-Other": "x"}}),
  ];
})();
</script>"""


def preflight(server: Server, path: str, method: str, headers: str) -> httpx.Headers:
    requested = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    origin = {"Origin": "https://shop.example"}
    response = httpx.options(server.url + path, headers=origin | requested, timeout=TIMEOUT)
    assert response.status_code == 200
    return response.headers


def test_preflight_names_the_headers_and_methods_that_exist(tmp_path: Path) -> None:
    with serving(tmp_path, CORS_ORIGINS="https://shop.example") as server:
        for path in ("/graphql/", "/api/upload/", "/api/exports/deals.csv"):
            headers = preflight(server, path, "POST", ", ".join(ALLOWED))
            assert sorted(headers["Access-Control-Allow-Headers"].split(", ")) == sorted(ALLOWED)
            assert headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, POST"


def test_page_of_an_allowed_origin_sends_the_headers_of_its_clients(
    tmp_path: Path, browser: Browser, other_site: tuple[str, dict[str, str]]
) -> None:
    port, pages = other_site
    with serving(tmp_path, CORS_ORIGINS=f"http://127.0.0.1:{port}") as server:
        server.upload(REAL_FILE.read_bytes())
        pages["/"] = PAGE % {"url": server.url, "headers": [name for name in ALLOWED if name != "content-type"]}
        with browser.new_context() as context:
            page = context.new_page()
            page.set_default_timeout(BROWSER_TIMEOUT_MS)
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_function("window.results !== undefined")
            query, upload, other = page.evaluate("window.results")
        assert query == [200, True, '{"data":{"__typename":"Query"},"extensio']
        assert upload == [412, False, '{"Status":"Error","Desc":"The current up']
        assert other == "blocked"
