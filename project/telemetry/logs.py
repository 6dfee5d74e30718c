"""Structured logging: each record is a line of JSON, or a line of text if the stream is a terminal.

The access log goes to standard output, everything else to standard error. JSON is ASCII, and control characters are
escaped on a terminal, so names, addresses and headers cannot end a line or control the terminal.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.json import Encoder

from deals_api import request_context
from deals_api.formats import printable

_encode: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":"), default=repr).encode
_fast_encode: Final = Encoder().encode


def write_access_log(entry: dict[str, Any]) -> None:
    """Write an entry, whose ``time`` is a Unix timestamp, as one line.

    The line is dropped if standard output is closed or blocked. One system call writes the whole line, which is shorter
    than ``PIPE_BUF``, so lines of several threads and processes do not mix.
    """
    with contextlib.suppress(OSError):
        stdout = sys.stdout.fileno()
        if select.select((), (stdout,), (), 0)[1]:
            os.write(stdout, _terminal_line(entry) if os.isatty(stdout) else _encode_fast(entry))


def _encode_fast(entry: dict[str, Any]) -> bytes:
    """Encode with msgspec, which is faster than ``json``. Only ``json`` can escape non-ASCII characters."""
    timestamp = entry["time"]
    entry["time"] = datetime.fromtimestamp(timestamp, UTC)
    with contextlib.suppress(UnicodeEncodeError):  # an unpaired surrogate
        line = _fast_encode(entry)
        if line.isascii():
            return line + b"\n"
    return _encode({**entry, "time": _format_time(timestamp)}).encode() + b"\n"


def _format_time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat().replace("+00:00", "Z")


def _terminal_line(entry: dict[str, Any]) -> bytes:
    time = datetime.fromtimestamp(entry["time"]).astimezone()
    request = printable(f"{entry['method']} {entry['path']}")
    line = f"{time:%H:%M:%S} {entry['level'].upper():<7} {request} {entry['status']} {entry['ms']} ms {entry['code']}"
    return line.rstrip().encode() + b"\n"


class JsonFormatter(logging.Formatter):
    """One line of JSON for each record, with the traceback as a field."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": _format_time(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if record.stack_info:
            event["stack_info"] = record.stack_info
        event["logger"] = record.name
        context = request_context.get_request_context()
        # A record of gunicorn after a request, such as "Invalid request", is about a later one.
        if not (context.finished and record.name.startswith("gunicorn")):
            event |= {name: value for name in ("request_id", "user") if (value := getattr(context, name))}
        if record.exc_info and record.exc_info[0]:
            event["exception"] = self.formatException(record.exc_info)
        return _encode(event)


class TerminalFormatter(logging.Formatter):
    """One line for each record, with an indented traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))

    def formatException(self, exc_info: Any) -> str:  # noqa: N802
        return "\n".join("  " + printable(line) for line in super().formatException(exc_info).split("\n"))


def formatter() -> logging.Formatter:
    """Return the formatter of the handler that writes to standard error."""
    return TerminalFormatter() if sys.stderr.isatty() else JsonFormatter()
