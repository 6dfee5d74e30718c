"""Every code that a refusal of REST may carry, with its status and a request that earns it."""

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

from deals_api.errors import DatabaseBusy, DealsError
from deals_api.reports import top_clients as top_clients_report
from deals_api.rest import exception_handler, openapi
from deals_api.rest.exception_handler import handle_exception
from deals_api.security.tokens import read_tokens
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.http import errors
from tests.builders import csv_of, deal, load
from tests.servers import ROOT
from tests.test_rest import UPLOAD, multipart, part, post, refusal

#: DRF raises these only for classes that ``test_drf_is_not_asked_who_may_do_what`` keeps out of the settings.
UNUSED_IN_DRF = {"authentication_failed", "not_authenticated", "throttled"}
#: Modules that create an error which the callers in REST catch: ``global_ids.parse_snapshot`` does.
CAUGHT = {"bad_input": {"deals_api.global_ids"}}


def kinds_of(error: type[Exception]) -> Iterator[Any]:
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)


def statuses_of_the_code() -> dict[str, int]:
    """The status of every code that the handlers can write, found by calling them with every error there is."""
    request, error = RequestFactory().get("/"), Exception()
    outside = [
        exception_handler.bad_request(request, error),
        exception_handler.permission_denied(request, error),
        exception_handler.not_found(request, error),
        exception_handler.server_error(request),
    ]
    statuses = {json.loads(answer.content)["Code"]: answer.status_code for answer in outside}
    for kind in (*kinds_of(DealsError), *kinds_of(APIException), RequestDataTooBig):
        raised = kind.__new__(kind)
        base: Any = next(base for base in (DealsError, APIException, Exception) if issubclass(kind, base))
        base.__init__(raised, "The sentence.")  # constructors of subclasses differ
        answer = handle_exception(raised)
        assert answer is not None
        statuses[answer.data["Code"]] = answer.status_code
    return statuses


def codes_of_the_code() -> set[str]:
    return set(statuses_of_the_code())


@cache
def imports() -> Any:
    return grimp.build_graph("deals_api", "graphql_schema", "project", cache_dir=None)


@cache
def creators() -> dict[str, set[str]]:
    """The modules that create each error, by the name of its class."""
    found: dict[str, set[str]] = {}
    for module in imports().modules:
        path = ROOT / (module.replace(".", "/") + ".py")
        for node in ast.walk(ast.parse(path.read_text())) if path.exists() else ():
            created = node.func if isinstance(node, ast.Call) else node.exc if isinstance(node, ast.Raise) else None
            if isinstance(created, ast.Name):
                found.setdefault(created.id, set()).add(module)
    return found


def codes_within(modules: set[str]) -> set[str]:
    """Codes of the errors that these modules create, and of those that no module does."""
    return {
        kind.code
        for kind in kinds_of(DealsError)
        if not (made := creators().get(kind.__name__)) or modules & (made - CAUGHT.get(kind.code, set()))
    }


def statuses_of_rest() -> dict[str, int]:
    """Status by code; the error table of deals_api/README.md is compared with it."""
    roots = ("deals_api.rest.urls", "deals_api.rest.exception_handler")
    modules = set(roots).union(*(imports().find_upstream_modules(root) for root in roots))
    elsewhere = {kind.code for kind in kinds_of(DealsError)} - codes_within(modules)
    return {code: status for code, status in statuses_of_the_code().items() if code not in elsewhere | UNUSED_IN_DRF}


def codes_of_graphql() -> set[str]:
    """What modules of GraphQL create themselves, or call for in a module of ``deals_api``."""
    graph = imports()
    own = {module for module in graph.modules if module.startswith("graphql_schema")}
    used = set().union(*(graph.find_modules_directly_imported_by(module) for module in own))
    return codes_within(own | used) | {errors.UNREADABLE, errors.INVALID, errors.INTERNAL}


def body_of(error: Exception) -> dict[str, Any]:
    answer = handle_exception(error)
    assert answer is not None
    body: dict[str, Any] = answer.data
    return body


def test_every_code_that_no_operation_of_rest_has_is_listed_as_such() -> None:
    """Repair it in deals_api/openapi.py: REFUSALS, if an operation of REST can give the code, else ELSEWHERE."""
    outside = {"not_found", "permission_denied"}  # at addresses that are no operations of REST
    assert set(openapi.ELSEWHERE) == codes_of_the_code() - statuses_of_rest().keys() | outside
    assert set(openapi.REFUSALS) == statuses_of_rest().keys() - outside


def test_drf_is_not_asked_who_may_do_what() -> None:
    framework = settings.REST_FRAMEWORK
    assert framework["DEFAULT_AUTHENTICATION_CLASSES"] == framework["DEFAULT_PERMISSION_CLASSES"] == []
    assert "DEFAULT_THROTTLE_CLASSES" not in framework


