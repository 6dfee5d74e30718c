"""The documents to which ``PERSISTED_DOCUMENTS`` restricts the service; independent of Django.

The file is a JSON object of document texts by id, as graphql-codegen's client preset writes it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

#: Prefix of the ids that are the SHA-256 digest of the text (GraphQL over HTTP, appendix on persisted documents).
SHA256: Final = "sha256:"
#: A document in the script of the web page: a template literal without substitutions.
_TEMPLATE_LITERAL: Final = re.compile(r"`((?:[^`\\$]|\$(?!\{))*)`")


class PersistedDocuments:
    """Documents by id, by the SHA-256 digest of their text, and by their text.

    ``more`` are documents of the service itself, which need no id.
    """

    def __init__(self, by_id: Mapping[str, str], more: Iterable[str] = ()) -> None:
        self._by_id = dict(by_id)
        self._texts = {*by_id.values(), *more}
        self._by_digest = {digest_of(text): text for text in self._texts}

    def find(self, document_id: str) -> str | None:
        """Return the text of the document with this id or digest; None if there is none."""
        return self._by_id.get(document_id) or self._by_digest.get(document_id.removeprefix(SHA256))

    def __contains__(self, text: str) -> bool:
        return text in self._texts

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield the ids and texts of the file."""
        yield from self._by_id.items()


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_persisted_documents(path: str, script: Path) -> PersistedDocuments:
    """Return the documents in a file, and those in the script of the web page.

    Raises: ValueError, with a message for the operator.
    """
    try:
        by_id = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise ValueError(f"PERSISTED_DOCUMENTS must be a JSON file in UTF-8, which {path!r} is not{reason}") from None
    if not isinstance(by_id, dict) or not by_id or not all(isinstance(text, str) for text in by_id.values()):
        raise ValueError(f"PERSISTED_DOCUMENTS must be a JSON object of documents by id, which {path!r} is not")
    for document_id, text in by_id.items():
        if document_id.startswith(SHA256) and document_id != SHA256 + digest_of(text):
            raise ValueError(f"PERSISTED_DOCUMENTS has an id that is not the digest of its document: {document_id!r}")
    return PersistedDocuments(by_id, _TEMPLATE_LITERAL.findall(script.read_text("utf-8")))
