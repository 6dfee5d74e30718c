"""The names of REST; each works with and without its last slash."""

from django.urls import re_path

from deals_api.views import UploadViewSet

urlpatterns = [
    re_path(r"^upload/?$", UploadViewSet.as_view({"get": "list", "post": "create"}), name="upload"),
    re_path(r"^top-clients/?$", UploadViewSet.as_view({"get": "list"}), name="top-clients"),
]
