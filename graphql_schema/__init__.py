"""The GraphQL schema: types, queries, filters and scalars."""
