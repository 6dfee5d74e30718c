"""The page at GraphQL's address, before any browser runs it: who gets it, what it loads, what its queries answer."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as of_the_run
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from deals_api.ingest.service import ingest_deals
from graphql_schema.http.graphiql import ready_queries
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
    answer = client.get("/graphql/", headers={"Accept": CHROME})
    assert answer.status_code == 200
    return answer.content.decode()


def loaded_by(page: str) -> list[str]:
    """Everything that the page has a browser fetch."""
    return re.findall(r'(?:src|href)="([^"]+)"', page)


def body_of(answer: Any) -> bytes:
    """All of a file that is served; it is closed by being read."""
    return b"".join(answer)


# Who gets it


@pytest.mark.parametrize("path", ["/graphql/", "/graphql"])
@pytest.mark.parametrize(
    "accept", [CHROME, FIREFOX, "text/html", "text/html, */*", "application/json;q=0.5, text/html"]
)
def test_a_browser_that_asks_nothing_gets_the_page(client: Client, path: str, accept: str) -> None:
    answer = client.get(path, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Vary"] == "Accept"
    assert answer["Cache-Control"] == "no-cache"
    assert client.head(path, headers={"Accept": accept})["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/json", "application/graphql-response+json", "application/json, text/html",
     "text/html;q=0.1, */*", "text/html;q=0, */*"],
)  # fmt: skip
def test_a_program_that_asks_nothing_is_refused_in_json(client: Client, accept: str | None) -> None:
    refused_in_json(client.get("/graphql/", headers={"Accept": accept} if accept else {}))


def refused_in_json(answer: Any) -> None:
    assert answer.status_code == 400
    assert answer["Content-Type"] in ("application/json", "application/graphql-response+json")
    assert answer.json()["errors"][0]["extensions"]["code"] == "graphql_unreadable"


@pytest.mark.django_db
def test_a_browser_that_asks_something_gets_the_answer(client: Client) -> None:
    asked = client.get("/graphql/", {"query": "{__typename}"}, headers={"Accept": CHROME})
    assert asked.json()["data"] == {"__typename": "Query"}
    posted = client.post("/graphql/", {"query": "{__typename}"}, "application/json", headers={"Accept": CHROME})
    assert posted.json()["data"] == {"__typename": "Query"}


@pytest.mark.django_db
def test_switched_off_a_browser_is_refused_like_a_program(client: Client, settings: Settings) -> None:
    settings.GRAPHIQL = False
    refused_in_json(client.get("/graphql/", headers={"Accept": CHROME}))


# What it loads


def test_the_page_has_neither_script_nor_style_in_itself(client: Client) -> None:
    page = page_of(client)
    assert page.count("<script") == len(re.findall(r'<script defer src="[^"]+"></script>', page)) == 4
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


def test_everything_the_page_loads_comes_from_here_to_be_kept_for_ever(client: Client) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    addresses = loaded_by(page_of(client))
    assert len(addresses) == 7
    for address in addresses:
        assert address.startswith(f"/static/{of_the_run.DEALS_BUILD}/")
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith(kinds[Path(address).suffix])
        assert "immutable" in answer["Cache-Control"]
        assert body_of(answer)


@pytest.mark.django_db
def test_no_other_files_are_served(client: Client) -> None:
    for path in ("rest_framework/js/default.js", "graphiql/../graphiql/style.css", "../project/settings.py", ""):
        assert client.get(f"/static/{of_the_run.DEALS_BUILD}/{path}").status_code == 404


@pytest.mark.parametrize("name", ["project/page.css", "graphql_schema/static/start.js", "graphql_schema/a.html"])
def test_a_change_of_what_pages_load_gives_it_another_address(tmp_path: Path, name: str) -> None:
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text("1")
    before = build_digest(tmp_path)
    file.write_text("2")
    assert build_digest(tmp_path) != before


#: SHA-256 of the files in npm's packages graphiql 2.4.7, react 17.0.2 and react-dom 17.0.2.
LIBRARIES = {
    "graphiql.min.js": "9ff2ca6842eea42d47fcf53a8e8cfec9b7912474f6c4275e904b7a39830e3995",
    "graphiql.min.css": "3ac6ccf8b4077271478b4887ec050ab9e66f0dc101a32ff3e2127b8f1d5ca6c3",
    "react.production.min.js": "229bbf4d0e7488209564152c6723497f1ac3934136ca1684233d2fa88fa4146f",
    "react-dom.production.min.js": "9db33292007ab6c38527b39d5663e976a305564e19b2a5a8713ea2b2c00f505d",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_libraries_in_the_wheel_are_those_of_npm(client: Client, name: str) -> None:
    content = body_of(client.get(f"/static/{of_the_run.DEALS_BUILD}/graphiql/{name}"))
    # The wheel has a line end more in two of them.
    digests = {hashlib.sha256(one).hexdigest() for one in (content, content.removesuffix(b"\n"))}
    assert LIBRARIES[name] in digests


def test_collected_as_in_the_image_they_are_served_compressed(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    as_they_lie = {address: body_of(client.get(address)) for address in loaded_by(page_of(client))}
    settings.STATIC_ROOT = tmp_path
    settings.WHITENOISE_USE_FINDERS = False
    call_command("collectstatic", interactive=False, verbosity=0)
    image = Client()
    for address, content in as_they_lie.items():
        answer = image.get(address, headers={"Accept-Encoding": "gzip, br"})
        assert gzip.decompress(body_of(answer)) == content
        assert answer["Content-Encoding"] == "gzip"
        assert body_of(image.get(address)) == content


# What its queries answer


@pytest.fixture
def ask(client: Client) -> Any:
    """Asks the ready query of a number, as GraphiQL would; further arguments move its variables."""

    def ask(number: int, **variables: Any) -> Any:
        ready = ready_queries()[number - 1]
        given = json.loads(ready["variables"] or "{}")
        assert variables.keys() <= given.keys()
        asked = {"query": ready["query"], "variables": given | variables}
        answer = client.post("/graphql/", asked, "application/json").json()
        assert "errors" not in answer
        assert answer["extensions"]["cost"]["requested"] < answer["extensions"]["cost"]["limit"] / 20
        return answer["data"]

    return ask


@pytest.fixture
def _real_deals(db: None) -> None:
    with REAL_FILE.open("rb") as file:
        ingest_deals(file, "deals.csv")


@pytest.mark.usefixtures("_real_deals")
def test_the_first_ready_query_gives_the_five_who_spent_most(ask: Any) -> None:
    clients = ask(1)["topClients"]
    assert [(one["username"], one["spentMoney"]) for one in clients] == [
        ("resplendent", "451731"),
        ("bellwether", "217794"),
        ("uvulaperfly117", "120419"),
        ("braggadocio", "108957"),
        ("turophile", "100132"),
    ]
    assert clients[0]["gems"] == ["Рубин", "Сапфир", "Танзанит"]
    assert (clients[0]["customer"]["dealCount"], clients[0]["customer"]["gemCount"]) == (98, 5)


@pytest.mark.usefixtures("_real_deals")
def test_the_second_gives_money_by_gem_and_month(ask: Any) -> None:
    groups = ask(2)["dealStats"]
    assert groups[0] == {
        "gem": {"name": "Сапфир"},
        "month": "2019-05-01",
        "total": "86813",
        "dealCount": 12,
        "averageTotal": "7234.42",
    }
    assert {one["gem"]["name"] for one in groups} == {"Рубин", "Сапфир"}
    assert len(groups) == 20


@pytest.mark.usefixtures("_real_deals")
def test_the_third_goes_from_customers_to_gems_and_their_buyers(ask: Any) -> None:
    customers = ask(3)["customers"]
    assert customers["totalCount"] == 18
    assert [one["username"] for one in customers["nodes"]] == ["resplendent", "bellwether", "uvulaperfly117"]
    for customer in customers["nodes"]:
        bought = customer["purchases"]["nodes"]
        assert int(bought[0]["total"]) >= int(bought[1]["total"])
        assert all(len(one["gem"]["buyers"]["nodes"]) == min(3, one["gem"]["buyerCount"]) for one in bought)
    richest = customers["nodes"][0]["purchases"]["nodes"][0]
    assert (richest["gem"]["name"], richest["total"]) == ("Танзанит", "266753")


@pytest.mark.usefixtures("_real_deals")
def test_the_fourth_gives_all_such_deals_page_by_page(ask: Any) -> None:
    dates: list[str] = []
    after = None
    for _ in range(3):
        deals = ask(4, after=after)["deals"]
        assert deals["totalCount"] == 21
        assert all(one["gem"]["name"] == "Рубин" and int(one["total"]) >= 500 for one in deals["nodes"])
        dates += [one["date"] for one in deals["nodes"]]
        after = deals["pageInfo"]["endCursor"]
    assert not deals["pageInfo"]["hasNextPage"]
    assert len(dates) == 21
    assert dates == sorted(set(dates))


@pytest.mark.usefixtures("_real_deals")
def test_the_fifth_gives_the_history_and_reads_an_older_upload(ask: Any) -> None:
    load(deal("ann", total="7"), name="newer.csv")
    now = ask(5)
    newer, older = now["uploads"]["nodes"]
    assert (newer["fileName"], newer["isCurrent"], newer["dealCount"]) == ("newer.csv", True, 1)
    assert (older["fileName"], older["isCurrent"], older["dealCount"]) == ("deals.csv", False, 767)
    assert older["state"] == "LOADED"
    assert now["topClients"] == [{"username": "ann", "spentMoney": "7"}]
    assert ask(5, upload=older["id"])["topClients"][0] == {"username": "resplendent", "spentMoney": "451731"}


@pytest.mark.django_db
def test_before_the_first_upload_every_ready_query_has_an_answer(ask: Any) -> None:
    for number in range(1, 1 + len(ready_queries())):
        assert ask(number)
    assert len(ready_queries()) == 5
