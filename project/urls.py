"""URLs of the service, below ``BASE_PATH``."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from deals_api.admin import model_admins
from deals_api.rest import urls as rest_urls
from deals_api.rest.docs import IndexView
from graphql_schema import urls as graphql_urls
from project import health
from project.frontend import views
from project.telemetry import metrics

#: Also available outside of the base path, to clients that do not use the proxy.
_monitoring: list[URLPattern | URLResolver] = [
    re_path(r"^health/live/?$", health.live, name="live"),
    re_path(r"^health/ready/?$", health.ready, name="ready"),
    re_path(r"^metrics/?$", metrics.metrics, name="metrics"),
]
#: Most used first, because Django compares a path with one pattern after the other.
urlpatterns: list[URLPattern | URLResolver] = [
    *rest_urls.urlpatterns,
    *graphql_urls.urlpatterns,
    path("", views.page, name="frontend"),
    path("favicon.ico", views.FaviconView.as_view(), name="favicon"),
    path("robots.txt", views.robots, name="robots"),
    re_path(r"^api/?$", IndexView.as_view(), name="api"),
    path("admin", RedirectView.as_view(url=settings.ADMIN_PATH), name="admin"),
    path("admin/", model_admins.site.urls),
    *_monitoring,
]
if settings.BASE_PATH:
    _path = settings.BASE_PATH.removeprefix("/")
    urlpatterns = [
        path(_path, RedirectView.as_view(url=f"/{_path}/")),
        path(f"{_path}/", include(urlpatterns)),
        *_monitoring,
    ]

handler400 = "deals_api.rest.exception_handler.bad_request"
handler403 = "deals_api.rest.exception_handler.permission_denied"
handler404 = "project.frontend.views.not_found"
handler500 = "deals_api.rest.exception_handler.server_error"
