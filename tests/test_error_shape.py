"""Error codes of the REST API, their statuses, and the error handlers that return them."""

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
from rest_framework.exceptions import APIException

from deals_api.errors import DatabaseBusy, DealsError, NoRoom, TokenRequired
from deals_api.request_context import start_request
from deals_api.rest import exception_handler, openapi
from deals_api.rest.exception_handler import handle_exception
from deals_api.snapshots.lease import SnapshotGone
from graphql_schema.http import errors
from tests.servers import ROOT
from tests.test_rest import error_of

#: DRF raises these only for classes that the settings do not use, as a test below ensures.
UNUSED_IN_DRF = {"authentication_failed", "not_authenticated", "throttled"}
#: Modules that create an error which their callers in REST catch, such as ``global_ids.parse_snapshot``.
CAUGHT = {"bad_input": {"deals_api.global_ids"}}


def subclasses_of(error_class: type[Exception]) -> Iterator[Any]:
    """Yield the direct and indirect subclasses."""
    for subclass in error_class.__subclasses__():
        yield subclass
        yield from subclasses_of(subclass)


def defined_statuses() -> dict[str, int]:
    """Call the handlers with every error class, and return the status by code."""
    request, error = RequestFactory().get("/"), Exception()
    responses = [
        exception_handler.bad_request(request, error),
        exception_handler.permission_denied(request, error),
        exception_handler.not_found(request, error),
        exception_handler.server_error(request),
    ]
    statuses = {json.loads(response.content)["Code"]: response.status_code for response in responses}
    for error_class in (*subclasses_of(DealsError), *subclasses_of(APIException), RequestDataTooBig):
        raised = error_class.__new__(error_class)
        base: Any = next(base for base in (DealsError, APIException, Exception) if issubclass(error_class, base))
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
    """Return the modules that create an error, by the name of its class."""
    modules: dict[str, set[str]] = {}
    for module in imports().modules:
        path = ROOT / (module.replace(".", "/") + ".py")
        for node in ast.walk(ast.parse(path.read_text())) if path.exists() else ():
            created = node.func if isinstance(node, ast.Call) else node.exc if isinstance(node, ast.Raise) else None
            if isinstance(created, ast.Name):
                modules.setdefault(created.id, set()).add(module)
    return modules


def codes_within(modules: set[str]) -> set[str]:
    """Return the codes of the errors that these modules create, and of those that no module creates."""
    return {
        error_class.code
        for error_class in subclasses_of(DealsError)
        if not (creating := creators().get(error_class.__name__))
        or modules & (creating - CAUGHT.get(error_class.code, set()))
    }


def statuses_of_rest() -> dict[str, int]:
    """Return the status of each code of REST, by code."""
    roots = ("deals_api.rest.urls", "deals_api.rest.exception_handler")
    modules = set(roots).union(*(imports().find_upstream_modules(root) for root in roots))
    unused = {error_class.code for error_class in subclasses_of(DealsError)} - codes_within(modules) | UNUSED_IN_DRF
    return {code: status for code, status in defined_statuses().items() if code not in unused}


def codes_of_graphql() -> set[str]:
    """Return the codes of errors that GraphQL modules create, or the modules of ``deals_api`` that they import."""
    graph = imports()
    own = {module for module in graph.modules if module.startswith("graphql_schema")}
    imported = set().union(*(graph.find_modules_directly_imported_by(module) for module in own))
    return codes_within(own | imported) | errors.CODES


def without_permission(client: Client) -> Any:
    client.force_login(User.objects.create_user("ann", is_staff=True))
    return client.get("/admin/deals_api/upload/")


#: Requests that cause the codes of other URLs; tests/test_openapi.py requests every code of the REST operations.
REQUESTS: dict[str, Callable[[Client], Any]] = {
    "permission_denied": without_permission,
    "not_found": lambda client: client.get("/api/nothing/"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "request_with"), REQUESTS.items(), ids=REQUESTS)
def test_other_urls_return_their_error_codes(code: str, request_with: Callable[[Client], Any]) -> None:
    assert error_of(request_with(Client()), statuses_of_rest()[code])["Code"] == code


def test_openapi_lists_the_codes_of_operations_and_other_codes() -> None:
    """To repair it, move the code between ``_STATUS`` and ``OTHER_CODES`` in deals_api/rest/openapi.py."""
    assert defined_codes() - statuses_of_rest().keys() | REQUESTS.keys() == openapi.OTHER_CODES
    assert statuses_of_rest().keys() - REQUESTS.keys() == openapi.CODES


def test_drf_permissions_and_throttles_are_not_used() -> None:
    drf_settings = settings.REST_FRAMEWORK
    assert drf_settings["DEFAULT_AUTHENTICATION_CLASSES"] == drf_settings["DEFAULT_PERMISSION_CLASSES"] == []
    assert "DEFAULT_THROTTLE_CLASSES" not in drf_settings


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
