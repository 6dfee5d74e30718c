"""``manage.py load_deals``: the upload of the REST face, from a file on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand

from deals_api.errors import DatabaseBusy, DealsError
from deals_api.formats import dump_json
from deals_api.ingest.service import ingest_deals
from deals_api.management.terminal import (
    DatabaseUnavailable,
    Interrupted,
    Interruption,
    ProgressBar,
    UploadRejected,
    UsageError,
    database,
    table,
)
from deals_api.models import Upload
from deals_api.rest.exception_handler import error_body
from deals_api.snapshots.retention import apply_retention_safely

STANDARD_INPUT = "-"
#: ``Upload.uploaded_by``. In a container or a scheduled job the name of the system user says nothing.
UPLOADED_BY = "manage.py load_deals"


class Command(BaseCommand):
    help = (
        "Replace the data by those of one file, whole or not at all."
        " Exit codes: 0 loaded, or current already; 1 refused; 2 no such file; 3 no database; 130 interrupted."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help=f"a deals.csv; {STANDARD_INPUT} is standard input")
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="json prints the answer of POST /api/upload/"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["format"] == "json"
        began = time.monotonic()
        interruption = Interruption()
        try:
            with open_source(options["file"]) as (file, name), database():
                with interruption.handled():
                    upload = self.load(file, name, interruption)
                current = Upload.objects.current() == upload
        except DatabaseBusy as busy:
            raise DatabaseUnavailable(busy.message) from busy
        except DealsError as refusal:
            if as_json:
                self.write_json(error_body(refusal.message, refusal.code, refusal.problems))
            raise UploadRejected(refusal.message if as_json else format_error(refusal)) from refusal
        except KeyboardInterrupt:
            raise Interrupted("The load was stopped.") from None
        if as_json:
            self.write_json(report(upload))
        else:
            self.stdout.write(sentence(upload, time.monotonic() - began, current=current))
        self.stdout.flush()
        apply_retention_safely(settings.DEALS_LIMITS)
        if interruption.requested:
            raise Interrupted("The file was loaded before it could be stopped.")

    def load(self, file: IO[bytes], name: str, stop_if_requested: Interruption) -> Upload:
        bar = ProgressBar(self.stderr, file.seek(0, 2)) if self.stderr.isatty() else None

        def progress(rows: int, bytes_read: int) -> None:
            stop_if_requested()
            if bar:
                bar(rows, bytes_read)

        try:
            return ingest_deals(file, name, UPLOADED_BY, progress)
        finally:
            if bar:
                bar.end()

    def write_json(self, data: dict[str, Any]) -> None:
        self.stdout.write(dump_json(data).decode())


@contextlib.contextmanager
def open_source(path: str) -> Iterator[tuple[IO[bytes], str]]:
    """The file, which can be read more than once, and its name; a pipe is kept on disk first.

    Raises: Unusable.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_open(path))
            if not file.seekable():
                file = spool(file, stack.enter_context(tempfile.TemporaryFile()))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        yield file, "standard input" if path == STANDARD_INPUT else Path(path).name


def _open(path: str) -> IO[bytes]:
    if path == STANDARD_INPUT:
        return os.fdopen(0, "rb", closefd=False)
    return Path(path).open("rb")


def spool(pipe: IO[bytes], copy: IO[bytes]) -> IO[bytes]:
    """What comes through, up to the first block over the limit, which is refused like a file of that size."""
    limit = settings.DEALS_LIMITS.max_upload_bytes
    while copy.tell() <= limit and (block := pipe.read(shutil.COPY_BUFSIZE)):  # type: ignore[attr-defined]
        copy.write(block)
    return copy


def format_error(refusal: DealsError) -> str:
    """The sentence, and the bad cells under it."""
    if not refusal.problems:
        return refusal.message
    rows = [(problem.line, problem.column or "", problem.value, problem.reason) for problem in refusal.problems]
    return f"{refusal.message}\n\n{table(('line', 'column', 'value', 'reason'), rows, right=[0])}"


def report(upload: Upload) -> dict[str, Any]:
    """The answer of the REST face, which is its first key, and what was taken in."""
    return {
        "Status": "OK",
        "Upload": upload.pk,
        "Loaded": not upload.is_duplicate,
        "Deals": upload.deal_count,
        "Customers": upload.customer_count,
        "Gems": upload.gem_count,
    }


def sentence(upload: Upload, seconds: float, *, current: bool) -> str:
    counts = ((upload.deal_count, "deal"), (upload.customer_count, "customer"), (upload.gem_count, "gem"))
    held = ", ".join(f"{count:,} {one}{'' if count == 1 else 's'}" for count, one in counts)
    if upload.is_duplicate:
        return f"Nothing to do: these bytes are current already, as upload {upload.pk} ({held})."
    meanwhile = "" if current else " A newer upload arrived meanwhile, and is current."
    return f"Loaded as upload {upload.pk}: {held}, in {seconds:.1f} s.{meanwhile}"
