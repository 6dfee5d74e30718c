"""How the service tells what happens: one line of JSON for each thing, whoever tells it.

Requests go to standard output, many at once, because a line each would cost a tenth of what a ready answer does;
whatever else there is to say goes to standard error. Everything that is not ASCII is escaped, so no
name, address or header can end a line or speak to a terminal.
"""

from __future__ import annotations

import json
import select
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

from deals_api import notes

_write: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":"), default=repr).encode
_time: Final = TimeStamper(fmt="iso", key="time")


def _as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return _write({"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event"), **event})


def write_requests(lines: Sequence[dict[str, Any]]) -> None:
    """A line for each, whose ``time`` is in seconds; whole ones, whatever other processes write."""
    for piece in _pieces(b"".join(map(_quickly, lines))):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _quickly(line: dict[str, Any]) -> bytes:
    """In a quarter of the time, for what is ASCII anyway."""
    line["time"] = datetime.fromtimestamp(line["time"], UTC)
    written = orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    return written if written.isascii() else _write(orjson.loads(written)).encode() + b"\n"


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Whole lines, no more than a pipe takes at once without mixing them with another's."""
    while lines:
        end = len(lines) if len(lines) <= select.PIPE_BUF else lines.rfind(b"\n", 0, select.PIPE_BUF) + 1
        end = end or lines.find(b"\n") + 1
        yield lines[:end]
        lines = lines[end:]


def _with_request(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = notes.current()
    if context.request_id:
        event["request_id"] = context.request_id
    if context.user:
        event["user"] = context.user
    return event


def formatter() -> ProcessorFormatter:
    """For ``logging``: a traceback is a field of the line."""
    return ProcessorFormatter(
        foreign_pre_chain=[add_log_level, add_logger_name, _time, _with_request],
        processors=[ProcessorFormatter.remove_processors_meta, format_exc_info, _as_text],
    )
