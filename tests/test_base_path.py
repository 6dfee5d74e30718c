"""BASE_PATH: the whole service below a path, behind a proxy that passes the path on."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from django.urls import URLPattern, URLResolver
from playwright.sync_api import Browser, Page, expect

from project.telemetry.tracing import path_template
from project.urls import urlpatterns
from tests.builders import csv_of, deal
from tests.chromium import open_page
from tests.servers import NO_TLS, REAL_FILE, TIMEOUT, Server, serving
from tests.test_admin import PASSWORD, create_admin
from tests.test_tracing import attributes, collector

pytestmark = [pytest.mark.database_independent, pytest.mark.second_run]

#: A client of a service at the root, and a client of one below the path, with the same data.
Clients = tuple[httpx.Client, httpx.Client]
BASE: Final = "/tools/deals.v1"
NOT_FOUND: Final = b'{"Status":"Error","Desc":"Not found.","Code":"not_found"}'
#: Values of the parameters of routes.
PARAMETERS: Final = {
    "app_label": "deals_api", "content_type_id": "1", "id": "nothing", "object_id": "1", "url": "deals_api/nothing"
}  # fmt: skip
#: Headers that differ between two requests for the same URL.
VOLATILE_HEADERS: Final = {"date", "expires", "server-timing", "x-request-id", "content-length"}


def routes(patterns: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def paths() -> list[str]:
    """Return a path for each route, with and without the slash where it is optional."""
    found = []
    for route in routes(urlpatterns):
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: PARAMETERS[match[1]], path_template(route))
        found += [path, path.removesuffix("/")] if route.endswith("/?$") else [path]
    return found


PATHS: Final = paths()
MONITORING: Final = [path for path in PATHS if path.startswith(("/health/", "/metrics"))]


@contextlib.contextmanager
def logged_in(server: Server, base: str) -> Iterator[httpx.Client]:
    """Follow the redirects from ``/admin`` to the login form, submit it, and yield the client."""
    with httpx.Client(base_url=server.url, timeout=TIMEOUT, follow_redirects=True, verify=NO_TLS) as client:
        form = client.get(f"{base}/admin")
        fields = {"username": "ann", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        index = client.post(form.url, data=fields, headers={"Origin": server.url})
        assert (index.status_code, index.url.path) == (200, f"{base}/admin/")
        assert {(cookie.name, cookie.path) for cookie in client.cookies.jar} == {
            ("csrftoken", f"{base}/admin/"),
            ("sessionid", f"{base}/admin/"),
        }
        client.follow_redirects = False
        yield client


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    folder = tmp_path_factory.mktemp("base")
    database = f"sqlite:///{folder / 'deals.sqlite3'}"
    with (
        serving(folder, DATABASE_URL=database, WEB_WORKERS="1") as root,
        serving(folder, DATABASE_URL=database, WEB_WORKERS="1", BASE_PATH=BASE) as below,
    ):
        assert root.upload(REAL_FILE.read_bytes()).status_code == 200
        create_admin({"DATABASE_URL": database})
        with logged_in(root, "") as root_client, logged_in(below, BASE) as below_client:
            yield root_client, below_client


def normalized(response: httpx.Response, client: httpx.Client) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body without the base path, the port and the random tokens of forms."""
    origin = str(client.base_url).removesuffix("/")
    body = "" if "/metrics" in response.url.path else response.text.replace(f"servers:\n- url: {BASE}\n", "")

    def comparable(text: str) -> str:
        text = re.sub(r'(csrfmiddlewaretoken" value=")\w+|((?:csrftoken|sessionid)=)\w+; expires=[^;]+', r"\1\2", text)
        return text.replace(origin, "http://host").replace(BASE, "")

    headers = {name: comparable(text) for name, text in response.headers.items() if name not in VOLATILE_HEADERS}
    return response.status_code, headers, comparable(body)


