"""What schemathesis cannot know of a file of deals: how to make a good one."""

from __future__ import annotations

import csv
import io

import schemathesis
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
