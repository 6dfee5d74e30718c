"""Structured logging: every record is one JSON line, or a line to read where the stream is a terminal.

The access log goes to standard output, everything else to standard error. JSON is ASCII, and control characters are
escaped on a terminal, so no name, address or header can end a line or control the terminal.
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

_write: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":"), default=repr).encode
_time: Final = TimeStamper(fmt="iso", key="time")


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return _write({"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event"), **event})


def write_access_log(entry: dict[str, Any]) -> None:
    """Write the entry as one line; its ``time`` is a Unix timestamp.

    The line is dropped if standard output is closed, or blocked because its reader has stopped reading. One system
    call writes the whole line, which is shorter than ``PIPE_BUF``, so lines of several threads and processes do not
    mix.
    """
    with contextlib.suppress(OSError):
        stdout = sys.stdout.fileno()
        if select.select((), (stdout,), (), 0)[1]:
            os.write(stdout, _access_line(entry) if os.isatty(stdout) else _encode_fast(entry))


def _encode_fast(line: dict[str, Any]) -> bytes:
    """Encode with orjson, four times as fast as ``json``; a line with other than ASCII characters is encoded again."""
    line["time"] = datetime.fromtimestamp(line["time"], UTC)
    written = orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    return written if written.isascii() else _write(orjson.loads(written)).encode() + b"\n"


def _access_line(line: dict[str, Any]) -> bytes:
    time = datetime.fromtimestamp(line["time"]).astimezone()
    request = printable(f"{line['method']} {line['path']}")
    text = f"{time:%H:%M:%S} {line['level'].upper():<7} {request} {line['status']} {line['ms']} ms {line['code']}"
    return text.rstrip().encode() + b"\n"


def _with_request(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = request_context.get_request_context()
    if context.request_id:
        event["request_id"] = context.request_id
    if context.user:
        event["user"] = context.user
    return event


class TerminalFormatter(logging.Formatter):
    """One line for each record, with the traceback indented below it."""

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
        foreign_pre_chain=[add_log_level, add_logger_name, _time, _with_request],
        processors=[ProcessorFormatter.remove_processors_meta, format_exc_info, _as_text],
    )
