"""Cache of parsed and validated documents.

Strawberry's ``ParserCache`` and ``ValidationCache`` are bounded in entries only: 128 documents of 64 KB that consist
of comments take 730 MB. This cache is bounded in bytes. It contains valid documents only, because errors refer to
their request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from graphql import DocumentNode
from strawberry.extensions import SchemaExtension

from deals_api.caching.bounded_cache import BoundedCache

#: Maximum size of the cache in each process.
MAX_BYTES: Final = 8 * 1024 * 1024
#: Memory of a token and its share of the syntax tree; various documents took 190 to 560 bytes.
TOKEN_BYTES: Final = 600
#: Memory of a character outside the Basic Multilingual Plane, in the text and in its token.
CHARACTER_BYTES: Final = 8

documents: Final[BoundedCache[DocumentNode]] = BoundedCache(MAX_BYTES)


class DocumentCache(SchemaExtension):
    """Skips parsing and validation of cached documents."""

    is_cached = False

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if (document := find_document(context.query or "")) is not None:
            context.graphql_document = document
            self.is_cached = True
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if self.is_cached:
            context.pre_execution_errors = []
        yield
        document = context.graphql_document
        if not self.is_cached and document is not None and context.pre_execution_errors == []:
            cache_document(context.query or "", document)


def find_document(text: str) -> DocumentNode | None:
    """Return a document that is valid with the present limits, or None."""
    return documents.get(_key(text))


def cache_document(text: str, document: DocumentNode) -> None:
    """Cache a valid document."""
    documents.put(_key(text), document, memory_of(document))


def _key(text: str) -> tuple[str, int]:
    return text, settings.DEALS_LIMITS.max_query_tokens


def memory_of(document: DocumentNode) -> int:
    """Return an upper bound in bytes, from the number of tokens; comments are tokens too."""
    location: Any = document.loc
    tokens, token = 0, location.start_token
    while token is not None:
        tokens, token = tokens + 1, token.next
    return tokens * TOKEN_BYTES + CHARACTER_BYTES * len(location.source.body)
