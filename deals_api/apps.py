"""Application configuration."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from deals_api import request_context


class DealsApiConfig(AppConfig):
    name = "deals_api"
    verbose_name = "Deals in gems"

    def ready(self) -> None:
        connection_created.connect(request_context.install_query_counter)
