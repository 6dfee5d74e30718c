"""The GraphiQL page without a browser: content negotiation, static files and example queries."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from deals_api.ingest.service import ingest_deals
from graphql_schema.http.graphiql import example_queries
from project.build import build_digest
from tests.builders import deal, load
from tests.servers import REAL_FILE, ROOT

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def page_of(client: Client) -> str:
    response = client.get("/graphql/", headers={"Accept": CHROME})
    assert response.status_code == 200
    return response.content.decode()


def urls_in(page: str) -> list[str]:
    """Return the URLs of all files that the page loads."""
    return sorted(set(re.findall(r'<(?:link|script|img)\b[^>]*(?:src|href)="([^"]+)"', page)))


def body_of(response: Any) -> bytes:
    """Return the content of a streaming response; reading it to the end closes the file."""
    return b"".join(response)


# Content negotiation


@pytest.mark.parametrize("path", ["/graphql/", "/graphql"])
@pytest.mark.parametrize(
    "accept", [CHROME, FIREFOX, "text/html", "text/html, */*", "application/json;q=0.5, text/html"]
)
@pytest.mark.parametrize("parameters", [{}, {"query": "{__typename}", "variables": "{}"}])
def test_browser_that_navigates_gets_graphiql(
    client: Client, path: str, accept: str, parameters: dict[str, str]
) -> None:
    response = client.get(path, parameters, headers={"Accept": accept})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert response["Vary"] == "Accept"
    assert response["Cache-Control"] == "no-cache"
    assert client.head(path, headers={"Accept": accept})["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/json", "application/graphql-response+json", "application/json, text/html",
     "text/html;q=0.1, */*", "text/html;q=0, */*"],
)  # fmt: skip
def test_api_client_without_a_query_is_rejected_in_json(client: Client, accept: str | None) -> None:
    check_json_error(client.get("/graphql/", headers={"Accept": accept} if accept else {}))


def check_json_error(response: Any) -> None:
    assert response.status_code == 400
    assert response["Content-Type"] in ("application/json", "application/graphql-response+json")
    assert response.json()["errors"][0]["extensions"]["code"] == "graphql_unreadable"


@pytest.mark.django_db
def test_api_clients_and_scripts_get_the_result_of_a_query(client: Client) -> None:
    for accept in (None, "*/*", "application/json", "application/graphql-response+json"):
        by_get = client.get("/graphql/", {"query": "{__typename}"}, headers={"Accept": accept} if accept else {})
        assert by_get.json()["data"] == {"__typename": "Query"}
        assert by_get["Vary"] == "Accept"
    posted = client.post("/graphql/", {"query": "{__typename}"}, "application/json", headers={"Accept": CHROME})
    assert posted.json()["data"] == {"__typename": "Query"}


@pytest.mark.django_db
def test_browser_is_rejected_if_graphiql_is_disabled(client: Client, settings: Settings) -> None:
    settings.GRAPHIQL = False
    check_json_error(client.get("/graphql/", headers={"Accept": CHROME}))
    assert client.get("/graphql/", {"query": "{__typename}"}, headers={"Accept": CHROME}).json()["data"]


# Static files


def test_page_has_no_inline_script_or_style(client: Client) -> None:
    page = page_of(client)
    assert page.count("<script") == len(re.findall(r'<script defer src="[^"]+"></script>', page)) == 5
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


def test_files_of_the_page_are_served_as_immutable(client: Client) -> None:
    media_types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    urls = urls_in(page_of(client))
    assert len(urls) == 11
    for url in urls:
        assert url.startswith(f"/static/{django_settings.DEALS_BUILD}/")
        response = client.get(url)
        assert response.status_code == 200
        assert response["Content-Type"].startswith(media_types[Path(url).suffix])
        assert "immutable" in response["Cache-Control"]
        assert body_of(response)


@pytest.mark.django_db
def test_no_other_files_are_served(client: Client) -> None:
    for path in ("rest_framework/js/default.js", "graphiql/../graphiql/style.css", "../project/settings.py", ""):
        assert client.get(f"/static/{django_settings.DEALS_BUILD}/{path}").status_code == 404


@pytest.mark.parametrize("name", ["project/page.css", "graphql_schema/static/start.js", "graphql_schema/a.html"])
def test_changed_static_file_changes_the_build_digest(tmp_path: Path, name: str) -> None:
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text("1")
    before = build_digest(tmp_path)
    file.write_text("2")
    assert build_digest(tmp_path) != before


#: SHA-256 of the files in npm's packages graphiql 2.4.7, react 17.0.2, react-dom 17.0.2 and
#: @graphiql/plugin-explorer 0.1.15.
LIBRARIES = {
    "graphiql.min.js": "9ff2ca6842eea42d47fcf53a8e8cfec9b7912474f6c4275e904b7a39830e3995",
    "graphiql.min.css": "3ac6ccf8b4077271478b4887ec050ab9e66f0dc101a32ff3e2127b8f1d5ca6c3",
    "react.production.min.js": "229bbf4d0e7488209564152c6723497f1ac3934136ca1684233d2fa88fa4146f",
    "react-dom.production.min.js": "9db33292007ab6c38527b39d5663e976a305564e19b2a5a8713ea2b2c00f505d",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_bundled_libraries_equal_those_of_npm(client: Client, name: str) -> None:
    content = body_of(client.get(f"/static/{django_settings.DEALS_BUILD}/graphiql/{name}"))
    # Two files of the wheel have an additional line end.
    digests = {hashlib.sha256(variant).hexdigest() for variant in (content, content.removesuffix(b"\n"))}
    assert LIBRARIES[name] in digests


def test_collected_static_files_are_served_compressed(client: Client, settings: Settings, tmp_path: Path) -> None:
    uncollected = {url: body_of(client.get(url)) for url in urls_in(page_of(client))}
    settings.STATIC_ROOT = tmp_path
    settings.WHITENOISE_USE_FINDERS = False
    call_command("collectstatic", interactive=False, verbosity=0)
    new_client = Client()  # reads the settings of WhiteNoise again
    for url, content in uncollected.items():
        response = new_client.get(url, headers={"Accept-Encoding": "gzip, br"})
        assert gzip.decompress(body_of(response)) == content
        assert response["Content-Encoding"] == "gzip"
        assert body_of(new_client.get(url)) == content


# Example queries


@pytest.fixture
def execute_query(client: Client) -> Any:
    """Return a function that sends an example query, as GraphiQL does; keyword arguments replace its variables."""

    def execute_query(number: int, **variables: Any) -> Any:
        example = example_queries()[number - 1]
        defaults = json.loads(example["variables"] or "{}")
        assert variables.keys() <= defaults.keys()
        params = {"query": example["query"], "variables": defaults | variables}
        response = client.post("/graphql/", params, "application/json").json()
        assert "errors" not in response
        assert response["extensions"]["cost"]["requested"] < response["extensions"]["cost"]["limit"] / 20
        return response["data"]

    return execute_query


@pytest.fixture
def _real_deals(db: None) -> None:
    with REAL_FILE.open("rb") as file:
        ingest_deals(file, "deals.csv")


@pytest.mark.usefixtures("_real_deals")
def test_first_example_query_returns_the_top_five_clients(execute_query: Any) -> None:
    clients = execute_query(1)["topClients"]
    assert [(client["username"], client["spentMoney"]) for client in clients] == [
        ("resplendent", "451731"),
        ("bellwether", "217794"),
        ("uvulaperfly117", "120419"),
        ("braggadocio", "108957"),
        ("turophile", "100132"),
    ]
    assert clients[0]["gems"] == ["Рубин", "Сапфир", "Танзанит"]
    assert (clients[0]["customer"]["dealCount"], clients[0]["customer"]["gemCount"]) == (98, 5)


@pytest.mark.usefixtures("_real_deals")
def test_second_example_query_groups_by_gem_and_month(execute_query: Any) -> None:
    groups = execute_query(2)["dealStats"]["nodes"]
    assert groups[0] == {
        "gem": {"name": "Сапфир"},
        "month": "2019-05-01",
        "total": "86813",
        "share": 0.240305,
        "dealCount": 12,
        "averageTotal": "7234.42",
    }
    assert {group["gem"]["name"] for group in groups} == {"Рубин", "Сапфир"}
    assert len(groups) == 20


@pytest.mark.usefixtures("_real_deals")
def test_third_example_query_follows_customers_to_gems_and_buyers(execute_query: Any) -> None:
    customers = execute_query(3)["customers"]
    assert customers["totalCount"] == 18
    assert [customer["username"] for customer in customers["nodes"]] == ["resplendent", "bellwether", "uvulaperfly117"]
    for customer in customers["nodes"]:
        bought = customer["purchases"]["nodes"]
        assert int(bought[0]["total"]) >= int(bought[1]["total"])
        assert all(len(row["gem"]["buyers"]["nodes"]) == min(3, row["gem"]["buyerCount"]) for row in bought)
    richest = customers["nodes"][0]["purchases"]["nodes"][0]
    assert (richest["gem"]["name"], richest["total"]) == ("Танзанит", "266753")


@pytest.mark.usefixtures("_real_deals")
def test_fourth_example_query_returns_filtered_deals_in_pages(execute_query: Any) -> None:
    dates: list[str] = []
    after = None
    for _ in range(3):
        deals = execute_query(4, after=after)["deals"]
        assert deals["totalCount"] == 21
        assert all(deal["gem"]["name"] == "Рубин" and int(deal["total"]) >= 500 for deal in deals["nodes"])
        dates += [deal["date"] for deal in deals["nodes"]]
        after = deals["pageInfo"]["endCursor"]
    assert not deals["pageInfo"]["hasNextPage"]
    assert len(dates) == 21
    assert dates == sorted(set(dates))


@pytest.mark.usefixtures("_real_deals")
def test_fifth_example_query_lists_uploads_and_reads_an_older_one(execute_query: Any) -> None:
    load(deal("ann", total="7"), name="newer.csv")
    history = execute_query(5)
    newer, older = history["uploads"]["nodes"]
    assert (newer["fileName"], newer["isCurrent"], newer["dealCount"]) == ("newer.csv", True, 1)
    assert (older["fileName"], older["isCurrent"], older["dealCount"]) == ("deals.csv", False, 767)
    assert older["state"] == "LOADED"
    assert history["topClients"] == [{"username": "ann", "spentMoney": "7"}]
    assert execute_query(5, upload=older["id"])["topClients"][0] == {"username": "resplendent", "spentMoney": "451731"}


@pytest.mark.django_db
def test_example_queries_work_before_the_first_upload(execute_query: Any) -> None:
    for number in range(1, 1 + len(example_queries())):
        assert execute_query(number)
    assert len(example_queries()) == 5
