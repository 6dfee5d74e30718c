"""The schema itself: committed as it is, served, and each name in it said in words a frontend can use."""

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
#: Names of values that say what they mean: a column, and which way.
SPEAKS_FOR_ITSELF = re.compile(r"[A-Z_]+_(ASC|DESC)")


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert COMMITTED.read_text() == sdl(), (
        "bring it up to date: python manage.py print_schema > graphql_schema/schema.graphql"
    )


def test_the_command_that_repairs_it_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("print_schema")
    assert capsys.readouterr().out == sdl()


def test_the_printed_schema_is_sorted_and_loses_nothing() -> None:
    """graphql-core finds no difference for clients between what is printed and what runs."""
    assert find_breaking_changes(schema._schema, BUILT) == find_breaking_changes(BUILT, schema._schema) == []
    names = re.findall(r"^(?:type|input|interface|enum|scalar|union) (\w+)", sdl(), re.MULTILINE)
    assert names == sorted(names)
    assert print_schema(BUILT) + "\n" == sdl()


# At its address


def test_the_schema_is_served_and_kept_by_clients_until_it_changes() -> None:
    response = Client().get(ADDRESS)
    assert (response.status_code, response.content.decode()) == (200, sdl())
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Cache-Control"] == "no-cache"
    again = Client().get(ADDRESS, headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", response["ETag"])
    assert Client().get(ADDRESS, headers={"If-None-Match": '"another"'}).status_code == 200


def test_the_schema_comes_by_get_only() -> None:
    response = Client().post(ADDRESS)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert response.json()["errors"][0]["extensions"]["code"] == "graphql_unreadable"
    head = Client().head(ADDRESS)
    assert (head.status_code, head.content) == (200, b"")


def test_where_reading_needs_a_token_the_schema_does_too(settings: Settings) -> None:
    settings.API_TOKENS, settings.READ_REQUIRES_TOKEN = read_tokens("ann:0123456789abcdef"), True
    refused = Client().get(ADDRESS)
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["extensions"]["code"] == "token_required"
    allowed = Client().get(ADDRESS, headers={"Authorization": "Bearer 0123456789abcdef"})
    assert allowed.status_code == 200


# In words


def described() -> Iterator[tuple[str, str | None]]:
    """Everything that a client can see, and what is said of it."""
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


def test_everything_is_described_in_a_sentence() -> None:
    silent = [
        name
        for name, description in described()
        if not (description or "").endswith((".", ".)")) and not SPEAKS_FOR_ITSELF.fullmatch(name.partition(".")[2])
    ]
    assert silent == []


def test_no_type_is_called_a_type() -> None:
    assert [name for name in NAMED if name.endswith(("Type", "Input"))] == []


def test_every_scalar_says_where_it_is_specified() -> None:
    scalars = [
        one for one in NAMED.values() if isinstance(one, GraphQLScalarType) and not is_specified_scalar_type(one)
    ]
    assert {one.name for one in scalars} == {"BigInt", "Date", "DateTime", "Money"}
    assert all((one.specified_by_url or "").startswith("https://") for one in scalars)


def test_no_default_is_null() -> None:
    """Leaving an input out says the same, and every tool would show the default."""
    assert "= null" not in sdl()


@pytest.mark.django_db
def test_leaving_an_input_out_means_what_null_means() -> None:
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


# What may be null


def columns() -> Iterator[tuple[str, bool, bool]]:
    """Each field of the graph that is a column of a table: its name, and whether either may be null."""
    for model in apps.get_app_config("deals_api").get_models():
        one = NAMED.get(model.__name__)
        fields = one.fields if isinstance(one, GraphQLObjectType) else {}
        for column in model._meta.concrete_fields:
            field = fields.get(to_camel_case(column.name))
            if field is not None:
                yield f"{model.__name__}.{column.name}", not isinstance(field.type, GraphQLNonNull), column.null


def test_a_field_may_be_null_where_its_column_may() -> None:
    found = list(columns())
    assert [name for name, of_the_field, of_the_column in found if of_the_field != of_the_column] == []
    assert [name for name, of_the_field, _ in found if of_the_field] == ["Upload.finished_at"]
    assert len(found) > 30


def test_one_thing_by_its_name_may_be_missing_and_a_list_never_is() -> None:
    query = NAMED["Query"]
    assert isinstance(query, GraphQLObjectType)
    nullable = {name for name, field in query.fields.items() if not isinstance(field.type, GraphQLNonNull)}
    assert nullable == {"currentUpload", "customer", "gem", "node", "upload"}
