"""Files as real programs write them: databases, spreadsheets, statistics programs, accounting systems.

Each file is either read into exact deals, or rejected with the reasons and line numbers that a user needs.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from deals_api.errors import DealsError, UnreadableUpload, UploadHasProblems
from tests.reference_parser import Deal
from tests.spreadsheets import write_xlsx
from tests.test_csv_reader import deals_in

HEADER = "customer,item,total,quantity,date"
ROWS = [
    "ann,Рубин,612,6,2018-12-14 08:29:52",
    "bob,Рубин,8502.50,2,2018-12-15 14:43:45",
    "ann,Сапфир,100000,1,2019-03-04 05:06:07",
]
DEALS = [
    Deal("ann", "Рубин", Decimal(612), 6, datetime(2018, 12, 14, 8, 29, 52, tzinfo=UTC)),
    Deal("bob", "Рубин", Decimal("8502.5"), 2, datetime(2018, 12, 15, 14, 43, 45, tzinfo=UTC)),
    Deal("ann", "Сапфир", Decimal(100000), 1, datetime(2019, 3, 4, 5, 6, 7, tzinfo=UTC)),
]
TABLE = [HEADER, *ROWS]

#: Line, column (None for the whole line) and reason code.
Problem = tuple[int, str | None, str]


def text_of(*lines: str, end: str = "\n", delimiter: str = ",") -> str:
    return end.join([*(line.replace(",", delimiter) for line in lines), ""])


def file_of(*lines: str, end: str = "\r\n", delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    return text_of(*lines, end=end, delimiter=delimiter).encode(encoding)


def quoted(line: str, separator: str = ",") -> str:
    return separator.join(f'"{cell}"' for cell in line.split(","))


def rows_with(column: str, *cells: str, delimiter: str = ",") -> list[str]:
    """Return as many rows of the table as there are cells, with these cells in one column."""
    position = HEADER.split(",").index(column)
    rows = []
    for row, cell in zip(ROWS, cells, strict=False):
        values = row.split(",")
        values[position] = cell
        rows.append(delimiter.join(values))
    return rows


def file_with(column: str, *cells: str, encoding: str = "utf-8") -> bytes:
    """Return the table with other cells in one column; between tabs, decimal commas need no quotes."""
    lines = [HEADER.replace(",", "\t"), *rows_with(column, *cells, delimiter="\t"), ""]
    return "\r\n".join(lines).encode(encoding)


def rejection_of(content: bytes) -> DealsError:
    with pytest.raises(DealsError) as caught:
        deals_in(content)
    return caught.value


def problems_of(error: DealsError) -> list[Problem]:
    return [(problem.line, problem.column, problem.reason_code) for problem in error.problems]


# Accepted files with the same three deals


SAME_DEALS: dict[str, bytes] = {
    "program: pandas with an index": file_of(f",{HEADER}", *(f"{n},{row}" for n, row in enumerate(ROWS)), end="\n"),
    "program: pandas after a missing quantity": file_with("quantity", "6.0", "2.0", "1.0"),
    "program: pandas with a decimal comma": file_with("total", "612,0", "8502,5", "100000,0"),
    "program: pandas with time zones": file_of(HEADER, *(f"{row}+00:00" for row in ROWS), end="\n"),
    "program: pandas with all cells quoted": file_of(*map(quoted, TABLE), end="\n"),
    "program: polars with a byte-order mark": file_of(*TABLE, end="\n", encoding="utf-8-sig"),
    "program: pyarrow with nanoseconds": file_of(quoted(HEADER), *(f"{row}.000000000" for row in ROWS), end="\n"),
    "program: R write.csv": file_of(quoted(f",{HEADER}"), *(f'"{n}",{row}' for n, row in enumerate(ROWS, 1)), end="\n"),
    "program: R write.csv2": file_with("total", "612", "8502,5", "100000"),
    "program: psql --csv": file_of(HEADER, *(f"{row}+00" for row in ROWS), end="\n"),
    "program: psql -A without footer": file_of(*TABLE, end="\n", delimiter="|"),
    "program: sqlite3 in list mode": file_of(*TABLE, end="\n", delimiter="|"),
    "program: sqlite3 in CSV mode": file_of(*TABLE),
    "program: MySQL batch mode": file_of(*TABLE, end="\n", delimiter="\t"),
    "program: MySQL OUTFILE with quotes": file_of(*map(quoted, TABLE), end="\n"),
    "program: SQL Server datetime2": file_with("date", *(f"{row.split(',')[4]}.0000000" for row in ROWS)),
    "program: SQL Server datetimeoffset": file_with("date", *(f"{row.split(',')[4]}.0000000 +00:00" for row in ROWS)),
    "program: BigQuery": file_with("date", *(f"{row.split(',')[4]} UTC" for row in ROWS)),
    "program: Java Instant": file_with("date", *(f"{row.split(',')[4].replace(' ', 'T')}.000000000Z" for row in ROWS)),
    "program: PowerShell 5 Export-Csv": file_of(
        "#TYPE System.Management.Automation.PSCustomObject", *map(quoted, TABLE), encoding="utf-8-sig"
    ),
    "program: PowerShell 5 redirection": b"\xff\xfe" + file_of(*map(quoted, TABLE), encoding="utf-16-le"),
    "program: PowerShell 7": file_of(*map(quoted, TABLE)),
    "program: Excel CSV UTF-8": file_of(*TABLE, delimiter=";", encoding="utf-8-sig"),
    "program: Russian Excel": file_of(*TABLE, delimiter=";", encoding="cp1251"),
    "program: Excel Unicode Text": b"\xff\xfe" + file_of(*TABLE, delimiter="\t", encoding="utf-16-le"),
    "program: 1C with a report title": file_of(
        "История сделок", "за 2018-2019 гг.", "", *TABLE, delimiter=";", encoding="cp1251"
    ),
    "program: FoxPro with Ctrl-Z": file_of(*TABLE, delimiter=";", encoding="cp1251") + b"\x1a",
    "program: CP/M padding with Ctrl-Z": file_of(*TABLE) + b"\x1a" * 128,
    "program: SAP with sep=": file_of("sep=;", *TABLE, delimiter=";"),
    "program: join with comma and space": file_of(*(quoted(line, ", ") for line in TABLE), end="\n"),
    "encoding: two byte-order marks": b"\xef\xbb\xbf" * 2 + file_of(*TABLE),
    "encoding: two byte-order marks before a quote": b"\xef\xbb\xbf" * 2 + file_of(*map(quoted, TABLE)),
    "encoding: UTF-16 big-endian": b"\xfe\xff" + file_of(*TABLE, encoding="utf-16-be"),
    "encoding: UTF-16 big-endian with bars": b"\xfe\xff" + file_of(*TABLE, delimiter="|", encoding="utf-16-be"),
    "encoding: UTF-16 with two byte-order marks": b"\xff\xfe" * 2 + file_of(*TABLE, encoding="utf-16-le"),
    "encoding: UTF-16 with Ctrl-Z": b"\xff\xfe" + file_of(*TABLE, encoding="utf-16-le") + b"\x1a\0",
    "encoding: Windows-1251 with no-break spaces": file_with(
        "total", "612,00", "8\u00a0502,50", "100\u00a0000,00", encoding="cp1251"
    ),
    "line ends: CR": file_of(*TABLE, end="\r"),
    "line ends: CR with quoted cells": file_of(*map(quoted, TABLE), end="\r"),
    "line ends: CR in Windows-1251": file_of(*TABLE, end="\r", delimiter=";", encoding="cp1251"),
    "line ends: CR in UTF-16 with quotes and tabs": (
        b"\xff\xfe" + file_of(*map(quoted, TABLE), end="\r", delimiter="\t", encoding="utf-16-le")
    ),
    "line ends: CR with blank lines": file_of("", *TABLE, "", ",,,,", end="\r"),
    "line ends: CR with line breaks in a quoted note": file_of(
        f"{HEADER},note", f'{ROWS[0]},"a\rb\r"', f"{ROWS[1]},", f"{ROWS[2]},c", end="\r"
    ),
    "line ends: CR CR LF": file_of(*TABLE, end="\r\r\n"),
    "line ends: LF and CRLF": file_of(*TABLE[:2], end="\n") + file_of(*TABLE[2:]),
    "header: after padded rows": file_of(",,,,", ",,,,", *TABLE, delimiter=";"),
    "header: in line 10 after titles": file_of(*["Title; with, both"] * 9) + file_of(*TABLE, delimiter=";"),
    "header: in line 10 after blank lines with CR": file_of(*[""] * 9, *TABLE, end="\r"),
    "header: after the names in a sentence": (
        file_of("Columns: customer, item, total, quantity, date") + file_of(*TABLE, delimiter=";")
    ),
    "header: after a title with one quote": file_of('"Deals', *TABLE),
    "header: quoted, after a title with one quote": file_of('"Deals', *map(quoted, TABLE)),
    "header: invisible characters": file_of("customer\u200b,\ufeffitem,\u00a0total,quantity\u2060,date\u00ad", *ROWS),
    "header: title case and spaces": file_of("Customer , ITEM,Total,Quantity, Date", *ROWS),
    "header: titles with other delimiters": file_of("a;b;c;d;e;f;g;h|i|j", *TABLE),
    "header: sep= of another delimiter": file_of("sep=;", *TABLE),
    "delimiter: tabs after spaces and quotes": file_of(*(quoted(line, "\t ") for line in TABLE)),
    "delimiter: semicolons after spaces and quotes": file_of(*(quoted(line, ";  ") for line in TABLE)),
    "delimiter: one at the end of each line": file_of(*(f"{line},," for line in TABLE)),
    "delimiter: one at the beginning and the end": file_of(*(f",{line}," for line in TABLE), delimiter="|"),
    "total: groups with spaces": file_with("total", "612,00", "8 502,50", "100 000,00"),
    "total: groups with narrow spaces": file_with("total", "612,00", "8\u202f502,50", "100\u202f000,00"),
    "total: groups with thin spaces": file_with("total", "612", "8\u2009502,5", "100\u2009000"),
    "total: Swiss groups": file_with("total", "612.00", "8'502.50", "100’000.00"),
    "total: German groups": file_with("total", "612,00", "8.502,50", "100.000,00"),
    "total: English groups in quotes": file_of(
        HEADER, ROWS[0], ROWS[1].replace("8502.50", '"8,502.50"'), ROWS[2].replace("100000", '"100,000.00"')
    ),
    "total: decimal comma in quotes": file_of(HEADER, ROWS[0], ROWS[1].replace("8502.50", '"8502,50"'), ROWS[2]),
    "total: four decimals": file_with("total", "612.0000", "8502.5000", "100000.0000"),
    "total: plus signs": file_with("total", "+612", "+8502.5", "+100000"),
    "quantity: decimals that are zeros": file_with("quantity", "6,00", "2.0000", "1,0"),
    "date: day first": file_with("date", "14.12.2018 08:29:52", "15.12.2018 14:43:45", "4.3.2019 5:06:07"),
    "date: slashes with the year first": file_with(
        "date", "2018/12/14 08:29:52", "2018/12/15 14:43:45", "2019/3/4 5:06:07"
    ),
    "date: one-digit hour": file_with("date", "2018-12-14 8:29:52", "2018-12-15 14:43:45", "2019-3-4 5:6:7"),
    "date: offsets": file_with(
        "date", "2018-12-14T11:29:52+03:00", "2018-12-15 20:13:45 +0530", "2019-03-03 21:06:07-08"
    ),
    "date: decimal comma": file_with("date", "2018-12-14 08:29:52,000", "15.12.2018 14:43:45,0", "2019-03-04 05:06:07"),
}


@pytest.mark.database_independent
@pytest.mark.parametrize("content", SAME_DEALS.values(), ids=SAME_DEALS)
def test_unambiguous_file_has_the_same_deals(content: bytes) -> None:
    assert deals_in(content) == DEALS


@pytest.mark.database_independent
@pytest.mark.parametrize(
    ("cells", "lost"),
    [
        (["2018-12-14 08:29", "2018-12-15 14:43", "2019-03-04 05:06"], timedelta(minutes=1)),
        (["2018-12-14T08:29", "2018-12-15T14:43", "2019-03-04T05:06"], timedelta(minutes=1)),
        (["14.12.2018 8:29", "15.12.2018 14:43", "04.03.2019 5:06"], timedelta(minutes=1)),
    ],
    ids=["ISO", "datetime-local inputs", "Russian Excel"],
)
def test_dates_without_seconds_are_whole_minutes(cells: list[str], lost: timedelta) -> None:
    assert [deal.date for deal in deals_in(file_with("date", *cells))] == [
        deal.date.replace(second=0) for deal in DEALS
    ]


# Accepted files with particular names


@dataclass(frozen=True)
class Names:
    content: bytes
    #: Customer and gem of each deal.
    expected: list[tuple[str, str]]


def names(*lines: str, end: str = "\n") -> bytes:
    return file_of(HEADER, *(f"{line},5,1,2018-12-14 08:29:52" for line in lines), end=end)


ACCEPTED_NAMES: dict[str, Names] = {
    "quotes after a space": Names(names('ann, "ruby"', "bob,ruby"), [("ann", "ruby"), ("bob", "ruby")]),
    "comma in quotes after a space": Names(names('ann,  "ruby, red"'), [("ann", "ruby, red")]),
    "quotes that belong to the name": Names(names('ann,"""ruby"""', 'ann,5"'), [("ann", '"ruby"'), ("ann", '5"')]),
    "invisible characters at the edges": Names(
        names("ann,ruby\u200b", "\ufeffann,ruby", "\u2060ann\u00a0,\u00adruby"), [("ann", "ruby")] * 3
    ),
    "line separators of Unicode at the edges": Names(names("ann\u2028,\u2029ruby", "ann,ruby"), [("ann", "ruby")] * 2),
    "composed and decomposed letters": Names(names("Йё,ruby", "И\u0306е\u0308,ruby"), [("Йё", "ruby")] * 2),
    "two spaces inside": Names(names("ann,Лунный  камень"), [("ann", "Лунный  камень")]),
    "question marks beside letters": Names(names("who?,ruby ???", "?1,a?"), [("who?", "ruby ???"), ("?1", "a?")]),
    "words for missing values": Names(names("NULL,NA", "None,nan"), [("NULL", "NA"), ("None", "nan")]),
    "hash signs": Names(names("#1,##", "#ann,C#"), [("#1", "##"), ("#ann", "C#")]),
    "error value inside a name": Names(names("see #REF!,#N/A or ruby"), [("see #REF!", "#N/A or ruby")]),
    "apostrophes": Names(names("O'Neil,'ruby'"), [("O'Neil", "'ruby'")]),
    "words of totals": Names(names("Total,Sum", "Итого,Всего"), [("Total", "Sum"), ("Итого", "Всего")]),
    "names of columns": Names(names("customer,item", "date,Total"), [("customer", "item"), ("date", "Total")]),
    "delimiters of other files": Names(names("a;b,c|d", "'a;b',c"), [("a;b", "c|d"), ("'a;b'", "c")]),
}


@pytest.mark.database_independent
@pytest.mark.parametrize("file", ACCEPTED_NAMES.values(), ids=ACCEPTED_NAMES)
def test_names_are_read_exactly(file: Names) -> None:
    assert [(deal.customer, deal.item) for deal in deals_in(file.content)] == file.expected


# Rejected cells and rows


def all_rows(column: str, code: str) -> list[Problem]:
    return [(line, column, code) for line in (2, 3, 4)]


FRENCH_ERRORS = ["#N/A", "#NOM?", "#REF!", "#VALEUR!", "#DIV/0!", "#NOMBRE!", "#NUL!"]
GERMAN_ERRORS = ["#NV", "#NAME?", "#BEZUG!", "#WERT!", "#DIV/0!", "#ZAHL!", "#NULL!", "#ÜBERLAUF!"]
RUSSIAN_ERRORS = ["#Н/Д", "#ИМЯ?", "#ССЫЛКА!", "#ЗНАЧ!", "#ДЕЛ/0!", "#ЧИСЛО!", "#ПУСТО!", "#ПЕРЕНОС!"]
SPANISH_ERRORS = ["#N/D", "#¿NOMBRE?", "#¡REF!", "#¡VALOR!", "#¡DIV/0!", "#¡NUM!", "#¡NULO!"]
ENGLISH_ERRORS = [
    "#N/A", "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#ERROR!", "#FIELD!",
    "#BLOCKED!", "#CONNECT!", "#GETTING_DATA", "Err:502", "Err:522",
]  # fmt: skip

REJECTED: dict[str, tuple[bytes, list[Problem]]] = {
    # Dates
    "Excel: only minutes and seconds": (
        file_with("date", "29:52,5", "43:45,9", "06:07,0"),
        all_rows("date", "day_missing"),
    ),
    "Excel: only the time": (file_with("date", "8:29:52", "14:43", "05:06:07"), all_rows("date", "day_missing")),
    "Excel: only the day": (
        file_with("date", "2018-12-14", "14.12.2018", "2018/12/14"),
        all_rows("date", "time_missing"),
    ),
    "Excel: serial numbers": (
        file_with("date", "43448.35408", "43449,61372", "43528"),
        all_rows("date", "serial_number"),
    ),
    "Excel: narrow columns": (file_with("date", "########", "##", "####"), all_rows("date", "column_too_narrow")),
    "Excel: month first": (
        file_with("date", "12/14/2018 8:29:52", "12/15/2018 14:43", "3/4/2019 5:06:07"),
        all_rows("date", "day_or_month_first"),
    ),
    "Excel: month first with AM": (
        file_with("date", "12/14/2018 8:29:52 AM", "12/15/18 2:43 PM", "3/4/2019 5:06 AM"),
        all_rows("date", "day_or_month_first"),
    ),
    "Excel: day first with slashes or hyphens": (
        file_with("date", "14/12/2018 8:29", "15-12-2018 14:43", "04/03/2019 5:06"),
        all_rows("date", "day_or_month_first"),
    ),
    "Excel: years of two digits": (
        file_with("date", "14.12.18 8:29", "15.12.18", "04.03.19 5:06:07"),
        all_rows("date", "two_digit_year"),
    ),
    "LibreOffice: month first with dots": (
        file_with("date", "12.14.2018 8:29", "12.03.2018 14:43", "12.15.2018 5:06"),
        [(2, "date", "no_such_date"), (4, "date", "no_such_date")],
    ),
    "12-hour clock": (
        file_with("date", "2018-12-14 8:29:52 AM", "Dec 15, 2018 2:43 PM", "4.3.2019 5:06 am"),
        all_rows("date", "twelve_hour_clock"),
    ),
    "Unix timestamps": (
        file_with("date", "1544776192", "1544776192506", "1544776192.506166"),
        all_rows("date", "unix_timestamp"),
    ),
    "Unix timestamps in nanoseconds": (
        file_with("date", "1544776192506166000", "1544776192506166", "1544776192,5"),
        all_rows("date", "unix_timestamp"),
    ),
    "pandas: nanoseconds": (
        file_with(
            "date", "2018-12-14 08:29:52.506166007", "2018-12-14T08:29:52.0000001Z", "14.12.2018 8:29:52,1234567"
        ),
        all_rows("date", "too_many_second_decimals"),
    ),
    "other programs: unknown dates": (
        file_with("date", "Fri Dec 14 2018 08:29:52 GMT+0300", "14 Dec 2018 08:29:52", "2018-12-14 08:29:52 +0000 UTC"),
        all_rows("date", "not_a_date"),
    ),
    "PostgreSQL: German dates with a zone": (file_with("date", "14.12.2018 08:29:52 MSK"), [(2, "date", "not_a_date")]),
    # Amounts and quantities
    "total: thousands or decimals": (
        file_with("total", "1,234", "1.234", "612.000"),
        all_rows("total", "ambiguous_separator"),
    ),
    "total: three decimals with a comma": (
        file_with("total", "0,500", "8502,500", "612,000"),
        all_rows("total", "ambiguous_separator"),
    ),
    "R: exponents": (file_with("total", "1e+05", "1,23E+11", "6.12E2"), all_rows("total", "exponent")),
    "total: currency signs": (file_with("total", "$612", "8 502,50 ₽", "€100.000,00"), all_rows("total", "currency")),
    "total: currency words": (file_with("total", "612 руб.", "8502 р", "RUB 100000"), all_rows("total", "currency")),
    "PostgreSQL: money": (file_with("total", "$612.00", "$8,502.50", "612,00 €"), all_rows("total", "currency")),
    "total: negative": (file_with("total", "-612", "(8,502.50)", "−100 000"), all_rows("total", "negative")),
    "total: Indian groups": (file_with("total", "1,23,456.00"), [(2, "total", "not_an_amount")]),
    "total: missing values": (file_with("total", "NA", r"\N", "-"), all_rows("total", "not_an_amount")),
    "total: empty": (file_with("total", "", " ", "\u00a0"), all_rows("total", "empty")),
    "total: narrow columns": (file_with("total", "###", "##", "########"), all_rows("total", "column_too_narrow")),
    "total: error values": (file_with("total", "#N/A", "#ЗНАЧ!", "#WERT!"), all_rows("total", "spreadsheet_error")),
    "total: text of a spreadsheet": (file_with("total", "'612", '="612"', "612,-"), all_rows("total", "not_an_amount")),
    "total: decimal comma without quotes": (
        file_of(HEADER, *ROWS[:1], ROWS[1].replace(".", ",")),
        [(3, None, "wrong_cell_count")],
    ),
    "1C: quantities with three decimals": (
        file_with("quantity", "6,000", "2.000", "1,000"),
        all_rows("quantity", "ambiguous_separator"),
    ),
    "quantity: pieces": (file_with("quantity", "6 шт", "2 pcs", "1 шт."), all_rows("quantity", "not_a_quantity")),
    "quantity: halves and zero": (file_with("quantity", "6,5", "0", "0.0"), all_rows("quantity", "not_a_quantity")),
    "MySQL: missing quantity": (file_with("quantity", r"\N"), [(2, "quantity", "not_a_quantity")]),
    "quantity: narrow column": (file_with("quantity", "##"), [(2, "quantity", "column_too_narrow")]),
    "quantity: error value": (file_with("quantity", "#DIV/0!"), [(2, "quantity", "spreadsheet_error")]),
    # Names
    "Excel: letters lost": (file_with("item", "?????", "??? ??", "«???»-?"), all_rows("item", "letters_lost")),
    "PowerShell 5: letters lost in ASCII": (
        file_of(*map(quoted, [HEADER, *rows_with("item", "?????")])),
        [(2, "item", "letters_lost")],
    ),
    "replacement characters": (
        file_with("customer", "Руб\ufffdн", "\ufffd", "a\ufffd"),
        all_rows("customer", "letters_lost"),
    ),
    "MySQL: missing name": (file_with("customer", r"\N"), [(2, "customer", "null")]),
    "tab before a quote": (names('ann,\t"ruby"'), [(2, "item", "misplaced_quote")]),
    "no-break space before a quote": (names('\u00a0"ann",ruby'), [(2, "customer", "misplaced_quote")]),
    "line break in a name": (
        names('"ann\r\nlee",ruby', 'bob,"ru\nby"'),
        [(2, "customer", "control_character"), (4, "item", "control_character")],
    ),
    **{
        f"error values: {language}": (
            names(*(f"{value},ruby" for value in values)),
            [(line, "customer", "spreadsheet_error") for line in range(2, len(values) + 2)],
        )
        for language, values in {
            "English": ENGLISH_ERRORS,
            "Russian": RUSSIAN_ERRORS,
            "German": GERMAN_ERRORS,
            "French": FRENCH_ERRORS,
            "Spanish": SPANISH_ERRORS,
        }.items()
    },
    # Quotes
    "MySQL: backslash before a quote": (names('"a\\"b",ruby'), [(2, None, "text_after_quote")]),
    "MySQL: backslash before a comma": (names("a\\,b,ruby"), [(2, None, "wrong_cell_count")]),
    "space after a quote": (names('"ann" ,ruby'), [(2, None, "text_after_quote")]),
    "quote left open": (file_of(*TABLE, '"ann,ruby,1,1,2018-12-14 08:29:52'), [(5, None, "unclosed_quote")]),
    # Rows
    "totals: customer": (file_of(*TABLE, "Итого,,109114.50,,"), [(5, None, "totals_row")]),
    "totals: item": (file_of(*TABLE, ",Total,109114.50,9,"), [(5, None, "totals_row")]),
    "totals: date": (file_of(*TABLE, ",,109114.50,9,Всего"), [(5, None, "totals_row")]),
    "totals: colon and capitals": (file_of(*TABLE, "ИТОГО:,,109114.50,9,"), [(5, None, "totals_row")]),
    "totals: other column": (file_of(f"number,{HEADER}", f"1,{ROWS[0]}", "Total,,,612,6,"), [(3, None, "totals_row")]),
    "totals: only numbers": (file_of(*TABLE, ",,109114.50,9,"), [(5, None, "totals_row")]),
    "totals: only one number": (file_of(*TABLE, ",,109114.50,,"), [(5, None, "totals_row")]),
    "totals: short row": (file_of(*TABLE, "Total,,109114.50"), [(5, None, "totals_row")]),
    "totals: formula": (file_of(*TABLE, ",,=SUM(C2:C4),,"), [(5, None, "totals_row")]),
    "totals: German and French": (
        file_of(*TABLE, "Gesamt,,109114.50,9,", "Summe:,,109114.50,9,", "Total général,,109114.50,9,"),
        [(5, None, "totals_row"), (6, None, "totals_row"), (7, None, "totals_row")],
    ),
    "totals: words around": (
        file_of(*TABLE, "Итого за 2018 год:,,109114.50,9,", "Всего по отчёту,,109114.50,,", "Subtotal,,1,1,"),
        [(5, None, "totals_row"), (6, None, "totals_row"), (7, None, "totals_row")],
    ),
    "totals: decimals lost": (file_of(*TABLE, "Итого;;109114,50;9;", delimiter=";"), [(5, None, "totals_row")]),
    "note in a row without a deal": (
        file_of(f"{HEADER},note", f"{ROWS[0]},", ",,,,,checked"),
        [(3, column, "empty") for column in HEADER.split(",")],
    ),
    "MySQL: table with borders": (
        file_of("+-----+", f"|{HEADER}|".replace(",", "|"), "+-----+", f"|{ROWS[0]}|".replace(",", "|"), "+-----+"),
        [(3, None, "wrong_cell_count"), (5, None, "wrong_cell_count")],
    ),
    "header repeated by concatenation": (file_of(*TABLE, *TABLE), [(5, None, "repeated_header")]),
    "header repeated with a byte-order mark": (
        file_of(*TABLE) + file_of(*TABLE, encoding="utf-8-sig"),
        [(5, None, "repeated_header")],
    ),
    "header repeated with a byte-order mark and quotes": (
        file_of(*map(quoted, TABLE)) + file_of(*map(quoted, TABLE), encoding="utf-8-sig"),
        [(5, None, "repeated_header")],
    ),
    "row with a byte-order mark before a quote": (
        file_of(*map(quoted, TABLE)) + file_of(quoted(ROWS[0]), encoding="utf-8-sig"),
        [(5, "customer", "misplaced_quote")],
    ),
    "R: row names without a name": (
        file_of(quoted(HEADER), *(f'"{n}",{row}' for n, row in enumerate(ROWS, 1)), delimiter="\t"),
        [(2, None, "wrong_cell_count"), (3, None, "wrong_cell_count"), (4, None, "wrong_cell_count")],
    ),
    "psql: footer": (file_of(*TABLE, "(3 rows)", delimiter="|"), [(5, None, "wrong_cell_count")]),
    "psql: aligned": (
        file_of(*(line.replace(",", " | ") for line in (f" {HEADER}", *ROWS))).replace(
            b"date\r\n", b"date\r\n-----+------+-----+----+----\r\n"
        ),
        [(2, None, "wrong_cell_count")],
    ),
    "rows in one cell": (file_of(HEADER, f'"{ROWS[0]}"', ROWS[1]), [(2, None, "wrong_cell_count")]),
    "rows with another delimiter": (file_of(HEADER) + file_of(ROWS[0], delimiter=";"), [(2, None, "wrong_cell_count")]),
    "row cut off": (file_of(*TABLE, "ann,Рубин,612"), [(5, None, "wrong_cell_count")]),
    # Line numbers
    "line number: after titles": (
        file_of("Title", "", ",,", HEADER, *rows_with("total", "x")),
        [(5, "total", "not_an_amount")],
    ),
    "line number: CR": (
        file_of(*TABLE, "ann,Рубин,x,6,y", end="\r"),
        [(5, "total", "not_an_amount"), (5, "date", "not_a_date")],
    ),
    "line number: CR after line breaks in quotes": (
        file_of(f"{HEADER},note", f'{ROWS[0]},"a\rb"', "ann,Рубин,x,6,2018-12-14 08:29:52,", end="\r"),
        [(4, "total", "not_an_amount")],
    ),
    "line number: UTF-16": (
        b"\xfe\xff" + file_of("sep=,", *TABLE, "", "ann,,1,6,2018-12-14 08:29:52", encoding="utf-16-be"),
        [(7, "item", "empty")],
    ),
}


@pytest.mark.database_independent
@pytest.mark.parametrize(("content", "expected"), REJECTED.values(), ids=REJECTED)
def test_invalid_cells_and_rows_are_reported(content: bytes, expected: list[Problem]) -> None:
    error = rejection_of(content)
    assert isinstance(error, UploadHasProblems)
    assert problems_of(error) == expected


@pytest.mark.database_independent
@pytest.mark.parametrize(
    ("column", "cell", "hint"),
    [
        ("date", "29:52,5", "a spreadsheet saved only the time; format the column as yyyy-mm-dd hh:mm:ss"),
        ("date", "43448.35408", "serial number"),
        ("date", "1544776192", "Unix timestamp"),
        ("date", "2018-12-14", "no time of day"),
        ("date", "12/14/2018 8:29", "the day or with the month"),
        ("date", "14.12.18 8:29", "year of two digits"),
        ("date", "2018-12-14 08:29:52.506166007", "decimal places"),
        ("total", "1e+05", "scientific notation, which may have lost digits"),
        ("total", "612 ₽", "currency sign"),
        ("total", "1,234", "thousands or decimals"),
        ("quantity", "6,000", "whole number"),
        ("quantity", "6 шт", "whole number"),
        ("item", "?????", "lost its letters when the file was saved; save it as CSV UTF-8"),
        ("item", "#ИМЯ?", "error value of a spreadsheet"),
    ],
)
def test_message_of_an_invalid_cell_has_a_hint(column: str, cell: str, hint: str) -> None:
    message = rejection_of(file_with(column, cell)).message
    assert hint in message
    assert repr(cell) in message


# Rejected files


def zip_of(*file_names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in file_names:
            archive.writestr(name, text_of(*TABLE))
    return buffer.getvalue()


def xlsx(folder: Path) -> bytes:
    path = folder / "deals.xlsx"
    write_xlsx(path, [HEADER.split(",")], number_format="General", date_format="General")
    return path.read_bytes()


def ods() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<?xml version='1.0'?>", zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("deals.csv")
        info.size = len(file_of(*TABLE))
        archive.addfile(info, io.BytesIO(file_of(*TABLE)))
    return buffer.getvalue()


UNREADABLE: dict[str, tuple[bytes, str, list[Problem]]] = {
    # Encodings
    "UTF-16 without a byte-order mark": (
        file_of(*TABLE, encoding="utf-16-le"),
        "UTF-16 has; save it as CSV UTF-8",
        [(1, None, "nul_bytes")],
    ),
    "UTF-16 big-endian without a byte-order mark": (
        file_of(*TABLE, encoding="utf-16-be"),
        "UTF-16 has; save it as CSV UTF-8",
        [(1, None, "nul_bytes")],
    ),
    "MacCyrillic": (
        file_of(*TABLE, delimiter=";", encoding="mac-cyrillic"),
        "encoding of a Mac",
        [(1, None, "mac_cyrillic")],
    ),
    "MacCyrillic with CR": (
        file_of(*TABLE, end="\r", encoding="mac-cyrillic"),
        "encoding of a Mac",
        [(1, None, "mac_cyrillic")],
    ),
    **{
        encoding: (file_of(*TABLE, encoding=encoding), "save the file again as CSV UTF-8", [(2, None, "not_utf8")])
        for encoding in ("cp866", "koi8-r", "iso8859-5", "shift-jis", "gbk")
    },
    "Windows-1251 with short names": (
        file_of(HEADER, "ИП Ли,Яд,5,1,2018-12-14 08:29:52", delimiter=";", encoding="cp1251"),
        "neither UTF-8 nor clearly Windows-1251",
        [(2, None, "not_utf8")],
    ),
    "Windows-1251 with no-break spaces only": (
        file_of(
            HEADER, "ann,ruby,612,6,2018-12-14 08:29:52", "bob,ruby,8\u00a0502,2,2018-12-15 14:43:45", encoding="cp1251"
        ),
        "neither UTF-8 nor clearly Windows-1251",
        [(3, None, "not_utf8")],
    ),
    "UTF-8 and Windows-1251 in one file": (
        file_of(*TABLE) + file_of(*ROWS, encoding="cp1251")[:30],
        "save the file again as CSV UTF-8",
        [(5, None, "not_utf8")],
    ),
    # Headers
    "typing error": (
        file_of(HEADER.replace("cust", "cusx"), *ROWS),
        "found are 'cusxomer', 'item'",
        [(1, "customer", "missing_column")],
    ),
    "Russian names": (
        file_of("Клиент,Товар,Сумма,Количество,Дата", *ROWS, delimiter=";", encoding="cp1251"),
        "found are 'Клиент', 'Товар'",
        [(1, column, "missing_column") for column in HEADER.split(",")],
    ),
    "units": (
        file_of(HEADER.replace("total", "total (руб.)"), *ROWS),
        "found are 'customer', 'item', 'total (руб.)'",
        [(1, "total", "missing_column")],
    ),
    "sqlite3 in quote mode": (
        file_of("'customer','item','total','quantity','date'", *ROWS),
        "found are \"'customer'\", \"'item'\"",
        [(1, column, "missing_column") for column in HEADER.split(",")],
    ),
    "tab before quotes": (
        file_of(quoted(HEADER, ",\t"), *ROWS),
        "it lacks item, total, quantity, date",
        [(1, column, "missing_column") for column in HEADER.split(",")[1:]],
    ),
    "missing": (file_of(*ROWS), "has no header: line 1 is already a deal", [(1, None, "header_missing")]),
    "missing, with day first": (
        file_of("ann,Рубин,612,6,14.12.2018 8:29", delimiter=";"),
        "has no header: line 1 is already a deal",
        [(1, None, "header_missing")],
    ),
    "in line 11 after blank lines": (
        file_of(*[""] * 10, *TABLE),
        "no header in its first 10 lines",
        [(1, None, "no_header")],
    ),
    "in line 11 after padded lines": (
        file_of(*[",,,,"] * 10, *TABLE),
        "no header in its first 10 lines",
        [(1, None, "no_header")],
    ),
    "in line 11 after titles": (
        file_of(*["Title"] * 10, *TABLE),
        "Line 1 is not the header",
        [(1, column, "missing_column") for column in HEADER.split(",")],
    ),
    "whole lines in quotes": (
        file_of(*(f'"{line}"' for line in TABLE)),
        "all columns in one cell of line 1",
        [(1, None, "columns_in_one_cell")],
    ),
    "R write.table with spaces": (
        file_of(*(quoted(line, " ") for line in TABLE)),
        "all columns in one cell",
        [(1, None, "columns_in_one_cell")],
    ),
    "columns of fixed width": (
        file_of(*TABLE, delimiter="    "),
        "all columns in one cell",
        [(1, None, "columns_in_one_cell")],
    ),
    "unknown delimiter": (
        file_of(*TABLE, delimiter="^"),
        "all columns in one cell",
        [(1, None, "columns_in_one_cell")],
    ),
    "a repeated name": (
        file_of(f"{HEADER},date", *ROWS),
        "it has date more than once",
        [(1, "date", "repeated_column")],
    ),
    # Other formats
    "JSON": (json.dumps([{"customer": "ann"}], indent=1).encode(), "looks like JSON", [(1, None, "json")]),
    "JSON with a byte-order mark": (b"\xef\xbb\xbf" + b'{"deals": []}', "looks like JSON", [(1, None, "json")]),
    "JSON Lines": (
        b'{"customer":"ann","item":"ruby"}\n{"customer":"bob","item":"ruby"}\n',
        "looks like JSON",
        [(1, None, "json")],
    ),
    "HTML": (
        b"<!DOCTYPE html>\n<html><body>customer,item,total,quantity</body></html>",
        "looks like HTML",
        [(1, None, "markup")],
    ),
    "XML": (b'<?xml version="1.0"?>\n<Workbook><Cell>customer</Cell></Workbook>', "HTML or XML", [(1, None, "markup")]),
    "gzip": (gzip.compress(file_of(*TABLE)), "compressed with gzip", [(1, None, "compressed")]),
    "bzip2": (bz2.compress(file_of(*TABLE)), "compressed with bzip2", [(1, None, "compressed")]),
    "xz": (lzma.compress(file_of(*TABLE)), "compressed with xz", [(1, None, "compressed")]),
    "Zstandard": (b"\x28\xb5\x2f\xfd\x24\x10\x81\0\0", "compressed with Zstandard", [(1, None, "compressed")]),
    "ZIP": (zip_of("deals.csv"), "a ZIP archive", [(1, None, "archive")]),
    "ZIP without files": (zip_of(), "a ZIP archive", [(1, None, "archive")]),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04\xa9\xd2\n", "a 7z archive", [(1, None, "archive")]),
    "RAR 5": (b"Rar!\x1a\x07\x01\0\x33\x92", "a RAR archive", [(1, None, "archive")]),
    "RAR 4": (b"Rar!\x1a\x07\0\xcf\x90\x73", "a RAR archive", [(1, None, "archive")]),
    "tar": (tar(), "a tar archive", [(1, None, "archive")]),
    "ODS": (ods(), "an OpenDocument spreadsheet (.ods)", [(1, None, "opendocument_spreadsheet")]),
    "XLS": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b">\0\x03\0\xfe\xff\t\0",
        "an Excel workbook (.xls)",
        [(1, None, "excel_workbook")],
    ),
    "SQLite": (b"SQLite format 3\0\x10\0\1\1", "an SQLite database", [(1, None, "sqlite_database")]),
    "Parquet": (b"PAR1\x15\x04\x15\x1e", "a Parquet file", [(1, None, "parquet_file")]),
}


@pytest.mark.database_independent
@pytest.mark.parametrize(("content", "message", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_file_that_is_not_a_table_of_deals_is_named(content: bytes, message: str, expected: list[Problem]) -> None:
    error = rejection_of(content)
    assert isinstance(error, UnreadableUpload)
    assert message in error.message
    assert problems_of(error) == expected


@pytest.mark.database_independent
def test_workbook_of_excel_is_named(tmp_path: Path) -> None:
    assert "an Excel workbook (.xlsx); save it as CSV" in rejection_of(xlsx(tmp_path)).message


@pytest.mark.database_independent
def test_document_of_word_is_not_called_a_workbook() -> None:
    message = rejection_of(zip_of("[Content_Types].xml", "_rels/.rels", "word/document.xml")).message
    assert "Excel" not in message
    assert "UTF-16" not in message


@pytest.mark.database_independent
@pytest.mark.parametrize(
    "above", [ROWS[:1], ["Title", *ROWS[:2]], ["", *ROWS[:1], ""]], ids=["sorted lines", "below a title", "blank lines"]
)
def test_deals_above_the_header_are_not_ignored(above: list[str]) -> None:
    """The lines of the file were sorted, or a file without a header was put before another one."""
    with pytest.raises(DealsError):
        deals_in(file_of(*above, HEADER, *ROWS))


# Over HTTP


def post(client: Client, content: bytes, name: str) -> Any:
    return client.post("/api/upload/", {"deals": SimpleUploadedFile(name, content)})


RANKING = [
    {"username": "ann", "spent_money": 100612, "gems": ["Рубин"]},
    {"username": "bob", "spent_money": 8502.5, "gems": ["Рубин"]},
]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("program: Russian Excel", "Сделки.csv"),
        ("program: Excel Unicode Text", "deals.txt"),
        ("program: MySQL batch mode", "deals.tsv"),
        ("program: join with comma and space", "DEALS.CSV"),
        ("total: German groups", "deals"),
        ("line ends: CR with quoted cells", "deals.csv"),
    ],
)
def test_uploaded_file_changes_the_ranking(client: Client, kind: str, name: str) -> None:
    assert post(client, SAME_DEALS[kind], name).json()["Status"] == "OK"
    assert client.get("/api/upload/").json() == {"response": RANKING}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "kind",
    ["Excel: only minutes and seconds", "Excel: letters lost", "totals: customer", "total: thousands or decimals"],
)
def test_rejected_file_lists_its_problems_and_keeps_the_ranking(client: Client, kind: str) -> None:
    post(client, file_of(*TABLE), "deals.csv")
    content, expected = REJECTED[kind]
    response = post(client, content, "deals.csv")
    assert response.status_code == 400
    assert response.json()["Status"] == "Error"
    assert [
        (problem["line"], problem["column"], problem["reason_code"]) for problem in response.json()["Errors"]
    ] == expected
    assert client.get("/api/upload/").json() == {"response": RANKING}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["MacCyrillic", "typing error", "JSON", "ZIP"])
def test_unreadable_file_is_explained_and_keeps_the_ranking(client: Client, kind: str) -> None:
    post(client, file_of(*TABLE), "deals.csv")
    content, message, _ = UNREADABLE[kind]
    response = post(client, content, "deals.csv")
    assert response.status_code == 400
    assert response.json()["Status"] == "Error"
    assert message in response.json()["Desc"]
    assert client.get("/api/upload/").json() == {"response": RANKING}
