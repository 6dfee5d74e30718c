"""``manage.py print_schema``: print the schema in GraphQL's schema definition language."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from graphql_schema.schema import sdl


class Command(BaseCommand):
    help = "Print the schema. Redirect it to graphql_schema/schema.graphql after every change of the schema."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(sdl(), ending="")
