"""The CSV reader: from bytes to validated deals, or to an error that lists the invalid cells."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import re
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from deals_api.errors import DealsError, UnreadableUpload, UploadHasProblems, UploadTooLarge
from deals_api.formats import COLUMNS
from deals_api.ingest import csv_reader, encoding
from deals_api.ingest.copy_formats import python_values
from deals_api.ingest.csv_reader import DealsReader
from deals_api.ingest.encoding import decode
from deals_api.ingest.reasons import REASONS
from deals_api.limits import Limits
from tests import reference_parser
from tests.reference_parser import Deal

pytestmark = pytest.mark.database_independent

HEADER = "customer,item,total,quantity,date"
GOOD = "ann,ruby,612,6,2018-12-14 08:29:52"

PETR = Deal("Пётр", "Рубин", Decimal("612"), 6, datetime(2018, 12, 14, 8, 29, 52, 506166, tzinfo=UTC))
ANN = Deal("ann", "Ёлочная шпинель", Decimal("100.5"), 1, datetime(2019, 1, 2, tzinfo=UTC))
#: PETR and ANN.
TWO_DEALS = """\
customer,item,total,quantity,date
Пётр,Рубин,612,6,2018-12-14 08:29:52.506166
ann,Ёлочная шпинель,100.50,1,2019-01-02 00:00:00
"""


def deals_in(content: bytes, **limits: int) -> list[Deal]:
    return list(_iter_deals(io.BytesIO(content), Limits(**limits)))


def _iter_deals(file: io.BytesIO, limits: Limits) -> Iterator[Deal]:
    for batch in DealsReader(file, limits):
        customers, gems = list(batch.customer_names.texts()), list(batch.gem_names.texts())
        for customer, gem, hundredths, quantity, date in zip(*map(python_values, batch.columns), strict=True):
            timestamp = datetime.fromisoformat(f"{date}+00:00")
            yield Deal(customers[customer], gems[gem], Decimal(hundredths) / 100, quantity, timestamp)


def error_of(content: bytes, **limits: int) -> DealsError:
    with pytest.raises(DealsError) as caught:
        deals_in(content, **limits)
    return caught.value


def lines(*texts: str, end: str = "\n") -> bytes:
    return end.join([*texts, ""]).encode()


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def row(column: str = "", cell: str = "") -> str:
    """Return a valid row in which one cell is replaced."""
    cells = dict(zip(COLUMNS, GOOD.split(","), strict=True)) | ({column: quoted(cell)} if column else {})
    return ",".join(cells.values())


# File formats of common spreadsheet programs


FILE_VARIANTS: dict[str, bytes] = {
    "UTF-8": TWO_DEALS.encode(),
    "UTF-8 with a byte-order mark": TWO_DEALS.encode("utf-8-sig"),
    "Windows-1251": TWO_DEALS.encode("cp1251"),
    "CRLF": TWO_DEALS.replace("\n", "\r\n").encode(),
    "Windows-1251 with CRLF": TWO_DEALS.replace("\n", "\r\n").encode("cp1251"),
    "semicolons": TWO_DEALS.replace(",", ";").encode(),
    "Russian Excel": TWO_DEALS.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
    "1C": TWO_DEALS.replace(",", ";").replace("\n", "\r\n").encode("cp1251"),
    "tabs": TWO_DEALS.replace(",", "\t").encode(),
    "all cells quoted": "\n".join(",".join(map(quoted, line.split(","))) for line in TWO_DEALS.splitlines()).encode(
        "utf-8-sig"
    ),
    "no line break at the end": TWO_DEALS.removesuffix("\n").encode(),
    "CRLF except after the last line": TWO_DEALS.removesuffix("\n").replace("\n", "\r\n").encode(),
    "blank lines at the end": (TWO_DEALS + "\n\n  \n\r\n").encode(),
    "lines of delimiters at the end": (TWO_DEALS + ",,,,\n,,,,\r\n , ,\t,\u00a0,\n,,,,").encode(),
    "blank lines before and between": ("\n \n" + TWO_DEALS.replace("\n", "\n\n")).encode(),
    "mixed case in the header": TWO_DEALS.replace(HEADER, "CUSTOMER,Item,toTal,QUANTITY,Date").encode(),
    "blanks in the header": TWO_DEALS.replace(HEADER, "customer , item,\ttotal,\u00a0quantity\u00a0, date ").encode(),
    "a delimiter at the end of each line": TWO_DEALS.replace("\n", ",,\n").encode(),
    "empty cells at the end of some lines": TWO_DEALS.replace("166\n", "166,, ,\n").encode(),
    "empty cells of unused columns missing in some lines": (
        TWO_DEALS.replace("date\n", "date,note,more\n").replace("166\n", "166,x\n").encode()
    ),
    "UTF-8 with two byte-order marks": ("\ufeff" + TWO_DEALS).encode("utf-8-sig"),
    "UTF-16, little-endian": b"\xff\xfe" + TWO_DEALS.encode("utf-16-le"),
    "UTF-16, big-endian": b"\xfe\xff" + TWO_DEALS.encode("utf-16-be"),
    "UTF-16 with tabs and CRLF": TWO_DEALS.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
    "CR": TWO_DEALS.replace("\n", "\r").encode(),
    "CR in UTF-16": TWO_DEALS.replace("\n", "\r").encode("utf-16"),
    "Ctrl-Z in a line of its own": TWO_DEALS.encode() + b"\x1a\r\n",
    "vertical bars": TWO_DEALS.replace(",", "|").encode(),
    "Ctrl-Z at the end": TWO_DEALS.encode() + b"\x1a",
    "Ctrl-Z after the last cell": TWO_DEALS.removesuffix("\n").encode("cp1251") + b"\x1a",
    "sep= above the header": ("sep=;\n" + TWO_DEALS.replace(",", ";")).encode(),
    "#TYPE above the header": ("#TYPE System.Management.Automation.PSCustomObject\n" + TWO_DEALS).encode(),
    "titles above the header": ('Deals, "2018\n\n"total",5\n ; \n' + TWO_DEALS).encode(),
    "header in line 10": (",,,,\n" * 9 + TWO_DEALS).encode(),
    "quotes after spaces": "\n".join(
        ", ".join(map(quoted, line.split(","))) for line in TWO_DEALS.splitlines()
    ).encode(),
    "zero-width characters around the cells": TWO_DEALS.replace(",", "\u200b,\ufeff").encode(),
    "blanks around the cells": TWO_DEALS.replace(HEADER + "\n", HEADER + "\n ").replace(",", " ,\t").encode(),
}


@pytest.mark.parametrize("content", FILE_VARIANTS.values(), ids=FILE_VARIANTS)
def test_all_common_spreadsheet_formats_are_read(content: bytes) -> None:
    assert deals_in(content) == [PETR, ANN]


def test_columns_may_have_any_order_and_unknown_columns_are_ignored() -> None:
    content = lines(
        'date,note,Quantity,total,"price, each",item,customer',
        '2018-12-14T08:29:52.506166Z,"said ""hi"", left",6,612,"1,5",Рубин,Пётр',
        '2019-01-02 00:00:00,"first line\r\nsecond line\n\nfourth",1,100.5,\0,Ёлочная шпинель,ann',
    )
    assert deals_in(content) == [PETR, ANN]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_header_cell_may_contain_line_breaks(delimiter: str) -> None:
    header, deal = HEADER.replace(",", delimiter), GOOD.replace(",", delimiter)
    content = lines(f'"note,;\n of two lines"{delimiter}{header}', f"x{delimiter}{deal}")
    assert deals_in(content) == deals_in(lines(HEADER, GOOD))


def test_quoted_names_keep_delimiters_and_quotes() -> None:
    (deal,) = deals_in(lines(HEADER, '"Smith, ""Jo"" & Co; Ltd.","5\'\' ""A"" ruby",1,1,2018-12-14 08:29:52'))
    assert (deal.customer, deal.item) == ('Smith, "Jo" & Co; Ltd.', "5'' \"A\" ruby")


def test_real_file_is_read_completely(real_file: bytes) -> None:
    deals = deals_in(real_file)
    assert len(deals) == 767
    assert len({deal.customer for deal in deals}) == 18
    assert len({deal.item for deal in deals}) == 25
    assert deals == reference_parser.read(real_file.decode())


@pytest.mark.parametrize("names", [["рубин", "сапфир"], ["РУБИН", "САПФИР"], ["пётр"], ["Ђорђе", "Љубица", "Милан"]])
def test_windows_1251_in_any_case_is_read(names: list[str]) -> None:
    content = lines(HEADER, *(row("item", name) for name in names)).decode().encode("cp1251")
    assert [deal.item for deal in deals_in(content)] == names


def test_notes_with_line_breaks_are_ignored() -> None:
    note = '"called twice, 5 times\nsee letter of 2018-12-14, page 3\n"'
    assert deals_in(lines(f"{HEADER},note", f"{GOOD},{note}")) == deals_in(lines(HEADER, GOOD))


def test_identical_lines_are_two_deals() -> None:
    assert len(deals_in(lines(HEADER, GOOD, GOOD))) == 2


# Windows-1251 or damaged UTF-8


@pytest.mark.parametrize(
    "name",
    ["Рубин", "Пётр", "ПЁТР", "Ёлка", "ЁЛКА", "Лёд", "мёд", "Объём", "Жёлтый «Алмаз» № 5", "Ян и Ия Рубины", "О’Рубин"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_cyrillic_name_is_enough_to_detect_windows_1251(name: str, end: str) -> None:
    content = end.join([HEADER, *[GOOD] * 100, row("customer", name), *[GOOD] * 100, ""]).encode("cp1251")
    assert deals_in(content)[100].customer == name


DAMAGED = {
    "one name": lines(HEADER, GOOD, row("item", "Сапфир")),
    "all names": lines(HEADER, row("customer", "Пётр").replace("ruby", "Ёлочка"), row("item", "шишиши")),
    "other alphabets": lines(HEADER, row("item", "Hélène Bjørn Θεά “Ägypten” 水晶")),
    "one letter": lines(HEADER, row("item", "Я")),
    "letters whose bytes are also letters of Windows-1251": lines(HEADER, row("item", "ШииШии")),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_utf8_is_never_decoded_as_windows_1251(content: bytes) -> None:
    """Each byte outside ASCII is deleted, and replaced with every other byte."""
    invalid = 0
    for position in (position for position, byte in enumerate(content) if byte > 127):
        for new in (b"", *(bytes([byte]) for byte in range(256))):
            damaged = content[:position] + new + content[position + 1 :]
            try:
                damaged.decode()
            except UnicodeDecodeError as error:
                line = damaged.count(b"\n", 0, error.start) + 1
                with pytest.raises(UnreadableUpload, match=f"^Line {line} is neither UTF-8 nor clearly Windows-1251"):
                    decode(io.BytesIO(damaged))
                invalid += 1
    assert invalid > 100


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (lines(HEADER, GOOD) + b"ann,\xd0,1,1,2018-12-14 08:29:52\n", 3),
        (lines(HEADER, GOOD, GOOD, end="\r\n") + b"ann,\xff,1,1,2018-12-14 08:29:52\r\n", 4),
        (lines(HEADER, row("item", "Рубин")) + b"ann,ruby,1,1,2018-12-14 08:29:52\xd0", 3),
        (lines(HEADER, '"a\nb",c,1,1,2018-12-14 08:29:52') + b"\xed\xa0\x80", 4),
        (b"\xef\xbb\xbf" + TWO_DEALS.encode("cp1251"), 2),
        (TWO_DEALS.encode("cp866"), 2),
        (lines(HEADER) + "Пётр,Рубин,1,1,2018-12-14 08:29:52".encode("koi8-r"), 2),
        (lines(HEADER) + "José,ruby,1,1,2018-12-14 08:29:52".encode("cp1252"), 2),
        (lines(HEADER) + "Þæðir,ruby,1,1,2018-12-14 08:29:52".encode("cp1252"), 2),
        (lines(HEADER, GOOD) + "Рубин".encode("cp1251") + b"\x98", 3),
        (lines(HEADER, *[GOOD] * 20_000) + b"\xc0\x80", 20_002),
    ],
    ids=[
        "truncated letter",
        "invalid byte",
        "truncated at the end",
        "surrogate",
        "Windows-1251 after a byte-order mark of UTF-8",
        "code page 866",
        "KOI8-R",
        "Windows-1252, French",
        "Windows-1252, Icelandic",
        "byte undefined in Windows-1251",
        "after 20,000 lines",
    ],
)
def test_undecodable_file_is_rejected_with_its_first_bad_line(content: bytes, line: int) -> None:
    error = error_of(content)
    assert isinstance(error, UnreadableUpload)
    assert error.message == (
        f"Line {line} is neither UTF-8 nor clearly Windows-1251; save the file again as CSV UTF-8."
    )
    assert [(problem.line, problem.column, problem.reason_code) for problem in error.problems] == [
        (line, None, "not_utf8")
    ]


# Files that are not a table of deals


#: With the reason code and the values of its params.
UNREADABLE_FILES: list[tuple[bytes, str, tuple[int | str, ...]]] = [
    (b"", "empty_file", ()),
    (b"\xef\xbb\xbf", "empty_file", ()),
    (b"\xef\xbb\xbf \r\n\t\n", "empty_file", ()),
    (b" \n" * 1_500_000, "no_header", (10,)),
    (lines(*[","] * 10, HEADER, GOOD), "no_header", (10,)),
    (lines(HEADER), "no_deals", ()),
    (HEADER.encode(), "no_deals", ()),
    (lines(HEADER, "", ",,,,", " "), "no_deals", ()),
    (b"PK\x03\x04\x14\0\x06\0[Content_Types].xml xl/workbook.xml", "excel_workbook", (".xlsx",)),
    (b"PK\x03\x04\x14\0\0\0mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "opendocument_spreadsheet", ()),
    (b"PK\x03\x04\x14\0\0\0deals.csv", "archive", ("ZIP",)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "excel_workbook", (".xls",)),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image", ("PNG",)),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "image", ("JPEG",)),
    (b"%PDF-1.7\n", "pdf_document", ()),
    (gzip.compress(TWO_DEALS.encode()), "compressed", ("gzip",)),
    (bz2.compress(TWO_DEALS.encode()), "compressed", ("bzip2",)),
    (lzma.compress(TWO_DEALS.encode()), "compressed", ("xz",)),
    (b"\x28\xb5\x2f\xfd\x24\x10\x81\0\0", "compressed", ("Zstandard",)),
    (b"7z\xbc\xaf\x27\x1c\0\4", "archive", ("7z",)),
    (b"Rar!\x1a\x07\1\0", "archive", ("RAR",)),
    (b"x" * 257 + b"ustar", "archive", ("tar",)),
    (b"PAR1\x15\x04\x15", "parquet_file", ()),
    (b"SQLite format 3\0\x10\0", "sqlite_database", ()),
    (b"{\\rtf1\\ansi", "rtf_document", ()),
    (TWO_DEALS.encode("utf-32"), "utf_32", ()),
    (b"\0\0\xfe\xff" + TWO_DEALS.encode("utf-32-be"), "utf_32", ()),
    (TWO_DEALS.encode("utf-16-le"), "nul_bytes", ()),
    (TWO_DEALS.encode("utf-16-be"), "nul_bytes", ()),
    (("\r\n" + TWO_DEALS).encode("utf-16-le"), "nul_bytes", ()),
    (TWO_DEALS.encode("utf-16") + b"\0", "invalid_utf_16", ()),
    (TWO_DEALS.encode("utf-16") + b"\0\xd8\n\0", "invalid_utf_16", ()),
    (TWO_DEALS.encode("mac-cyrillic"), "mac_cyrillic", ()),
    (lines(HEADER, row("item", "«ромашка плюс»")).decode().encode("mac-cyrillic"), "mac_cyrillic", ()),
    (lines(GOOD.replace("612", ""), HEADER, GOOD), "deal_above_header", (1, 2)),
    (lines("", GOOD.replace(",", ";"), HEADER, GOOD), "deal_above_header", (2, 3)),
    (b"<html><table><tr><td>customer</td></tr></table></html>", "markup", ()),
    (b'\n{"deals": []}', "json", ()),
    (b'[{"customer": "ann", "item": "ruby", "total": 1, "quantity": 1, "date": "2018"}]', "json", ()),
    (lines(*(quoted(line) for line in TWO_DEALS.splitlines())), "columns_in_one_cell", (1,)),
    (lines(GOOD, GOOD), "header_missing", (1, HEADER)),
    (lines("", GOOD.replace(",", ";")), "header_missing", (2, HEADER)),
    (b"x" * 262_145, "row_too_long", (1, 262_144)),
]


@pytest.mark.parametrize(("content", "code", "params"), UNREADABLE_FILES)
def test_file_that_is_not_a_table_of_deals_is_rejected_with_a_code(
    content: bytes, code: str, params: tuple[int | str, ...]
) -> None:
    error = error_of(content)
    assert isinstance(error, UnreadableUpload)
    (problem,) = error.problems
    assert (problem.column, problem.value, problem.reason_code) == (None, "", code)
    assert tuple(problem.params.values()) == params
    assert problem.line == problem.params.get("line", 1)
    assert problem.reason == REASONS[code].format(**problem.params)
    assert error.message == f"The file {problem.reason}."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lines(HEADER) + "ann,маяк,1,1,2018-12-14 08:29:52\n".encode("mac-cyrillic"), "neither UTF-8 nor clearly"),
        (lines(HEADER, *(row("item", name) for name in ("рубин", "сапфир", "топаз"))).decode().encode("koi8-r"),
         "neither UTF-8 nor clearly Windows-1251"),
        (lines(HEADER, *(row("item", name) for name in ("РУБИН", "САПФИР", "ТОПАЗ"))).decode().encode("koi8-r"),
         "neither UTF-8 nor clearly Windows-1251"),
        (TWO_DEALS.encode("cp1251") * 3 + row("item", "Рубин").encode(), "neither UTF-8 nor clearly Windows-1251"),
        (lines("Покупатель;Товар;Сумма;Количество;Дата"),
         "found are 'Покупатель', 'Товар', 'Сумма', 'Количество', 'Дата'; expected are customer, item, total"),
        (lines("x" * 200 + "\x1b"), f"found are '{'x' * 99}…; expected"),
    ],
)  # fmt: skip
def test_other_encodings_and_headers_are_rejected(content: bytes, message: str) -> None:
    error = error_of(content)
    assert isinstance(error, UnreadableUpload)
    assert message in error.message


@pytest.mark.parametrize(
    ("header", "message", "problems"),
    [
        ("customer,item,total,quantity", "it lacks date;", [("date", "missing_column")]),
        ("client,item,sum,quantity,date", "it lacks customer, total; found are 'client', 'item', 'sum', ",
         [("customer", "missing_column"), ("total", "missing_column")]),
        ("date,customer,Item,ITEM,total,quantity,date ", "it has item, date more than once;",
         [("item", "repeated_column"), ("date", "repeated_column")]),
        ("total,total", "it lacks customer, item, quantity, date and it has total more than once;",
         [("customer", "missing_column"), ("item", "missing_column"), ("quantity", "missing_column"),
          ("date", "missing_column"), ("total", "repeated_column")]),
    ],
    ids=["one missing", "two missing", "two repeated", "missing and repeated"],
)  # fmt: skip
def test_invalid_header_is_rejected_with_its_missing_and_repeated_columns(
    header: str, message: str, problems: list[tuple[str, str]]
) -> None:
    error = error_of(lines("Title", header, GOOD))
    assert isinstance(error, UnreadableUpload)
    assert error.message.startswith(f"Line 2 is not the header of a deals file: {message}")
    assert [(problem.line, problem.column, problem.reason_code) for problem in error.problems] == [
        (2, *problem) for problem in problems
    ]


def test_problem_of_a_multiline_header_has_its_first_line() -> None:
    assert error_of(lines("", '"one\ntwo",item', GOOD)).problems[0].line == 2


# Cells


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("customer", "  ann  lee\t", "ann  lee"),
        ("customer", "\u00a0ann\u00a0lee\u3000\u2003", "ann\u00a0lee"),
        ("customer", "Йе\u0308лка", "Йёлка"),
        ("item", "\u212b", "Å"),
        ("item", 'a"b', 'a"b'),
        ("item", "=SUM(A1)", "=SUM(A1)"),
        ("item", "x" * 255, "x" * 255),
        ("item", "е\u0308" * 255, "ё" * 255),
        ("item", " " * 300 + "x" * 255 + " " * 300, "x" * 255),
        ("item", "💎" * 255, "💎" * 255),
        ("item", "ruby\u200b", "ruby"),
        ("item", "\ufeff\u2060\u00ad ruby\u200e ", "ruby"),
        ("item", "a\u200bb", "a\u200bb"),
        ("item", "what?", "what?"),
        ("item", '"quoted"', '"quoted"'),
        ("item", "#1", "#1"),
        ("item", "##", "##"),
        ("item", "NULL", "NULL"),
        ("item", "\\n", "\\n"),
        ("total", "0", Decimal(0)),
        ("total", "0.5", Decimal("0.50")),
        ("total", "0.07", Decimal("0.07")),
        ("total", "007.10", Decimal("7.1")),
        ("total", "\u00a0612\u202f", Decimal(612)),
        ("total", "999999999999.99", Decimal("999999999999.99")),
        ("total", "+612", Decimal(612)),
        ("total", "612,5", Decimal("612.5")),
        ("total", "612,50", Decimal("612.5")),
        ("total", "612.0000", Decimal(612)),
        ("total", "612,5000", Decimal("612.5")),
        ("total", "8 502", Decimal(8502)),
        ("total", "8\u00a0502,50", Decimal("8502.5")),
        ("total", "8\u202f502\u202f000,5", Decimal("8502000.5")),
        ("total", "8'502.50", Decimal("8502.5")),
        ("total", "8’502", Decimal(8502)),
        ("total", "8\u2007502", Decimal(8502)),
        ("total", "1,234,567", Decimal(1234567)),
        ("total", "1.234.567", Decimal(1234567)),
        ("total", "8,502.50", Decimal("8502.5")),
        ("total", "8.502,50", Decimal("8502.5")),
        ("total", "1,234.500", Decimal("1234.5")),
        ("total", "999,999,999,999.99", Decimal("999999999999.99")),
        ("quantity", "1", 1),
        ("quantity", " 006 ", 6),
        ("quantity", "999999999", 999_999_999),
        ("quantity", "6.0", 6),
        ("quantity", "6,00", 6),
        ("quantity", "1 000", 1000),
        ("quantity", "1,000,000", 1_000_000),
        ("date", "2018-12-14 8:29", datetime(2018, 12, 14, 8, 29, tzinfo=UTC)),
        ("date", "2018-1-4T8:9:5", datetime(2018, 1, 4, 8, 9, 5, tzinfo=UTC)),
        ("date", "2018/12/14 08:29:52", datetime(2018, 12, 14, 8, 29, 52, tzinfo=UTC)),
        ("date", "2018-12-14 08:29:52,506", datetime(2018, 12, 14, 8, 29, 52, 506_000, tzinfo=UTC)),
        ("date", "2018-12-14T08:29:52.506166000Z", datetime(2018, 12, 14, 8, 29, 52, 506_166, tzinfo=UTC)),
        ("date", "2018-12-14 08:29:52 UTC", datetime(2018, 12, 14, 8, 29, 52, tzinfo=UTC)),
        ("date", "2018-12-14 08:29+03:00", datetime(2018, 12, 14, 5, 29, tzinfo=UTC)),
        ("date", "14.12.2018 8:29", datetime(2018, 12, 14, 8, 29, tzinfo=UTC)),
        ("date", "4.3.2019 05:06:07,5", datetime(2019, 3, 4, 5, 6, 7, 500_000, tzinfo=UTC)),
        ("date", "2018-12-14T08:29:52", datetime(2018, 12, 14, 8, 29, 52, tzinfo=UTC)),
        ("date", " 2018-12-14 08:29:52.5 ", datetime(2018, 12, 14, 8, 29, 52, 500_000, tzinfo=UTC)),
        ("date", "2018-12-14 08:29:52.000001", datetime(2018, 12, 14, 8, 29, 52, 1, tzinfo=UTC)),
        ("date", "2018-12-14 08:29:52Z", datetime(2018, 12, 14, 8, 29, 52, tzinfo=UTC)),
        ("date", "2018-12-14T08:29:52.25+03:00", datetime(2018, 12, 14, 5, 29, 52, 250_000, tzinfo=UTC)),
        ("date", "2018-12-14 01:29:52 +0330", datetime(2018, 12, 13, 21, 59, 52, tzinfo=UTC)),
        ("date", "2018-12-31 23:00:00-05", datetime(2019, 1, 1, 4, tzinfo=UTC)),
        ("date", "2020-02-29 00:00:00", datetime(2020, 2, 29, tzinfo=UTC)),
        ("date", "0001-01-01 00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("date", "0001-01-01 03:00:00+03:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("date", "9999-12-31 23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_valid_cell_is_converted_to_the_type_of_its_column(column: str, cell: str, value: object) -> None:
    _, deal = deals_in(lines(HEADER, GOOD, row(column, cell)))
    assert getattr(deal, column) == value


INVALID_CELLS: list[tuple[str, str, str]] = [
    *((column, cell, "empty") for column in COLUMNS for cell in ("", "  ", "\u00a0\t", "\u200b\ufeff")),
    *(("customer", cell, "control_character") for cell in (
        "a\0b", "a\nb", "a\r\nb", "a\tb", "\x1b[31m", "a\x7f", "a\x85b", "\n",
    )),
    *(("item", cell, "name_too_long") for cell in (
        "x" * 256, "ё" * 256, "е\u0308" * 256, "a" + "\u0301" * 5000,
    )),
    *(("item", cell, "letters_lost") for cell in ("?", "?????", "??? ??-??", "Руб\ufffdн", "\ufffd")),
    *(("item", cell, "spreadsheet_error") for cell in (
        "#N/A", "#Н/Д", "#ИМЯ?", "#DIV/0!", "#BEZUG!", "#VALEUR!", "Err:502", "Ошибка:508", "Ош.:502",
    )),
    ("customer", r"\N", "null"),
    *(("customer", cell, "misplaced_quote") for cell in ('\u00a0"ann"', '\t"ann"', ' \ufeff"ann"')),
    *(("total", cell, "not_an_amount") for cell in (
        "abc", "12a", "NaN", "inf", "1_000", "١٢", "１２", "²", "++5", "5.", ".5", ".", "5..0", "1 2", "0x10",
        "5\n", "--5", "1\n2", "12 34", "1234 567", "1 234 56", "1,234 567", "1.234.56", "8,502,50", "8 502.50.1",
    )),
    *(("total", cell, "negative") for cell in ("-1", "-0.01", "-0", "-1,50", "−5", "(5)", "- 1 234")),
    *(("total", cell, "ambiguous_separator") for cell in ("1,234", "1.234", "612.000", "1.005", "0.000", "12345,678")),
    *(("total", cell, "exponent") for cell in ("1e9", "1E+06", "1,23E+11")),
    *(("total", cell, "currency") for cell in (
        "$5", "612 ₽", "612 руб.", "612 р.", "€ 5", "5 EUR", "USD 5", "CHF 612", "612 zł", "612,50 грн",
    )),
    *(("total", cell, "too_many_decimals") for cell in ("1.0051", "1,23456", "8 502,505", "1,234.505")),
    *(("total", cell, "too_many_digits") for cell in ("1" * 13, "1" * 5000, "1" * 13 + ".5", "1 000 000 000 000")),
    *((column, "#N/A", "spreadsheet_error") for column in ("total", "quantity", "date")),
    *((column, "####", "column_too_narrow") for column in ("total", "quantity", "date")),
    *(("quantity", cell, "not_a_quantity") for cell in (
        "0", "000", "-1", "1.5", "0.0", "1e3", "1_0", "١", "３", "six", "6 pcs", "NaN", "1 0", "1\n2", r"\N",
    )),
    *(("quantity", cell, "ambiguous_separator") for cell in ("6,000", "6.000")),
    *(("quantity", cell, "too_many_digits") for cell in ("1000000000", "0000000001", "9" * 5000, "1 000 000 000")),
    *(("date", cell, "not_a_date") for cell in (
        "20181214T082952", "2018-W50-5 08:29:52", "2018-12-14  08:29:52", "2018-12-14_08:29:52",
        "2018-12-14 08:29:52.", "2018-12-14 08:29:52UTC", "2018-12-14 08:29:52  UTC", "2018-12-14 08:29:52+3",
        "2018-12-14 08:29:52+03:60", "2018-12-14 08:29:52+0399", "2018-12-14 08:29:52+03:00:00", "٢018-12-14 08:29:52",
        "12018-12-14 08:29:52", "-2018-12-14 08:29:52", "2018-12-14\n08:29:52", "yesterday", "2018-12/14 08:29:52",
        "2018-12-14 08:29:52\n2018-12-14 08:29:52", "14.12.2018 8:29+03:00", "2018.12.14 08:29", "2018-12-14 08",
        "2018-12-14 08:29:52+03:",
    )),
    *(("date", cell, "day_missing") for cell in ("29:52,5", "29:52.5", "8:29", "08:29:52")),
    *(("date", cell, "serial_number") for cell in ("43448.354", "43448,35408", "43448")),
    *(("date", cell, "unix_timestamp") for cell in ("1544776192", "1544776192.5", "1544776192506")),
    *(("date", cell, "time_missing") for cell in ("2018-12-14", "2018/12/14", "14.12.2018")),
    *(("date", cell, "day_or_month_first") for cell in (
        "12/14/2018 8:29", "14/12/2018", "3/4/2019 5:06:07 AM", "14-12-2018 8:29", "14/12/18",
    )),
    *(("date", cell, "two_digit_year") for cell in ("14.12.18 8:29", "14.12.18")),
    *(("date", cell, "twelve_hour_clock") for cell in ("2018-12-14 8:29 AM", "14.12.2018 8:29:52pm")),
    *(("date", cell, "no_such_date") for cell in (
        "2019-02-29 00:00:00", "2018-02-30 00:00:00", "2018-13-01 00:00:00", "2018-00-10 00:00:00",
        "2018-04-31 00:00:00", "0000-01-01 00:00:00", "2018-12-14 24:00:00", "2018-12-14 25:00:00",
        "2018-12-14 23:60:00", "2018-12-14 23:59:60", "2018-12-14 08:29:52+24:00", "0001-01-01 00:00:00+00:01",
        "9999-12-31 23:59:59-00:01", "12.14.2018 8:29", "31.4.2018 8:29", "2018-12-14 24:00",
    )),
    *(("date", cell, "too_many_second_decimals") for cell in (
        "2018-12-14 08:29:52.1234567", "14.12.2018 8:29:52,1234567",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("column", "cell", "code"), INVALID_CELLS)
def test_invalid_cell_is_reported_with_line_column_value_and_code(column: str, cell: str, code: str) -> None:
    error = error_of(lines(HEADER, GOOD, row(column, cell), GOOD))
    assert isinstance(error, UploadHasProblems)
    (problem,) = error.problems
    assert (problem.line, problem.column, problem.value, problem.reason_code) == (3, column, cell[:100], code)
    assert problem.reason == REASONS[code].format(**problem.params)


def test_every_reason_has_a_test() -> None:
    tested = {code for *_, code in INVALID_CELLS} | {"not_utf8", "missing_column", "repeated_column"}
    tested |= {code for _, code, _ in UNREADABLE_FILES}
    tested |= {code for _, expected in INVALID_ROWS for *_, code in expected}
    assert tested == REASONS.keys() - {"not_csv", "too_many_errors"}


# Lines


INVALID_LINES: dict[str, tuple[bytes, list[tuple[int, str | None, str]]]] = {
    "two invalid cells in one line": (
        lines(HEADER, GOOD, "ann,,x,1,2018-12-14 08:29:52"), [(3, "item", ""), (3, "total", "x")]
    ),
    "columns in another order": (
        lines("date,total,quantity,item,customer", "x,y,1,b,c", "2018-12-14 08:29:52,z,1,b,c"),
        [(2, "total", "y"), (2, "date", "x"), (3, "total", "z")],
    ),
    "CRLF": (lines(HEADER, GOOD, row("total", "x"), GOOD, row("total", "y"), end="\r\n"),
             [(3, "total", "x"), (5, "total", "y")]),
    "after blank lines": (lines("", "", HEADER, "", GOOD, ",,,,", row("total", "x")), [(7, "total", "x")]),
    "after a line break in quotes": (
        lines(f"note,{HEADER}", f'"1\n2\n3",{GOOD}', f"x,{row('total', 'x')}", f'"1\n2",{row("total", "y")}',
              f"x,{row('total', 'z')}"),
        [(5, "total", "x"), (6, "total", "y"), (8, "total", "z")],
    ),
    "after a line break in quotes with CRLF": (
        lines(f"note,{HEADER}", f'"1\r\n2",{GOOD}', f"x,{row('total', 'x')}", end="\r\n"), [(4, "total", "x")]
    ),
    "after a line break in the header": (
        lines(f'"no\nte",{HEADER}', f"x,{GOOD}", f"x,{row('total', 'x')}"), [(4, "total", "x")]
    ),
    "after characters that only resemble line breaks": (
        lines(f"note,{HEADER}", f'"\r\v\f\x1c\x85\u2028\u2029",{GOOD}', f"x,{row('total', 'x')}"), [(3, "total", "x")]
    ),
    "after 5,000 lines": (lines(HEADER, *[GOOD] * 5000, row("total", "x"), *[GOOD] * 5000, row("date", "y")),
                 [(5002, "total", "x"), (10003, "date", "y")]),
    "after 3,000 line breaks in quotes": (
        lines(f"note,{HEADER}", *[f'"1\n2",{GOOD}'] * 3000, f"x,{row('total', 'x')}"), [(6002, "total", "x")]
    ),
    "a byte-order mark": (b"\xef\xbb\xbf" + lines(HEADER, row("total", "x")), [(2, "total", "x")]),
    "no line break at the end": (lines(HEADER, GOOD) + row("total", "x").encode(), [(3, "total", "x")]),
    "too few cells": (lines(HEADER, GOOD, "ann,ruby,612,6"), [(3, None, "ann,ruby,612,6")]),
    "too many cells": (lines(HEADER, GOOD, GOOD + ",7"), [(3, None, GOOD + ",7")]),
    "one cell": (lines(HEADER.replace(",", ";"), "total", GOOD.replace(",", ";")), [(2, None, "total")]),
    "a decimal comma without quotes": (lines(HEADER, "ann,ruby,1,50,6,2018-12-14 08:29:52"),
                                       [(2, None, "ann,ruby,1,50,6,2018-12-14 08:29:52")]),
    "repeated header": (lines(HEADER, GOOD, f" {HEADER.upper()}\u200b"), [(3, None, f"{HEADER.upper()}\u200b")]),
    "row of totals": (lines(HEADER, GOOD, "Итого,,612,6,"), [(3, None, "Итого,,612,6,")]),
    "short row of totals": (lines(HEADER, GOOD, "Total:,,612"), [(3, None, "Total:,,612")]),
    "row of totals without a word": (lines(HEADER, GOOD, ",,612,6,"), [(3, None, ",,612,6,")]),
    "totals word in another column": (lines(f"note,{HEADER}", "Summe,,,612,6,"), [(2, None, "Summe,,,612,6,")]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), INVALID_LINES.values(), ids=INVALID_LINES)
def test_every_problem_has_its_physical_line_number(
    content: bytes, expected: list[tuple[int, str | None, str]]
) -> None:
    error = error_of(content)
    assert isinstance(error, UploadHasProblems)
    assert [(problem.line, problem.column, problem.value) for problem in error.problems] == expected


INVALID_ROWS: list[tuple[bytes, list[tuple[int, str | None, str]]]] = [
    (lines(HEADER, GOOD, f'"{GOOD}', GOOD, GOOD), [(3, None, "unclosed_quote")]),
    (lines(f"note,{HEADER}", f'"1\n2",{GOOD}', f'"{GOOD}', GOOD), [(4, None, "unclosed_quote")]),
    (lines(f'{HEADER},"note', GOOD), [(1, None, "unclosed_quote")]),
    (lines(HEADER, GOOD, '"'), [(3, None, "unclosed_quote")]),
    (lines(HEADER, *[GOOD] * 3000, f'"{GOOD}'), [(3002, None, "unclosed_quote")]),
    (lines(HEADER, '"ann"lee' + GOOD, GOOD), [(2, None, "text_after_quote")]),
    (lines(HEADER, GOOD, '"ann" ,ruby,1,1,2018-12-14 08:29:52'), [(3, None, "text_after_quote")]),
    (lines(HEADER, GOOD, f"{GOOD}\r{GOOD}"), [(3, None, "line_break")]),
    (lines(HEADER, row("total", "x"), GOOD, f'"{GOOD}'), [(2, "total", "not_an_amount"), (4, None, "unclosed_quote")]),
    (lines(HEADER, row("total", "x"), *[GOOD] * 9, f'"a"b{GOOD}', row("total", "y")),
     [(2, "total", "not_an_amount"), (12, None, "text_after_quote")]),
    (lines(HEADER, f'"{"x" * 140_000}",ruby,1,1,2018-12-14 08:29:52'), [(2, None, "cell_too_long")]),
    (lines(f"{HEADER},note", f'{GOOD},"big', f"{GOOD},", f'{GOOD},small"', f"{GOOD},"), [(2, None, "contains_deals")]),
    (lines("customer,item,note,total,quantity,date", 'a,g,"x,1,1,2018-12-14 08:29', 'b,h,y",2,2,2018-12-14 08:29'),
     [(2, None, "contains_deals")]),
    (lines("customer,item,quantity,date,total,", "a,g,6,2018-12-14 08:29:52,612,50"), [(2, None, "wrong_cell_count")]),
    (lines("customer,item,quantity,total,date,,", *["a,g,6,1,2018-12-14 08:29:52,,"] * 3,
           "a,g,6,1,2018-12-14 08:29:52,506166,"), [(5, None, "wrong_cell_count")]),
    (lines(HEADER, "ann,ruby,1"), [(2, None, "wrong_cell_count")]),
    (lines(HEADER, HEADER), [(2, None, "repeated_header")]),
    (lines(HEADER, "Всего:,,1,,"), [(2, None, "totals_row")]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), INVALID_ROWS)
def test_invalid_row_is_reported_after_earlier_invalid_cells(
    content: bytes, expected: list[tuple[int, str | None, str]]
) -> None:
    error = error_of(content)
    assert isinstance(error, UploadHasProblems)
    assert [(problem.line, problem.column, problem.reason_code) for problem in error.problems] == expected


# Messages


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("total", "12x")],
         "The file has 1 error, in line 2, column 'total': '12x' is not an amount such as 612 or 100.50."),
        ([GOOD, row("item", ""), row("total", "x")],
         "The file has 2 errors: 1 × item (is empty), 1 × total (is not an amount such as 612 or 100.50); the first is"
         " in line 3, column 'item'."),
        ([GOOD, "ann"], "The file has 1 error, in line 3: 'ann' has 1 cell; the header has 5."),
        ([f'"{GOOD}'], "The file has 1 error, in line 2: opens a quote that is not closed."),
        ([row("total", "x"), f'"{GOOD}'],
         "The file has at least 2 errors: 1 × total (is not an amount such as 612 or 100.50), 1 × line (opens a quote"
         " that is not closed); the first is in line 2, column 'total': 'x'."),
        ([row("date", "8:29"), *[row("quantity", "0")] * 153, row("customer", "?"), row("item", "?"),
          row("total", "-1"), row("total", ""), row("date", "")],
         "The file has 159 errors: 153 × quantity (is not a whole number of 1 or more), 1 × date (has no day, because"
         " a spreadsheet saved only the time; format the column as yyyy-mm-dd hh:mm:ss, or send the original file),"
         " 1 × customer (has lost its letters when the file was saved; save it as CSV UTF-8), 1 × item (has lost its"
         " letters when the file was saved; save it as CSV UTF-8), 1 × total (must not be negative), 2 other kinds;"
         " the first is in line 2, column 'date': '8:29'."),
        ([row("total", "x")] * 20_000,
         "The file has at least 10000 errors: 10000 × total (is not an amount such as 612 or 100.50); the first is in"
         " line 2, column 'total': 'x'."),
    ],
)  # fmt: skip
def test_message_groups_the_errors_by_reason(rows: list[str], message: str) -> None:
    assert error_of(lines(HEADER, *rows)).message == message


# Limits


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_error_lists_problems_up_to_the_limit(limit: int) -> None:
    error = error_of(lines(HEADER, *["ann,ruby,x,y,2018-12-14 08:29:52"] * 200), max_problems=limit)
    *problems, end = error.problems
    assert [(problem.line, problem.column) for problem in problems] == [
        (2 + number // 2, ("total", "quantity")[number % 2]) for number in range(limit)
    ]
    assert (end.line, end.column, end.reason_code) == (problems[-1].line, None, "too_many_errors")
    assert end.reason == f"is where reading stopped, at the limit of errors ({limit})"
    assert error.message.startswith(f"The file has at least {limit} error")


def test_list_below_the_limit_is_complete() -> None:
    error = error_of(lines(HEADER, *[row("total", "x")] * 9_999))
    assert len(error.problems) == 9_999
    assert {problem.reason_code for problem in error.problems} == {"not_an_amount"}
    assert error.message.startswith("The file has 9999 errors")


def test_problem_limit_applies_to_the_whole_file() -> None:
    """The limit is not per batch: the problems are in different batches."""
    rows = [row("total", "x"), *[GOOD] * 5000, row("total", "x"), *[GOOD] * 5000, row("total", "x")]
    assert [problem.line for problem in error_of(lines(HEADER, *rows), max_problems=2).problems] == [2, 5003, 5003]


@pytest.mark.parametrize("rows", [3, 5000])
def test_rows_are_read_up_to_the_limit(rows: int) -> None:
    content = lines(HEADER, *[GOOD] * rows, "", "")
    assert len(deals_in(content, max_rows=rows)) == rows
    error = error_of(content, max_rows=rows - 1)
    assert isinstance(error, UploadTooLarge)
    assert error.message == f"The file has more than {rows - 1} rows."


@pytest.mark.parametrize("rows_above", [0, 20_000])
def test_lines_are_read_up_to_the_byte_limit(rows_above: int) -> None:
    header, above = f"note,more,{HEADER}", [f",,{GOOD}"] * rows_above

    def line_of(size: int) -> str:
        padding = size - len(f",,{GOOD}")
        return f"{'x' * (padding // 2)},{'x' * (padding - padding // 2)},{GOOD}"

    assert len(deals_in(lines(header, *above, line_of(262_144), f",,{GOOD}"))) == rows_above + 2
    error = error_of(lines(header, *above, line_of(262_145), f",,{GOOD}"))
    assert isinstance(error, UnreadableUpload)
    (problem,) = error.problems
    assert (problem.line, problem.reason_code) == (rows_above + 2, "row_too_long")


def test_endless_quoted_row_is_rejected_before_it_fills_the_memory() -> None:
    error = error_of(lines(HEADER, GOOD) + b'"a\n",' * 2_000_000)
    assert isinstance(error, UnreadableUpload)
    (problem,) = error.problems
    assert (problem.line, problem.reason_code) == (2, "row_too_long")


def peak_memory(path: Path) -> tuple[int, int]:
    """Return the number of rows in batches, and the peak memory of the reader in bytes; the file may be rejected."""
    rows = 0
    with path.open("rb") as file:
        tracemalloc.start()
        try:
            with contextlib.suppress(UploadHasProblems):
                for batch in DealsReader(file, Limits()):
                    rows += len(batch)
            return rows, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "deals.csv"
    block = "".join(f"client{number % 500},Рубин,{number}.5,6,2018-12-14 08:29:52.506166\n" for number in range(3000))
    peaks = {}
    for rows in (12_000, 120_000):
        path.write_text(f"{HEADER}\n" + block * (rows // 3000))
        rows_read, peaks[rows] = peak_memory(path)
        assert rows_read == rows
    assert peaks[120_000] < 6_000_000
    assert peaks[120_000] < peaks[12_000] * 1.05


def test_memory_does_not_grow_with_the_length_of_rows(tmp_path: Path) -> None:
    """Neither the cells of a batch nor the cached names may hold the whole file."""
    path = tmp_path / "deals.csv"
    blanks = " " * 50_000
    with path.open("w") as file:
        file.write(f"note,{HEADER}\n")
        file.writelines(f"{'x' * 50_000},ann{number}{blanks},ruby,1,1,2018-12-14 08:29:52\n" for number in range(500))
    assert path.stat().st_size > 50_000_000
    rows, peak = peak_memory(path)
    assert rows == 500
    assert peak < 12_000_000


def write_names(path: Path, names: int, *, length: int = 0, above: str = GOOD) -> None:
    with path.open("w") as file:
        file.write(f"{HEADER}\n{above}\n")
        file.writelines(f"{number:0{length}},gem {number},1,1,2018-12-14 08:29:52\n" for number in range(names))


def test_memory_grows_little_with_the_number_of_names(tmp_path: Path) -> None:
    """Also if the names are long."""
    path = tmp_path / "deals.csv"
    write_names(path, 5_000, length=255)
    _, few = peak_memory(path)
    write_names(path, 25_000, length=255)
    _, many = peak_memory(path)
    assert (many - few) / 40_000 < 200


def test_memory_of_a_rejected_file_does_not_grow_with_the_number_of_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_reader, "_CACHED_NAMES", 500)
    path = tmp_path / "deals.csv"
    peaks = {}
    for names in (30_000, 90_000):
        write_names(path, names, above=row("total", "x"))
        rows, peaks[names] = peak_memory(path)
        assert rows == 0
    assert peaks[90_000] < peaks[30_000] * 1.1


def test_byte_order_mark_is_removed_only_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if a later U+FEFF is the first character of a block."""
    monkeypatch.setattr(encoding, "_BLOCK_BYTES", 100)
    content = "\ufeff" + "\n".join([HEADER, *["\ufeff" + GOOD] * 20])
    assert {deal.customer for deal in deals_in(content.encode())} == {"ann"}


