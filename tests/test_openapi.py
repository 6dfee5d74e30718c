"""What the service says of its REST face is what it does: statuses, codes, examples, addresses."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.cache import cache as backend
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.urls import URLPattern
from pytest_django import Settings

from deals_api.ingest import service
from deals_api.reports import exports
from deals_api.reports import top_clients as top_clients_report
from deals_api.rest import openapi, urls, views
from deals_api.security.throttling import count_computation, count_upload, counters
from deals_api.security.tokens import read_tokens
from tests.builders import csv_of, deal
from tests.test_error_shape import codes_of_the_code
from tests.test_rest import UPLOAD, part, post, refusal

pytestmark = pytest.mark.django_db

FILES = {f"/api/exports/{name}": text for name, text in openapi.EXPORTS.items()}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def document(client: Client) -> Any:
    return client.get("/api/schema/", {"format": "json"}).json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def examples(operation: Any) -> Iterator[tuple[int, Any]]:
    """Status and value of each."""
    for status, answer in operation["responses"].items():
        for content in answer.get("content", {}).values():
            for example in content.get("examples", {}).values():
                yield int(status), example["value"]


# The document


def test_the_document_is_valid_and_nothing_in_it_was_guessed(tmp_path: Path) -> None:
    written = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(written))
    assert yaml.safe_load(written.read_text())["openapi"].startswith("3.")


def test_every_address_and_method_is_in_it(document: Any) -> None:
    documents = {"schema", "docs"}
    routed = {
        (method, "/api/" + re.sub(r"[\^$\\]|/\?", "", str(pattern.pattern)))
        for pattern in urls.urlpatterns
        if isinstance(pattern, URLPattern) and pattern.name not in documents
        for method in pattern.callback.actions  # type: ignore[attr-defined]
        if method != "head"  # which DRF adds to each ``get``
    }
    assert {(method, path.rstrip("/")) for method, path, _ in operations(document)} == routed


def test_every_code_of_a_refusal_is_in_it(document: Any) -> None:
    """Repair it in deals_api/openapi.py: REFUSALS, if an operation of REST can give the code, else ELSEWHERE."""
    assert set(document["components"]["schemas"]["Refusal"]["properties"]["Code"]["enum"]) == codes_of_the_code()


def test_a_refusal_can_be_read_by_its_status_everywhere(document: Any) -> None:
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                (schema,) = (content["schema"] for content in answer["content"].values())
                codes = {example["Code"] for told, example in examples(operation) if told == int(status)}
                assert schema["allOf"][0] == {"$ref": "#/components/schemas/Refusal"}
                assert set(schema["allOf"][1]["properties"]["Code"]["enum"]) == codes


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
def test_it_comes_as_yaml_or_as_json(client: Client, path: str, query: str, accept: str, media_type: str) -> None:
    answer = client.get(path + query, headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (200, media_type)
    assert yaml.safe_load(answer.content)["info"]["title"] == "Deals in gems"


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/"])
def test_what_is_refused_there_has_the_one_body_too(client: Client, path: str) -> None:
    refusal(client.post(path), 405)
    refusal(client.get(path, headers={"Accept": "image/png"}), 406)
    refusal(client.get("/api/schema/?format=xml"), 404)


# Its examples are answers


def test_the_answers_in_it_are_those_to_the_real_file(client: Client, document: Any, real_file: bytes) -> None:
    assert [value for told, value in examples(document["paths"][UPLOAD]["post"]) if told == 200] == [
        post(client, real_file).json()
    ]
    for path in (UPLOAD, "/api/top-clients/"):
        assert dict(examples(document["paths"][path]["get"]))[200] == client.get(path).json()
    for path in FILES:
        whole = client.get(path).getvalue().decode("utf-8-sig").replace("\r\n", "\n")
        begin = dict(examples(document["paths"][path]["get"]))[200]
        assert whole.startswith(begin)
        assert begin


class Asking:
    """One operation, asked in ways that earn refusals."""

    def __init__(self, client: Client, method: str, path: str, settings: Settings, patch: pytest.MonkeyPatch) -> None:
        self.client, self.method, self.path, self.settings, self.patch = client, method, path, settings, patch

    def ask(self, query: str = "", content: bytes | None = None, **headers: str) -> Any:
        if self.method == "get":
            return self.client.get(self.path + query, headers=headers)
        return post(self.client, csv_of(deal()) if content is None else content, self.path + query, headers=headers)

    def bad_request(self) -> Any:
        return self.ask(Host="not a host")

    def invalid(self) -> Any:
        return self.ask("?limt=3")

    def parse_error(self) -> Any:
        return self.client.post(self.path, {})

    def unreadable_upload(self) -> Any:
        return self.ask(content=b"%PDF-1.7")

    def bad_cells(self) -> Any:
        return self.ask(content=csv_of(deal(total="12x")))

    def token_required(self) -> Any:
        self.settings.API_TOKENS = read_tokens("ann:correct horse battery")
        self.settings.READ_REQUIRES_TOKEN = True
        answer = self.ask()
        assert answer["WWW-Authenticate"] == "Bearer"
        return answer

    def not_allowed(self) -> Any:
        return self.ask(Origin="https://evil.example")

    def limit_exceeded(self) -> Any:
        body = b" " * (self.settings.DEALS_LIMITS.max_response_bytes + 1)
        self.patch.setattr(views, "top_clients_json", lambda _: body)
        return self.ask()

    def upload_not_retained(self) -> Any:
        return self.ask("?upload=00000000-0000-0000-0000-000000000000")

    def method_not_allowed(self) -> Any:
        return self.client.delete(self.path)

    def not_acceptable(self) -> Any:
        return self.ask(Accept="text/csv")

    def length_required(self) -> Any:
        return self.client.post(self.path, {}, headers={"Transfer-Encoding": "chunked"})

    def upload_too_large(self) -> Any:
        most = self.settings.DEALS_LIMITS.max_upload_bytes
        body = SimpleUploadedFile("deals.csv", b"")
        return self.client.post(self.path, {"deals": body}, CONTENT_LENGTH=str(2 * most))

    def request_too_large(self) -> Any:
        body = part(b"x" * 3_000_000, 'form-data; name="x"') + b"--b--"
        return self.client.generic("POST", self.path, body, "multipart/form-data; boundary=b")

    def unsupported_media_type(self) -> Any:
        return self.client.post(self.path, {}, content_type="application/json")

    def too_many_requests(self) -> Any:
        limits = self.settings.DEALS_LIMITS
        what, most = ("computation", limits.computations_per_minute)
        if self.method == "post":
            what, most = "upload", limits.uploads_per_minute
        this_minute = int(time.time() // 60)
        self.patch.setattr(time, "time", lambda: 60.0 * this_minute + 30)
        count = {"upload": count_upload, "computation": count_computation}[what]
        for _ in range(most):
            count({"REMOTE_ADDR": "127.0.0.1"})
        answer = self.ask()
        assert answer["Retry-After"] == "30"
        return answer

    def internal_error(self) -> Any:
        for module, name in ((top_clients_report, "top_clients"), (service, "ingest_deals"), (exports, "deals")):
            self.patch.setattr(module, name, None)
        return self.ask()

    def database_busy(self) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise OperationalError("the database is gone")

        for module, name in ((top_clients_report, "top_clients"), (service, "ingest_deals"), (exports, "deals")):
            self.patch.setattr(module, name, fail)
        answer = self.ask()
        assert answer["Retry-After"] == "2"
        return answer

    def no_room(self) -> Any:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no space left on device")

        self.patch.setattr(service, "ingest_deals", fail)
        answer = self.ask()
        assert answer["Retry-After"] == "60"
        return answer


@pytest.mark.parametrize("code", openapi.REFUSALS)
def test_the_refusals_in_it_are_those_that_a_client_gets(
    client: Client, document: Any, settings: Settings, real_file: bytes, code: str
) -> None:
    post(client, real_file)
    earned = 0
    for method, path, operation in operations(document):
        for status, example in examples(operation):
            if status >= 400 and example["Code"] == code:
                with pytest.MonkeyPatch.context() as patch:
                    backend.clear()
                    counters.clear()
                    earn: Callable[[], Any] = getattr(Asking(client, method, path, settings, patch), code)
                    answer = earn()
                assert (answer.status_code, answer.json()) == (status, example), f"{method} {path}"
                earned += 1
    assert earned


# The page to read it


def test_the_page_loads_what_is_here_and_has_no_script_or_style_in_it(client: Client, settings: Settings) -> None:
    here = f"/{settings.STATIC_URL.strip('/')}/"
    for path in ("/api/docs/", "/api/docs"):
        page = client.get(path, headers={"Accept": "text/html"})
        assert page["Content-Type"] == "text/html; charset=utf-8"
        text = page.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", text)
        loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
        static = [address for address in loaded if not address.startswith(path)]
        assert len(static) == 3
        for address in static:
            assert address.startswith(here)
            assert finders.find(address.removeprefix(here))
        (script,) = set(loaded) - set(static)
        setting_up = client.get(script.replace("&amp;", "&"))
        assert setting_up["Content-Type"].startswith("application/javascript")
        assert '"/api/schema' in setting_up.content.decode()


def test_a_question_in_the_address_of_the_page_is_not_run(client: Client) -> None:
    page = client.get("/api/docs/", {"x": '"></script><script>alert(1)</script>', "version": "';alert(1)//"})
    assert b"<script>alert" not in page.content
    setting_up = client.get("/api/docs/", {"script": "", "version": "';alert(1)//\";alert(2)//"})
    assert b"';alert(1)" not in setting_up.content
    assert b'";alert(2)' not in setting_up.content
