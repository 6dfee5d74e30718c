"""``PERSISTED_DOCUMENTS``: the service executes the documents of a file only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from pytest_django import Settings

from graphql_schema.persisted_documents import PersistedDocuments, read_persisted_documents
from tests.builders import deal, load
from tests.chromium import chromium, open_page
from tests.servers import NO_TLS, REAL_FILE, TIMEOUT, Server, serving
from tests.test_frontend_page import OPERATIONS, SCRIPTS
from tests.test_persisted_queries import MUTATION, QUERY, digest, extensions, get
from tests.test_settings import settings_of
from tests.test_startup import manage
from tests.wsgi import Response, post

RANKING = {"topClients": [{"username": "ann"}]}
#: The id of graphql-codegen with its default algorithm.
MUTATION_ID = sha1(MUTATION.encode()).hexdigest()  # noqa: S324


@pytest.fixture
def restricted(db: None, settings: Settings) -> None:
    """Restrict the service to two documents, and load one deal."""
    load(deal("ann"))
    settings.PERSISTED_DOCUMENTS = PersistedDocuments({"names": QUERY, MUTATION_ID: MUTATION}, ["{ __typename }"])


def code_of(response: Response) -> str:
    (error,) = response.json["errors"]
    return str(error["extensions"]["code"])


# Requests


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize(
    "request_body",
    [
        {"query": QUERY},
        {"documentId": "names"},
        {"documentId": f"sha256:{digest(QUERY)}"},
        extensions("names"),
        extensions(digest(QUERY)),
        {"query": QUERY, **extensions(digest(QUERY))},
    ],
    ids=["text", "id", "digest as id", "id as digest", "digest", "text and digest"],
)
def test_listed_document_is_executed(request_body: dict[str, Any]) -> None:
    for _ in range(2):
        assert post(request_body).json["data"] == get(**request_body).json["data"] == RANKING


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        ({"query": QUERY + " "}, 403),
        ({"query": "{ __schema { types { name } } }"}, 403),
        ({"query": "{"}, 403),
        ({"query": "{ a: __typename }", **extensions(digest("{ a: __typename }"))}, 403),
        ({"documentId": "other"}, 404),
        ({"documentId": ""}, 404),
        ({"documentId": QUERY}, 404),
        (extensions("0" * 64), 404),
    ],
)
def test_other_documents_are_rejected(request_body: dict[str, Any], status: int) -> None:
    for _ in range(2):
        response = post(request_body)
        assert (response.status, code_of(response)) == (status, "document_not_persisted")


def test_query_that_was_persisted_before_is_rejected(restricted: None, settings: Settings) -> None:
    listed, settings.PERSISTED_DOCUMENTS = settings.PERSISTED_DOCUMENTS, None
    other = "{ gems { totalCount } }"
    assert post({"query": other, **extensions(digest(other))}).status == 200
    settings.PERSISTED_DOCUMENTS = listed
    assert post(extensions(digest(other))).status == 404


@pytest.mark.usefixtures("restricted")
def test_digest_of_a_listed_document_is_checked_too() -> None:
    response = post({"query": QUERY, **extensions("names")})
    assert (response.status, code_of(response)) == (400, "graphql_unreadable")


@pytest.mark.usefixtures("restricted")
def test_listed_mutation_requires_post() -> None:
    assert get(documentId=MUTATION_ID).status == 405
    assert code_of(post({"documentId": MUTATION_ID})) == "bad_input"


@pytest.mark.usefixtures("restricted")
def test_documents_of_the_service_itself_are_executed() -> None:
    assert post({"query": "{ __typename }"}).json["data"] == {"__typename": "Query"}
    assert get(**extensions(digest("{ __typename }"))).json["data"] == {"__typename": "Query"}


# The file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps({sha256(QUERY.encode()).hexdigest(): QUERY, "sha256:" + digest(MUTATION): MUTATION}))
    return path


def test_operations_of_the_page_are_added_to_the_file(file: Path) -> None:
    documents = read_persisted_documents(str(file), SCRIPTS / "operations.js")
    assert len(OPERATIONS) > 5
    for text in (QUERY, MUTATION, *OPERATIONS.values()):
        assert text in documents


def test_graphiql_is_disabled_by_persisted_documents(file: Path) -> None:
    settings = settings_of(PERSISTED_DOCUMENTS=str(file), GRAPHIQL="1")
    assert (settings["GRAPHIQL"], QUERY in settings["PERSISTED_DOCUMENTS"]) == (False, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be a JSON file in UTF-8"),
        ("[]", "must be a JSON object of documents by id"),
        ("{}", "must be a JSON object of documents by id"),
        ('{"a": {"query": "{x}"}}', "must be a JSON object of documents by id"),
        (f'{{"sha256:{digest("{y}")}": "{{x}}"}}', "has an id that is not the digest of its document: 'sha256:"),
        ("[" * 100_000, "must be a JSON file in UTF-8"),
    ],
)
def test_invalid_file_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "documents.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^PERSISTED_DOCUMENTS {message}"):
        read_persisted_documents(str(path), SCRIPTS / "operations.js")


@pytest.mark.database_independent
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
        ("{", "Syntax Error: Expected Name, found <EOF>."),
        ("{ " + "a: __typename " * 40 + "}", "The document has more than 30 aliases."),
    ],
)
def test_invalid_document_ends_the_start_in_one_line(tmp_path: Path, document: str, message: str) -> None:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps({"names": QUERY, "x1": document}))
    database = f"sqlite:///{tmp_path}/deals.sqlite3"
    completed = manage("serve", PERSISTED_DOCUMENTS=str(path), DATABASE_URL=database)
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr.count("\n") == 1
    assert completed.stderr.startswith(f"PERSISTED_DOCUMENTS has an invalid document, 'x1': {message}")


# The whole service


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("restricted")
    (folder / "documents.json").write_text(json.dumps({"names": QUERY}))
    with serving(folder, PERSISTED_DOCUMENTS=str(folder / "documents.json")) as server:
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        yield server


@pytest.mark.database_independent
def test_restricted_service_executes_listed_documents_only(server: Server) -> None:
    data = server.get("/graphql/?documentId=names").json()["data"]
    assert data["topClients"][0] == {"username": "resplendent"}
    rejected = httpx.post(f"{server.url}/graphql/", json={"query": "{ __typename }"}, timeout=TIMEOUT, verify=NO_TLS)
    assert (rejected.status_code, rejected.headers["Content-Type"]) == (403, "application/json")
    assert server.get("/graphql/", headers={"Accept": "text/html"}).status_code == 406
    assert server.get("/graphql/schema.graphql").text.startswith('"""')


@pytest.mark.database_independent
def test_page_of_a_restricted_service_works(server: Server) -> None:
    with chromium() as browser, open_page(browser, server, locale="en-US") as page:
        page.goto("/")
        expect(page.locator(".clients .name").first).to_have_text("resplendent")
        expect(page.locator("#deals .status")).to_have_text("767 deals (the first 20 are shown)")