def test_name_of_thousands_of_accents_is_rejected_quickly() -> None:
    """Normalisation would take hours instead of milliseconds, because its time is quadratic."""
    accents = "a" + "\u0327\u0301" * 60_000
    assert error_of(lines(HEADER, *[row("item", accents)] * 100)).problems[99].reason_code == "name_too_long"


# Comparison with the reference parser


def compare_with_reference(content: bytes) -> str:
    """Assert that the reader and the reference parser have the same outcome; return its kind."""
    actual = outcome(lambda: deals_in(content))
    if isinstance(actual, UnreadableUpload) and "NUL bytes" in actual.message:
        assert b"\0" in content
        return "binary"
    expected = outcome(lambda: reference_parser.read(reference_parser.decode(content)))
    if isinstance(expected, UnicodeDecodeError):
        if isinstance(actual, UnreadableUpload) and NOT_DECODABLE.match(actual.message):
            assert [problem.line for problem in actual.problems] == [bad_line_of(content, expected.start)]
            return "not decodable"
        if b"\x98" in content:  # invalid in Windows-1251 too; another error may be reported first
            assert isinstance(actual, UnreadableUpload)
            return "neither encoding"
        text = content.decode("cp1251")
        expected = outcome(lambda: reference_parser.read(reference_parser.decode(text.encode())))
    if isinstance(expected, reference_parser.NotATable):
        assert isinstance(actual, DealsError)
        assert not isinstance(actual, UploadTooLarge)
        return "not a table"
    if isinstance(expected, reference_parser.InvalidRows):
        assert isinstance(actual, UploadHasProblems)
        assert [(problem.line, problem.column) for problem in actual.problems] == expected.problems[:100]
        return "invalid rows"
    assert actual == expected
    return "accepted"


