"""The accepted forms of files and cells, and every small change of them, compared with the reference parser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from deals_api.errors import UploadHasProblems
from deals_api.formats import COLUMNS
from tests import reference_parser
from tests.long_form import IS_LONG, sample
from tests.reference_parser import Deal
from tests.test_csv_reader import SIZES, compare_with_reference, deals_in, outcome, patched_sizes, quoted

pytestmark = pytest.mark.database_independent


HEADER = "customer,item,total,quantity,date"
DATE = datetime(2018, 12, 14, 8, 29, 52, tzinfo=UTC)
HALF_PAST = datetime(2018, 12, 14, 8, 30, tzinfo=UTC)
ANN = Deal("ann", "ruby", Decimal(612), 6, DATE)
ROW = "ann,ruby,612,6,2018-12-14 08:29:52"
#: A file with the deal ANN.
FILE = f"{HEADER}\n{ROW}\n"


def read_with_reference(content: bytes) -> list[Deal]:
    """Read a file also in Windows-1251; the reference parser does not examine the evidence for it."""
    try:
        text = reference_parser.decode(content)
    except UnicodeDecodeError:
        text = reference_parser.decode(content.decode("cp1251").encode())
    return reference_parser.read(text)


# Tests of the reference parser itself


def with_cell(column: str, cell: str) -> str:
    """Return a file with one deal, in which one cell is replaced."""
    cells = dict(zip(COLUMNS, ROW.split(","), strict=True)) | {column: quoted(cell)}
    return f"{HEADER}\n{','.join(cells.values())}\n"


ACCEPTED_FILES: dict[str, str | bytes] = {
    "two byte-order marks": "\ufeff\ufeff" + FILE,
    "two byte-order marks before a quote": "\ufeff\ufeff" + FILE.replace("customer", '"customer"'),
    "UTF-16, little-endian": FILE.encode("utf-16"),
    "UTF-16, big-endian": b"\xfe\xff" + FILE.encode("utf-16-be"),
    "CRLF": FILE.replace("\n", "\r\n"),
    "CR": FILE.replace("\n", "\r"),
    "Ctrl-Z": FILE + "\x1a",
    "Ctrl-Z after the last cell": FILE.removesuffix("\n") + "\x1a",
    "semicolons": FILE.replace(",", ";"),
    "tabs": FILE.replace(",", "\t"),
    "vertical bars": FILE.replace(",", "|"),
    "quotes": FILE.replace("ann", '"ann"').replace("date", '"date"'),
    "quotes after spaces": FILE.replace("ann", '  "ann"').replace("item", ' "item"'),
    "nine lines above": "sep=,\n#TYPE\n\n,,,,\nReport, 2018\n\"\n'\ntotal\ncustomer,item\n" + FILE,
    "a header of three lines that begins in line 10": "\n" * 9 + f'"no\n\nte",{HEADER}\nx,{ROW}',
    "mixed case": FILE.replace("customer", "CusTomer").replace("date", "DATE"),
    "invisible characters at the ends": FILE.replace("ann", "\u200b ann\ufeff").replace("item", "\u2060item\u3000"),
    "another order": "date,total,customer,item,quantity\n2018-12-14 08:29:52,612,ann,ruby,6",
    "unused columns": f'a,{HEADER},a\n"x,""y""\nz",{ROW},b\n',
    "missing cells of unused columns": f"a,{HEADER},b,c\nx,{ROW}\n",
    "blank cells after the header's": f"{HEADER}\n{ROW},, ,\u200b\n",
    "blank rows": f"{HEADER}\n\n,,\n \n{ROW}\n,,,,,,\n\n",
    "CR before CRLF": FILE.replace("\n", "\r\r\n"),
}

#: File to problems; None if there is no table.
REJECTED_FILES: dict[str, tuple[str, list[tuple[int, str | None]] | None]] = {
    "empty": ("", None),
    "only a header": (HEADER, None),
    "header in line 11": ("\n" * 10 + FILE, None),
    "repeated column": (f"{HEADER},date\n{ROW},x\n", None),
    "missing column": (FILE.replace("total", "sum"), None),
    "damaged header above another one": (f'"customer" ,item,total,quantity,date\n{ROW}\n{FILE}', None),
    "deal above the header": (f"customer,item,sum,quantity,date\n{ROW}\n{FILE}", None),
    "colons": (FILE.replace(",", ":"), None),
    "whole lines in quotes": (f'"{HEADER}"\n"{ROW}"\n', None),
    "open quote in the header": (f'{HEADER},"note\n{ROW}', None),
    "open quote": (f'{FILE}"{ROW}\n{ROW}', [(3, None)]),
    "text after a quote": (f'{FILE}\n"ann"x,ruby,1,1,2018-12-14 08:29:52\n', [(4, None)]),
    "space after a quote": (f'{FILE}"ann" ,ruby,1,1,2018-12-14 08:29:52\n', [(3, None)]),
    "escaped quote": (FILE.replace("ann", r'"a\"b"'), [(2, None)]),
    "CR in a line": (f"{FILE}{ROW}\r{ROW}\n", [(3, None)]),
    "repeated header": (f"{FILE}Customer, item ,total,quantity,DATE\n{ROW}\n", [(3, None)]),
    "row of totals": (f"{FILE}Итого:,,612,6,\n", [(3, None)]),
    "row of totals in an unused column": (f"a,{HEADER}\nx,{ROW}\nGrand Total,ann,,612,,\n", [(3, None)]),
    "short row of totals": (f"{FILE}total\n", [(3, None)]),
    "only sums": (f"{FILE},,,6,\n,,x,,\n", [(3, None), (4, None)]),
    "only a note": (f"note,{HEADER}\n,{ROW}\nx,,,,,\n", [(3, column) for column in COLUMNS]),
    "row of totals with a date": (f"{HEADER}\nTotal,all,x,6,2018-12-14 08:29:52\n", [(2, "total")]),
    "short row": (f"{FILE}ann,ruby,612,6\n", [(3, None)]),
    "long row": (f"{FILE}{ROW},x\n", [(3, None)]),
    "empty cells": (f"{FILE}ann,,612,,\n", [(3, "item"), (3, "quantity"), (3, "date")]),
    "only a date": (f"{FILE},,,,2018-12-14 08:29:52\n",
                    [(3, "customer"), (3, "item"), (3, "total"), (3, "quantity")]),
    "hidden quote": (f'{FILE}\u200b"ann",ruby,x,6,2018-12-14 08:29:52\n', [(3, "customer"), (3, "total")]),
}  # fmt: skip

ACCEPTED_CELLS: dict[str, dict[str, object]] = {
    "customer": {
        " ann\u200b": "ann", "е\u0308ж": "ёж", "x" * 255: "x" * 255, 'a "b"': 'a "b"', "who?": "who?", "#1": "#1",
        "N/A": "N/A", "a\u200bb": "a\u200bb", 'a\u200b"b"': 'a\u200b"b"', "?1": "?1",
        "\tann": "ann", "\u200eann\u202c": "ann", "-": "-",
        '"a"': '"a"', 'a\u00a0"b"': 'a\u00a0"b"',
    },
    "total": {
        "612": 612, "+612": 612, "0": 0, "612.5": Decimal("612.5"), "612,50": Decimal("612.5"), "612.0000": 612,
        "612,5000": Decimal("612.5"), "8 502": 8502, "8'502": 8502, "1,234,567": 1234567, "1.234.567": 1234567,
        "8\u00a0502": 8502, "8\u202f502": 8502, "8\u2009502": 8502, "8 502,50": Decimal("8502.5"),
        "8'502.50": Decimal("8502.5"), "8,502.50": Decimal("8502.5"), "8.502,50": Decimal("8502.5"),
        "1.234.567,5": Decimal("1234567.5"), "1,234.000": 1234, "999 999 999 999,99": Decimal("999999999999.99"),
        " 1\u00a0": 1, "007.10": Decimal("7.1"), "000000000612": 612,
    },
    "quantity": {
        "6": 6, "6.0": 6, "6,00": 6, "1 000": 1000, "1,000,000": 1000000, "999999999": 999999999, "+6": 6,
        "1,000.00": 1000,
    },
    "date": {
        "2018-12-14 08:29:52.506166": DATE.replace(microsecond=506166), "2018-12-14T08:29:52": DATE,
        "2018/12/14 8:29:52,5": DATE.replace(microsecond=500000), "2018-12-14 8:30": HALF_PAST,
        "2018-1-4 8:9:2": datetime(2018, 1, 4, 8, 9, 2, tzinfo=UTC),
        "2018-12-14 08:29:52.506166000": DATE.replace(microsecond=506166),
        "2018-12-14 11:30+03:00": HALF_PAST, "2018-12-14 11:30 +0300": HALF_PAST, "2018-12-14T05:30-03": HALF_PAST,
        "2018-12-14 08:29:52Z": DATE, "2018-12-14 08:29:52 Z": DATE, "2018-12-14 08:29:52 UTC": DATE,
        "2018-12-14T08:30:00.0 UTC": HALF_PAST, "14.12.2018 8:30": HALF_PAST, "14.12.2018 08:29:52": DATE,
        "14.12.2018 8:29:52.5": DATE.replace(microsecond=500000),
        "14.12.2018 8:29:52,5": DATE.replace(microsecond=500000),
        "2.1.2018 8:30": datetime(2018, 1, 2, 8, 30, tzinfo=UTC),
        "0001-01-01 03:00 +03": datetime(1, 1, 1, tzinfo=UTC),
    },
}  # fmt: skip

REJECTED_CELLS: dict[str, list[str]] = {
    "item": [
        "", " \u200b", "x" * 256, "a\0b", "a\tb", "a\nb", "a\x7fb", "a\ufffdb", "?", "?? -?", "#N/A", "#ИМЯ?",
        "Err:502", "Ошибка:502", "#Н/Д",
        "\\N", '\u200b"ann"', '\u00a0"ann"',
    ],
    "total": [
        "", "1,234", "1.234", "612.000", "0,500", "1e+05", "$612", "612 ₽", "-1", "-0", "1.005", ".5", "5.", "5,",
        "++5", "+ 5", "1,23,456", "1,234,56", "1234 567", "12 34", "1  234", "1 234'567", "1'234 567", "8.502 50",
        "8 502 50", "1 234.567.890", "1.234,567.50", "1,234,567,8", "1,234.505", "1 234,567,890", "'612", "612'",
        "1000000000000", "1\u00a0234 567", "١٢", "1_000", "1\n234", "1\t234", "NaN",
    ],
    "quantity": ["", "0", "0.0", "0000000001", "6.5", "6,000", "6.000", "6.01", "1000000000", "-1", "6 pcs", "\\N"],
    "date": [
        "", "29:52,5", "43448.35", "43448", "1544776192", "2018-12-14", "14/12/2018 8:29", "12/14/2018 8:29",
        "14.12.18 8:29", "2018-12-14 8:29 AM", "2018-02-30 00:00", "2018-12-14 24:00", "2018-12-14 08:60",
        "2018-12-14 08:29:60", "2018-12/14 08:29", "2018-12-14  08:29", "2018-12-14\u00a008:29", "2018-12-14t08:29",
        "2018-12-14 08:29:52.", "2018-12-14 08:29.5", "2018-12-14 08", "2018-12-14 08:29:52.1234567",
        "2018-12-14 008:29", "2018-012-14 08:29", "18-12-14 08:29", "02018-12-14 08:29", "2018-12-14 08:29UTC",
        "2018-12-14 08:29  Z", "2018-12-14 08:29z", "2018-12-14 08:29 utc", "2018-12-14 08:29+3",
        "2018-12-14 08:29+24:00", "2018-12-14 08:29+03:60", "2018-12-14 08:29+03:0", "2018-12-14 08:29+03:00:00",
        "2018-12-14 08:29+03:", "2018-12-14 08:29+", "2018-12-14 08:29:52:5", "14.12.2018T8:29", "14.12.2018 8:29Z",
        "14.12.2018 8:29 UTC", "14.12.2018 8:29+03", "14.12.2018", "12.14.2018 8:29",
        "14.12.0000 8:29", "0001-01-01 00:00+00:01", "9999-12-31 23:59:59-00:01", "-2018-12-14 08:29",
        "2018.12.14 08:29", "2018-12-14 08:29:52 +03 UTC", "2018-12-14T08:29T", "٢018-12-14 08:29",
    ],
}  # fmt: skip


@pytest.mark.parametrize("file", ACCEPTED_FILES.values(), ids=ACCEPTED_FILES)
def test_reference_accepts_every_form_of_file(file: str | bytes) -> None:
    assert read_with_reference(file.encode() if isinstance(file, str) else file) == [ANN]


@pytest.mark.parametrize(("file", "problems"), REJECTED_FILES.values(), ids=REJECTED_FILES)
def test_reference_rejects_ambiguous_and_damaged_files(
    file: str, problems: list[tuple[int, str | None]] | None
) -> None:
    error = outcome(lambda: read_with_reference(file.encode()))
    if problems is None:
        assert isinstance(error, reference_parser.NotATable)
    else:
        assert isinstance(error, reference_parser.InvalidRows)
        assert error.problems == problems


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [(column, cell, value) for column, cells in ACCEPTED_CELLS.items() for cell, value in cells.items()],
)
def test_reference_converts_every_form_of_cell(column: str, cell: str, value: object) -> None:
    (deal,) = reference_parser.read(with_cell(column, cell))
    assert getattr(deal, column) == value


@pytest.mark.parametrize(
    ("column", "cell"), [(column, cell) for column, cells in REJECTED_CELLS.items() for cell in cells]
)
def test_reference_rejects_ambiguous_and_damaged_cells(column: str, cell: str) -> None:
    with pytest.raises(reference_parser.InvalidRows) as caught:
        reference_parser.read(with_cell(column, cell))
    assert caught.value.problems == [(2, column)]


# Random deals in random forms

NAMES = st.sampled_from([
    "ann", "Пётр", "Рубин", "Ёлочная шпинель", "O'Neil", "Smith, Jo", 'Цитрин "Лёд"', "a;b|c", "№ 5", "who?", "水晶",
    "total",
])  # fmt: skip
SMALL_OR_LARGE = st.one_of(st.integers(0, 2000), st.integers(0, 10**12 - 1))
DEALS = st.builds(
    Deal,
    customer=NAMES,
    item=NAMES,
    total=st.builds(
        lambda whole, cents: Decimal(whole) + Decimal(cents) / 100, SMALL_OR_LARGE, st.sampled_from([0, 50, 7, 99])
    ),
    quantity=st.one_of(st.integers(1, 2000), st.integers(1, 999_999_999)),
    date=st.builds(
        lambda minutes, seconds, microseconds: (
            datetime(2, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes, seconds=seconds, microseconds=microseconds)
        ),
        st.integers(0, 9997 * 365 * 24 * 60),
        st.sampled_from([0, 0, 7, 59]),
        st.sampled_from([0, 0, 500_000, 506_166, 1]),
    ),
)
NOTES = st.sampled_from(["", "x", "1,5", 'said "hi"', "a;b", "two\nlines", "a|b\tc", " ", "итого", "\ufffd", "#N/A"])
TITLES = [
    "",
    " ",
    "sep=;",
    "#TYPE Deal",
    "Отчёт, 2018",
    ";;;;",
    '"',
    'Report "5"',
    "customer,item",
    "Total: 5",
    ";;;;2018-12-14 8:29",
]
ENCODINGS = ["utf-8", "utf-8-sig", "two byte-order marks", "utf-16", "utf-16-be", "cp1251"]
PADDINGS = ["", "", "", " ", "  ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff", " \u2060"]


@st.composite
def numbers(draw: st.DrawFn, amount: Decimal) -> str:
    """Write an amount in an accepted form."""
    whole, _, cents = f"{amount:.2f}".partition(".")
    group = draw(st.sampled_from(["", "", *reference_parser.GROUP_MARKS, ",", "."]))
    grouped = f"{int(whole):_}".replace("_", group)
    mark = draw(st.sampled_from([mark for mark in ",." if mark != group]))
    decimals = draw(st.sampled_from([cents.rstrip("0"), cents, cents + "00", cents + "0" * 7]))
    if not decimals and grouped.count(group) == 1 and group in ",." and group:
        decimals = draw(st.sampled_from(["0", "00", "000"]))  # one mark before three digits is ambiguous
    return draw(st.sampled_from(["", "", "+"])) + grouped + (mark + decimals if decimals else "")


@st.composite
def dates(draw: st.DrawFn, date: datetime) -> str:
    """Write a date in an accepted form."""
    is_day_first = draw(st.booleans())
    zone, offset = "", timedelta(0)
    if not is_day_first:
        zone, offset = draw(st.sampled_from([
            ("", timedelta(0)), ("Z", timedelta(0)), (" Z", timedelta(0)), (" UTC", timedelta(0)),
            ("-0000", timedelta(0)), ("+03:00", timedelta(hours=3)), (" +0330", timedelta(hours=3, minutes=30)),
            ("-05", timedelta(hours=-5)), ("+23:59", timedelta(hours=23, minutes=59)),
            (" -11:30", -timedelta(hours=11, minutes=30)),
        ]))  # fmt: skip
    date += offset
    year, (month, day, hour, minute, second) = f"{date.year:04}", [
        draw(st.sampled_from([f"{number:02}", str(number)]))
        for number in (date.month, date.day, date.hour, date.minute, date.second)
    ]  # fmt: skip
    time = f"{hour}:{minute}"
    if date.second or date.microsecond or draw(st.booleans()):
        time += f":{second}"
        fraction = f"{date.microsecond:06}"
        fraction = draw(st.sampled_from([fraction.rstrip("0"), fraction, fraction + "000"]))
        if fraction:
            time += draw(st.sampled_from(".,")) + fraction
    if is_day_first:
        return f"{day}.{month}.{year} {time}"
    mark = draw(st.sampled_from("-/"))
    return f"{year}{mark}{month}{mark}{day}{draw(st.sampled_from(' T'))}{time}{zone}"


@st.composite
def files(draw: st.DrawFn, deals: list[Deal]) -> bytes:
    """Write deals as a file in which every cell and every line has a random form."""
    delimiter = draw(st.sampled_from(",;\t|"))
    line_ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n"], ["\r"]]))
    columns = draw(
        st.permutations([*COLUMNS, *draw(st.lists(st.sampled_from(["note", "", "Ещё", "x,y;z"]), max_size=2))])
    )
    last = max(map(columns.index, COLUMNS))
    paddings = st.sampled_from([padding for padding in PADDINGS if padding != delimiter])

    def write_cell(text: str, is_padded: bool = True) -> str:
        if is_padded:
            text = draw(paddings) + text + draw(paddings)
        if "\n" in text:
            text = text.replace("\n", line_ends[0])
        if draw(st.booleans()) or any(character in text for character in delimiter + '"\r\n'):
            return draw(st.sampled_from(["", "", " ", "  "])) + quoted(text)
        return text

    def write_row(cells: list[str]) -> str:
        cells = cells[: draw(st.integers(last + 1, len(cells)))] + draw(st.sampled_from([[], [""], [" ", ""]]))
        return delimiter.join(cells)

    def write_deal(deal: Deal) -> str:
        cells = {
            "customer": deal.customer,
            "item": deal.item,
            "total": draw(numbers(deal.total)),
            "quantity": draw(numbers(Decimal(deal.quantity))),
            "date": draw(dates(deal.date)),
        }
        notes = {column: draw(NOTES) if column else "" for column in columns}  # a column without a name has no values
        return write_row([write_cell((notes | cells)[column]) for column in columns])

    titles = draw(st.lists(st.sampled_from(TITLES), max_size=9))
    header = delimiter.join(
        write_cell(draw(st.sampled_from([column, column.upper(), column.title()]))) for column in columns
    )
    blank_rows = st.lists(st.sampled_from(["", " ", delimiter * 4, '""', f' {delimiter}"\u200b"']), max_size=1)
    rows = [line for deal in deals for line in [*draw(blank_rows), write_deal(deal)]]
    text = "".join(line + draw(st.sampled_from(line_ends)) for line in [*titles, header, *rows, *draw(blank_rows)])
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return encode(text + draw(st.sampled_from(["", "\x1a", "\x1a\x1a"])), draw(st.sampled_from(ENCODINGS)))


def encode(text: str, encoding: str) -> bytes:
    """Encode a file; in UTF-8 if Windows-1251 lacks a character, or is not evident from the text."""
    if encoding == "two byte-order marks":
        return ("\ufeff\ufeff" + text).encode()
    if encoding == "utf-16-be":
        return ("\ufeff" + text).encode(encoding)
    if encoding == "cp1251" and "Рубин" not in text and "шпинель" not in text:
        return text.encode()
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode()


FILES_OF_DEALS = st.lists(DEALS, min_size=1, max_size=4).flatmap(lambda deals: st.tuples(st.just(deals), files(deals)))
FORMS = settings(max_examples=10_000 if IS_LONG else 200, deadline=None, derandomize=True)


@FORMS
@given(FILES_OF_DEALS, SIZES)
def test_deals_in_any_accepted_form_are_read(
    deals_and_file: tuple[list[Deal], bytes], sizes: tuple[int, int, int]
) -> None:
    deals, content = deals_and_file
    with patched_sizes(*sizes):
        assert deals_in(content) == deals


@FORMS
@given(FILES_OF_DEALS)
def test_reference_reads_deals_in_any_accepted_form(deals_and_file: tuple[list[Deal], bytes]) -> None:
    deals, content = deals_and_file
    assert read_with_reference(content) == deals


# Every change of one character

ALPHABET = "015,.' \u00a0\u200b\ufeff\ufffd\"';\t|\r\n?#\\/-:+TZaЯ\0\x1a"


def changes(text: str) -> Iterator[str]:
    """Yield the text with each character deleted or replaced, and with each insertion of a character."""
    for position in range(len(text) + 1):
        before, after = text[:position], text[position + 1 :]
        if position < len(text):
            yield before + after
            yield from (before + character + after for character in ALPHABET)
        yield from (before + character + text[position:] for character in ALPHABET)


CHANGED_FILES = {
    "commas": (
        f'{HEADER}\r\nann, "ruby","1,234.5",6,2018-12-14 08:29:52.5\r\nb,c,2,1.0,2018-12-14T8:29+03:00\r\n', "utf-8"
    ),
    "semicolons below a title": (
        "Сделки; 2018\n\ncustomer;note;item;total;quantity;date\nПётр;;Рубин;8\u00a0502,50;1 000;14.12.2018 8:29\n"
        ";;;;;\nb;x;c;2;1;2018/1/4 8:29:52,25\n", "utf-8-sig",
    ),
    "tabs and CR": (
        '"date"\tcustomer\titem\tquantity\tTotal\tnote\r2018-12-14 08:29:52 UTC\tann\t"a ""b"""\t6\t612,50\t\r', "utf-8"
    ),
    "vertical bars in UTF-16": (
        f"sep=|\n{HEADER.replace(',', '|')}\nann|ruby|1.234.567|6,00|2018-12-14 08:29:52Z|\x1a", "utf-16"
    ),
    "row of totals": (f"{HEADER}\n{ROW}\nTotal:,,612,6,\n", "utf-8"),
    "repeated header": (f"{HEADER}\n{ROW}\n{HEADER}\n", "utf-8"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "encoding"), CHANGED_FILES.values(), ids=CHANGED_FILES)
