"""Execution of an operation and serialization of its response."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from deals_api.caching.response_cache import ResponseBody, uncacheable_response
from deals_api.errors import ResponseTooLarge
from deals_api.global_ids import write_upload_id
from deals_api.models import Upload
from deals_api.request_context import get_request_context
from deals_api.response_size import check_response_size
from deals_api.security.throttling import count_computation
from deals_api.snapshots import replicas
from graphql_schema.execution.context import OperationContext
from graphql_schema.execution.cost import CostBudget
from graphql_schema.execution.errors import original_exception
from graphql_schema.http.errors import INVALID, RequestError, format_errors, http_error_in, record_errors
from graphql_schema.http.media_types import GRAPHQL_RESPONSE
from graphql_schema.http.parsing import GraphQLRequest
from graphql_schema.schema import schema


def error_response(error: RequestError, media_type: str) -> HttpResponse:
    """Return the response to a rejected request, and record its error code."""
    get_request_context().error_code = error.code
    body = ResponseBody(_dump_json({"errors": [error.as_graphql_error()]}), cacheable=False, status=error.status)
    response = uncacheable_response(body, media_type)
    for name, value in error.headers.items():
        response.headers[name] = value
    return response


def execute(request: HttpRequest, params: GraphQLRequest, media_type: str, upload: Upload | None) -> ResponseBody:
    """Execute an operation that reads ``upload`` by default, and return the body of the response.

    Raises: RequestError, SnapshotGone, TooManyRequests.
    """
    count_computation(request.META)

    def execute_once() -> tuple[OperationContext, ExecutionResult]:
        context = OperationContext(upload, CostBudget(), request.META)
        return context, _execute_in_schema(request, params, context, media_type)

    if upload is None or params.may_be_mutation:
        context, result = execute_once()
    else:
        context, result = replicas.read(upload, execute_once)
    context.ensure_not_pruned()
    if http_error := http_error_in(result.errors or []):
        raise http_error
    get_request_context().cost = context.budget.requested
    record_errors(result.errors or [])
    try:
        _raise_if_too_large(result)
        return _response_body(result, context, media_type)
    except ResponseTooLarge as error:
        _release_rows(result)
        rejection = [GraphQLError(error.message, original_error=error)]
        record_errors(rejection)
        return _response_body(ExecutionResult(data=None, errors=rejection), context, media_type)


def _execute_in_schema(
    request: HttpRequest, params: GraphQLRequest, context: OperationContext, media_type: str
) -> ExecutionResult:
    allowed = {OperationType.QUERY, OperationType.MUTATION} if request.method == "POST" else {OperationType.QUERY}
    try:
        return schema.execute_sync(
            params.query,
            variable_values=params.variables,
            operation_name=params.operation_name,
            context_value=context,
            allowed_operation_types=allowed,
        )
    except CannotGetOperationTypeError:
        status = _status_of_invalid_document(media_type)
        raise RequestError(status, "The document has no operation of this name.", INVALID) from None
    except InvalidOperationTypeError as error:
        if error.operation_type is OperationType.SUBSCRIPTION:
            raise RequestError(400, "Subscriptions are not supported.", INVALID) from None
        raise RequestError(405, "Mutations require POST.", INVALID, {"Allow": "POST"}) from None


def _raise_if_too_large(result: ExecutionResult) -> None:
    for raised in map(original_exception, result.errors or []):
        if isinstance(raised, ResponseTooLarge):
            raise ResponseTooLarge(raised.message)


def _release_rows(result: ExecutionResult) -> None:
    """Clear the tracebacks of all errors, whose frames refer to every row that was read."""
    for error in result.errors or []:
        error.__traceback__ = None
        if raised := original_exception(error):
            raised.__traceback__ = None


def _response_body(result: ExecutionResult, context: OperationContext, media_type: str) -> ResponseBody:
    """Raises: ResponseTooLarge."""
    extensions: dict[str, Any] = {"cost": {"requested": context.budget.requested, "limit": context.budget.limit}}
    if context.upload is not None:
        extensions["upload"] = write_upload_id(context.upload.snapshot)
    body: dict[str, Any] = {"data": result.data, "extensions": extensions}
    if not result.errors:
        return ResponseBody(_dump_json(body), context.cacheable)
    was_executed = result.data is not None or any(error.path is not None for error in result.errors)
    if not was_executed:
        del body["data"]
    content = _dump_json({"errors": format_errors(result.errors), **body})
    status = 200 if was_executed else _status_of_invalid_document(media_type)
    return ResponseBody(content, cacheable=False, status=status)


def _status_of_invalid_document(media_type: str) -> int:
    """Return the status that the ``graphql-http`` audits expect for a document that cannot be executed."""
    return 400 if media_type == GRAPHQL_RESPONSE else 200


def _dump_json(value: Any) -> bytes:
    """Raises: ResponseTooLarge."""
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    check_response_size(len(content))
    return content
