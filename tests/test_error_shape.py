"""Error codes of the REST API: their statuses, and a request that causes each."""

from __future__ import annotations

import ast
import errno
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import grimp
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse, UnreadablePostError
from django.test import Client, RequestFactory
from django.urls import get_resolver
from pytest_django import Settings
from rest_framework.exceptions import APIException

from deals_api.errors import DatabaseBusy, DealsError, NoRoom, TokenRequired
from deals_api.reports import top_clients as top_clients_report
from deals_api.request_context import start_request
from deals_api.rest import exception_handler, openapi
from deals_api.rest.exception_handler import handle_exception
from deals_api.security.tokens import read_tokens
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.http import errors
from tests.builders import csv_of, deal, load
from tests.servers import ROOT
from tests.test_rest import UPLOAD, error_of, multipart, part, post

#: DRF raises these only for classes that the settings do not use, as a test below ensures.
UNUSED_IN_DRF = {"authentication_failed", "not_authenticated", "throttled"}
#: Modules that create an error which their callers in REST catch, as of ``global_ids.parse_snapshot``.
CAUGHT = {"bad_input": {"deals_api.global_ids"}}


def kinds_of(error: type[Exception]) -> Iterator[Any]:
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)


def defined_statuses() -> dict[str, int]:
    """Return the status of every code that the handlers can return, by calling them with every error class."""
    request, error = RequestFactory().get("/"), Exception()
    outside = [
        exception_handler.bad_request(request, error),
        exception_handler.permission_denied(request, error),
        exception_handler.not_found(request, error),
        exception_handler.server_error(request),
    ]
    statuses = {json.loads(response.content)["Code"]: response.status_code for response in outside}
    for kind in (*kinds_of(DealsError), *kinds_of(APIException), RequestDataTooBig):
        raised = kind.__new__(kind)
        base: Any = next(base for base in (DealsError, APIException, Exception) if issubclass(kind, base))
        base.__init__(raised, "A message.")  # constructors of subclasses differ
        response = handle_exception(raised)
        assert response is not None
        statuses[response.data["Code"]] = response.status_code
    return statuses


def defined_codes() -> set[str]:
    return set(defined_statuses())


@cache
def imports() -> Any:
    return grimp.build_graph("deals_api", "graphql_schema", "project", cache_dir=None)


@cache
def creators() -> dict[str, set[str]]:
    """Return the modules that create each error, by the name of its class."""
    found: dict[str, set[str]] = {}
    for module in imports().modules:
        path = ROOT / (module.replace(".", "/") + ".py")
        for node in ast.walk(ast.parse(path.read_text())) if path.exists() else ():
            created = node.func if isinstance(node, ast.Call) else node.exc if isinstance(node, ast.Raise) else None
            if isinstance(created, ast.Name):
                found.setdefault(created.id, set()).add(module)
    return found


def codes_within(modules: set[str]) -> set[str]:
    """Return the codes of the errors that these modules create, and of those that no module creates."""
    return {
        kind.code
        for kind in kinds_of(DealsError)
        if not (found := creators().get(kind.__name__)) or modules & (found - CAUGHT.get(kind.code, set()))
    }


def statuses_of_rest() -> dict[str, int]:
    """Return the status by code; a test compares the documented table of errors with it."""
    roots = ("deals_api.rest.urls", "deals_api.rest.exception_handler")
    modules = set(roots).union(*(imports().find_upstream_modules(root) for root in roots))
    elsewhere = {kind.code for kind in kinds_of(DealsError)} - codes_within(modules)
    return {code: status for code, status in defined_statuses().items() if code not in elsewhere | UNUSED_IN_DRF}


def codes_of_graphql() -> set[str]:
    """Return the codes of errors that GraphQL modules create, or the modules of ``deals_api`` that they import."""
    graph = imports()
    own = {module for module in graph.modules if module.startswith("graphql_schema")}
    used = set().union(*(graph.find_modules_directly_imported_by(module) for module in own))
    return codes_within(own | used) | {errors.UNREADABLE, errors.INVALID, errors.INTERNAL}


def body_of(error: Exception) -> dict[str, Any]:
    response = handle_exception(error)
    assert response is not None
    body: dict[str, Any] = response.data
    return body


def test_openapi_lists_the_codes_of_operations_and_other_codes() -> None:
    """To repair it, move the code between ``_STATUS`` and ``OTHER_CODES`` in deals_api/rest/openapi.py."""
    outside = {"not_found", "permission_denied"}  # at URLs that are not operations of REST
    assert defined_codes() - statuses_of_rest().keys() | outside == openapi.OTHER_CODES
    assert statuses_of_rest().keys() - outside == openapi.CODES


def test_drf_permissions_and_throttles_are_not_used() -> None:
    framework = settings.REST_FRAMEWORK
    assert framework["DEFAULT_AUTHENTICATION_CLASSES"] == framework["DEFAULT_PERMISSION_CLASSES"] == []
    assert "DEFAULT_THROTTLE_CLASSES" not in framework


def with_invalid_host(client: Client) -> Any:
    return client.get(UPLOAD, headers={"Host": "not a host"})


def without_content_length(client: Client) -> Any:
    return client.post(UPLOAD, {}, headers={"Transfer-Encoding": "chunked"})


