"""Property tests: the GraphQL API answers any request without a 5xx and without an error in the log.

``tests.wsgi`` checks both for every request; Hypothesis generates the requests.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.builders import deal, load
from tests.wsgi import JSON, RESPONSE, Response, call, post

pytestmark = pytest.mark.django_db

ROLL_BACK = {"query": 'mutation { activateUpload(id: "VXBsb2FkOg==") { __typename } }'}


@pytest.fixture(autouse=True)
def _some_deals(db: None) -> None:
    load(deal("ann", "ruby", "30"), deal("bob", "opal", "20"))


def check_response(response: Response) -> None:
    """Check that the response is JSON with data, or with errors that each have a code."""
    if response.status in (204, 304) or not response.body:
        return
    body = response.json
    assert "data" in body or body["errors"]
    assert all(error["extensions"]["code"] != "internal_error" for error in body.get("errors", ()))


MANY_EXAMPLES = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Generated JSON and GraphQL

TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXT, children, max_size=4),
    max_leaves=12,
)
TOKENS = (
    '{ } ( ) [ ] : ! $ @ | & = ... " """ # query mutation fragment F on Query deals topClients nodes id __typename '
    "__schema first limit $v 1 -1 1e9 null true \\u{110000} \\ud800 я @include(if:true)"
)
DOCUMENTS = (
    TEXT
    | st.just("{ __typename }")
    | st.lists(st.sampled_from([*TOKENS.split(), "\n", "\0"]), max_size=30).map(" ".join)
)
GRAPHQL_REQUESTS = st.fixed_dictionaries(
    {"query": DOCUMENTS | VALUES},
    optional={"operationName": TEXT | VALUES, "variables": VALUES, "extensions": VALUES},
)
PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(["query", "variables", "operationName", "extensions", "a"]),
        DOCUMENTS | VALUES.map(json.dumps),
    ),
    max_size=5,
)


@MANY_EXAMPLES
@given(body=st.binary(max_size=200) | VALUES.map(json.dumps).map(str.encode))
def test_any_body_gets_a_response(body: bytes) -> None:
    check_response(post(body, RESPONSE))


@MANY_EXAMPLES
@given(graphql_request=GRAPHQL_REQUESTS)
def test_any_graphql_request_gets_a_response(graphql_request: Any) -> None:
    check_response(post(graphql_request))


@MANY_EXAMPLES
@given(parameters=PARAMETERS, tail=st.text(st.characters(max_codepoint=255), max_size=10))
def test_any_url_gets_a_response(parameters: list[tuple[str, str]], tail: str) -> None:
    check_response(call(query=urlencode(parameters, errors="surrogatepass") + tail))


# Generated headers

#: Characters that a header may contain on the wire.
HEADER_TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=40)


def header_value(*pieces: str) -> st.SearchStrategy[str]:
    return HEADER_TEXT | st.lists(st.sampled_from(pieces), max_size=8).map("".join)


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept": header_value(
            JSON, RESPONSE, "*/*", "application/*", "text/*", ";", "q=", "0", "1", ".5", "nan", ",", " "
        ),
        "Content-Type": header_value(
            JSON, ";", "charset", "*", "=", "'", "''", "utf-8", "rot13", "\xff", '"', "%41", ",", "0", "a", " "
        ),
        "Content-Length": HEADER_TEXT | st.integers().map(str),
        "If-None-Match": header_value('"', "W/", "*", ",", "a"),
        "Origin": header_value("http", "://", "[", "]", "deals.example", ":80", "null", "@"),
        **dict.fromkeys(
            ["Content-Encoding", "Transfer-Encoding", "If-Match", "Range", "X-Request-ID", "X-Forwarded-Proto",
             "X-HTTP-Method-Override", "Cookie", "Authorization", "Sec-Fetch-Site"],
            HEADER_TEXT,
        ),
    },
)  # fmt: skip


@MANY_EXAMPLES
@given(method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"]), headers=HEADERS)
@example(method="GET", headers={"Content-Type": f"{JSON}; charset=rot13"})
@example(method="GET", headers={"Content-Type": f"{JSON}; charset*=no-such'en'%41"})
def test_any_headers_get_a_response(method: str, headers: dict[str, str]) -> None:
    check_response(call(method, query="query=%7B__typename%7D", body=b'{"query":"{__typename}"}', headers=headers))


@MANY_EXAMPLES
@given(headers=HEADERS)
@example(headers={"Origin": "http://["})
def test_any_headers_of_a_mutation_get_a_response(headers: dict[str, str]) -> None:
    body = json.dumps(ROLL_BACK).encode()
    check_response(call("POST", body=body, headers={"Content-Type": JSON} | headers))