NOT_DECODABLE = re.compile(r"The text is damaged|Line \d+ is neither UTF-8 nor clearly Windows-1251")


def bad_line_of(content: bytes, position: int) -> int:
    end = b"\n" if b"\n" in content else b"\r"
    return content.count(end, 0, position) + 1


Outcome = UnicodeDecodeError | list[Deal] | DealsError | reference_parser.NotATable | reference_parser.InvalidRows


def outcome(read: Callable[[], list[Deal]]) -> Outcome:
    """Return the deals, or the error that ``read`` raises."""
    try:
        return read()
    except (DealsError, UnicodeDecodeError, reference_parser.NotATable, reference_parser.InvalidRows) as error:
        return error


VALID_CELLS: dict[str, list[str]] = {
    "customer": [
        "ann", "Пётр", " bob ", "Ёлка", "O'Neil", 'a"b', "ann, lee", "x;y", "е\u0308ж", "\u00a0Ян\u2003", "Zoë",
    ],
    "item": ["ruby", "Рубин", "Рубин\t", "й", "и\u0306", "«Лёд» № 5", "a\u2028b", "\u200bz", "水晶"],
    "total": ["0", "612", "612.5", "007.05", " 8 ", "999999999999.99", "1.10"],
    "quantity": ["1", "06", "999999999", "2\u00a0"],
    "date": [
        "2018-12-14 08:29:52.506166", "2018-12-14T08:29:52", "2018-12-14 08:29:52.5", "2020-02-29 23:59:59Z",
        "2018-12-14 08:29:52+03:00", "0001-01-01 03:00:00.1 +03", "9999-12-31 23:59:59-0000",
    ],
}  # fmt: skip
ODD_TEXT = st.text(st.sampled_from("0123456789.,-+:TZ ;\t\"'\r\n\0\x85\u00a0aЯё\u0301e٣_"), max_size=6)
ODD_CELL = st.one_of(
    st.sampled_from([cell for _, cell, _ in INVALID_CELLS if len(cell) < 1000]),
    st.sampled_from([cell for cells in VALID_CELLS.values() for cell in cells]),
    ODD_TEXT,
)
BLANK_LINE = st.sampled_from(["", " ", ",,,,", ";;", "\t", '""'])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Generate encoded tables of deals; some have unusual cells, lines and quotes."""
    odd_tenths = draw(st.sampled_from([0, 0, 1, 3]))  # of cells and lines
    is_odd = st.integers(0, 9).map(lambda number: number < odd_tenths)
    delimiter = draw(st.sampled_from(",;\t"))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    columns = draw(st.permutations([*COLUMNS, *draw(st.lists(st.sampled_from(["note", "", "Ещё"]), max_size=2))]))

    def encode_cell(cell: str) -> str:
        needs_quotes = any(character in cell for character in f'{delimiter}"\r\n')
        if draw(is_odd):
            return cell
        return quoted(cell) if needs_quotes or draw(st.booleans()) else cell

    def line(cells: list[str]) -> str:
        return delimiter.join(map(encode_cell, cells))

    def cell_of(column: str) -> str:
        if column not in VALID_CELLS:
            return draw(ODD_TEXT)
        return draw(ODD_CELL if draw(is_odd) else st.sampled_from(VALID_CELLS[column]))

    def deal() -> str:
        if draw(is_odd) and draw(st.booleans()):
            return draw(ODD_TEXT)
        cells = [cell_of(column) for column in columns]
        if draw(is_odd) and draw(st.booleans()):
            cells = cells[draw(st.integers(0, 2)) :] + draw(st.lists(ODD_TEXT, max_size=2))
        return line(cells)

    if draw(is_odd) and draw(st.booleans()):
        columns[draw(st.integers(0, len(columns) - 1))] = draw(st.sampled_from([*COLUMNS, "sum"]))
    header = line([draw(st.sampled_from([column, column.upper(), f" {column} "])) for column in columns])
    rows = [deal() for _ in range(draw(st.integers(0 if odd_tenths else 1, 6)))]
    blank = draw(st.lists(BLANK_LINE, max_size=2))
    text = end.join([*draw(st.lists(st.sampled_from(["", " "]), max_size=1)), header, *rows, *blank])
    text += draw(st.sampled_from(["", end]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1251"]))
    return text.encode(encoding, errors="replace")


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Delete, replace or insert bytes at one to three positions."""
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(content)))
        new = draw(st.one_of(st.binary(max_size=2), st.sampled_from([b'"', b"\r", b"\n", b",", b"\0", b"\xb8", b" "])))
        content = content[:position] + new + content[position + draw(st.integers(0, 2)) :]
    return content


