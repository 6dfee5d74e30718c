"""Why a file, a row or a cell is invalid: stable codes for programs, and phrases for people."""

from __future__ import annotations

from typing import Final

from deals_api.errors import RowProblem, UnreadableUpload

#: Characters of an invalid cell that an error repeats.
MAX_SHOWN: Final = 100

#: Why a whole file is unreadable: the predicate of each code, of which the file is the subject. Names in braces are the
#: params of the code.
FILE_REASONS: Final = {
    "empty_file": "is empty",
    "no_deals": "has a header but no deals",
    "excel_workbook": "is an Excel workbook ({extension}); save it as CSV",
    "opendocument_spreadsheet": "is an OpenDocument spreadsheet (.ods); save it as CSV",
    "parquet_file": "is a Parquet file; save it as CSV",
    "sqlite_database": "is an SQLite database; export the table as CSV",
    "rtf_document": "is an RTF document; save it as CSV",
    "pdf_document": "is a PDF document",
    "image": "is a {format} image",
    "compressed": "is compressed with {program}; send the file inside it",
    "archive": "is a {format} archive; send the file inside it",
    "json": "looks like JSON; save it as CSV",
    "markup": "looks like HTML or XML; save it as CSV",
    "utf_32": "is text in UTF-32; save it as CSV UTF-8",
    "invalid_utf_16": "is damaged: it is not valid UTF-16; save it as CSV UTF-8",
    "nul_bytes": "has NUL bytes, as UTF-16 has; save it as CSV UTF-8",
    "mac_cyrillic": "may be in the encoding of a Mac (MacCyrillic); save it as CSV UTF-8",
    "row_too_long": "is not a table of deals: a row in or after line {line} has over {maximum} bytes, perhaps because"
    " its line breaks are neither LF nor CRLF",
    "no_header": "has no header in its first {lines} lines",
    "header_missing": "has no header: line {line} is already a deal; insert the line {header} above it",
    "deal_above_header": "has a deal in line {line}, above the header in line {header_line}; move the header above it",
    "columns_in_one_cell": "has all columns in one cell of line {line}; save it without quotes around whole lines, and"
    " with commas, semicolons, tabs or | between the cells",
}

#: The predicates of all codes; the subject of the others is the row or the cell.
REASONS: Final = {
    **FILE_REASONS,
    # The encoding and the header
    "not_utf8": "is not UTF-8",
    "missing_column": "is missing from the header",
    "repeated_column": "is in the header more than once",
    # Rows
    "wrong_cell_count": "has {cells}; the header has {header_cells}",
    "repeated_header": "repeats the header; remove it",
    "totals_row": "looks like a row of totals; remove it",
    "contains_deals": "has deals inside a quoted cell, perhaps after a quote left open",
    "unclosed_quote": "opens a quote that is not closed",
    "text_after_quote": "has text after a closing quote",
    "cell_too_long": "has a cell of over {maximum} characters, perhaps after a quote left open",
    "line_break": "has a line break that is neither LF nor CRLF",
    "not_csv": "is not CSV: {error}",
    # The end of an incomplete list of errors
    "too_many_errors": "is where reading stopped, at the limit of errors ({maximum})",
    # All cells
    "empty": "is empty",
    "spreadsheet_error": "is an error value of a spreadsheet formula",
    "column_too_narrow": "is what a spreadsheet saves if the column is too narrow; widen it and save again",
    # Names
    "name_too_long": "is longer than {maximum} characters",
    "control_character": "has a line break or another control character",
    "letters_lost": "has lost its letters when the file was saved; save it as CSV UTF-8",
    "null": "is \\N, which stands for a missing value",
    "misplaced_quote": "has a quote after an invisible character; remove the character",
    # Amounts and quantities
    "not_an_amount": "is not an amount such as 612 or 100.50",
    "negative": "must not be negative",
    "too_many_decimals": "has more than two decimal places",
    "too_many_digits": "has more than {maximum} digits before the decimals",
    "ambiguous_separator": "is ambiguous: the separator may mark thousands or decimals; write a whole number or two"
    " decimals",
    "currency": "has a currency sign; write only the number",
    "exponent": "is in scientific notation, which may have lost digits; format the column as a number",
    "not_a_quantity": "is not a whole number of 1 or more",
    # Dates
    "not_a_date": "is not a date and time such as 2018-12-14 08:29:52",
    "no_such_date": "is not a valid calendar date and time",
    "too_many_second_decimals": "has more than six decimal places in its seconds",
    "day_missing": "has no day, because a spreadsheet saved only the time; format the column as yyyy-mm-dd hh:mm:ss,"
    " or send the original file",
    "time_missing": "has no time of day; write it as 2018-12-14 08:29:52",
    "serial_number": "is the serial number of a date in a spreadsheet; format the column as yyyy-mm-dd hh:mm:ss",
    "unix_timestamp": "is a Unix timestamp; write it as 2018-12-14 08:29:52",
    "day_or_month_first": "may begin with the day or with the month; write it as 2018-12-14 08:29:52",
    "two_digit_year": "has a year of two digits; write it as 2018-12-14 08:29:52",
    "twelve_hour_clock": "has a time with AM or PM; write it with 24 hours, as 2018-12-14 08:29:52",
}


class InvalidCell(ValueError):
    """Raised by the functions that read a cell; ``code`` is a key of ``REASONS``."""

    def __init__(self, code: str, **params: int | str) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def unreadable(code: str, **params: int | str) -> UnreadableUpload:
    """Return the rejection of a whole file; its only problem has the code, and the line of ``params`` or the first."""
    reason = FILE_REASONS[code].format(**params)
    return UnreadableUpload(
        f"The file {reason}.", [RowProblem(int(params.get("line", 1)), None, "", reason, code, params)]
    )


def row_problem(line: int, column: str | None, value: str, code: str, **params: int | str) -> RowProblem:
    return RowProblem(line, column, value[:MAX_SHOWN], REASONS[code].format(**params), code, params)