def own_urls(response: httpx.Response, origin: str) -> list[str]:
    """Return the absolute paths in a response: links, forms and files of a page, URLs, and Location."""
    found = re.findall(r'(?:href|src|action|url)\\?["\']?[=:] ?["\'](/[^"\']*)', response.text)
    found += re.findall(r">(/[^<>]*)<", response.text)
    found += re.findall(re.escape(origin) + r"([^\s\"'<)&]*)", response.text)
    return [*found, *([response.headers["Location"]] if "Location" in response.headers else [])]


@pytest.mark.parametrize("path", PATHS)
def test_response_below_the_path_differs_only_in_its_urls(clients: Clients, path: str) -> None:
    root, below = clients
    for headers in ({"Accept": "*/*"}, {"Accept": "text/html"}):
        expected = root.get(path, headers=headers, follow_redirects=True)
        response = below.get(BASE + path, headers=headers, follow_redirects=True)
        for theirs, ours in zip([*expected.history, expected], [*response.history, response], strict=True):
            assert BASE not in theirs.text
            assert normalized(ours, below) == normalized(theirs, root)
            for url in own_urls(ours, str(below.base_url).removesuffix("/")):
                assert url.startswith(f"{BASE}/"), url


@pytest.mark.parametrize("path", ["/", "/api/", "/api/docs/", "/api/top-clients/", "/graphql/", "/admin/",
                                  "/admin/deals_api/upload/", "/admin/deals_api/customer/"])  # fmt: skip
def test_every_file_and_link_of_a_page_is_found(clients: Clients, path: str) -> None:
    _, below = clients
    page = below.get(BASE + path, headers={"Accept": "text/html"})
    links = re.findall(r'(?:href|src)="([^"#][^"]*)"', page.text)
    urls = {page.url.join(link.replace("&amp;", "&")) for link in links if not link.startswith("data:")}
    assert len(urls) >= 3
    statuses = {str(url): below.get(url, headers={"Accept": "text/html, */*"}).status_code for url in urls}
    assert statuses == dict.fromkeys(statuses, 200)


@pytest.mark.parametrize("path", [path for path in PATHS if path not in MONITORING])
def test_path_outside_is_not_found(clients: Clients, path: str) -> None:
    response = clients[1].get(path)
    assert (response.status_code, response.content) == (404, NOT_FOUND)


@pytest.mark.parametrize("path", [f"{BASE}x/", "/tools/", "/tools", f"{BASE}{BASE}/", f"{BASE.upper()}/", "/static/"])
def test_similar_path_is_not_found(clients: Clients, path: str) -> None:
    response = clients[1].get(path)
    assert (response.status_code, response.content) == (404, NOT_FOUND)


@pytest.mark.parametrize("path", MONITORING)
def test_monitoring_needs_no_base_path(clients: Clients, path: str) -> None:
    outside, inside = clients[1].get(path), clients[1].get(BASE + path)
    assert normalized(outside, clients[1]) == normalized(inside, clients[1])
    assert outside.status_code == 200


def test_base_path_without_a_slash_redirects_to_the_page(clients: Clients) -> None:
    response = clients[1].get(BASE)
    assert (response.status_code, response.headers["Location"]) == (302, f"{BASE}/")


def test_openapi_document_has_the_base_path_in_its_server_url(clients: Clients) -> None:
    root, below = (
        yaml.safe_load(client.get(f"{base}/api/schema/").text) for client, base in zip(clients, ("", BASE), strict=True)
    )
    assert below.pop("servers") == [{"url": BASE}]
    assert f" {BASE}/graphql/." in below["info"]["description"]
    assert "servers" not in root
    assert below["paths"] == root["paths"]
    assert "/api/upload/" in below["paths"]


def test_error_messages_contain_the_urls_below_the_path(clients: Clients) -> None:
    _, below = clients
    assert f"deals.csv {below.base_url.join(BASE)}/api/upload/)" in below.put(f"{BASE}/api/upload/").json()["Desc"]
    refused = below.post(f"{BASE}/graphql/", files={"deals": b""}).json()
    assert f"POST {BASE}/api/upload/." in refused["errors"][0]["message"]


