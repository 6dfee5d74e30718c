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
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    build_schema,
    find_breaking_changes,
    get_nullable_type,
    is_specified_scalar_type,
    print_schema,
)
from pytest_django import Settings
from strawberry.utils.str_converters import to_camel_case

from deals_api.models import FORMAT_FIELDS
from deals_api.security.tokens import read_tokens
from graphql_schema.schema import schema, sdl
from tests.builders import deal, load
from tests.graphql import data, execute_query
from tests.servers import ROOT

SDL_FILE = ROOT / "graphql_schema" / "schema.graphql"
SDL_PATH = "/graphql/schema.graphql"
PRINTED = build_schema(sdl())
NAMED_TYPES = {name: named_type for name, named_type in PRINTED.type_map.items() if not name.startswith("__")}
#: Names of enum values that need no description, because they consist of a column and a direction.
SELF_EXPLANATORY = re.compile(r"[A-Z_]+_(ASC|DESC)")


def test_committed_schema_matches_the_code() -> None:
    assert SDL_FILE.read_text() == sdl(), "Update it: python manage.py print_schema > graphql_schema/schema.graphql"


def test_print_schema_prints_the_committed_schema(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("print_schema")
    assert capsys.readouterr().out == sdl()


def test_printed_schema_is_sorted_and_complete() -> None:
    assert find_breaking_changes(schema._schema, PRINTED) == find_breaking_changes(PRINTED, schema._schema) == []
    names = re.findall(r"^(?:type|input|interface|enum|scalar|union) (\w+)", sdl(), re.MULTILINE)
    assert names == sorted(names)
    assert print_schema(PRINTED) + "\n" == sdl()


# The URL


def test_schema_is_served_with_an_etag() -> None:
    response = Client().get(SDL_PATH)
    assert (response.status_code, response.content.decode()) == (200, sdl())
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Cache-Control"] == "no-cache"
    conditional = Client().get(SDL_PATH, headers={"If-None-Match": response["ETag"]})
    assert (conditional.status_code, conditional.content, conditional["ETag"]) == (304, b"", response["ETag"])
    assert Client().get(SDL_PATH, headers={"If-None-Match": '"another"'}).status_code == 200


def test_schema_is_served_for_get_and_head_only() -> None:
    response = Client().post(SDL_PATH)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert response.json()["errors"][0]["extensions"]["code"] == "graphql_unreadable"
    head = Client().head(SDL_PATH)
    assert (head.status_code, head.content) == (200, b"")


def test_schema_requires_a_token_if_reading_does(settings: Settings) -> None:
    settings.API_TOKENS, settings.READ_REQUIRES_TOKEN = read_tokens("ann:0123456789abcdef"), True
    rejected = Client().get(SDL_PATH)
    assert rejected.status_code == 401
    assert rejected.json()["errors"][0]["extensions"]["code"] == "token_required"
    allowed = Client().get(SDL_PATH, headers={"Authorization": "Bearer 0123456789abcdef"})
    assert allowed.status_code == 200


# Descriptions


def schema_descriptions() -> Iterator[tuple[str, str | None]]:
    """Yield the name and the description of each type, field, argument and enum value."""
    for name, named_type in NAMED_TYPES.items():
        if is_specified_scalar_type(named_type):
            continue
        yield name, named_type.description
        if isinstance(named_type, GraphQLEnumType):
            yield from ((f"{name}.{key}", value.description) for key, value in named_type.values.items())
        if isinstance(named_type, GraphQLInputObjectType):
            yield from ((f"{name}.{key}", field.description) for key, field in named_type.fields.items())
        if isinstance(named_type, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in named_type.fields.items():
                yield f"{name}.{field_name}", field.description
                yield from ((f"{name}.{field_name}({key})", arg.description) for key, arg in field.args.items())


def test_everything_in_the_schema_has_a_description() -> None:
    undocumented = [
        name
        for name, description in schema_descriptions()
        if not (description or "").endswith((".", ".)")) and not SELF_EXPLANATORY.fullmatch(name.partition(".")[2])
    ]
    assert undocumented == []


def test_no_type_name_ends_with_type_or_input() -> None:
    assert [name for name in NAMED_TYPES if name.endswith(("Type", "Input"))] == []


def test_every_custom_scalar_has_a_specification_url() -> None:
    scalars = [
        named_type
        for named_type in NAMED_TYPES.values()
        if isinstance(named_type, GraphQLScalarType) and not is_specified_scalar_type(named_type)
    ]
    assert {scalar.name for scalar in scalars} == {"BigInt", "Date", "DateTime", "Money"}
    assert all((scalar.specified_by_url or "").startswith("https://") for scalar in scalars)


def test_no_argument_has_null_as_its_default() -> None:
    """An omitted argument has the same effect, and tools would display the default."""
    assert "= null" not in sdl()


def test_inputs_with_a_default_are_nullable() -> None:
    """Generated clients send null for variables without a value; see ``null_arguments``."""
    inputs = [
        (f"{name}.{field_name}({key})", argument)
        for name, named_type in NAMED_TYPES.items()
        if isinstance(named_type, GraphQLObjectType | GraphQLInterfaceType)
        for field_name, field in named_type.fields.items()
        for key, argument in field.args.items()
    ]
    inputs += [
        (f"{name}.{key}", field)
        for name, named_type in NAMED_TYPES.items()
        if isinstance(named_type, GraphQLInputObjectType)
        for key, field in named_type.fields.items()
    ]
    with_default = {name: input_.type for name, input_ in inputs if input_.default is not None}
    assert [name for name, type_ in with_default.items() if isinstance(type_, GraphQLNonNull)] == []
    assert {"Query.deals(orderBy)", "Query.topClients(limit)", "Gem.deals(orderBy)"} <= with_default.keys()


#: Each field with an argument that has a default, and a selection that depends on it.
FIELDS_WITH_DEFAULTS = {
    "topClients(limit: %s) {username}": "Int",
    "customers(orderBy: %s) {nodes {username}}": "CustomerOrder",
    "gems(orderBy: %s) {nodes {name}}": "GemOrder",
    "deals(orderBy: %s) {nodes {rowNumber}}": "DealOrder",
    "dealStats(by: [GEM], orderBy: %s) {nodes {total}}": "DealStatsOrder",
    "dealStats(by: [GEM], limit: %s) {nodes {total}}": "Int",
    "dealStats(by: [GEM], offset: %s) {nodes {total}}": "Int",
    'customer(username: "c1") {deals(orderBy: %s) {nodes {rowNumber}}}': "DealOrder",
    'customer(username: "c1") {purchases(orderBy: %s) {nodes {total}}}': "PurchaseOrder",
    'customer(username: "c1") {gems(orderBy: %s) {nodes {name}}}': "GemOrder",
    'gem(name: "g1") {buyers(orderBy: %s) {nodes {username}}}': "CustomerOrder",
    'gem(name: "g1") {purchases(orderBy: %s) {nodes {total}}}': "PurchaseOrder",
    'gem(name: "g1") {deals(orderBy: %s) {nodes {rowNumber}}}': "DealOrder",
}


@pytest.mark.django_db
@pytest.mark.parametrize("field", FIELDS_WITH_DEFAULTS)
def test_explicit_null_means_the_default(field: str) -> None:
    load(*(deal(f"c{number % 7}", f"g{number % 5}", str(number)) for number in range(40)))
    type_name = FIELDS_WITH_DEFAULTS[field]
    omitted = data("{" + re.sub(r",? ?\w+: %s", "", field).replace("()", "") + "}")
    assert data(f"{{{field % 'null'}}}") == omitted
    query = f"query ($value: {type_name}) {{{field % '$value'}}}"
    assert data(query) == data(query, value=None) == omitted
    costs = [execute_query(text)["extensions"]["cost"]["requested"] for text in (f"{{{field % 'null'}}}", query)]
    assert costs[0] == costs[1]


@pytest.mark.django_db
def test_omitted_and_null_inputs_have_the_same_effect() -> None:
    parametrized = "query ($n: Int, $f: DealFilter) { deals(first: $n, filter: $f) { totalCount } }"
    bodies = [
        Client().post("/graphql", {"query": query, "variables": variables}, content_type="application/json").json()
        for query, variables in [
            (parametrized, {}),
            (parametrized, {"n": None, "f": None}),
            (parametrized, {"f": {"customer": None}}),
            ("{ deals { totalCount } }", {}),
            ("{ deals(first: null, filter: null, after: null) { totalCount } }", {}),
        ]
    ]
    assert [body["data"] for body in bodies] == [{"deals": {"totalCount": 0}}] * 5


# Nullability


def fields_with_columns() -> Iterator[tuple[str, bool, bool]]:
    """Yield each field that is stored in a column: its name, and whether field and column are nullable."""
    for model in apps.get_app_config("deals_api").get_models():
        named_type = NAMED_TYPES.get(model.__name__)
        fields = named_type.fields if isinstance(named_type, GraphQLObjectType) else {}
        for column in model._meta.concrete_fields:
            field = fields.get(to_camel_case(column.name))
            if field is not None:
                yield f"{model.__name__}.{column.name}", not isinstance(field.type, GraphQLNonNull), column.null


def test_fields_are_nullable_exactly_where_their_columns_are() -> None:
    fields = list(fields_with_columns())
    detected = [f"Upload.{name}" for name in FORMAT_FIELDS]  # null instead of an empty value
    assert [name for name, field_nullable, column_nullable in fields if field_nullable != column_nullable] == detected
    assert [name for name, field_nullable, _ in fields if field_nullable] == [*detected, "Upload.finished_at"]
    assert len(fields) > 30


#: Fields of objects that are null for some rows, apart from columns.
NULLABLE_FIELDS = {
    *(f"DealStats.{name}" for name in ("customer", "gem", "year", "quarter", "month", "week", "day")),
    *("PageInfo.startCursor", "PageInfo.endCursor"),
    *(f"{name}Change.{side}" for name in ("Customer", "Gem") for side in ("base", "head")),
    # for uploads that are not retained
    *(f"Upload.{name}" for name in ("topClients", "customers", "gems", "deals", "dealStats", "customer", "gem")),
    *("Upload.rowsRead", "Upload.bytesRead"),
}


def test_every_root_field_is_nullable_so_that_errors_stay_separate() -> None:
    roots = [NAMED_TYPES[name] for name in ("Query", "Mutation")]
    root_fields = [field for root in roots if isinstance(root, GraphQLObjectType) for field in root.fields.values()]
    assert [field for field in root_fields if isinstance(field.type, GraphQLNonNull)] == []
    nullable = {
        f"{type_name}.{name}"
        for type_name, named_type in NAMED_TYPES.items()
        if isinstance(named_type, GraphQLObjectType) and named_type not in roots
        for name, field in named_type.fields.items()
        if not isinstance(field.type, GraphQLNonNull)
    }
    columns = {to_camel_case(name) for name, is_nullable, _ in fields_with_columns() if is_nullable}
    assert nullable == NULLABLE_FIELDS | columns


def test_readme_lists_the_types_without_an_id() -> None:
    """urql's normalised cache needs a key resolver for each of them, except the types of connections and mutations."""
    listed = re.search(r"keys: \{(.*?)\}", (ROOT / "graphql_schema" / "README.md").read_text(), re.DOTALL)
    assert listed is not None
    without_id = {
        name
        for name, named_type in NAMED_TYPES.items()
        if isinstance(named_type, GraphQLObjectType)
        and "id" not in named_type.fields
        and not name.endswith(("Connection", "Edge", "PageInfo"))
        and "query" not in named_type.fields  # results of mutations
    }
    assert set(re.findall(r"(\w+): ", listed[1])) == without_id - {"Query", "Mutation"}


def test_only_results_of_nodes_are_nullable_inside_lists() -> None:
    nullable = [
        f"{type_name}.{name}"
        for type_name, named_type in NAMED_TYPES.items()
        if isinstance(named_type, GraphQLObjectType)
        for name, field in named_type.fields.items()
        if isinstance(list_type := get_nullable_type(field.type), GraphQLList)
        and not isinstance(list_type.of_type, GraphQLNonNull)
    ]
    assert nullable == ["Query.nodes"]
