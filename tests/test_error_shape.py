"""Every code that a refusal of REST may carry, with its status and a request that earns it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse, UnreadablePostError
from django.test import Client, RequestFactory
from django.urls import get_resolver
from pytest_django import Settings
from rest_framework.exceptions import APIException

from deals_api import exception_handler, reports
from deals_api.cache import SnapshotGone
from deals_api.errors import DatabaseBusy, DealsError
from deals_api.exception_handler import refuse
from deals_api.tokens import read_tokens
from tests.builders import csv_of, deal, load
from tests.test_rest import UPLOAD, multipart, part, post, refusal

#: Code → status. The README's table of errors is compared with this one.
STATUS = {
    "unreadable_upload": 400,
    "bad_cells": 400,
    "parse_error": 400,
    "invalid": 400,
    "bad_request": 400,
    "token_required": 401,
    "not_allowed": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "length_required": 411,
    "upload_too_large": 413,
    "request_too_large": 413,
    "unsupported_media_type": 415,
    "too_many_requests": 429,
    "internal_error": 500,
    "database_busy": 503,
    "no_room": 507,
}
#: DRF's own, for which the service has other words; see ``access``.
OF_DRF = {"authentication_failed", "not_authenticated", "permission_denied", "throttled"}
#: Those of questions that only GraphQL takes.
OF_GRAPHQL = {"bad_input", "cursor_outdated", "limit_exceeded", "upload_not_kept"}


def kinds_of(error: type[Exception]) -> Iterator[Any]:
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)


def codes_of_the_code() -> set[str]:
    """Everything that the handlers can write, as the code has it."""
    request, error = RequestFactory().get("/"), Exception()
    outside = [
        exception_handler.bad_request(request, error),
        exception_handler.permission_denied(request, error),
        exception_handler.not_found(request, error),
        exception_handler.server_error(request),
    ]
    return {
        *(kind.code for kind in kinds_of(DealsError)),
        *(kind.default_code for kind in kinds_of(APIException)),
        *(json.loads(answer.content)["Code"] for answer in outside),
        body_of(RequestDataTooBig())["Code"],
    }


def body_of(error: Exception) -> dict[str, Any]:
    answer = refuse(error)
    assert answer is not None
    body: dict[str, Any] = answer.data
    return body


def test_these_are_all_codes_there_are() -> None:
    assert codes_of_the_code() == STATUS.keys() | OF_DRF | OF_GRAPHQL


def test_drf_is_not_asked_who_may_do_what() -> None:
    framework = settings.REST_FRAMEWORK
    assert framework["DEFAULT_AUTHENTICATION_CLASSES"] == framework["DEFAULT_PERMISSION_CLASSES"] == []
    assert "DEFAULT_THROTTLE_CLASSES" not in framework


def from_a_stranger(client: Client) -> Any:
    return client.get(UPLOAD, headers={"Host": "not a host"})


def of_unknown_length(client: Client) -> Any:
    return client.post(UPLOAD, {}, headers={"Transfer-Encoding": "chunked"})


REQUESTS: dict[str, Callable[[Client], Any]] = {
    "unreadable_upload": lambda client: post(client, b"%PDF-1.7"),
    "bad_cells": lambda client: post(client, csv_of(deal(total="x"))),
    "parse_error": lambda client: client.post(UPLOAD, {}),
    "invalid": lambda client: client.get(UPLOAD, {"limit": "0"}),
    "bad_request": from_a_stranger,
    "not_allowed": lambda client: post(client, headers={"Origin": "https://elsewhere.example"}),
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
    assert refusal(request_with(Client()), STATUS[code])["Code"] == code


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
    monkeypatch.setattr(reports, "top_clients", None)
    assert refusal(Client(raise_request_exception=False).get(UPLOAD), 500)["Code"] == "internal_error"


@pytest.mark.parametrize(
    "error", [DatabaseBusy("Busy."), OperationalError("gone"), InterfaceError("gone"), SnapshotGone()], ids=repr
)
def test_trouble_that_passes_is_told_with_the_time_to_wait(error: Exception) -> None:
    answer = refuse(error)
    assert answer is not None
    assert (answer.status_code, answer.data["Code"]) == (503, "database_busy")
    assert answer.headers["Retry-After"] == "2"
    assert "gone" not in answer.data["Desc"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_as_such_and_no_other_trouble_with_files(number: int) -> None:
    answer = refuse(OSError(number, "no room"))
    assert answer is not None
    assert (answer.status_code, answer.data["Code"], answer.headers["Retry-After"]) == (507, "no_room", "60")
    assert refuse(OSError(errno.EACCES, "forbidden")) is None


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
    answer = refuse(error)
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


def test_every_code_of_the_table_was_earned_here() -> None:
    others = {"upload_too_large", "internal_error", "database_busy", "no_room", "token_required", "too_many_requests"}
    assert REQUESTS.keys() | others == STATUS.keys()