@contextlib.contextmanager
def patched_sizes(block_bytes: int, batch_rows: int, step_rows: int) -> Iterator[None]:
    """Change the sizes of blocks and batches, so that small files consist of several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_BLOCK_BYTES", block_bytes)
        patch.setattr(csv_reader, "_BATCH_ROWS", batch_rows)
        patch.setattr(csv_reader, "_STEP_ROWS", step_rows)
        patch.setattr(csv_reader, "_STEP_BLOCKS", 1000)
        yield


COMPARED = settings(max_examples=250, deadline=None, derandomize=True)
SIZES = st.sampled_from([(200, 1, 1), (300, 3, 2), (256 * 1024, 2048, 8)])


@COMPARED
@given(files(), SIZES)
def test_any_table_is_read_like_the_reference(content: bytes, sizes: tuple[int, int, int]) -> None:
    with patched_sizes(*sizes):
        event(compare_with_reference(content))


WHOLE_FILES = [
    FILE_VARIANTS["CRLF"],
    FILE_VARIANTS["1C"],
    FILE_VARIANTS["UTF-8 with a byte-order mark"],
    lines('date;note;Quantity;total;item;customer', '2018-12-14 08:29:52Z;"a ""b""\nc";6;612.5;Рубин;Пётр',
          *['2018-12-14 08:29:52.25+03:00;;10;7;"Ёл\u00a0ка; й";ann'] * 3, ";;;;;"),
]  # fmt: skip


@COMPARED
@given(st.sampled_from(WHOLE_FILES).flatmap(damaged), SIZES)
def test_any_damaged_file_is_read_like_the_reference(content: bytes, sizes: tuple[int, int, int]) -> None:
    with patched_sizes(*sizes):
        event(compare_with_reference(content))


@COMPARED
@given(
    st.one_of(
        st.binary(max_size=100),
        st.binary(max_size=100).map(lines(HEADER, GOOD).__add__),
        st.text(max_size=50).map(lambda text: lines(HEADER, GOOD, text)),
        st.text(max_size=300).map(lambda cell: lines(HEADER, GOOD, row("customer", cell))),
    )
)
def test_any_bytes_are_read_like_the_reference(content: bytes) -> None:
    event(compare_with_reference(content))