def without_permission(client: Client) -> Any:
    client.force_login(User.objects.create_user("ann", is_staff=True))
    return client.get("/admin/deals_api/upload/")


REQUESTS: dict[str, Callable[[Client], Any]] = {
    "unreadable_upload": lambda client: post(client, b"%PDF-1.7"),
    "bad_cells": lambda client: post(client, csv_of(deal(total="x"))),
    "parse_error": lambda client: client.post(UPLOAD, {}),
    "invalid": lambda client: client.get(UPLOAD, {"limit": "0"}),
    "bad_request": with_invalid_host,
    "not_allowed": lambda client: post(client, headers={"Origin": "https://elsewhere.example"}),
    "permission_denied": without_permission,
    "not_found": lambda client: client.get("/api/nothing/"),
    "method_not_allowed": lambda client: client.delete(UPLOAD),
    "not_acceptable": lambda client: client.get(UPLOAD, headers={"Accept": "text/csv"}),
    "length_required": without_content_length,
    "request_too_large": lambda client: multipart(client, part(b"x" * 3_000_000, 'form-data; name="x"') + b"--b--"),
    "unsupported_media_type": lambda client: client.post(UPLOAD, {}, content_type="application/json"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "request_with"), REQUESTS.items(), ids=REQUESTS)
def test_requests_return_their_error_codes(code: str, request_with: Callable[[Client], Any]) -> None:
    assert error_of(request_with(Client()), statuses_of_rest()[code])["Code"] == code


@pytest.mark.django_db
def test_missing_token_returns_token_required(settings: Settings) -> None:
    settings.API_TOKENS = read_tokens("ann:0123456789abcdef")
    assert error_of(post(Client()), 401)["Code"] == "token_required"


@pytest.mark.django_db
def test_exceeded_rate_limit_returns_too_many_requests(limits: Any) -> None:
    limits(uploads_per_minute=1)
    responses = [post(Client()) for _ in range(3)]  # at least two of them in the same minute
    rejected = next(response for response in responses if response.status_code != 200)
    assert error_of(rejected, 429)["Code"] == "too_many_requests"


@pytest.mark.django_db
def test_file_over_a_limit_returns_upload_too_large(limits: Any) -> None:
    limits(max_upload_bytes=100)
    assert error_of(post(Client(), csv_of(deal()) * 9), 413)["Code"] == "upload_too_large"


@pytest.mark.django_db
def test_unexpected_exception_returns_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    load(deal())
    monkeypatch.setattr(top_clients_report, "top_clients", None)
    assert error_of(Client(raise_request_exception=False).get(UPLOAD), 500)["Code"] == "internal_error"


@pytest.mark.parametrize(
    "error", [DatabaseBusy("Busy."), OperationalError("gone"), InterfaceError("gone"), SnapshotGone()], ids=repr
)
def test_temporary_database_errors_return_503_with_retry_after(error: Exception) -> None:
    response = handle_exception(error)
    assert response is not None
    assert (response.status_code, response.data["Code"]) == (503, "database_busy")
    assert response.headers["Retry-After"] == "2"
    assert "gone" not in response.data["Desc"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_returns_507_and_other_os_errors_do_not(number: int) -> None:
    response = handle_exception(OSError(number, "no room"))
    assert response is not None
    assert (response.status_code, response.data["Code"], response.headers["Retry-After"]) == (507, "no_room", "60")
    assert handle_exception(OSError(errno.EACCES, "forbidden")) is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "permission_denied"),
        (SuspiciousOperation("The request is odd."), 400, "parse_error"),
        (UnreadablePostError("The client hung up."), 400, "parse_error"),
    ],
    ids=repr,
)
def test_django_exceptions_have_the_same_body(error: Exception, status: int, code: str) -> None:
    response = handle_exception(error)
    assert response is not None
    assert (response.status_code, response.data["Status"], response.data["Code"]) == (status, "Error", code)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_django_error_handlers_have_the_same_body(status: int) -> None:
    handler: Callable[..., HttpResponse] = get_resolver().resolve_error_handler(status)
    request = RequestFactory().get("/")
    response = handler(request) if status == 500 else handler(request, Exception("secret"))
    assert response.status_code == status
    assert json.loads(response.content).keys() == {"Status", "Desc", "Code"}
    assert b"secret" not in response.content


def test_every_code_of_rest_is_caused_by_a_request() -> None:
    """Here, or in tests/test_openapi.py, which requests each of ``openapi.CODES``."""
    assert statuses_of_rest().keys() <= REQUESTS.keys() | openapi.CODES


def test_error_bodies_are_built_without_side_effects() -> None:
    context = start_request({})
    exception_handler.error_body("A message.", "bad_cells")
    assert context.error_code == ""


@pytest.mark.parametrize(
    ("handle", "code"),
    [
        (lambda: handle_exception(NoRoom()), "no_room"),
        (lambda: handle_exception(Http404()), "not_found"),
        (lambda: exception_handler.plain_response(TokenRequired("A message.")), "token_required"),
        (lambda: exception_handler.server_error(RequestFactory().get("/")), "internal_error"),
    ],
    ids=["domain error", "framework error", "view outside DRF", "Django's error handler"],
)
def test_error_handlers_record_the_code(handle: Callable[[], object], code: str) -> None:
    context = start_request({})
    handle()
    assert context.error_code == code
