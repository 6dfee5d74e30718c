"""The exception behind an error of graphql-core."""

from __future__ import annotations

from graphql import GraphQLError


def original_exception(error: GraphQLError) -> BaseException | None:
    """What was raised; None for what graphql-core found wrong with the document or its variables."""
    raised = error.original_error
    while isinstance(raised, GraphQLError):
        raised = raised.original_error
    return raised
