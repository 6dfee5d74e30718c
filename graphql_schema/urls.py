"""The names of GraphQL; those without a file's name work with and without their last slash."""

from django.urls import path, re_path

from graphql_schema import frontend
from graphql_schema.schema_view import SchemaView
from graphql_schema.view import GraphQLView

urlpatterns = [
    path("", frontend.page, name="frontend"),
    re_path(r"^graphql/?$", GraphQLView.as_view(), name="graphql"),
    re_path(r"^graphql/schema\.graphql$", SchemaView.as_view(), name="graphql-schema"),
]
