"""Whatever is sent to the GraphQL face, an answer comes back: never a 5xx, never a failure in the log.

``tests.wsgi`` looks for those at every request; what is sent is searched for by hypothesis.
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


def is_answered(response: Response) -> None:
    """The answer is JSON with data, or with errors that each have a code."""
    if response.status in (204, 304) or not response.body:
        return
    answer = response.json
    assert "data" in answer or answer["errors"]
    assert all(error["extensions"]["code"] != "internal_error" for error in answer.get("errors", ()))


SEARCH = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# What is made of JSON and of GraphQL

TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXT, inside, max_size=4),
    max_leaves=12,
)
WORDS = (
    '{ } ( ) [ ] : ! $ @ | & = ... " """ # query mutation fragment F on Query deals topClients nodes id __typename '
    "__schema first limit $v 1 -1 1e9 null true \\u{110000} \\ud800 я @include(if:true)"
)
DOCUMENTS = (
    TEXT
    | st.just("{ __typename }")
    | st.lists(st.sampled_from([*WORDS.split(), "\n", "\0"]), max_size=30).map(" ".join)
)
QUESTIONS = st.fixed_dictionaries(
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


@SEARCH
@given(body=st.binary(max_size=200) | VALUES.map(json.dumps).map(str.encode))
def test_any_body_is_answered(body: bytes) -> None:
    is_answered(post(body, RESPONSE))


@SEARCH
@given(question=QUESTIONS)
def test_any_question_is_answered(question: Any) -> None:
    is_answered(post(question))


@SEARCH
@given(parameters=PARAMETERS, tail=st.text(st.characters(max_codepoint=255), max_size=10))
def test_any_address_is_answered(parameters: list[tuple[str, str]], tail: str) -> None:
    is_answered(call(query=urlencode(parameters, errors="surrogatepass") + tail))


# What is made of headers

#: What a header may hold on the wire.
LETTERS = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=40)


def made_of(*pieces: str) -> st.SearchStrategy[str]:
    return LETTERS | st.lists(st.sampled_from(pieces), max_size=8).map("".join)


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept": made_of(JSON, RESPONSE, "*/*", "application/*", "text/*", ";", "q=", "0", "1", ".5", "nan", ",", " "),
        "Content-Type": made_of(
            JSON, ";", "charset", "*", "=", "'", "''", "utf-8", "rot13", "\xff", '"', "%41", ",", "0", "a", " "
        ),
        "Content-Length": LETTERS | st.integers().map(str),
        "If-None-Match": made_of('"', "W/", "*", ",", "a"),
        "Origin": made_of("http", "://", "[", "]", "deals.example", ":80", "null", "@"),
        **dict.fromkeys(
            ["Content-Encoding", "Transfer-Encoding", "If-Match", "Range", "X-Request-ID", "X-Forwarded-Proto",
             "X-HTTP-Method-Override", "Cookie", "Authorization", "Sec-Fetch-Site"],
            LETTERS,
        ),
    },
)  # fmt: skip


@SEARCH
@given(method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"]), headers=HEADERS)
@example(method="GET", headers={"Content-Type": f"{JSON}; charset=rot13"})
@example(method="GET", headers={"Content-Type": f"{JSON}; charset*=no-such'en'%41"})
def test_any_headers_are_answered(method: str, headers: dict[str, str]) -> None:
    is_answered(call(method, query="query=%7B__typename%7D", body=b'{"query":"{__typename}"}', headers=headers))


@SEARCH
@given(headers=HEADERS)
@example(headers={"Origin": "http://["})
def test_any_headers_of_a_change_are_answered(headers: dict[str, str]) -> None:
    body = json.dumps(ROLL_BACK).encode()
    is_answered(call("POST", body=body, headers={"Content-Type": JSON} | headers))
