"""The names of GraphQL; each works with and without its last slash."""

from django.urls import re_path

from graphql_schema.view import GraphQLView

urlpatterns = [
    re_path(r"^graphql/?$", GraphQLView.as_view(), name="graphql"),
]
