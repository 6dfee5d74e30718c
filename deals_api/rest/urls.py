"""URLs of the REST API; a trailing slash is optional, except after file names."""

from django.urls import re_path

from deals_api.rest.docs import DocsView, SchemaView
from deals_api.rest.views import ExportViewSet, UploadViewSet, cached_first

urlpatterns = [
    re_path(r"^upload/?$", cached_first(UploadViewSet.as_view({"get": "list", "post": "create"})), name="upload"),
    re_path(r"^top-clients/?$", cached_first(UploadViewSet.as_view({"get": "list"})), name="top-clients"),
    re_path(r"^exports/deals\.csv$", ExportViewSet.as_view({"get": "deals_csv"}), name="deals-csv"),
    re_path(r"^exports/deals\.ndjson$", ExportViewSet.as_view({"get": "deals_ndjson"}), name="deals-ndjson"),
    re_path(r"^exports/top-clients\.csv$", ExportViewSet.as_view({"get": "top_clients_csv"}), name="top-clients-csv"),
    re_path(
        r"^exports/top-clients\.ndjson$",
        ExportViewSet.as_view({"get": "top_clients_ndjson"}),
        name="top-clients-ndjson",
    ),
    re_path(r"^schema/?$", SchemaView.as_view(), name="schema"),
    re_path(r"^docs/?$", DocsView.as_view(), name="docs"),
]