def from_a_stranger(client: Client) -> Any:
    return client.get(UPLOAD, headers={"Host": "not a host"})


def of_unknown_length(client: Client) -> Any:
    return client.post(UPLOAD, {}, headers={"Transfer-Encoding": "chunked"})


def without_permission(client: Client) -> Any:
    client.force_login(User.objects.create_user("ann", is_staff=True))
    return client.get("/admin/deals_api/upload/")


REQUESTS: dict[str, Callable[[Client], Any]] = {
    "unreadable_upload": lambda client: post(client, b"%PDF-1.7"),
    "bad_cells": lambda client: post(client, csv_of(deal(total="x"))),
    "parse_error": lambda client: client.post(UPLOAD, {}),
    "invalid": lambda client: client.get(UPLOAD, {"limit": "0"}),
    "bad_request": from_a_stranger,
    "not_allowed": lambda client: post(client, headers={"Origin": "https://elsewhere.example"}),
    "permission_denied": without_permission,
    "not_found": lambda client: client.get("/api/nothing/"),
    "method_not_allowed": lambda client: client.delete(UPLOAD),
    "not_acceptable": lambda client: client.get(UPLOAD, headers={"Accept": "text/csv"}),
    "length_required": of_unknown_length,
    "request_too_large": lambda client: multipart(client, part(b"x" * 3_000_000, 'form-data; name="x"') + b"--b--"),
    "unsupported_media_type": lambda client: client.post(UPLOAD, {}, content_type="application/json"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "request_with"), REQUESTS.items(), ids=REQUESTS)
def test_a_request_that_earns_a_code_gets_it(code: str, request_with: Callable[[Client], Any]) -> None:
    assert refusal(request_with(Client()), statuses_of_rest()[code])["Code"] == code


@pytest.mark.django_db
def test_who_has_no_token_earns_its_code(settings: Settings) -> None:
    settings.API_TOKENS = read_tokens("ann:0123456789abcdef")
    assert refusal(post(Client()), 401)["Code"] == "token_required"


@pytest.mark.django_db
def test_who_asks_too_often_earns_its_code(limits: Any) -> None:
    limits(uploads_per_minute=1)
    answers = [post(Client()) for _ in range(3)]  # of which two at least come in the same minute
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert refusal(refused, 429)["Code"] == "too_many_requests"


@pytest.mark.django_db
def test_a_file_over_a_limit_earns_its_code(limits: Any) -> None:
    limits(max_upload_bytes=100)
    assert refusal(post(Client(), csv_of(deal()) * 9), 413)["Code"] == "upload_too_large"


@pytest.mark.django_db
def test_what_nobody_foresaw_earns_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    load(deal())
    monkeypatch.setattr(top_clients_report, "top_clients", None)
    assert refusal(Client(raise_request_exception=False).get(UPLOAD), 500)["Code"] == "internal_error"


@pytest.mark.parametrize(
    "error", [DatabaseBusy("Busy."), OperationalError("gone"), InterfaceError("gone"), SnapshotGone()], ids=repr
)
def test_trouble_that_passes_is_told_with_the_time_to_wait(error: Exception) -> None:
    answer = handle_exception(error)
    assert answer is not None
    assert (answer.status_code, answer.data["Code"]) == (503, "database_busy")
    assert answer.headers["Retry-After"] == "2"
    assert "gone" not in answer.data["Desc"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_as_such_and_no_other_trouble_with_files(number: int) -> None:
    answer = handle_exception(OSError(number, "no room"))
    assert answer is not None
    assert (answer.status_code, answer.data["Code"], answer.headers["Retry-After"]) == (507, "no_room", "60")
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
def test_what_django_raises_is_told_in_the_same_words(error: Exception, status: int, code: str) -> None:
    answer = handle_exception(error)
    assert answer is not None
    assert (answer.status_code, answer.data["Status"], answer.data["Code"]) == (status, "Error", code)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_what_fails_outside_drf_is_told_in_the_same_words(status: int) -> None:
    handler: Callable[..., HttpResponse] = get_resolver().resolve_error_handler(status)
    request = RequestFactory().get("/")
    answer = handler(request) if status == 500 else handler(request, Exception("secret"))
    assert answer.status_code == status
    assert json.loads(answer.content).keys() == {"Status", "Desc", "Code"}
    assert b"secret" not in answer.content


def test_every_code_of_rest_is_earned_by_a_request() -> None:
    """Here, or in tests/test_openapi.py, which earns each of REFUSALS."""
    assert statuses_of_rest().keys() <= REQUESTS.keys() | openapi.REFUSALS.keys()
