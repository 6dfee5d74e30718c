"""The OpenAPI description agrees with the service: statuses, error codes, examples, URLs."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.cache import cache as backend
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.urls import URLPattern, URLResolver
from pytest_django import Settings

from deals_api.ingest import service
from deals_api.models import QueuedUpload, Upload
from deals_api.reports import exports
from deals_api.reports import top_clients as top_clients_report
from deals_api.rest import openapi, urls, views
from deals_api.rest.openapi_examples import EXPORTS
from deals_api.security.throttling import count_computation, count_upload, counters
from deals_api.security.tokens import read_tokens
from tests.builders import csv_of, deal
from tests.graphql import id_of
from tests.servers import ROOT
from tests.test_error_shape import defined_codes, statuses_of_rest
from tests.test_rest import UPLOAD, error_of, part, post
from tests.worker import run_tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("uploads_dir")]

FILES = {f"/api/exports/{name}": text for name, text in EXPORTS.items()}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def document(client: Client) -> Any:
    return client.get("/api/schema/", {"format": "json"}).json()


@pytest.mark.database_independent
def test_document_does_not_depend_on_hash_randomization() -> None:
    command = [sys.executable, "manage.py", "spectacular"]
    environments = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("1", "2")]
    documents = {subprocess.check_output(command, cwd=ROOT, env=environment) for environment in environments}
    assert len(documents) == 1


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def examples(operation: Any) -> Iterator[tuple[int, Any]]:
    """Yield status and value of each example."""
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            for example in content.get("examples", {}).values():
                yield int(status), example["value"]


def error_codes(operation: Any) -> set[str]:
    """Return the error codes of an operation, after checking that each error response lists them."""
    codes_by_response = []
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            (schema,) = (content["schema"] for content in response["content"].values())
            assert schema["allOf"][0] == {"$ref": "#/components/schemas/Error"}
            codes_by_response.append(set(schema["allOf"][1]["properties"]["Code"]["enum"]))
    assert all(codes == codes_by_response[0] for codes in codes_by_response)
    return codes_by_response[0]


# The description


def test_description_is_valid_without_warnings(tmp_path: Path) -> None:
    output = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(output))
    assert yaml.safe_load(output.read_text())["openapi"].startswith("3.")


def routes(patterns: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield the path template of each pattern, also of those in included lists."""
    for pattern in patterns:
        route = prefix + re.sub(r"[\^$\\]|/\?", "", re.sub(r"\(\?P<(\w+)>.*?\)", r"{\1}", str(pattern.pattern)))
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route, pattern


def test_description_has_every_url_and_method(document: Any) -> None:
    excluded = {"schema", "docs"}
    expected = {
        (method, route)
        for route, pattern in routes(urls.urlpatterns, "/")
        if pattern.name not in excluded
        for method in pattern.callback.actions  # type: ignore[attr-defined]
        if method != "head"  # DRF adds it to each ``get``
    }
    assert {(method, path.rstrip("/")) for method, path, _ in operations(document)} == expected


def test_description_has_every_error_code(document: Any) -> None:
    """To repair it, add the code to ``_STATUS`` or ``OTHER_CODES`` in deals_api/rest/openapi.py."""
    assert set(document["components"]["schemas"]["Error"]["properties"]["Code"]["enum"]) == defined_codes()


def test_every_operation_has_one_error_schema(document: Any) -> None:
    for _, _, operation in operations(document):
        assert error_codes(operation) <= openapi.CODES


