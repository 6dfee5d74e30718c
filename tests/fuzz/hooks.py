"""Generators of valid deals files and scalars, and the check of GraphQL responses."""

from __future__ import annotations

import csv
import io
from typing import Any

import schemathesis
from graphql import IntValueNode, StringValueNode
from hypothesis import strategies as st

_COLUMNS = ("customer", "item", "total", "quantity", "date")
_names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(str.strip)
_totals = st.decimals(0, 999_999_999_999, places=2, allow_nan=False).map(lambda total: f"{total:f}")
_quantities = st.integers(1, 999_999_999).map(str)
_dates = st.datetimes().map(lambda date: date.isoformat(" "))
_rows: st.SearchStrategy[tuple[str, ...]] = st.tuples(_names, _names, _totals, _quantities, _dates)


def _file(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_COLUMNS, *rows])
    return text.getvalue().encode()


schemathesis.openapi.media_type("text/csv", st.lists(_rows, min_size=1, max_size=20).map(_file))


# GraphQL


def _literal(values: st.SearchStrategy[Any]) -> st.SearchStrategy[StringValueNode]:
    return values.map(lambda value: StringValueNode(value=str(value)))


schemathesis.graphql.scalar("Money", _literal(_totals))
schemathesis.graphql.scalar("DateTime", _literal(st.datetimes().map(lambda date: f"{date.isoformat()}Z")))
schemathesis.graphql.scalar("Date", _literal(st.dates()))
schemathesis.graphql.scalar(
    "BigInt", st.integers(-(2**63) + 1, 2**63 - 1).map(lambda number: IntValueNode(value=str(number)))
)


@schemathesis.check
def no_internal_error(_context: Any, response: Any, case: Any) -> None:
    """Fail for a 5xx status and for the error code of an unexpected failure."""
    assert response.status_code < 500
    if response.request.url.split("?")[0].endswith("/graphql/"):
        codes = [error["extensions"]["code"] for error in response.json().get("errors", ())]
        assert "internal_error" not in codes
