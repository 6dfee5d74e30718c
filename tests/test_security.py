"""What a browser may do with our answers."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from project.middleware.security_headers import HEADER, NOTHING, PAGE, content_security_policy
from tests.test_settings import settings_of


def directives(policy: str) -> dict[str, str]:
    return {one.split()[0]: " ".join(one.split()[1:]) for one in policy.split(";")}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/top-clients/", 200), ("/graphql/", 400), ("/graphql/?query={__typename}", 200), ("/health/ready", 200),
     ("/nothing/here", 404), ("/api/upload/?limit=x", 400)],
)  # fmt: skip
def test_an_answer_that_is_no_page_lets_a_browser_do_nothing(path: str, status: int) -> None:
    answer = Client().get(path)
    assert answer.status_code == status
    assert answer[HEADER] == NOTHING == "default-src 'none'; frame-ancestors 'none'"


def test_a_page_may_load_from_here_alone() -> None:
    answer = Client().get("/graphql/", headers={"Accept": "text/html"})
    assert answer[HEADER] == PAGE
    allowed = directives(PAGE)
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"] == allowed["connect-src"] == "'self'"
    assert allowed["form-action"] == "'self'"  # the browsable API sends a file
    assert allowed["base-uri"] == allowed["frame-ancestors"] == "'none'"
    assert not {"unsafe", "http", "*"} & {word for word in ("unsafe", "http", "*") if word in PAGE}


def test_a_policy_of_its_own_stays() -> None:
    def page(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={HEADER: "default-src 'self'"})

    assert content_security_policy(page)(HttpRequest())[HEADER] == "default-src 'self'"


# Names


@pytest.mark.parametrize(
    "name",
    ["localhost", "localhost:8000", "web", "127.0.0.1", "192.168.1.7:8000", "[::1]", "[fe80::1]:8000",
     "deals.localhost", "nas.local", "deals.lan:80", "db.internal", "pi.home.arpa", "deals.test", "deals.example",
     "NAS.Local."],
)  # fmt: skip
@pytest.mark.django_db
def test_where_no_name_is_given_those_of_a_private_network_are_answered(name: str) -> None:
    assert Client().get("/api/top-clients/", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "name", ["deals.com", "evil.example.com", "127.0.0.1.evil.net:8000", "localhost.evil.io", "a:b.com", "x.local.com"]
)
@pytest.mark.parametrize("path", ["/api/top-clients/", "/graphql/?query={__typename}", "/health/live", "/admin/"])
def test_a_name_that_a_stranger_could_register_is_not(name: str, path: str) -> None:
    answer = Client().get(path, headers={"Host": name})
    assert answer.status_code == 400
    assert answer.json()["Desc"] == "The service does not answer to this name; see ALLOWED_HOSTS."
    assert answer[HEADER] == NOTHING


@pytest.mark.parametrize(("given", "any_name"), [("", False), ("deals.com", True), ("*", True)])
def test_who_names_hosts_has_those_and_who_says_so_has_any(given: str, any_name: bool) -> None:
    settings = settings_of(ALLOWED_HOSTS=given)
    assert ("project.middleware.security_headers.require_private_host" not in settings["MIDDLEWARE"]) is any_name
