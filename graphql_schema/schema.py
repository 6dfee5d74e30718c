"""The schema, assembled: roots, scalars, guards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import strawberry
from graphql import GraphQLError, build_schema, lexicographic_sort_schema, print_schema
from strawberry.extensions import ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.graphql import OperationType

from graphql_schema import types
from graphql_schema.budgets import check_shape, check_values, nodes_of
from graphql_schema.queries import Mutation, Query
from graphql_schema.reading import Reading
from graphql_schema.scalars import SCALARS


class Guard(SchemaExtension):
    """Weighs an operation before each step that its size could make dear."""

    def on_validate(self) -> Iterator[None]:
        document: Any = self.execution_context.graphql_document
        check_shape(document)
        check_values(document, self.execution_context.variables or {})
        yield

    def on_execute(self) -> Iterator[None]:
        context = self.execution_context
        document: Any = context.graphql_document
        reading: Reading = context.context
        reading.account.spend(
            nodes_of(context.schema._schema, document, context.operation_name, context.variables or {})
        )
        if context.operation_type is OperationType.QUERY:
            with reading.account.watching():
                yield
        else:
            yield  # a change waits its turn behind other changes, however long they take


class DealsSchema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Nothing: ``errors`` tells clients' mistakes from ours, and logs only ours."""


schema = DealsSchema(
    query=Query,
    mutation=Mutation,
    types=[types.Customer, types.Gem, types.Purchase, types.Deal, types.Upload],
    extensions=[ParserCache, Guard, ValidationCache],
    config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
)


def sdl() -> str:
    """The schema in GraphQL's own language, sorted, so that a change of it shows as just that change."""
    return print_schema(lexicographic_sort_schema(build_schema(schema.as_str()))) + "\n"
