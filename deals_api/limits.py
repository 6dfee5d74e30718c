"""Every bound of the service, with its unit and the variable that moves it.

Knows nothing of Django: the values reach the code through ``settings.DEALS_LIMITS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

#: Python refuses to read numbers of thousands of digits.
_MAX_DIGITS: Final = 20


def _bound(default: int, env: str, unit: str, minimum: int = 1, maximum: int = 2**53) -> int:
    """A dataclass field that carries what the operator must know about it."""
    accepted = {"minimum": minimum, "maximum": maximum, "default": default}
    value: int = field(default=default, metadata={"env": env, "unit": unit, "accepted": accepted})
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one running service; the defaults are the published ones."""

    #: Largest accepted file.
    max_upload_bytes: int = _bound(128 * 1024 * 1024, "MAX_UPLOAD_BYTES", "bytes")
    #: Deals in one file, the header not counted. The most is what fits the low half of a row's id.
    max_rows: int = _bound(2_000_000, "MAX_ROWS", "rows", maximum=2**31)
    #: Different customers, and different gems, in one file: each is held in memory while it loads.
    max_names: int = _bound(100_000, "MAX_NAMES", "names")
    #: Bad cells that a refusal lists before reading stops.
    max_problems: int = _bound(100, "MAX_PROBLEMS", "cells")
    #: Most places that ``?limit=`` may ask for.
    max_top_clients: int = _bound(100, "MAX_TOP_CLIENTS", "clients")
    #: Newest uploads that keep their rows, the current one not counted among the others' fate.
    keep_uploads: int = _bound(3, "KEEP_UPLOADS", "uploads", minimum=2)

    #: Files that one client address may send; 0 for any number.
    uploads_per_minute: int = _bound(600, "UPLOADS_PER_MINUTE", "uploads a minute", minimum=0)
    #: Answers that one client address may have computed, those from the cache not counted; 0 for any number.
    computations_per_minute: int = _bound(6_000, "COMPUTATIONS_PER_MINUTE", "answers a minute", minimum=0)

    #: Largest response with data; exports are exempt, because they are streamed.
    max_response_bytes: int = _bound(8 * 1024 * 1024, "MAX_RESPONSE_BYTES", "bytes")

    # What one GraphQL operation may ask

    #: Largest accepted body of a question. The most is what Django takes into memory.
    max_query_bytes: int = _bound(64 * 1024, "MAX_QUERY_BYTES", "bytes", maximum=2_621_440)
    #: Words and signs of a document.
    max_query_tokens: int = _bound(1_000, "MAX_QUERY_TOKENS", "tokens")
    #: Levels of fields, ``edges`` and ``node`` included, introspection not; and of values in values.
    max_query_depth: int = _bound(12, "MAX_QUERY_DEPTH", "levels")
    #: Fields of a document, and spreads of fragments; those of a fragment counted wherever it is spread.
    max_query_fields: int = _bound(500, "MAX_QUERY_FIELDS", "fields")
    #: Fields among them that are given another name.
    max_query_aliases: int = _bound(30, "MAX_QUERY_ALIASES", "aliases")
    #: Directives, known or not.
    max_query_directives: int = _bound(20, "MAX_QUERY_DIRECTIVES", "directives")
    #: Fields of Query or Mutation.
    max_root_fields: int = _bound(20, "MAX_ROOT_FIELDS", "fields")
    #: Rows of a page where the question does not say.
    page_size: int = _bound(20, "PAGE_SIZE", "rows", maximum=1_000)
    #: Most rows of a page that may be asked for.
    max_page_size: int = _bound(100, "MAX_PAGE_SIZE", "rows", maximum=1_000)
    #: Values in one list of a filter.
    max_list_argument: int = _bound(100, "MAX_LIST_ARGUMENT", "values")
    #: One string among the arguments.
    max_string_length: int = _bound(1_000, "MAX_STRING_LENGTH", "characters")
    #: Cost of one operation: what it may return, and the deals it has the database read for it.
    max_nodes: int = _bound(10_000, "MAX_NODES", "nodes")
    #: Statements that one operation may send to the database.
    max_sql_queries: int = _bound(50, "MAX_SQL_QUERIES", "statements")
    #: Time that all statements of one operation may take together; on SQLite, of the processor.
    max_query_seconds: int = _bound(5, "MAX_QUERY_SECONDS", "seconds", maximum=3_600)
    #: Groups that one ``dealStats`` may have to make.
    max_groups: int = _bound(150_000, "MAX_GROUPS", "groups")

    @property
    def max_body_bytes(self) -> int:
        """Largest accepted body of a request: a file, and the boundaries, headers and small fields of its form."""
        return self.max_upload_bytes + 64 * 1024

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Limits:
        """The published bounds, moved by the variables that are set.

        Raises: ValueError, naming the variable and what it may hold.
        """
        return cls(
            **{
                bound.name: whole_number(environment, bound.metadata["env"], **bound.metadata["accepted"])
                for bound in fields(cls)
            }
        )


def whole_number(environment: Mapping[str, str], name: str, *, minimum: int, maximum: int, default: int) -> int:
    """The number in one variable, or ``default`` where it is unset or blank.

    Raises: ValueError, naming the variable and what it may hold.
    """
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and minimum <= int(text) <= maximum):
        raise ValueError(f"{name} must be a whole number from {minimum} to {maximum}, not {text!r}")
    return int(text)


#: Characters of a holder's name, which is written to the log and the database.
MAX_HOLDER_LENGTH: Final = 100
