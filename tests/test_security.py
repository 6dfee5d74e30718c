"""Content-Security-Policy, and the host names that the service accepts."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from project.middleware.security_headers import DENY_ALL_POLICY, HEADER, PAGE_POLICY, content_security_policy
from tests.test_settings import settings_of


def directives(policy: str) -> dict[str, str]:
    return {item.split()[0]: " ".join(item.split()[1:]) for item in policy.split(";")}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/top-clients/", 200), ("/graphql/", 400), ("/graphql/?query={__typename}", 200), ("/health/ready", 200),
     ("/nothing/here", 404), ("/api/upload/?limit=x", 400)],
)  # fmt: skip
def test_responses_other_than_pages_have_the_strictest_policy(path: str, status: int) -> None:
    response = Client().get(path)
    assert response.status_code == status
    assert response[HEADER] == DENY_ALL_POLICY == "default-src 'none'; frame-ancestors 'none'"


def test_pages_load_only_from_the_service() -> None:
    response = Client().get("/graphql/", headers={"Accept": "text/html"})
    assert response[HEADER] == PAGE_POLICY
    allowed = directives(PAGE_POLICY)
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"] == allowed["connect-src"] == "'self'"
    assert allowed["form-action"] == "'self'"  # the browsable API sends a file
    assert allowed["base-uri"] == allowed["frame-ancestors"] == "'none'"
    assert not any(word in PAGE_POLICY for word in ("unsafe", "http", "*"))


def test_policy_of_a_view_is_not_replaced() -> None:
    def page(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={HEADER: "default-src 'self'"})

    assert content_security_policy(page)(HttpRequest())[HEADER] == "default-src 'self'"


# Host names


@pytest.mark.parametrize(
    "name",
    ["localhost", "localhost:8000", "web", "127.0.0.1", "192.168.1.7:8000", "[::1]", "[fe80::1]:8000",
     "deals.localhost", "nas.local", "deals.lan:80", "db.internal", "pi.home.arpa", "deals.test", "deals.example",
     "NAS.Local."],
)  # fmt: skip
@pytest.mark.django_db
def test_private_host_names_are_accepted_by_default(name: str) -> None:
    assert Client().get("/api/top-clients/", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "name", ["deals.com", "evil.example.com", "127.0.0.1.evil.net:8000", "localhost.evil.io", "a:b.com", "x.local.com"]
)
@pytest.mark.parametrize("path", ["/api/top-clients/", "/graphql/?query={__typename}", "/health/live", "/admin/"])
def test_public_host_names_are_rejected_by_default(name: str, path: str) -> None:
    response = Client().get(path, headers={"Host": name})
    assert response.status_code == 400
    assert response.json()["Desc"] == "The host name is not allowed; see ALLOWED_HOSTS."
    assert response[HEADER] == DENY_ALL_POLICY


@pytest.mark.parametrize("name", ["web_app:8000", "a_b", "a_b.com"])
@pytest.mark.django_db
def test_host_name_with_an_underscore_does_not_refer_to_allowed_hosts(name: str) -> None:
    response = Client().get("/api/top-clients/", headers={"Host": name})
    assert response.status_code == 400
    assert response.json()["Desc"] == (
        "The host name has an underscore, which Django rejects with any ALLOWED_HOSTS; use another name."
    )


@pytest.mark.parametrize(("variable", "any_host"), [("", False), ("deals.com", True), ("*", True)])
def test_allowed_hosts_replaces_the_default(variable: str, any_host: bool) -> None:
    settings = settings_of(ALLOWED_HOSTS=variable)
    assert ("project.middleware.hosts.require_private_host" not in settings["MIDDLEWARE"]) is any_host
