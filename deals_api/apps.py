"""How Django knows this package."""

from django.apps import AppConfig


class DealsApiConfig(AppConfig):
    name = "deals_api"
    verbose_name = "Deals in gems"
