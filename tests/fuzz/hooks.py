"""Generators of valid deals files, filters, headers and scalars, and the check of GraphQL responses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import schemathesis
from graphql import (
    IntValueNode,
    StringValueNode,
    build_schema,
    get_nullable_type,
    is_input_object_type,
    is_list_type,
)
from hypothesis import strategies as st

SCHEMA = build_schema((Path(__file__).parents[2] / "graphql_schema" / "schema.graphql").read_text(encoding="utf-8"))
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


# Parameters whose valid values OpenAPI cannot describe

_big_integers = st.integers(-(2**63), 2**63 - 1)
_times = st.datetimes().map(lambda date: f"{date.isoformat()}Z")
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "String": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "Money": _totals,
    "BigInt": _big_integers,
    "DateTime": _times,
}


def _input_values(type_: Any, levels: int) -> st.SearchStrategy[Any]:
    """Generate JSON of an input type; objects have at most two fields, so that the filter is within its limits."""
    if is_list_type(type_):
        return st.lists(_input_values(get_nullable_type(type_.of_type), levels), max_size=2)
    if not is_input_object_type(type_):
        return _SCALARS[type_.name]
    fields = {name: field.type for name, field in type_.fields.items() if levels or not name.isupper()}
    values = {name: st.none() | _input_values(field, levels - name.isupper()) for name, field in fields.items()}
    names = st.lists(st.sampled_from(sorted(values)), max_size=2, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: values[name] for name in chosen}))


schemathesis.openapi.format("deal-filter", _input_values(SCHEMA.type_map["DealFilter"], 1).map(json.dumps))
schemathesis.openapi.format("any-upload", st.just("*"))
schemathesis.openapi.format("preference", st.sampled_from(["respond-async", "return=representation", "wait=1"]))


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: dict[str, Any]) -> None:
    """Name the formats of a filter, of If-Match with the current upload, and of Prefer."""
    formats = {"filter": "deal-filter", "If-Match": "any-upload", "Prefer": "preference"}
    for operations in raw_schema.get("paths", {}).values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["name"] in formats:
                    parameter["schema"]["format"] = formats[parameter["name"]]


# GraphQL


def _literal(values: st.SearchStrategy[Any]) -> st.SearchStrategy[StringValueNode]:
    return values.map(lambda value: StringValueNode(value=str(value)))


schemathesis.graphql.scalar("Money", _literal(_totals))
schemathesis.graphql.scalar("DateTime", _literal(_times))
schemathesis.graphql.scalar("Date", _literal(st.dates()))
schemathesis.graphql.scalar("BigInt", _big_integers.map(lambda number: IntValueNode(value=str(number))))


@schemathesis.check
def no_internal_error(_context: Any, response: Any, case: Any) -> None:
    """Fail for a 5xx status and for the error code of an unexpected failure."""
    assert response.status_code < 500
    if response.request.url.split("?")[0].endswith("/graphql/"):
        codes = [error["extensions"]["code"] for error in response.json().get("errors", ())]
        assert "internal_error" not in codes
