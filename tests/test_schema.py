"""The schema: the committed file, its URL, its descriptions and its nullability."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    build_schema,
    find_breaking_changes,
    is_specified_scalar_type,
    print_schema,
)
from pytest_django import Settings
from strawberry.utils.str_converters import to_camel_case

from deals_api.security.tokens import read_tokens
from graphql_schema.schema import schema, sdl
from tests.servers import ROOT

COMMITTED = ROOT / "graphql_schema" / "schema.graphql"
ADDRESS = "/graphql/schema.graphql"
BUILT = build_schema(sdl())
NAMED = {name: one for name, one in BUILT.type_map.items() if not name.startswith("__")}
#: Names of enum values that need no description: a column and a direction.
SELF_EXPLANATORY = re.compile(r"[A-Z_]+_(ASC|DESC)")


def test_committed_schema_matches_the_code() -> None:
    assert COMMITTED.read_text() == sdl(), "Update it: python manage.py print_schema > graphql_schema/schema.graphql"


def test_print_schema_prints_the_committed_schema(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("print_schema")
    assert capsys.readouterr().out == sdl()


def test_printed_schema_is_sorted_and_complete() -> None:
    """graphql-core finds no difference for clients between what is printed and what runs."""
    assert find_breaking_changes(schema._schema, BUILT) == find_breaking_changes(BUILT, schema._schema) == []
    names = re.findall(r"^(?:type|input|interface|enum|scalar|union) (\w+)", sdl(), re.MULTILINE)
    assert names == sorted(names)
    assert print_schema(BUILT) + "\n" == sdl()


# The URL


def test_schema_is_served_with_an_etag() -> None:
    response = Client().get(ADDRESS)
    assert (response.status_code, response.content.decode()) == (200, sdl())
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Cache-Control"] == "no-cache"
    again = Client().get(ADDRESS, headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", response["ETag"])
    assert Client().get(ADDRESS, headers={"If-None-Match": '"another"'}).status_code == 200


def test_schema_is_served_for_get_and_head_only() -> None:
    response = Client().post(ADDRESS)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert response.json()["errors"][0]["extensions"]["code"] == "graphql_unreadable"
    head = Client().head(ADDRESS)
    assert (head.status_code, head.content) == (200, b"")


def test_schema_requires_a_token_if_reading_does(settings: Settings) -> None:
    settings.API_TOKENS, settings.READ_REQUIRES_TOKEN = read_tokens("ann:0123456789abcdef"), True
    refused = Client().get(ADDRESS)
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["extensions"]["code"] == "token_required"
    allowed = Client().get(ADDRESS, headers={"Authorization": "Bearer 0123456789abcdef"})
    assert allowed.status_code == 200


# Descriptions


def described() -> Iterator[tuple[str, str | None]]:
    """Yield the name and the description of everything in the schema."""
    for name, one in NAMED.items():
        if is_specified_scalar_type(one):
            continue
        yield name, one.description
        if isinstance(one, GraphQLEnumType):
            yield from ((f"{name}.{value}", it.description) for value, it in one.values.items())
        if isinstance(one, GraphQLInputObjectType):
            yield from ((f"{name}.{field}", it.description) for field, it in one.fields.items())
        if isinstance(one, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in one.fields.items():
                yield f"{name}.{field_name}", field.description
                yield from ((f"{name}.{field_name}({it})", arg.description) for it, arg in field.args.items())


def test_everything_in_the_schema_has_a_description() -> None:
    silent = [
        name
        for name, description in described()
        if not (description or "").endswith((".", ".)")) and not SELF_EXPLANATORY.fullmatch(name.partition(".")[2])
    ]
    assert silent == []


def test_no_type_name_ends_with_type_or_input() -> None:
    assert [name for name in NAMED if name.endswith(("Type", "Input"))] == []


def test_every_custom_scalar_has_a_specification_url() -> None:
    scalars = [
        one for one in NAMED.values() if isinstance(one, GraphQLScalarType) and not is_specified_scalar_type(one)
    ]
    assert {one.name for one in scalars} == {"BigInt", "Date", "DateTime", "Money"}
    assert all((one.specified_by_url or "").startswith("https://") for one in scalars)


def test_no_argument_has_null_as_its_default() -> None:
    """Leaving an input out says the same, and every tool would show the default."""
    assert "= null" not in sdl()


@pytest.mark.django_db
def test_omitted_inputs_are_equal_to_null() -> None:
    asked = "query ($n: Int, $f: DealFilter) { deals(first: $n, filter: $f) { totalCount } }"
    answers = [
        Client().post("/graphql", {"query": query, "variables": variables}, content_type="application/json").json()
        for query, variables in [
            (asked, {}),
            (asked, {"n": None, "f": None}),
            (asked, {"f": {"customer": None}}),
            ("{ deals { totalCount } }", {}),
            ("{ deals(first: null, filter: null, after: null) { totalCount } }", {}),
        ]
    ]
    assert [answer["data"] for answer in answers] == [{"deals": {"totalCount": 0}}] * 5


# Nullability


def columns() -> Iterator[tuple[str, bool, bool]]:
    """Each field of the graph that is a column of a table: its name, and whether either may be null."""
    for model in apps.get_app_config("deals_api").get_models():
        one = NAMED.get(model.__name__)
        fields = one.fields if isinstance(one, GraphQLObjectType) else {}
        for column in model._meta.concrete_fields:
            field = fields.get(to_camel_case(column.name))
            if field is not None:
                yield f"{model.__name__}.{column.name}", not isinstance(field.type, GraphQLNonNull), column.null


def test_fields_are_nullable_exactly_where_their_columns_are() -> None:
    found = list(columns())
    assert [name for name, of_the_field, of_the_column in found if of_the_field != of_the_column] == []
    assert [name for name, of_the_field, _ in found if of_the_field] == ["Upload.finished_at"]
    assert len(found) > 30


def test_only_fields_of_single_objects_are_nullable() -> None:
    query = NAMED["Query"]
    assert isinstance(query, GraphQLObjectType)
    nullable = {name for name, field in query.fields.items() if not isinstance(field.type, GraphQLNonNull)}
    assert nullable == {"currentUpload", "customer", "gem", "node", "upload"}