@pytest.mark.database_independent
@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "*/*", "application/vnd.oai.openapi"),
        ("", "application/json", "application/json"),
        ("", "application/yaml", "application/yaml"),
        ("?format=json", "*/*", "application/vnd.oai.openapi+json"),
        ("?format=yaml", "application/vnd.oai.openapi", "application/vnd.oai.openapi"),
    ],
)
@pytest.mark.parametrize("path", ["/api/schema/", "/api/schema"])
def test_description_is_served_as_yaml_or_json(
    client: Client, path: str, query: str, accept: str, media_type: str
) -> None:
    response = client.get(path + query, headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"].partition(";")[0]) == (200, media_type)
    assert yaml.safe_load(response.content)["info"]["title"] == "Deals in gems"


@pytest.mark.parametrize("path", ["/api/", "/api/schema/", "/api/docs/"])
def test_errors_of_schema_and_docs_have_the_json_body(client: Client, path: str) -> None:
    error_of(client.post(path), 405)
    error_of(client.get(path, headers={"Accept": "image/png"}), 406)
    error_of(client.get("/api/schema/?format=xml"), 404)


@pytest.mark.parametrize("path", ["/api/", "/api"])
def test_index_lists_addresses_that_respond(client: Client, path: str) -> None:
    post(client)
    response = client.get(path)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    addresses = response.json()
    assert {name: url.removeprefix("http://testserver") for name, url in addresses.items()} == {
        "upload": "/api/upload",
        "top-clients": "/api/top-clients",
        **{
            f"{table}-{suffix}": f"/api/exports/{table}.{suffix}"
            for table in ("deals", "top-clients")
            for suffix in ("csv", "ndjson")
        },
        "docs": "/api/docs",
        "schema": "/api/schema",
        "graphql": "/graphql",
    }
    for url in addresses.values():
        linked = client.get(url, {"query": "{__typename}"} if url.endswith("graphql") else {})
        assert linked.getvalue()
        assert linked.status_code == 200


def test_index_is_a_page_with_links_for_browsers(client: Client) -> None:
    page = client.get("/api/", headers={"Accept": "text/html"})
    assert page["Content-Type"] == "text/html; charset=utf-8"
    assert '<a href="http://testserver/api/upload"' in page.content.decode()
    for query, accept in (("?format=json", "text/html"), ("", "text/html;q=0.5, application/json")):
        assert client.get(f"/api/{query}", headers={"Accept": accept})["Content-Type"] == "application/json"


def test_index_is_readable_without_a_token_like_the_docs(client: Client, settings: Settings) -> None:
    settings.READ_REQUIRES_TOKEN = True
    settings.API_TOKENS = read_tokens("ann:correct horse battery")
    assert [client.get(path).status_code for path in ("/api/docs/", "/api/", "/api/top-clients/")] == [200, 200, 401]


def test_upload_accepts_the_described_media_types(client: Client, document: Any) -> None:
    request = document["paths"][UPLOAD]["post"]["requestBody"]
    assert list(request["content"]) == ["multipart/form-data", "text/csv"]
    assert request["required"] is True
    assert request["content"]["text/csv"]["schema"] == {"type": "string", "format": "binary"}
    options = client.options(UPLOAD).json()
    assert options["parses"] == list(request["content"])


def test_csv_is_described_as_text_and_ndjson_as_bytes(document: Any) -> None:
    """Clients of openapi-generator raise an error for a text of the type application/x-ndjson."""
    for path in FILES:
        [(media_type, content)] = document["paths"][path]["get"]["responses"]["200"]["content"].items()
        expected = {"type": "string", "format": "binary"} if path.endswith(".ndjson") else {"type": "string"}
        assert (media_type.endswith("ndjson"), content["schema"]) == (path.endswith(".ndjson"), expected)


# Examples and errors


def test_examples_are_responses_to_the_real_file(client: Client, document: Any, real_file: bytes) -> None:
    queued = post(client, real_file, headers={"Prefer": "respond-async"})
    assert dict(examples(document["paths"][UPLOAD]["post"])) == {
        200: post(client, real_file).json(), 202: queued.json(),
    }  # fmt: skip
    run_tasks()
    status = dict(examples(document["paths"]["/api/uploads/{id}/"]["get"]))[200]
    assert client.get(queued["Location"]).json() == {**status, "Upload": id_of(Upload.objects.earliest("pk"))}
    for path in (UPLOAD, "/api/top-clients/"):
        assert dict(examples(document["paths"][path]["get"]))[200] == client.get(path).json()
    for path in FILES:
        export = client.get(path).getvalue().decode("utf-8-sig").replace("\r\n", "\n")
        example = dict(examples(document["paths"][path]["get"]))[200]
        assert example
        assert export.startswith(example)


class Requests:
    """Requests to one operation; each method is named after the error code that it causes."""

    def __init__(self, client: Client, method: str, path: str, settings: Settings, patch: pytest.MonkeyPatch) -> None:
        self.client, self.method, self.settings, self.patch = client, method, settings, patch
        self.path = path.format(id=self.queued_upload()) if "{id}" in path else path

    def queued_upload(self) -> str:
        """Create an asynchronous upload, and return its id."""
        upload = Upload.objects.create(file_name="f", sha256="0" * 64, size=1, state=Upload.State.QUEUED)
        QueuedUpload.objects.create(upload=upload, stored_file="f")
        return str(upload.snapshot)

    def send(self, query: str = "", content: bytes | None = None, **headers: str) -> Any:
        if self.method != "post":
            return self.client.generic(self.method.upper(), self.path + query, headers=headers)
        return post(self.client, csv_of(deal()) if content is None else content, self.path + query, headers=headers)

    def replace_reports_and_ingest(self, function: Callable[..., Any] | None) -> None:
        self.patch.setattr(top_clients_report, "top_clients", function)
        self.patch.setattr(service, "ingest_deals", function)
        self.patch.setattr(views, "find_upload", function)
        for name in ("deals", "top_clients"):
            self.patch.setattr(exports, name, function)

    def bad_request(self) -> Any:
        return self.send(Host="not a host")

    def invalid(self) -> Any:
        return self.send("?limt=3")

    def parse_error(self) -> Any:
        return self.client.post(self.path, {})

    def unreadable_upload(self) -> Any:
        return self.send(content=b"%PDF-1.7")

    def bad_cells(self) -> Any:
        return self.send(content=csv_of(deal(total="12x")))

    def token_required(self) -> Any:
        self.settings.API_TOKENS = read_tokens("ann:correct horse battery")
        self.settings.READ_REQUIRES_TOKEN = True
        response = self.send()
        assert response["WWW-Authenticate"] == "Bearer"
        return response

    def not_allowed(self) -> Any:
        return self.send(Origin="https://evil.example")

    def limit_exceeded(self) -> Any:
        if "exports" in self.path:
            compared = [{"total": {"gt": number}} for number in range(80)]
            conditions = json.dumps({"OR": compared, "NOT": {"OR": compared}})
            return self.send(f"?filter={quote(conditions)}")
        body = b" " * (self.settings.DEALS_LIMITS.max_response_bytes + 1)
        self.patch.setattr(views, "top_clients_json", lambda _: body)
        return self.send()

    def upload_changed(self) -> Any:
        return post(self.client, csv_of(deal()), self.path, headers={"If-Match": '"another"'})

    def upload_finished(self) -> Any:
        Upload.objects.update(state=Upload.State.LOADED)
        return self.send()

    def queue_full(self) -> Any:
        self.settings.DEALS_LIMITS = replace(self.settings.DEALS_LIMITS, max_queued_uploads=1)
        self.queued_upload()
        response = self.send(Prefer="respond-async")
        assert response["Retry-After"] == "30"
        return response

    def upload_not_retained(self) -> Any:
        if "uploads" in self.path:
            self.path = "/api/uploads/00000000-0000-0000-0000-000000000000"
            return self.send()
        return self.send("?upload=00000000-0000-0000-0000-000000000000")

    def method_not_allowed(self) -> Any:
        return self.client.put(self.path)

    def not_acceptable(self) -> Any:
        return self.send(Accept="text/csv")

    def length_required(self) -> Any:
        return self.client.post(self.path, {}, headers={"Transfer-Encoding": "chunked"})

    def upload_too_large(self) -> Any:
        maximum = self.settings.DEALS_LIMITS.max_upload_bytes
        body = SimpleUploadedFile("deals.csv", b"")
        return self.client.post(self.path, {"deals": body}, CONTENT_LENGTH=str(2 * maximum))

    def request_too_large(self) -> Any:
        body = part(b"x" * 3_000_000, 'form-data; name="x"') + b"--b--"
        return self.client.generic("POST", self.path, body, "multipart/form-data; boundary=b")

    def unsupported_media_type(self) -> Any:
        return self.client.post(self.path, {}, content_type="application/json")

    def too_many_requests(self) -> Any:
        limit = 3
        limits = {"computations_per_minute": limit, "uploads_per_minute": limit}
        self.settings.DEALS_LIMITS = replace(self.settings.DEALS_LIMITS, **limits)
        count = count_computation if self.method == "get" else count_upload
        minute = int(time.time() // 60)
        self.patch.setattr(time, "time", lambda: 60.0 * minute + 30)
        for _ in range(limit):
            count({"REMOTE_ADDR": "127.0.0.1"})
        response = self.send()
        assert response["Retry-After"] == "30"
        return response

    def internal_error(self) -> Any:
        self.replace_reports_and_ingest(None)
        return self.send()

    def database_busy(self) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise OperationalError("the database is gone")

        self.replace_reports_and_ingest(fail)
        response = self.send()
        assert response["Retry-After"] == "2"
        return response

    def no_room(self) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "no space left on device")

        self.patch.setattr(service, "ingest_deals", fail)
        response = self.send()
        assert response["Retry-After"] == "60"
        return response


@pytest.mark.parametrize("code", sorted(openapi.CODES))
def test_operations_return_their_error_codes(
    client: Client, document: Any, settings: Settings, real_file: bytes, code: str
) -> None:
    post(client, real_file)
    operations_with_code = [item for item in operations(document) if code in error_codes(item[2])]
    assert operations_with_code
    for method, path, operation in operations_with_code:
        with pytest.MonkeyPatch.context() as patch:
            backend.clear()
            counters.clear()
            request: Callable[[], Any] = getattr(Requests(client, method, path, settings, patch), code)
            response = request()
        assert error_of(response, statuses_of_rest()[code])["Code"] == code, f"{method} {path}"
        assert str(response.status_code) in operation["responses"]


# Swagger UI


def test_every_operation_has_a_short_summary_of_its_own(document: Any) -> None:
    summaries = [operation["summary"] for _, _, operation in operations(document)]
    assert len(set(summaries)) == len(summaries) - 1  # two paths return the top clients
    assert all(0 < len(summary) <= 40 for summary in summaries)
    assert {tag["name"] for tag in document["tags"]} == {
        tag for _, _, operation in operations(document) for tag in operation["tags"]
    }


def test_docs_page_has_only_local_files_and_nothing_inline(client: Client, settings: Settings) -> None:
    static_url = f"/{settings.STATIC_URL.strip('/')}/"
    for path in ("/api/docs/", "/api/docs"):
        page = client.get(path, headers={"Accept": "text/html"})
        assert page["Content-Type"] == "text/html; charset=utf-8"
        text = page.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", text)
        loaded = re.findall(r'<(?:link|script|img)\b[^>]*(?:src|href)="([^"]+)"', text)
        static = [url for url in loaded if not url.startswith(path)]
        assert len(static) == 7
        for url in static:
            assert url.startswith(static_url)
            assert finders.find(url.removeprefix(static_url))
        (script,) = set(loaded) - set(static)
        setup = client.get(script.replace("&amp;", "&"))
        assert setup["Content-Type"].startswith("application/javascript")
        assert '"/api/schema' in setup.content.decode()


def test_docs_page_does_not_execute_its_query_string(client: Client) -> None:
    page = client.get("/api/docs/", {"x": '"></script><script>alert(1)</script>', "version": "';alert(1)//"})
    assert b"<script>alert" not in page.content
    setup = client.get("/api/docs/", {"script": "", "version": "';alert(1)//\";alert(2)//"})
    assert b"';alert(1)" not in setup.content
    assert b'";alert(2)' not in setup.content
