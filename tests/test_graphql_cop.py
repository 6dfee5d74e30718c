"""The twelve checks of graphql-cop as tests: introspection, GraphiQL and questions by GET are found, all wanted.

That tool is not on PyPI; each test here sends what the check of its name sends.
"""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from graphql import build_client_schema, get_introspection_query, lexicographic_sort_schema, print_schema

from graphql_schema.schema import sdl
from tests.wsgi import RESPONSE, Response, call, post

pytestmark = pytest.mark.django_db


def get(query: str) -> Response:
    return call(query=urlencode({"query": query}))


def code(asked: object) -> str:
    """The code of the first error of a question that was not run."""
    response = post(asked, RESPONSE)
    assert response.status == 400
    return str(response.json["errors"][0]["extensions"]["code"])


# Found, and wanted (the third is the page of GraphiQL)


def test_introspection_tells_the_whole_schema() -> None:
    """Frontends and GraphiQL read it; hiding what is public anyway would protect nothing."""
    whole = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    answer = post({"query": whole, "operationName": "IntrospectionQuery"}).json
    assert print_schema(lexicographic_sort_schema(build_client_schema(answer["data"]))) + "\n" == sdl()


def test_questions_come_by_get() -> None:
    """They change nothing, and what has an address can be kept by browsers and proxies."""
    assert get("query cop { __typename }").json["data"] == {"__typename": "Query"}


# Not to be found


def test_aliases_cannot_be_piled_up() -> None:
    aliases = " ".join(f"alias{number}: __typename" for number in range(101))
    assert code({"query": f"query cop {{ {aliases} }}"}) == "limit_exceeded"


def test_operations_cannot_be_sent_in_a_batch() -> None:
    assert code([{"query": "query cop { __typename }"}] * 10) == "graphql_unreadable"


def test_directives_cannot_be_piled_up() -> None:
    """The check counts ten errors for ten unknown directives; what is read of them is bounded too."""
    assert len(post({"query": f"query cop {{ __typename {'@aa' * 10} }}"}).json["errors"]) <= 5
    assert code({"query": f"query cop {{ __typename {'@aa' * 21} }}"}) == "limit_exceeded"


def test_introspection_does_not_go_round_in_circles() -> None:
    circle = "fields { type { " * 4 + "name" + " } }" * 4
    assert code({"query": f"query cop {{ __schema {{ types {{ {circle} }} }} }}"}) == "graphql_invalid"


def test_fields_cannot_be_repeated_without_end() -> None:
    assert code({"query": f"query cop {{ {'__typename ' * 501} }}"}) == "limit_exceeded"


@pytest.mark.parametrize("document", ["{ __schema { directive } }", "{ topClient }", "{ topClients { usernam } }"])
def test_fields_are_not_suggested(document: str) -> None:
    assert "Did you mean" not in json.dumps(post({"query": document}).json["errors"])


def test_a_mutation_is_not_run_by_get() -> None:
    assert get("mutation cop { __typename }").status == 405


def test_a_form_is_not_read() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert call("POST", body=b"query=%7B__typename%7D", headers=form).status == 415


def test_no_trace_is_shown() -> None:
    assert set(post({"query": "query cop { __typename }"}).json["extensions"]) == {"cost"}


@pytest.mark.parametrize("document", ["query cop { abc }", "mutation { abc }", "{", "\0"])
def test_errors_show_nothing_of_our_insides(document: str) -> None:
    for error in post({"query": document}).json["errors"]:
        assert set(error) <= {"message", "locations", "path", "extensions"}
        assert set(error["extensions"]) == {"code"}
