"""The service, and a view that returns a constant of the real answer's size."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

BODY = b'{"response":' + b" " * 450 + b"[]}"


def constant(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(BODY, content_type="application/json")


urlpatterns = [path("constant/", constant), path("", include("project.urls"))]