def test_api_responses_and_etags_do_not_depend_on_the_path(clients: Clients) -> None:
    query = "?query={topClients{username spentMoney gems}}"
    for path in ("/api/top-clients/?limit=2", f"/graphql/{query}", "/api/exports/deals.csv", "/graphql/schema.graphql"):
        root, below = (client.get(base + path) for client, base in zip(clients, ("", BASE), strict=True))
        assert (below.content, below.headers["ETag"]) == (root.content, root.headers["ETag"])
        assert clients[1].get(BASE + path, headers={"If-None-Match": root.headers["ETag"]}).status_code == 304


# TLS, logs, metrics and traces


def test_tls_redirect_keeps_the_path_and_exempts_health_checks(tmp_path: Path) -> None:
    with serving(tmp_path, SECURE="1", ALLOWED_HOSTS="deals.example", BASE_PATH="/deals") as server:
        create_admin({"DATABASE_URL": server.database_url})
        host = {"Host": "deals.example"}
        for path in ("/deals/api/top-clients/", "/deals/", "/deals", "/deals/admin/"):
            response = server.get(path, headers=host)
            assert (response.status_code, response.headers["Location"]) == (301, f"https://deals.example{path}")
        for path in ("/health/live", "/health/ready", "/deals/health/live", "/deals/health/ready"):
            assert server.get(path).status_code == 200
        tls = host | {"X-Forwarded-Proto": "https"}
        assert server.get("/deals/api/", headers=tls).json()["upload"] == "https://deals.example/deals/api/upload"
        assert server.get("/deals/health/live", headers={"Host": "else.example"}).status_code == 400
        login = server.get("/deals/admin/login/", headers=tls)
        cookie = login.headers["Set-Cookie"]
        assert "Path=/deals/admin/" in cookie
        assert "Secure" in cookie
        csrf = login.cookies["csrftoken"]
        logged_in = httpx.post(
            f"{server.url}/deals/admin/login/?next=/deals/admin/",
            data={"username": "ann", "password": PASSWORD, "csrfmiddlewaretoken": csrf},
            headers=tls | {"Cookie": f"csrftoken={csrf}", "Origin": "https://deals.example"},
            timeout=TIMEOUT,
            verify=NO_TLS,
        )
        assert (logged_in.status_code, logged_in.headers["Location"]) == (302, "/deals/admin/")
        assert "Path=/deals/admin/" in logged_in.headers["Set-Cookie"]


def test_telemetry_has_full_paths_and_the_usual_endpoint_names(tmp_path: Path) -> None:
    requests = {"/deals/api/top-clients/": "top-clients", "/deals/": "frontend", "/deals/admin/login/": "admin"}
    with collector() as (url, received):
        with serving(tmp_path, BASE_PATH="/deals", OTEL_EXPORTER_OTLP_ENDPOINT=url) as server:
            (style,) = re.findall(r'"(/deals/static/[^"]*/style\.css)"', server.get("/deals/").text)
            requests[style] = "static"
            for path in requests:
                assert server.get(path).status_code == 200
            metrics = server.get("/metrics").text
            assert server.stop() == 0
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert {line["path"]: line["endpoint"] for line in lines if line["event"] == "request"} == requests
    for endpoint in requests.values():
        assert f'endpoint="{endpoint}"' in metrics
    spans = [attributes(span) for group in received for scope in group.scope_spans for span in scope.spans]
    assert {span["url.path"]: span["http.route"] for span in spans if "http.route" in span}.items() >= {
        ("/deals/api/top-clients/", "/deals/api/top-clients/"),
        ("/deals/admin/login/", "/deals/admin/login/"),
    }


