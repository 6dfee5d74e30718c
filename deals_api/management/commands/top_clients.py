"""``manage.py top_clients``: print the ranking of the clients who spent most."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.serializers import ValidationError

from deals_api.errors import UploadNotRetained
from deals_api.formats import format_money
from deals_api.management.terminal import ExitCode, database_errors, format_table
from deals_api.models import Upload
from deals_api.reports.top_clients import DEFAULT_LIMIT, TopClient, iter_top_clients
from deals_api.rest.serializers import LimitField, top_clients_json


def parse_limit(text: str) -> int:
    try:
        return LimitField().to_internal_value(text)
    except ValidationError as error:
        (reason,) = error.detail
        raise ArgumentTypeError(str(reason)) from error


class Command(BaseCommand):
    help = "Print the clients who spent most. Exit codes: 0 done; 2 no such upload; 3 database not available."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=parse_limit, default=DEFAULT_LIMIT, help="number of clients (%(default)s)")
        parser.add_argument("--upload", type=int, metavar="ID", help="a retained upload instead of the current one")
        parser.add_argument(
            "--format", choices=["table", "json"], default="table", help="json prints the body of GET /api/top-clients/"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with database_errors():
            ranking = top_clients(options["upload"], options["limit"])
        if options["format"] == "json":
            self.stdout.write(top_clients_json(ranking).decode())
        elif ranking:
            self.stdout.write(format_ranking(ranking))
        else:
            self.stdout.write("No file has been uploaded yet.")


def top_clients(upload_id: int | None, limit: int) -> list[TopClient]:
    """Return the ranking of an upload, by default the current one.

    Raises: CommandError.
    """
    upload = Upload.objects.current() if upload_id is None else Upload.objects.readable().filter(pk=upload_id).first()
    if upload is None and upload_id is None:
        return []
    ranking = list(chain.from_iterable(iter_top_clients(upload, limit))) if upload else []
    if upload is None or not upload.is_readable():
        raise CommandError(UploadNotRetained().message, returncode=ExitCode.USAGE)
    return ranking


def format_ranking(ranking: list[TopClient]) -> str:
    rows = [
        (rank, client.username, format_money(client.spent_money), ", ".join(client.gems))
        for rank, client in enumerate(ranking, 1)
    ]
    return format_table(("", "username", "spent_money", "gems"), rows, right=[0, 2])
