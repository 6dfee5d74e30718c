"""Explicit null for arguments with a default: it means the default, as an omitted argument does.

Generated clients send null for variables without a value. GraphQL has a nullable type with a default for this, but the
resolver then receives null instead of the default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    get_nullable_type,
)


def accept_null_for_defaults(schema: GraphQLSchema) -> None:
    """Make arguments with a default nullable, and call resolvers without those that are null."""
    for input_ in _inputs(schema):
        # Strawberry prints the redundant ``= null`` for inputs with the default None.
        if input_.default_value is None:
            input_.default_value = Undefined
    for field in _fields(schema):
        with_default = {name for name, argument in field.args.items() if argument.default_value is not Undefined}
        for name in with_default:
            nullable: Any = get_nullable_type(field.args[name].type)
            field.args[name].type = nullable
        if with_default:
            field.resolve = _without_nulls(field.resolve, with_default)


def _without_nulls(resolve: Any, names: set[str]) -> Any:
    def resolve_without_nulls(source: Any, info: Any, **arguments: Any) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None or name not in names}
        return resolve(source, info, **given)

    return resolve_without_nulls


def _fields(schema: GraphQLSchema) -> Iterator[GraphQLField]:
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and not type_.name.startswith("__"):
            yield from type_.fields.values()


def _inputs(schema: GraphQLSchema) -> Iterator[GraphQLArgument | GraphQLInputField]:
    """Yield all arguments of fields, and all fields of input types."""
    for field in _fields(schema):
        yield from field.args.values()
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLInputObjectType):
            yield from type_.fields.values()
