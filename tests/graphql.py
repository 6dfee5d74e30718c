"""Helpers that send GraphQL requests over HTTP, as a client does."""

from __future__ import annotations

import json
import re
from typing import Any

from django.core.cache import cache as backend
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deals_api.caching import local as local_cache
from deals_api.global_ids import write_row_id, write_upload_id
from deals_api.models import SnapshotRow, Upload
from deals_api.snapshots import current as current_snapshot

PATH = "/graphql/"
_READS_ROWS = re.compile(r'FROM "deals_api_(customer|gem|purchase|deal|gemday|gemmonth)"')


def execute_query(query: str, /, **variables: Any) -> Any:
    """Return the response body: data, errors and extensions."""
    return post(query, variables).json()


def post(query: str, /, variables: dict[str, Any] | None = None, **extra: Any) -> Any:
    """Return the HTTP response; ``extra`` is added to the request body."""
    body = {"query": query, "variables": variables, **extra}
    return Client().post(PATH, json.dumps(body), content_type="application/json")


def data(query: str, /, **variables: Any) -> Any:
    """Return the data of a response without errors."""
    body = execute_query(query, **variables)
    assert "errors" not in body, body["errors"]
    return body["data"]


def error(query: str, /, **variables: Any) -> Any:
    """Return the error of a response that has exactly one."""
    body = execute_query(query, **variables)
    assert len(body.get("errors", ())) == 1, body
    return body["errors"][0]


def code(query: str, /, **variables: Any) -> str:
    """Return the code of the error of a response that has exactly one."""
    return str(error(query, **variables)["extensions"]["code"])


def id_of(upload: Upload) -> str:
    return write_upload_id(upload.snapshot)


def row_global_id(row: SnapshotRow) -> str:
    return write_row_id(type(row).__name__, row.pk, row.upload.snapshot)


def clear_caches() -> None:
    """Clear all caches, so that the next response is computed."""
    backend.clear()
    local_cache.local_responses.clear()
    current_snapshot.current_upload.invalidate()


def count_row_queries(query: str, /, **variables: Any) -> int:
    """Compute an uncached response; return the number of SQL queries that read its rows."""
    clear_caches()
    with CaptureQueriesContext(connection) as captured:
        data(query, **variables)
    return sum(bool(_READS_ROWS.search(statement["sql"])) for statement in captured)
