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
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

from deals_api import request_context
from deals_api.formats import printable

_encode: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":"), default=repr).encode
_add_time: Final = TimeStamper(fmt="iso", key="time")


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return _encode({"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event"), **event})


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
    """Encode with orjson, four times as fast as ``json``. Only ``json`` can escape non-ASCII characters."""
    entry["time"] = datetime.fromtimestamp(entry["time"], UTC)
    line = orjson.dumps(entry, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    return line if line.isascii() else _encode(orjson.loads(line)).encode() + b"\n"


def _terminal_line(entry: dict[str, Any]) -> bytes:
    time = datetime.fromtimestamp(entry["time"]).astimezone()
    request = printable(f"{entry['method']} {entry['path']}")
    line = f"{time:%H:%M:%S} {entry['level'].upper():<7} {request} {entry['status']} {entry['ms']} ms {entry['code']}"
    return line.rstrip().encode() + b"\n"


def _add_request(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = request_context.get_request_context()
    if context.request_id:
        event["request_id"] = context.request_id
    if context.user:
        event["user"] = context.user
    return event


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
    return TerminalFormatter() if sys.stderr.isatty() else _json_formatter()


def _json_formatter() -> ProcessorFormatter:
    """Return a formatter that writes JSON, with the traceback as a field."""
    return ProcessorFormatter(
        foreign_pre_chain=[add_log_level, add_logger_name, _add_time, _add_request],
        processors=[ProcessorFormatter.remove_processors_meta, format_exc_info, _render_json],
    )
