"""Asking the graph over HTTP, as a client does."""

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
_OF_ROWS = re.compile(r'FROM "deals_api_(customer|gem|purchase|deal)"')


def ask(query: str, /, **variables: Any) -> Any:
    """The whole answer: data, errors and extensions."""
    return post(query, variables).json()


def post(query: str, /, variables: dict[str, Any] | None = None, **more: Any) -> Any:
    """The whole response; ``more`` goes into the body."""
    body = {"query": query, "variables": variables, **more}
    return Client().post(PATH, json.dumps(body), content_type="application/json")


def data(query: str, /, **variables: Any) -> Any:
    """The data of an answer that has no errors."""
    answer = ask(query, **variables)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def error(query: str, /, **variables: Any) -> Any:
    """The one error of an answer."""
    answer = ask(query, **variables)
    assert len(answer.get("errors", ())) == 1, answer
    return answer["errors"][0]


def code(query: str, /, **variables: Any) -> str:
    """The code of the one error of an answer."""
    return str(error(query, **variables)["extensions"]["code"])


def id_of(upload: Upload) -> str:
    return write_upload_id(upload.snapshot)


def row_global_id(row: SnapshotRow) -> str:
    return write_row_id(type(row).__name__, row.pk, row.upload.snapshot)


def forget() -> None:
    """Whatever was answered before is computed anew."""
    backend.clear()
    local_cache.local_responses.clear()
    current_snapshot.current_upload.invalidate()


def statements(query: str, /, **variables: Any) -> int:
    """How many statements read rows for an answer that is computed anew."""
    forget()
    with CaptureQueriesContext(connection) as captured:
        data(query, **variables)
    return sum(bool(_OF_ROWS.search(statement["sql"])) for statement in captured)
