"""Requests generated from the OpenAPI document and the GraphQL schema."""
