"""Regular blocks: with and without them, every file has the same deals, format, errors and line numbers."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from deals_api.errors import DealsError
from deals_api.ingest import csv_reader, encoding
from deals_api.ingest.copy_formats import python_values
from deals_api.ingest.csv_reader import DealsReader
from deals_api.ingest.header import LINES_NEEDED
from deals_api.ingest.regular_blocks import read_block
from deals_api.limits import Limits
from tests.test_csv_reader import FILE_VARIANTS, INVALID_CELLS, compare_with_reference, quoted
from tests.test_file_forms import ACCEPTED_CELLS, ACCEPTED_FILES, REJECTED_CELLS, REJECTED_FILES
from tests.test_real_files import SAME_DEALS

pytestmark = pytest.mark.database_independent

CASES = sorted((Path(__file__).parent / "data" / "forms").iterdir())
HEADER = "customer,item,total,quantity,date"
ROWS = [
    f"{customer},{gem},{total},{quantity},{date}"
    for customer, (gem, total, quantity, date) in zip(
        itertools.cycle(["ann", "Пётр", " bob ", "水晶", "x" * 70]),
        itertools.product(
            ["ruby", "Ёлочная шпинель"],
            ["0", "612", "8502.5", "100.05", "999999999999.99", "123456789"],
            ["1", "06", "999999999"],
            ["2018-12-14 08:29:52", "2020-02-29 23:59:59.999999", "0001-01-01 00:00:00.5", "9999-12-31 00:00:00.12345"],
        ),
        strict=False,
    )
]


@contextmanager
def small_blocks(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_BLOCK_BYTES", size)
        patch.setattr(csv_reader, "_STEP_BLOCKS", 1000)
        yield


def read(content: bytes, read_block: Callable[..., Any]) -> tuple[Any, int]:
    """Return everything that a reader finds out about a file, and the number of blocks that ``read_block`` has read."""
    regular = 0

    def count(*arguments: Any) -> Any:
        nonlocal regular
        result = read_block(*arguments)
        regular += result is not None
        return result

    deals: list[tuple[Any, ...]] = []
    reader, error = None, None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "read_block", count)
        try:
            reader = DealsReader(io.BytesIO(content), Limits(max_problems=5))
            for batch in reader:
                deals += zip(*map(python_values, batch.columns), strict=True)
        except DealsError as rejection:
            error = type(rejection), rejection.message, rejection.problems
    if error or not reader:
        return error, regular
    names = list(reader.customers.texts()), list(reader.gems.texts())
    return (deals, names, reader.file_format, reader.rows, reader.line), regular


def assert_same(content: bytes, size: int) -> int:
    """Assert that the regular blocks of a file change nothing; return their number."""
    with small_blocks(size):
        found, regular = read(content, read_block)
        expected, _ = read(content, lambda *_: None)
    assert found == expected
    return regular


def table(*rows: str, end: str = "\n", header: str = HEADER) -> bytes:
    return end.join([header, *rows, ""]).encode()


#: The lines among which the header is searched are never read in blocks.
ABOVE = (ROWS * 2)[: LINES_NEEDED + 10]


def assert_row_read_alike(*rows: str) -> None:
    """Compare rows in a block of their own below others."""
    above = table(*ABOVE)
    assert_same(above + "\n".join([*rows, ""]).encode(), len(above))


@pytest.mark.parametrize("size", [100, 1000, 5000])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode(),
        lambda text: text.removesuffix("\n").encode(),
        lambda text: text.encode() + b"\x1a",
        lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace(",", ";").replace("水晶", "Ян").encode("cp1251"),
        lambda text: text.replace(",", "\t").encode("utf-16"),
        lambda text: text.replace("\n", ",any\n").replace("date,any", "date,note").encode(),
        lambda text: ("title\n\n" + text).encode(),
    ],
    ids=[
        "UTF-8",
        "no line break at the end",
        "Ctrl-Z",
        "CRLF",
        "CR",
        "Windows-1251",
        "UTF-16",
        "unused column",
        "title",
    ],
)
def test_regular_rows_of_every_format_are_read_in_blocks(change: Callable[[str], bytes], size: int) -> None:
    content = change(table(*ROWS).decode())
    assert assert_same(content, size) > len(content) // size // 3


@pytest.mark.parametrize("size", [64, 200])
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_files_of_every_form_are_read_alike(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "LINES_NEEDED", 1)  # otherwise these files are too short for a regular block
    assert_same(path.read_bytes(), size)


@pytest.mark.parametrize(
    "content",
    [
        *FILE_VARIANTS.values(),
        *(text if isinstance(text, bytes) else text.encode() for text in ACCEPTED_FILES.values()),
        *(text.encode() for text, _ in REJECTED_FILES.values()),
        *SAME_DEALS.values(),
    ],
)
def test_files_of_other_tests_are_read_alike(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "LINES_NEEDED", 1)
    assert_same(content, 64)


CELLS = [
    *((column, cell) for column, cells in ACCEPTED_CELLS.items() for cell in cells),
    *((column, cell) for column, cells in REJECTED_CELLS.items() for cell in cells),
    *((column, cell) for column, cell, _ in INVALID_CELLS if len(cell) < 1000),
]


@pytest.mark.parametrize("size", [300, 700])
def test_one_unusual_cell_among_regular_rows_is_read_alike(size: int) -> None:
    above, below = table(*ABOVE).replace(b",", b"\t"), "\n".join(ROWS[20:40]).replace(",", "\t").encode()
    for column, cell in CELLS:
        for written in (cell, quoted(cell)):
            cells = dict(zip(HEADER.split(","), ROWS[0].split(","), strict=True)) | {column: written}
            row = "\t".join(cells.values()).encode()
            assert assert_same(b"\n".join([above + row, below]), size) > 0


ODD_ROWS = ["", " ", ",,,,", '"', HEADER, "Итого:,,612,6,", "ann,ruby,612,6", f"{ROWS[0]},x", f"{ROWS[0]},", "\0", "\r"]
ODD_CELLS = [
    "",
    "x",
    "1,5",
    "1.234",
    "5.",
    ".5",
    "0",
    "0000000000000",
    "1e5",
    '"a"',
    '"a\nb"',
    "a\rb",
    "\x7f",
    "?",
    "-1",
]
#: Digits, signs of dates and numbers, and characters next to them in ASCII.
CHARACTERS = "\t +,-./0123456789:;@TZa\x7f\u0660"
DATE_CHARACTERS = st.text(st.sampled_from("0123456789-: ./T+Z"), min_size=1, max_size=2)


@st.composite
def regular_files(draw: st.DrawFn) -> bytes:
    """Generate files of regular rows, some with an odd row, an odd cell or an odd character."""
    rows = draw(st.lists(st.sampled_from(ROWS), min_size=5, max_size=30))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(rows) - 1))
        cells = rows[place].split(",")
        column = draw(st.integers(0, len(cells) - 1))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            rows[place] = draw(st.sampled_from(ODD_ROWS))
            continue
        if kind == 1:
            cells[column] = draw(st.sampled_from(ODD_CELLS))
        elif kind == 2:
            cells[-1] = changed(draw, cells[-1], DATE_CHARACTERS)
        else:
            cells[column] = changed(draw, cells[column], st.text(max_size=2))
        rows[place] = ",".join(cells)
    return table(*ABOVE, *rows, end=draw(st.sampled_from(["\n", "\n", "\r\n"])))


def changed(draw: st.DrawFn, cell: str, characters: st.SearchStrategy[str]) -> str:
    start = draw(st.integers(0, len(cell)))
    return cell[:start] + draw(characters) + cell[start + draw(st.integers(0, 2)) :]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(regular_files(), st.sampled_from([200, 400, 1000]))
def test_any_nearly_regular_file_is_read_alike(content: bytes, size: int) -> None:
    event(f"{min(assert_same(content, size), 3)} regular blocks")
    with small_blocks(size):
        event(compare_with_reference(content))


@pytest.mark.parametrize("place", range(26))
def test_date_with_any_other_character_is_read_alike(place: int) -> None:
    date = "2020-02-29 23:59:59.999999"
    for character in CHARACTERS:
        assert_row_read_alike(f"ann,ruby,612,6,{date[:place]}{character}{date[place + 1 :]}")


@pytest.mark.parametrize("column", ["total", "quantity"])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 10, 12, 13, 15, 16, 17])
def test_number_with_any_other_character_is_read_alike(column: str, length: int) -> None:
    digits = "12345678901234567"[:length]
    for place, character in itertools.product(range(length), CHARACTERS):
        number = f"{digits[:place]}{character}{digits[place + 1 :]}"
        row = f"ann,ruby,{number},6,2018-12-14 08:29:52" if column == "total" else f"a,b,6,{number},2018-12-14 08:29:52"
        assert_row_read_alike(row)


def test_every_day_of_leap_and_other_years_is_read_alike() -> None:
    for year, month in itertools.product((1, 1899, 1900, 1970, 2000, 2023, 2024, 9999), range(14)):
        rows = [f"ann,ruby,1,1,{year:04}-{month:02}-{day:02} 12:00:00" for day in range(33)]
        for row in rows:
            assert_row_read_alike(row)


@pytest.mark.parametrize("extra", ["", "x"])
def test_cell_below_a_blank_cell_of_the_header_is_read_alike(extra: str) -> None:
    above = table(*(f"{row}," for row in ABOVE), header=f"{HEADER},")
    assert assert_same(above + f"{ROWS[0]},{extra}\n".encode(), len(above)) == (not extra)
