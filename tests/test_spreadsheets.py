"""Workbooks of the real deals that LibreOffice saves as CSV, in three locales, with the cells as shown.

The expected result follows from the format of the cells: the exact deals where the saved text is unambiguous, otherwise
the reason why a cell is rejected.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from deals_api.errors import UploadHasProblems
from deals_api.formats import COLUMNS
from tests.reference_parser import Deal
from tests.servers import REAL_FILE
from tests.spreadsheets import LOCALE_DATE, ErrorValue, LibreOffice, write_xlsx
from tests.test_csv_reader import deals_in

pytestmark = pytest.mark.database_independent

ENGLISH, GERMAN, RUSSIAN = LOCALES = ("en-US", "de-DE", "ru-RU")
DELIMITERS = (",", ";")
MILLISECOND, SECOND, MINUTE = timedelta(milliseconds=1), timedelta(seconds=1), timedelta(minutes=1)

ISO = "yyyy-mm-dd hh:mm:ss.000"
#: Codes of the expected reasons by locale; a format without codes is accepted.
Codes = dict[str, str]


def everywhere(code: str) -> Codes:
    return dict.fromkeys(LOCALES, code)


#: Format, the unit to which the dates are truncated, and the reasons. LibreOffice writes the slashes of a format as the
#: date separator of the locale: a point in German and in Russian.
DATE_FORMATS: list[tuple[str, timedelta, Codes]] = [
    ("dd.mm.yyyy hh:mm:ss", SECOND, {}),
    ("dd.mm.yyyy hh:mm", MINUTE, {}),
    ("yyyy-mm-dd hh:mm:ss", SECOND, {}),
    ("yyyy-mm-dd h:mm", MINUTE, {}),
    ("yyyy-mm-dd\\Thh:mm:ss", SECOND, {}),
    ("d/m/yyyy h:mm", MINUTE, {ENGLISH: "day_or_month_first"}),
    (LOCALE_DATE, MINUTE, {ENGLISH: "day_or_month_first"}),
    ("yyyy/mm/dd hh:mm:ss", SECOND, {GERMAN: "not_a_date", RUSSIAN: "not_a_date"}),
    ("m/d/yyyy h:mm", MINUTE, {ENGLISH: "day_or_month_first", GERMAN: "no_such_date", RUSSIAN: "no_such_date"}),
    ("m/d/yyyy h:mm AM/PM", MINUTE,
     {ENGLISH: "day_or_month_first", GERMAN: "not_a_date", RUSSIAN: "twelve_hour_clock"}),
    ("mm:ss.0", SECOND, everywhere("day_missing")),
    ("hh:mm:ss", SECOND, everywhere("day_missing")),
    ("General", SECOND, everywhere("serial_number")),
    ("yyyy-mm-dd", SECOND, everywhere("time_missing")),
    ("dd.mm.yyyy", SECOND, everywhere("time_missing")),
    ("dd.mm.yy hh:mm", SECOND, everywhere("two_digit_year")),
    ("[$-419]d mmmm yyyy h:mm", SECOND, everywhere("not_a_date")),
]  # fmt: skip
#: Format, whether the totals have decimals, and the reasons of totals and of quantities.
NUMBER_FORMATS: list[tuple[str, bool, Codes, Codes]] = [
    ("General", True, {}, {}),
    ("General", False, {}, {}),
    ("0.00", True, {}, {}),
    ("0.0000", True, {}, {}),
    ("#,##0.00", True, {}, {}),
    ("# ##0.00", True, {}, {}),
    ("#,##0", False, {ENGLISH: "ambiguous_separator", GERMAN: "ambiguous_separator"}, {}),
    ("0.000", True, everywhere("ambiguous_separator"), everywhere("ambiguous_separator")),
    ("#,##0.00 [$₽-419]", True, everywhere("currency"), everywhere("not_a_quantity")),
    ("[$$-409]#,##0.00", True, everywhere("currency"), everywhere("not_a_quantity")),
    ("0.00E+00", True, everywhere("exponent"), everywhere("not_a_quantity")),
]
#: Rows with a reason that does not apply to all rows.
AFFECTED: dict[tuple[str, str], Callable[[Deal], bool]] = {
    ("m/d/yyyy h:mm", "no_such_date"): lambda deal: deal.date.day > 12,
    ("#,##0", "ambiguous_separator"): lambda deal: deal.total >= 1000,
}


def is_affected(cell_format: str, code: str, deal: Deal) -> bool:
    applies = AFFECTED.get((cell_format, code))
    return applies is None or applies(deal)


ERROR_VALUES = ["#N/A", "#NAME?", "#REF!", "#DIV/0!", "#VALUE!", "#NUM!", "#NULL!"]


@dataclass(frozen=True, eq=False)
class Workbook:
    number_format: str = "General"
    date_format: str = ISO
    has_decimals: bool = True
    unit: timedelta = MILLISECOND
    total_codes: Codes = field(default_factory=dict)
    quantity_codes: Codes = field(default_factory=dict)
    date_codes: Codes = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.number_format}{' with decimals' if self.has_decimals else ''}, {self.date_format}"

    @property
    def name(self) -> str:
        return str(WORKBOOKS.index(self))

    @property
    def deals(self) -> list[Deal]:
        """The real deals; the decimals of their totals are from .00 to .99 if the workbook has decimals."""
        return [
            replace(deal, total=deal.total + Decimal(number % 100) / 100) if self.has_decimals else deal
            for number, deal in enumerate(real_deals())
        ]

    def expected_problems(self, locale: str) -> list[tuple[int, str, str]]:
        """Return line, column and reason code of each invalid cell."""
        codes = [
            ("total", self.number_format, self.total_codes.get(locale)),
            ("quantity", self.number_format, self.quantity_codes.get(locale)),
            ("date", self.date_format, self.date_codes.get(locale)),
        ]
        return [
            (line, column, code)
            for line, deal in enumerate(self.deals, 2)
            for column, cell_format, code in codes
            if code and is_affected(cell_format, code, deal)
        ]


WORKBOOKS = [
    *(Workbook(date_format=code, unit=unit, date_codes=codes) for code, unit, codes in DATE_FORMATS),
    *(
        Workbook(code, has_decimals=has_decimals, total_codes=total_codes, quantity_codes=quantity_codes)
        for code, has_decimals, total_codes, quantity_codes in NUMBER_FORMATS
    ),
]


@cache
def real_deals() -> list[Deal]:
    with REAL_FILE.open(encoding="utf-8", newline="") as file:
        return [
            Deal(
                row["customer"],
                row["item"],
                Decimal(row["total"]),
                int(row["quantity"]),
                datetime.fromisoformat(row["date"]).replace(tzinfo=UTC),
            )
            for row in csv.DictReader(file)
        ]


def read_deals(content: bytes) -> list[Deal]:
    return deals_in(content, max_problems=5000)


def problems_in(content: bytes) -> list[tuple[int, str | None, str]]:
    """Return line, column and reason code of each invalid cell; none if the file is accepted."""
    try:
        read_deals(content)
    except UploadHasProblems as error:
        return [(problem.line, problem.column, problem.reason_code) for problem in error.problems]
    return []


def beginning(content: bytes) -> str:
    return content.decode()[:500]


class Saved:
    """The CSV files that LibreOffice saved; it starts once for each locale and delimiter."""

    def __init__(self, folder: Path) -> None:
        self.office = cache(lambda locale: LibreOffice(folder, locale))
        self.workbooks = cache(self._workbooks)
        self.save_workbooks = cache(lambda locale, delimiter: self._save(self.workbooks(), locale, delimiter))
        self.folder = folder

    def _save(self, files: list[Path], locale: str, delimiter: str) -> dict[str, bytes]:
        return self.office(locale).save_as_csv(files, delimiter)

    def _workbooks(self) -> list[Path]:
        files = []
        for workbook in WORKBOOKS:
            files.append(self.folder / f"{workbook.name}.xlsx")
            rows = [
                (deal.customer, deal.item, deal.total, deal.quantity, deal.date.replace(tzinfo=None))
                for deal in workbook.deals
            ]
            write_xlsx(
                files[-1],
                [COLUMNS, *rows],
                number_format=workbook.number_format,
                date_format=workbook.date_format,
            )
        files.append(self.folder / "errors.xlsx")
        rows_with_errors = [("ann", ErrorValue(text), ErrorValue(text), 1, ErrorValue(text)) for text in ERROR_VALUES]
        write_xlsx(files[-1], [COLUMNS, *rows_with_errors], number_format="General", date_format=ISO)
        return files


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved(tmp_path_factory.mktemp("spreadsheets"))


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("workbook", WORKBOOKS, ids=str)
def test_saved_workbook_has_the_same_deals_or_is_rejected_with_the_reason(
    saved: Saved, workbook: Workbook, locale: str, delimiter: str
) -> None:
    content = saved.save_workbooks(locale, delimiter)[workbook.name]
    expected_problems = workbook.expected_problems(locale)
    if expected_problems:
        assert problems_in(content) == expected_problems, beginning(content)
    else:
        assert_same_deals(content, workbook)


def values_without_date(deal: Deal) -> tuple[str, str, Decimal, int]:
    return deal.customer, deal.item, deal.total, deal.quantity


def assert_same_deals(content: bytes, workbook: Workbook) -> None:
    """LibreOffice truncates dates to seconds and minutes, and rounds fractions of seconds."""
    text = beginning(content)
    assert problems_in(content) == [], text
    deals, original = read_deals(content), workbook.deals
    assert list(map(values_without_date, deals)) == list(map(values_without_date, original)), text
    lost = [expected.date - deal.date for expected, deal in zip(original, deals, strict=True)]
    at_most_early = workbook.unit if workbook.unit == MILLISECOND else timedelta(0)
    assert -at_most_early <= min(lost) <= max(lost) < workbook.unit, text
    assert any(lost), "The format keeps more of the dates than the test expects."


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("locale", LOCALES)
def test_saved_error_values_are_rejected(saved: Saved, locale: str, delimiter: str) -> None:
    content = saved.save_workbooks(locale, delimiter)["errors"]
    assert problems_in(content) == [
        (line, column, "spreadsheet_error")
        for line in range(2, len(ERROR_VALUES) + 2)
        for column in ("item", "total", "date")
    ], beginning(content)


@pytest.mark.parametrize("locale", LOCALES)
def test_csv_file_that_is_opened_and_saved_has_the_same_deals(saved: Saved, tmp_path: Path, locale: str) -> None:
    text = REAL_FILE.read_text(encoding="utf-8")
    (tmp_path / "commas.csv").write_text(text, encoding="utf-8")
    (tmp_path / "semicolons.csv").write_text(text.replace(",", ";"), encoding="utf-8-sig", newline="\r\n")
    (tmp_path / "spaces.csv").write_text(text.replace(",", " , "), encoding="utf-8")
    files = sorted(tmp_path.glob("*.csv"))
    delimiter = "," if locale == ENGLISH else ";"
    for content in saved.office(locale).save_as_csv(files, delimiter, read_csv=True).values():
        assert read_deals(content) == real_deals(), beginning(content)
