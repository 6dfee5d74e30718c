"""The URLs of GraphQL. The trailing slash of the endpoint is optional."""

from django.urls import re_path

from graphql_schema.http.sdl_view import SchemaView
from graphql_schema.http.view import GraphQLView

urlpatterns = [
    re_path(r"^graphql/?$", GraphQLView.as_view(), name="graphql"),
    re_path(r"^graphql/schema\.graphql$", SchemaView.as_view(), name="graphql-schema"),
]
