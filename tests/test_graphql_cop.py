"""The twelve checks of graphql-cop. Introspection, GraphiQL and queries by GET are enabled on purpose.

The tool is not on PyPI; each test sends the request of one check.
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


def error_code(body: object) -> str:
    """Return the code of the first error of a rejected request."""
    response = post(body, RESPONSE)
    assert response.status == 400
    return str(response.json["errors"][0]["extensions"]["code"])


# Enabled on purpose; GraphiQL is tested in tests/test_graphiql_page.py


def test_introspection_returns_the_whole_schema() -> None:
    """Clients and GraphiQL need the schema, which is public."""
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    response = post({"query": query, "operationName": "IntrospectionQuery"}).json
    assert print_schema(lexicographic_sort_schema(build_client_schema(response["data"]))) + "\n" == sdl()


def test_queries_are_executed_by_get() -> None:
    """Queries change nothing, and browsers and proxies can cache a response by its URL."""
    assert get("query cop { __typename }").json["data"] == {"__typename": "Query"}


# Rejected


def test_number_of_aliases_is_limited() -> None:
    aliases = " ".join(f"alias{number}: __typename" for number in range(101))
    assert error_code({"query": f"query cop {{ {aliases} }}"}) == "limit_exceeded"


def test_batches_are_rejected() -> None:
    assert error_code([{"query": "query cop { __typename }"}] * 10) == "graphql_unreadable"


def test_number_of_directives_is_limited() -> None:
    """The check sends ten unknown directives and counts the errors."""
    assert len(post({"query": f"query cop {{ __typename {'@aa' * 10} }}"}).json["errors"]) <= 5
    assert error_code({"query": f"query cop {{ __typename {'@aa' * 21} }}"}) == "limit_exceeded"


def test_circular_introspection_is_rejected() -> None:
    cycle = "fields { type { " * 4 + "name" + " } }" * 4
    assert error_code({"query": f"query cop {{ __schema {{ types {{ {cycle} }} }} }}"}) == "graphql_invalid"


def test_number_of_repeated_fields_is_limited() -> None:
    assert error_code({"query": f"query cop {{ {'__typename ' * 501} }}"}) == "limit_exceeded"


@pytest.mark.parametrize("document", ["{ __schema { directive } }", "{ topClient }", "{ topClients { usernam } }"])
def test_fields_are_not_suggested(document: str) -> None:
    assert "Did you mean" not in json.dumps(post({"query": document}).json["errors"])


def test_mutation_by_get_is_rejected() -> None:
    assert get("mutation cop { __typename }").status == 405


def test_form_is_rejected() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert call("POST", body=b"query=%7B__typename%7D", headers=form).status == 415


def test_response_contains_no_trace() -> None:
    assert set(post({"query": "query cop { __typename }"}).json["extensions"]) == {"cost"}


@pytest.mark.parametrize("document", ["query cop { abc }", "mutation { abc }", "{", "\0"])
def test_errors_reveal_no_internals(document: str) -> None:
    for error in post({"query": document}).json["errors"]:
        assert set(error) <= {"message", "locations", "path", "extensions"}
        assert set(error["extensions"]) == {"code"}
