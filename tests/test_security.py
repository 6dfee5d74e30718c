"""What a browser may do with our answers."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from project.security import HEADER, NOTHING, PAGE, content_security_policy


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