def test_every_changed_file_is_read_like_the_reference(text: str, encoding: str) -> None:
    """The short form tests every seventh change."""
    differences = []
    for changed_text in [text, *sample(list(changes(text)), 7)]:
        try:
            compare_with_reference(encode(changed_text, encoding))
        except AssertionError as error:
            differences.append(f"{changed_text!r}: {error}")
    assert not differences, f"{len(differences)} differences:\n" + "\n\n".join(differences[:20])


@st.composite
def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """Change one to three characters of a file."""
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    except UnicodeDecodeError:
        text = content.decode("cp1251")
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(text)))
        new = draw(st.one_of(st.sampled_from(ALPHABET), st.just(""), st.text(max_size=2)))
        text = text[:position] + new + text[position + draw(st.integers(0, 2)) :]
    return encode(text, draw(st.sampled_from(["utf-8", "utf-16"])))


@FORMS
@given(FILES_OF_DEALS.flatmap(lambda deals_and_file: changed(deals_and_file[1])), SIZES)
def test_any_changed_file_of_deals_is_read_like_the_reference(content: bytes, sizes: tuple[int, int, int]) -> None:
    with patched_sizes(*sizes):
        event(compare_with_reference(content))


@FORMS
@given(
    st.lists(st.text("0012,.' +-\u00a0\u202f\u2009", max_size=12), min_size=1, max_size=10),
    st.lists(st.text("0128-/. :T,+Z", max_size=20), min_size=1, max_size=10),
)
def test_any_numbers_and_dates_are_read_like_the_reference(numbers: list[str], dates: list[str]) -> None:
    for column, cells in (("total", numbers), ("quantity", numbers), ("date", dates)):
        for cell in cells:
            text = with_cell(column, cell)
            assert summary(partial(deals_in, text.encode())) == summary(partial(reference_parser.read, text))


def summary(read: Callable[[], list[Deal]]) -> list[Deal] | list[tuple[int, str | None]]:
    """Return the deals, or the line and column of each problem."""
    result = outcome(read)
    if isinstance(result, list):
        return result
    assert isinstance(result, (UploadHasProblems, reference_parser.InvalidRows))
    if isinstance(result, UploadHasProblems):
        return [(problem.line, problem.column) for problem in result.problems]
    return result.problems


@pytest.mark.parametrize("column", ACCEPTED_CELLS)
def test_every_changed_cell_is_read_like_the_reference(column: str) -> None:
    """The short form tests every seventh change."""
    cells = [cell for cell in ACCEPTED_CELLS[column] if len(cell) < 50]
    cells += [changed_cell for cell in cells for changed_cell in sample(list(changes(cell)), 7)]
    files = {cell: with_cell(column, cell) for cell in cells}
    expected = {cell: summary(partial(reference_parser.read, text)) for cell, text in files.items()}
    found = {cell: summary(partial(deals_in, text.encode())) for cell, text in files.items()}
    differences = {cell: (found[cell], expected[cell]) for cell in cells if found[cell] != expected[cell]}
    assert not differences
