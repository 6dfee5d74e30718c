"""Every limit of the service, with its unit and its environment variable; independent of Django.

Other modules read the values from ``settings.DEALS_LIMITS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

#: ``int`` rejects numbers of thousands of digits.
_MAX_DIGITS: Final = 20


def _limit(default: int, env: str, unit: str, minimum: int = 1, maximum: int = 2**53) -> int:
    """Return a dataclass field whose metadata describes the limit."""
    accepted = {"minimum": minimum, "maximum": maximum, "default": default}
    value: int = field(default=default, metadata={"env": env, "unit": unit, "accepted": accepted})
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a running service; the defaults are the documented ones."""

    #: Largest accepted file.
    max_upload_bytes: int = _limit(128 * 1024 * 1024, "MAX_UPLOAD_BYTES", "bytes")
    #: Deals in one file. The maximum fits the low half of a row's id.
    max_rows: int = _limit(2_000_000, "MAX_ROWS", "rows", maximum=2**31)
    #: Different customers, and different gems, in one file: each is kept in memory during the load.
    max_names: int = _limit(100_000, "MAX_NAMES", "names")
    #: Invalid cells after which reading stops; all of them are listed.
    max_problems: int = _limit(10_000, "MAX_PROBLEMS", "cells")
    #: Largest ``?limit=`` of the top clients.
    max_top_clients: int = _limit(100, "MAX_TOP_CLIENTS", "clients")
    #: Newest uploads that retain their rows, in addition to the current one if it is older.
    keep_uploads: int = _limit(3, "KEEP_UPLOADS", "uploads", minimum=2)
    #: Asynchronous uploads that wait for a worker; each occupies up to ``max_upload_bytes`` on a disk.
    max_queued_uploads: int = _limit(20, "MAX_QUEUED_UPLOADS", "uploads")

    #: Uploads from one client address; 0 disables the limit.
    uploads_per_minute: int = _limit(600, "UPLOADS_PER_MINUTE", "uploads a minute", minimum=0)
    #: Responses that are computed for one client address, not read from a cache; 0 disables the limit.
    computations_per_minute: int = _limit(6_000, "COMPUTATIONS_PER_MINUTE", "responses a minute", minimum=0)

    #: Largest response with data; exports are exempt, because they are streamed.
    max_response_bytes: int = _limit(8 * 1024 * 1024, "MAX_RESPONSE_BYTES", "bytes")

    #: Time to select and sort the deals of an export with a filter or an order; on SQLite, CPU time.
    max_export_seconds: int = _limit(30, "MAX_EXPORT_SECONDS", "seconds", maximum=3_600)

    # Limits of one GraphQL operation

    #: Largest accepted request body. The maximum is that of Django's ``DATA_UPLOAD_MAX_MEMORY_SIZE``.
    max_query_bytes: int = _limit(64 * 1024, "MAX_QUERY_BYTES", "bytes", maximum=2_621_440)
    #: Lexical tokens of a document.
    max_query_tokens: int = _limit(1_000, "MAX_QUERY_TOKENS", "tokens")
    #: Levels of fields, ``edges`` and ``node`` included, without introspection; also levels of nested values.
    max_query_depth: int = _limit(12, "MAX_QUERY_DEPTH", "levels")
    #: Fields of a document, and spreads of fragments; the fields of a fragment count at each spread.
    max_query_fields: int = _limit(500, "MAX_QUERY_FIELDS", "fields")
    #: Fields with an alias.
    max_query_aliases: int = _limit(30, "MAX_QUERY_ALIASES", "aliases")
    #: Directives, known or not.
    max_query_directives: int = _limit(20, "MAX_QUERY_DIRECTIVES", "directives")
    #: Fields of Query or Mutation.
    max_root_fields: int = _limit(20, "MAX_ROOT_FIELDS", "fields")
    #: Rows of a page if the query does not give a size.
    page_size: int = _limit(20, "PAGE_SIZE", "rows", maximum=1_000)
    #: Largest page size that a query may give.
    max_page_size: int = _limit(100, "MAX_PAGE_SIZE", "rows", maximum=1_000)
    #: Values in one list of a filter.
    max_list_argument: int = _limit(100, "MAX_LIST_ARGUMENT", "values")
    #: Comparisons in one filter, those of nested filters included. SQLite's expressions have up to 1,000 levels.
    max_filter_conditions: int = _limit(100, "MAX_FILTER_CONDITIONS", "conditions", maximum=400)
    #: Length of one string in the arguments.
    max_string_length: int = _limit(1_000, "MAX_STRING_LENGTH", "characters")
    #: Cost of one operation in nodes of about 100 µs of CPU time; see ``graphql_schema/execution/cost.py``.
    max_nodes: int = _limit(10_000, "MAX_NODES", "nodes")
    #: SQL statements of one operation.
    max_sql_queries: int = _limit(50, "MAX_SQL_QUERIES", "statements")
    #: Total time of the statements of one operation; on SQLite, their CPU time.
    max_query_seconds: int = _limit(5, "MAX_QUERY_SECONDS", "seconds", maximum=3_600)
    #: Upper bound of the groups that one ``dealStats`` computes.
    max_groups: int = _limit(150_000, "MAX_GROUPS", "groups")
    #: Groups on one page of ``dealStats``.
    max_stats_groups: int = _limit(1_000, "MAX_STATS_GROUPS", "groups", maximum=10_000)

    @property
    def max_body_bytes(self) -> int:
        """Largest accepted body of a request: a file with the boundaries, headers and small fields of its form."""
        return self.max_upload_bytes + 64 * 1024

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Limits:
        """Return the default limits, overridden by the variables that are set.

        Raises: ValueError, with the variable and its accepted values.
        """
        return cls(
            **{
                limit.name: whole_number(environment, limit.metadata["env"], **limit.metadata["accepted"])
                for limit in fields(cls)
            }
        )


def whole_number(environment: Mapping[str, str], name: str, *, minimum: int, maximum: int, default: int) -> int:
    """Return the integer in a variable, or ``default`` if it is unset or blank.

    Raises: ValueError, with the variable and its accepted values.
    """
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and minimum <= int(text) <= maximum):
        raise ValueError(f"{name} must be a whole number from {minimum} to {maximum}, not {text!r}")
    return int(text)


#: Maximum length of the name of a token's holder, which is stored in the log and the database.
MAX_HOLDER_LENGTH: Final = 100
