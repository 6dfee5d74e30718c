"""``manage.py print_schema``: the schema in GraphQL's own language, as it is committed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from graphql_schema.schema import sdl


class Command(BaseCommand):
    help = "Print the schema; into graphql_schema/schema.graphql, where it is committed, after every change of it."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(sdl(), ending="")
