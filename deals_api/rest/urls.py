"""URLs of the REST API; a trailing slash is optional, except after file names."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from deals_api.rest.docs import DocsView, SchemaView
from deals_api.rest.views import ExportViewSet, UploadStatusViewSet, UploadViewSet, cached_first

# Name and description are those of the pages in browsers.
_upload = UploadViewSet.as_view(
    {"get": "list", "post": "create"},
    name="Upload",
    description="POST replaces all deals by those of a file; GET returns the clients who spent the most.",
)
_top_clients = UploadViewSet.as_view(
    {"get": "list"},
    name="Top clients",
    description="The clients who spent the most over the whole period; ?limit= selects their number.",
)

_exports_and_docs = [
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

#: The most used URLs are not in an included list, because Django resolves those more slowly.
urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^api/upload/?$", cached_first(_upload), name="upload"),
    re_path(
        r"^api/uploads/(?P<id>[^/]+)/?$",
        UploadStatusViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="upload-status",
    ),
    re_path(r"^api/top-clients/?$", cached_first(_top_clients), name="top-clients"),
    path("api/", include(_exports_and_docs)),
]
