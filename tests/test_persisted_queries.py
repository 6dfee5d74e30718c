"""Automatic persisted queries, and documents by id."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from django.core.cache import cache as backend

from deals_api.caching import local as local_cache
from deals_api.caching import persisted_queries
from deals_api.security.throttling import PERSISTED_QUERIES_PER_MINUTE
from graphql_schema.execution import document_cache
from tests import services
from tests.builders import deal, load
from tests.server_actions import upload
from tests.servers import NO_TLS, TIMEOUT, Server, serving
from tests.wsgi import JSON, RESPONSE, Response, call, post

pytestmark = pytest.mark.django_db

QUERY = "query Names($limit: Int = 5) { topClients(limit: $limit) { username } }"
MUTATION = 'mutation { activateUpload(id: "VXBsb2FkOg==") { __typename } }'
NOT_FOUND = {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}


@pytest.fixture(autouse=True)
def _one_deal(db: None) -> None:
    load(deal("ann"))


def digest(document: str) -> str:
    return sha256(document.encode()).hexdigest()


def extensions(sha256_hash: object, version: object = 1) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": version, "sha256Hash": sha256_hash}}}


def get(accept: str = JSON, **parameters: Any) -> Response:
    """Send the parameters in the URL; objects as JSON."""
    url = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return call(query=urlencode(url), headers={"Accept": accept})


def persist(document: str = QUERY) -> Response:
    return post({"query": document, **extensions(digest(document))})


def is_known(document: str) -> bool:
    """Return whether a request with only the digest of the document executes it."""
    return bool(get(**extensions(digest(document))).json.get("errors") != [NOT_FOUND])


# The protocol


@pytest.mark.parametrize("accept", [JSON, RESPONSE])
def test_unknown_digest_is_reported_as_by_apollo_server(accept: str) -> None:
    for response in (get(accept, **extensions(digest(QUERY))), post(extensions(digest(QUERY)), accept)):
        assert (response.status, response.json) == (200, {"errors": [NOT_FOUND]})
        assert (response.headers["Content-Type"], response.headers["Cache-Control"]) == (accept, "no-store")


def test_persisted_query_is_executed_by_its_digest() -> None:
    first = persist()
    assert first.json["data"] == {"topClients": [{"username": "ann"}]}
    for response in (get(**extensions(digest(QUERY))), post(extensions(digest(QUERY)))):
        assert (response.status, response.body) == (200, first.body)
    load(deal("bob", total="20"), deal("cid"))
    limited = get(**extensions(digest(QUERY)), variables={"limit": 1}, operationName="Names")
    assert limited.json["data"] == {"topClients": [{"username": "bob"}]}


def test_query_by_digest_shares_the_response_of_its_text() -> None:
    by_text = get(query=QUERY)
    persist()
    by_digest = get(**extensions(digest(QUERY)))
    assert by_digest.headers["ETag"] == by_text.headers["ETag"]
    url = urlencode({name: json.dumps(value) for name, value in extensions(digest(QUERY)).items()})
    assert call(query=url, headers={"If-None-Match": by_text.headers["ETag"]}).status == 304


def test_query_can_be_persisted_by_get() -> None:
    assert get(query=QUERY, **extensions(digest(QUERY))).status == 200
    assert is_known(QUERY)


def test_other_keys_of_the_extension_are_ignored() -> None:
    """urql adds ``miss`` to the request with the document."""
    body = {"query": QUERY, **extensions(digest(QUERY))}
    body["extensions"]["persistedQuery"]["miss"] = True
    assert post(body).status == 200
    assert is_known(QUERY)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": QUERY, **extensions(digest(QUERY + " "))}, "sha256Hash is not the SHA-256 digest of query."),
        ({"query": QUERY, **extensions("")}, "sha256Hash is not the SHA-256 digest of query."),
        (extensions(digest(QUERY), version=2), "The version of persistedQuery must be 1."),
        (extensions(None), "persistedQuery must be an object with version and sha256Hash."),
        ({"extensions": {"persistedQuery": "x"}}, "persistedQuery must be an object with version and sha256Hash."),
        ({"extensions": {"persistedQuery": None}}, "query is missing: a string with a GraphQL document."),
        ({"query": "", **extensions(digest(""))}, "query is missing: a string with a GraphQL document."),
        ({"query": QUERY, "documentId": "x"}, "Use either query or documentId, not both."),
        ({"documentId": 5}, "documentId must be a string."),
    ],
)
def test_malformed_requests_are_rejected(body: dict[str, Any], message: str) -> None:
    response = post(body)
    (error,) = response.json["errors"]
    assert (response.status, error["message"], error["extensions"]["code"]) == (400, message, "graphql_unreadable")


def test_mutations_require_post_by_digest_too() -> None:
    assert persist(MUTATION).status == 200
    response = get(**extensions(digest(MUTATION)))
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert post(extensions(digest(MUTATION))).json["errors"][0]["extensions"]["code"] == "bad_input"


def test_browsers_get_the_response_and_not_graphiql() -> None:
    persist()
    for parameters in (extensions(digest(QUERY)), {"documentId": f"sha256:{digest(QUERY)}"}):
        assert get("text/html, */*;q=0.1", **parameters).headers["Content-Type"] == JSON


@pytest.mark.parametrize("prefix", ["sha256:", ""])
def test_document_id_finds_persisted_queries(prefix: str) -> None:
    document_id = prefix + digest(QUERY)
    unknown = get(documentId=document_id)
    assert (unknown.status, unknown.json["errors"][0]["extensions"]["code"]) == (404, "document_not_persisted")
    persist()
    for response in (get(documentId=document_id), post({"documentId": document_id})):
        assert response.json["data"] == {"topClients": [{"username": "ann"}]}


# What is stored


@pytest.mark.parametrize(
    "document",
    ["{", "{ nothing }", "{ deals }", "{ " + "a: __typename " * 40 + "}", "{" + " __typename" * 1_100 + "}", "# only"],
)
def test_documents_that_cannot_be_executed_are_not_stored(document: str) -> None:
    assert "errors" in persist(document).json
    assert not is_known(document)


@pytest.mark.parametrize("document", ["{ uploads { totalCount } }", '{ node(id: "x") { id } }'])
def test_valid_documents_are_stored_whatever_their_response_is(document: str) -> None:
    persist(document)
    assert is_known(document)


def test_document_with_a_cached_response_is_stored() -> None:
    get(query=QUERY)
    document_cache.documents.clear()
    persist()
    assert is_known(QUERY)


def test_one_client_can_only_add_some_documents_per_minute(stopped_clock: None) -> None:
    documents = [f"{{ __typename }} # {number}" for number in range(PERSISTED_QUERIES_PER_MINUTE + 2)]
    for document in documents:
        assert persist(document).json["data"] == {"__typename": "Query"}
    assert [is_known(document) for document in documents] == [True] * PERSISTED_QUERIES_PER_MINUTE + [False] * 2
    body = json.dumps({"query": documents[-1], **extensions(digest(documents[-1]))}).encode()
    call("POST", body=body, headers={"Content-Type": JSON, "X-Forwarded-For": "192.0.2.9"})
    assert not is_known(documents[-1])  # the address is not that of a proxy


def test_known_documents_do_not_count_as_added(stopped_clock: None) -> None:
    for _ in range(PERSISTED_QUERIES_PER_MINUTE + 1):
        persist()
    assert persist("{ __typename }").status == 200
    assert is_known("{ __typename }")


def test_memory_of_documents_is_bounded_and_used_ones_stay() -> None:
    used = digest(QUERY)
    persisted_queries.store_document(QUERY)
    for number in range(200):
        persisted_queries.store_document(f"{number}".ljust(65_000, "#"))
        assert persisted_queries.local_documents.get(used) == QUERY
    assert persisted_queries.local_documents.bytes <= persisted_queries.MAX_BYTES
    assert persisted_queries.local_documents.get(digest("0".ljust(65_000, "#"))) is None


# Other processes


@pytest.mark.usefixtures("sqlite_only")
def test_every_worker_knows_a_document_that_one_received(tmp_path: Path) -> None:
    """Without Redis; each request uses a new connection, which any worker accepts."""
    with serving(tmp_path, WEB_WORKERS="4") as server:
        body = {"query": QUERY, **extensions(digest(QUERY))}
        assert httpx.post(f"{server.url}/graphql/", json=body, timeout=TIMEOUT, verify=NO_TLS).status_code == 200
        url = "/graphql/?" + urlencode({"extensions": json.dumps(extensions(digest(QUERY))["extensions"])})
        assert [server.get(url).json().get("data") for _ in range(40)] == [{"topClients": []}] * 40


def forget() -> None:
    """Clear the memory of this process."""
    persisted_queries.log.read()
    persisted_queries.local_documents.clear()
    local_cache.local_responses.clear()


@pytest.mark.usefixtures("postgresql_only")
def test_other_machines_find_documents_in_redis() -> None:
    persist()
    forget()
    assert is_known(QUERY)
    forget()
    backend.clear()
    assert not is_known(QUERY)


@pytest.mark.usefixtures("postgresql_only")
def test_document_with_another_digest_in_redis_is_not_executed() -> None:
    backend.set(f"document:{digest(QUERY)}", MUTATION.encode())
    assert not is_known(QUERY)
    backend.set(f"document:{digest(QUERY)}", b"\xff")
    assert not is_known(QUERY)


@pytest.mark.database_independent
def test_query_is_persisted_and_executed_while_redis_is_down(
    server_with_redis: Server, redis: services.Service
) -> None:
    upload(server_with_redis, "ann")
    redis.stop()

    def send(**body: Any) -> Any:
        return httpx.post(f"{server_with_redis.url}/graphql/", json=body, timeout=TIMEOUT, verify=NO_TLS).json()

    names = {"topClients": [{"username": "ann"}]}
    for _ in range(20):
        body = send(**extensions(digest(QUERY)))
        assert body.get("errors") == [NOT_FOUND] or body["data"] == names
        assert send(query=QUERY, **extensions(digest(QUERY)))["data"] == names
    assert "Traceback" not in server_with_redis.log.read_text()