# In a browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("pages"), BASE_PATH="/deals", WEB_WORKERS="1") as server:
        create_admin({"DATABASE_URL": server.database_url})
        yield server


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page of a service without the real file; the test fails if a request fails or is outside of the path."""
    assert httpx.post(
        f"{server.url}/deals/api/upload/",
        files={"deals": ("ann.csv", csv_of(deal("ann")))},
        timeout=TIMEOUT,
        verify=NO_TLS,
    ).json() == {"Status": "OK"}
    failures: list[str] = []

    def check(response: Any) -> None:
        if not response.url.startswith((f"{server.url}/deals/", "data:")) or response.status >= 400:
            failures.append(f"{response.status} {response.url}")

    with open_page(browser, server, locale="en-US") as page:
        page.on("response", check)
        yield page
    assert failures == []


def upload(page: Page) -> None:
    page.goto("/deals/")
    page.set_input_files("#file", REAL_FILE)
    expect(page.locator("#result .good")).to_have_text(re.compile("deals.csv (was accepted|contains the current data)"))


def test_page_uploads_a_file_and_links_to_the_other_pages(page: Page) -> None:
    upload(page)
    expect(page.locator(".clients .name").first).to_have_text("resplendent")
    expect(page.locator("#deals .status")).to_have_text("767 deals (the first 20 are shown)")
    for name, path in (
        ("GraphiQL", "graphql/"),
        ("REST API", "api/docs/"),
        ("Admin", "admin/login/?next=/deals/admin/"),
    ):
        page.goto("/deals/")
        page.get_by_role("link", name=name).click()
        page.wait_for_url(f"**/deals/{path}")


def test_page_activates_an_older_upload(page: Page) -> None:
    upload(page)
    page.set_input_files("#file", {"name": "other.csv", "mimeType": "text/csv", "buffer": csv_of(deal("bob"))})
    expect(page.locator(".clients .name").first).to_have_text("bob")
    older = page.locator("#uploads li", has_text=REAL_FILE.name).first
    older.get_by_role("button", name="Make current").click()
    page.get_by_role("dialog").get_by_role("button", name="Make current").click()
    expect(page.locator(".clients .name").first).to_have_text("resplendent")


def test_page_ignores_values_stored_by_other_applications_of_the_host(page: Page) -> None:
    authorized: list[str] = []
    page.on("request", lambda request: authorized.append(request.url) if "authorization" in request.headers else None)
    page.goto("/deals/health/live")
    page.evaluate(
        "() => { sessionStorage.setItem('token', 'foreign'); localStorage.setItem('language', 'ru');"
        " localStorage.setItem('theme', 'purple'); }"
    )
    page.goto("/deals/")
    expect(page.locator("h1")).to_have_text("Deals in gems")
    expect(page.locator("html")).to_have_attribute("data-theme", "auto")
    page.locator("#theme").select_option("dark")
    page.locator("#language").select_option("ru")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    expect(page.locator(".clients .name").first).to_have_text("ann")
    assert page.evaluate("localStorage.getItem('theme') + localStorage.getItem('language')") == "purpleru"
    assert authorized == []


def test_graphiql_executes_a_query(page: Page) -> None:
    upload(page)
    page.goto("/deals/graphql/")
    page.locator(".graphiql-execute-button").click()
    expect(page.locator(".result-window")).to_contain_text("resplendent")


def test_swagger_ui_executes_an_operation(page: Page) -> None:
    upload(page)
    page.goto("/deals/api/docs/")
    operation = page.locator(".opblock", has_text="/api/top-clients/").first
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("resplendent")
    expect(operation.locator(".request-url")).to_contain_text("/deals/api/top-clients/")


def test_browsable_api_uploads_a_file(page: Page) -> None:
    page.goto("/deals/api/upload/")
    page.set_input_files("input[name=deals]", REAL_FILE)
    page.get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text('"Status": "OK"')
    page.get_by_role("link", name="Endpoints").click()
    page.get_by_role("link", name="/deals/api/top-clients").click()
    expect(page.locator(".response-info")).to_contain_text('"spent_money": 451731')


def test_admin_logs_in_lists_rows_and_logs_out(page: Page) -> None:
    upload(page)
    page.goto("/deals/admin")
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Deals", exact=True).first.click()
    expect(page.locator(".paginator")).to_contain_text("767 deals")
    page.get_by_role("link", name="Uploads", exact=True).first.click()
    page.locator("#result_list").get_by_role("link", name="customers").first.click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("resplendent")
    page.get_by_role("link", name="View site").click()
    expect(page.locator(".clients .name").first).to_have_text("resplendent")
    page.goto("/deals/admin/")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("link", name="Log in again").click()
    expect(page.get_by_label("Username")).to_be_visible()
