"""Documents that requests name instead of containing them.

* Automatic persisted queries, the protocol of Apollo: a client sends the SHA-256 digest of its document. If the service
  does not know it, the client sends digest and document once, and later only the digest.
* Persisted documents: ``PERSISTED_DOCUMENTS`` restricts the service to the documents of a file, which clients send, or
  name by ``documentId`` (GraphQL over HTTP, appendix on persisted documents) or as a persisted query.
"""

from __future__ import annotations

from dataclasses import replace

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from graphql import GraphQLError

from deals_api.caching import persisted_queries
from deals_api.errors import LimitExceeded
from deals_api.security.permissions import Headers
from deals_api.security.throttling import may_persist_query
from graphql_schema.http.errors import NOT_PERSISTED, PERSISTED_QUERY_NOT_FOUND, RequestError
from graphql_schema.http.parsing import GraphQLRequest
from graphql_schema.persisted_documents import SHA256, PersistedDocuments, digest_of
from graphql_schema.schema import require_valid_document


def check_persisted_documents() -> None:
    """Check that the documents of the file fit the schema and the limits.

    Raises: ImproperlyConfigured, for the first one that does not.
    """
    for document_id, text in settings.PERSISTED_DOCUMENTS.items() if settings.PERSISTED_DOCUMENTS else ():
        try:
            require_valid_document(text)
        except (GraphQLError, LimitExceeded) as error:
            message = f"PERSISTED_DOCUMENTS has an invalid document, {document_id!r}: {error.message}"
            raise ImproperlyConfigured(message) from None


def with_document(params: GraphQLRequest, headers: Headers) -> GraphQLRequest:
    """Return the request with the text of its document.

    Raises: RequestError.
    """
    if params.query and params.digest is not None and params.digest != digest_of(params.query):
        raise RequestError(400, "sha256Hash is not the SHA-256 digest of query.")
    if settings.PERSISTED_DOCUMENTS is not None:
        return replace(params, query=_listed_document(params, settings.PERSISTED_DOCUMENTS))
    if params.query:
        if params.digest is not None:
            _persist_query(params.digest, params.query, headers)
        return params
    return replace(params, query=_persisted_document(params))


def _listed_document(params: GraphQLRequest, listed: PersistedDocuments) -> str:
    if params.query:
        if params.query not in listed:
            raise RequestError(403, "This service executes only its persisted documents.", NOT_PERSISTED)
        return params.query
    return _require_known(listed.find(params.document_id or params.digest or ""))


def _persisted_document(params: GraphQLRequest) -> str:
    if params.document_id is not None:
        digest = params.document_id.removeprefix(SHA256)
        return _require_known(persisted_queries.find_document(digest))
    document = persisted_queries.find_document(params.digest or "")
    if document is None:
        # Clients send the document after this message. Apollo Server returns it with the status 200, whatever the media
        # type, because some clients do not read the body of other statuses.
        raise RequestError(200, "PersistedQueryNotFound", PERSISTED_QUERY_NOT_FOUND)
    return document


def _require_known(document: str | None) -> str:
    if document is None:
        raise RequestError(404, "There is no persisted document with this id.", NOT_PERSISTED)
    return document


def _persist_query(digest: str, query: str, headers: Headers) -> None:
    """Store a valid document; the execution reports the errors of an invalid one."""
    if persisted_queries.find_document(digest) is not None or not may_persist_query(headers):
        return
    try:
        require_valid_document(query)
    except (GraphQLError, LimitExceeded):
        return
    persisted_queries.store_document(query)
