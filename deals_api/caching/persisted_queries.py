"""Documents of automatic persisted queries, by the SHA-256 digest of their text.

Each process has a cache; a shared log passes new documents on to the other processes of this machine, and Redis to
other machines. An entry never changes, and its digest is computed when it is received, so no digest leads to another
document. A lost entry costs its client one more request. Documents are as large as a request may be
(``MAX_QUERY_BYTES``). Those in use stay in the cache: it evicts the least recently used ones, and
``security.throttling`` limits new ones.
"""

from __future__ import annotations

import hashlib
import re
import sys
from typing import Final

from deals_api.caching import shared
from deals_api.caching.bounded_cache import BoundedCache
from deals_api.processes import SharedLog

#: Maximum memory of the documents in each process.
MAX_BYTES: Final = 8 * 1024 * 1024
#: Memory of all processes together for documents that some of them have not read.
LOG_BYTES: Final = 2 * 1024 * 1024
#: Time after which Redis forgets a document.
TTL_SECONDS: Final = 24 * 3600

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

local_documents: Final[BoundedCache[str]] = BoundedCache(MAX_BYTES)
#: Created before gunicorn forks its workers, so that they share it.
log: Final = SharedLog(LOG_BYTES)


def find_document(digest: str) -> str | None:
    """Return the document with this digest; None if it is unknown, or Redis is unavailable."""
    if (document := local_documents.get(digest)) is not None:
        return document
    for content in log.read():
        _receive(content)
    if (document := local_documents.get(digest)) is None and _DIGEST.fullmatch(digest):
        content = shared.breaker.call(shared.backend.get, _key(digest))
        if content is not None and _digest(content) == digest:
            return _receive(content)
    return document


def store_document(document: str) -> None:
    content = document.encode()
    _receive(content)
    log.append(content)
    shared.breaker.call(shared.backend.set, _key(_digest(content)), content, TTL_SECONDS)


def _receive(content: bytes) -> str:
    """Store a document in this process, and return it."""
    document = content.decode(errors="replace")
    local_documents.put(_digest(content), document, sys.getsizeof(document))
    return document


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _key(digest: str) -> str:
    return f"document:{digest}"
