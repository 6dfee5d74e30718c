"""``manage.py top_clients``: the ranking of the REST face, on a terminal."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand
from rest_framework.serializers import ValidationError

from deals_api.formats import format_money
from deals_api.management.terminal import UsageError, database, table
from deals_api.models import Upload
from deals_api.reports import top_clients as top_clients_report
from deals_api.reports.top_clients import DEFAULT_LIMIT, TopClient
from deals_api.rest.serializers import LimitField, top_clients_json


def places(text: str) -> int:
    try:
        return LimitField().to_internal_value(text)
    except ValidationError as error:
        (reason,) = error.detail
        raise ArgumentTypeError(str(reason)) from error


class Command(BaseCommand):
    help = "The clients who spent most. Exit codes: 0 done; 2 no such upload; 3 no database."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=places, default=DEFAULT_LIMIT, help="how many clients (%(default)s)")
        parser.add_argument("--upload", type=int, metavar="NUMBER", help="a retained upload instead of the current one")
        parser.add_argument(
            "--format", choices=["table", "json"], default="table", help="json is the answer of GET /api/top-clients/"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with database():
            ranking = top_clients(options["upload"], options["limit"])
        if options["format"] == "json":
            self.stdout.write(top_clients_json(ranking).decode())
        elif ranking:
            self.stdout.write(as_table(ranking))
        else:
            self.stdout.write("Nothing is uploaded yet.")


def top_clients(number: int | None, limit: int) -> list[TopClient]:
    """Of the current upload, or of the one that is asked for.

    Raises: Unusable.
    """
    upload = Upload.objects.current() if number is None else Upload.objects.readable().filter(pk=number).first()
    if upload is None and number is None:
        return []
    ranking = top_clients_report.top_clients(upload, limit, bounded=False) if upload else []
    if upload is None or not upload.is_readable():
        raise UsageError("There is no such upload, or its rows are no longer retained.")
    return ranking


def as_table(ranking: list[TopClient]) -> str:
    rows = [
        (place, client.username, format_money(client.spent_money), ", ".join(client.gems))
        for place, client in enumerate(ranking, 1)
    ]
    return table(("", "username", "spent_money", "gems"), rows, right=[0, 2])
