"""The exception behind an error of graphql-core."""

from __future__ import annotations

from graphql import GraphQLError


def original_exception(error: GraphQLError) -> BaseException | None:
    """Return the exception that a resolver raised; None for an error in the document or its variables."""
    raised = error.original_error
    while isinstance(raised, GraphQLError):
        raised = raised.original_error
    return raised
