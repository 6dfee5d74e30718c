"""``manage.py load_deals``: upload a file from this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from deals_api.errors import DatabaseBusy, DealsError
from deals_api.formats import dump_json
from deals_api.ingest.reasons import FILE_REASONS
from deals_api.ingest.report import report_upload
from deals_api.ingest.service import Progress, check_deals, ingest_deals
from deals_api.management.terminal import (
    ExitCode,
    Interruption,
    ProgressBar,
    database_errors,
    format_fields,
    format_table,
)
from deals_api.models import Upload
from deals_api.rest.exception_handler import error_body
from deals_api.rest.serializers import accepted_body
from deals_api.snapshots.retention import apply_retention_safely

STANDARD_INPUT = "-"
#: ``Upload.uploaded_by``. The system user would not identify a person in a container or a scheduled job.
UPLOADED_BY = "manage.py load_deals"
#: Invalid cells that are printed.
_MAX_PRINTED: Final = 100


class Command(BaseCommand):
    help = (
        "Load a deals file and make it current, completely or not at all. Exit codes: 0 loaded, already current, or"
        " valid in a dry run; 1 rejected; 2 no such file; 3 database or disk not available; 130 interrupted."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help=f"a deals.csv; {STANDARD_INPUT} is standard input")
        parser.add_argument("--dry-run", action="store_true", help="check the file and print its report; store nothing")
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="json prints the body of POST /api/upload/"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["format"] == "json"
        if options["dry_run"]:
            self.dry_run(options["file"], as_json=as_json)
        else:
            self.load(options["file"], as_json=as_json)

    def dry_run(self, path: str, *, as_json: bool) -> None:
        interruption = Interruption()
        with (
            self.errors(as_json=as_json),
            open_source(path) as (file, _),
            interruption.handled(),
            self.progress(file, interruption, "done") as progress,
        ):
            report = check_deals(file, progress)
        if as_json:
            self.write_json(accepted_body(report))
        else:
            self.stdout.write(f"The file is valid; nothing was stored.\n\n{format_fields(report.as_json())}")

    def load(self, path: str, *, as_json: bool) -> None:
        start = time.monotonic()
        interruption = Interruption()
        with self.errors(as_json=as_json), open_source(path) as (file, name), database_errors():
            with interruption.handled(), self.progress(file, interruption, "storing sums") as progress:
                upload = ingest_deals(file, name, UPLOADED_BY, progress)
            current = Upload.objects.current() == upload
            body = json_report(upload) if as_json else {}
        if as_json:
            self.write_json(body)
        else:
            self.stdout.write(summary(upload, time.monotonic() - start, current=current))
        self.stdout.flush()
        apply_retention_safely(settings.DEALS_LIMITS)
        if interruption.requested:
            raise CommandError("The load had finished before the interrupt.", returncode=ExitCode.INTERRUPTED)

    @contextlib.contextmanager
    def errors(self, *, as_json: bool) -> Iterator[None]:
        """Convert errors of the block; as JSON, also print the body of a rejection.

        Raises: CommandError.
        """
        try:
            yield
        except DatabaseBusy as error:
            raise CommandError(error.message, returncode=ExitCode.UNAVAILABLE) from error
        except DealsError as error:
            if as_json:
                self.write_json(error_body(error.message, error.code, error.problems))
            message = error.message if as_json else format_error(error)
            raise CommandError(message, returncode=ExitCode.REJECTED) from error
        except OSError as error:
            raise CommandError(
                f"The file cannot be loaded: {error.strerror}.", returncode=ExitCode.UNAVAILABLE
            ) from error
        except KeyboardInterrupt:
            raise CommandError("The load was interrupted.", returncode=ExitCode.INTERRUPTED) from None

    @contextlib.contextmanager
    def progress(self, file: IO[bytes], interruption: Interruption, last_status: str) -> Iterator[Progress]:
        """Yield a function that handles an interrupt, and on a terminal draws the progress bar."""
        bar = ProgressBar(self.stderr, file.seek(0, 2), last_status) if self.stderr.isatty() else None

        def progress(rows: int, bytes_read: int) -> None:
            interruption.check()
            if bar:
                bar(rows, bytes_read)

        try:
            yield progress
        finally:
            if bar:
                bar.end()

    def write_json(self, data: dict[str, Any]) -> None:
        self.stdout.write(dump_json(data).decode())


@contextlib.contextmanager
def open_source(path: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open a file, and return it, seekable, with its name; a pipe is first copied to a temporary file.

    Raises: CommandError.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_open(path))
            if not file.seekable():
                file = spool(file, stack.enter_context(tempfile.TemporaryFile()))
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.", returncode=ExitCode.USAGE) from error
        yield file, "standard input" if path == STANDARD_INPUT else Path(path).name


def _open(path: str) -> IO[bytes]:
    if path == STANDARD_INPUT:
        return os.fdopen(0, "rb", closefd=False)
    return Path(path).open("rb")


def spool(pipe: IO[bytes], copy: IO[bytes]) -> IO[bytes]:
    """Copy the pipe, but stop after the first block over the upload limit; the upload is then rejected as too large."""
    limit = settings.DEALS_LIMITS.max_upload_bytes
    while copy.tell() <= limit and (block := pipe.read(shutil.COPY_BUFSIZE)):  # type: ignore[attr-defined]
        copy.write(block)
    return copy


def format_error(error: DealsError) -> str:
    """Return the message and a table of the first invalid cells."""
    if all(problem.reason_code in FILE_REASONS for problem in error.problems):  # the message has the reason
        return error.message
    shown = error.problems[:_MAX_PRINTED]
    rows = [(problem.line, problem.column or "", problem.value, problem.reason) for problem in shown]
    table = format_table(("line", "column", "value", "reason"), rows, right=[0])
    omitted = len(error.problems) - len(shown)
    end = f"\n\nRows of this table that are not printed: {omitted}; --format json prints all." if omitted else ""
    return f"{error.message}\n\n{table}{end}"


def json_report(upload: Upload) -> dict[str, Any]:
    """Return the body of the REST response with its report, extended by the id and the counts of the upload."""
    return {
        "Status": "OK",
        "Upload": upload.pk,
        "Loaded": not upload.is_duplicate,
        "Deals": upload.deal_count,
        "Customers": upload.customer_count,
        "Gems": upload.gem_count,
        "Report": report_upload(upload).as_json(),
    }


def summary(upload: Upload, seconds: float, *, current: bool) -> str:
    counts = ((upload.deal_count, "deal"), (upload.customer_count, "customer"), (upload.gem_count, "gem"))
    contents = ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    if upload.is_duplicate:
        return f"Nothing to do: this file is already current, as upload {upload.pk} ({contents})."
    superseded = "" if current else " A newer upload is current."
    return f"Loaded as upload {upload.pk}: {contents}, in {seconds:.1f} s.{superseded}"
