"""The executable schema, with its limits, and its SDL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import strawberry
from django.conf import settings
from django.db import OperationalError
from graphql import (
    DocumentNode,
    GraphQLError,
    OperationDefinitionNode,
    build_schema,
    lexicographic_sort_schema,
    parse,
    print_schema,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from graphql_schema import types
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.cost import estimate_cost, query_timeout
from graphql_schema.execution.document_cache import DocumentCache, cache_document, find_document
from graphql_schema.execution.document_limits import check_document_size, check_values
from graphql_schema.execution.errors import original_exception
from graphql_schema.execution.executor import BoundedExecutor
from graphql_schema.fields import resolve_directly
from graphql_schema.mutations import Mutation
from graphql_schema.null_arguments import accept_null_for_defaults
from graphql_schema.queries import Query
from graphql_schema.scalars import SCALARS
from graphql_schema.uploads import Upload


def require_single_operation(document: DocumentNode) -> None:
    """Reject a document with several operations; Strawberry would execute the first of them.

    Raises: GraphQLError.
    """
    if sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions) > 1:
        raise GraphQLError("The document has several operations; name one of them in operationName.")


def report_query_timeouts(errors: list[GraphQLError] | None) -> None:
    """Report the exceeded time limit for statements that SQLite interrupted while their rows were fetched."""
    for error in errors or ():
        if isinstance(original_exception(error), OperationalError):
            error.original_error = query_timeout()


class QueryLimits(SchemaExtension):
    """Enforces the limits before each step whose cost depends on the operation."""

    def on_operation(self) -> Iterator[None]:
        options: Any = self.execution_context.parse_options
        options["max_lexical_tokens"] = settings.DEALS_LIMITS.max_query_tokens
        yield

    def on_validate(self) -> Iterator[None]:
        document: Any = self.execution_context.graphql_document
        if self.execution_context._provided_operation_name is None:
            require_single_operation(document)
        check_document_size(document)
        check_values(document, self.execution_context.variables or {})
        yield

    def on_execute(self) -> Iterator[None]:
        context = self.execution_context
        document: Any = context.graphql_document
        operation: OperationContext = context.context
        operation.budget.consume(
            estimate_cost(context.schema._schema, document, context.operation_name, context.variables or {})
        )
        with operation.budget.enforce_query_limits():
            yield
        if operation.budget.timer.has_expired:
            report_query_timeouts(context.result.errors if context.result else None)


class DealsSchema(strawberry.Schema):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accept_null_for_defaults(self._schema)
        resolve_directly(self._schema)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Disable Strawberry's logging of all errors; ``http.errors`` logs internal errors."""


schema = DealsSchema(
    query=Query,
    mutation=Mutation,
    types=[types.Customer, types.Gem, types.Purchase, types.Deal, Upload],
    extensions=[DocumentCache, QueryLimits],
    execution_context_class=BoundedExecutor,
    config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
)


def require_valid_document(text: str) -> None:
    """Check a document without executing it, and cache it for its execution.

    Raises: GraphQLError, LimitExceeded.
    """
    if find_document(text) is not None:
        return
    document = parse(text, max_lexical_tokens=settings.DEALS_LIMITS.max_query_tokens)
    check_document_size(document)
    check_values(document, {})
    for error in validate(schema._schema, document):
        raise error
    cache_document(text, document)


@cache
def sdl() -> str:
    """Return the schema in SDL, sorted to keep diffs small."""
    return print_schema(lexicographic_sort_schema(build_schema(schema.as_str()))) + "\n"
