"""Read the cells of a file: names, amounts, quantities and dates.

What is unambiguous is accepted in every form; each function raises InvalidCell for the rest.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Final

from deals_api.formats import parse_iso_date
from deals_api.ingest.reasons import InvalidCell

MAX_NAME_LENGTH: Final = 255
MAX_TOTAL_DIGITS: Final = 12
MAX_QUANTITY_DIGITS: Final = 9


def _characters(*ranges: tuple[int, int]) -> str:
    return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))


_SPACES: Final = "\t " + _characters(
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
_ZERO_WIDTH: Final = _characters(
    (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
    (0xFEFF, 0xFEFF),
)  # fmt: skip
#: Characters that are ignored at both ends of a cell.
BLANKS: Final = _SPACES + _ZERO_WIDTH

#: Error values of Excel, LibreOffice and Google Sheets in English, Russian, German, French and Spanish.
_SPREADSHEET_ERROR: Final = re.compile(
    r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|ERROR!|FIELD!|BLOCKED!|CONNECT!|UNKNOWN!|GETTING_DATA"
    r"|Н/Д|ИМЯ\?|ССЫЛКА!|ЗНАЧ!|ЗНАЧЕН!|ДЕЛ/0!|ЧИСЛО!|ПУСТО!|ПЕРЕНОС!|ВЫЧИСЛ!"
    r"|NV|BEZUG!|WERT!|ZAHL!|ÜBERLAUF!|NOM\?|VALEUR!|NOMBRE!|NUL!|N/D|¿NOMBRE\?|¡(?:REF|VALOR|DIV/0|NUM|NULO)!)"
    r"|(?:Err ?|Ошибка|Ошиб|Ош\.|Fehler):[0-9]{3}"
)
_LOST_CHARACTER: Final = "\ufffd"

#: Longer texts get no specific reason: a file may have thousands of them.
_MAX_DESCRIBED: Final = 100

_GROUP_SIGN: Final = r"[ \u00a0\u2007\u2009\u202f'’.,]"
_NUMBER: Final = re.compile(r"\+?([0-9]+)(?:([.,])([0-9]+))?")
_GROUPED_NUMBER: Final = re.compile(
    rf"\+?([0-9]{{1,3}}({_GROUP_SIGN})[0-9]{{3}}(?:\2[0-9]{{3}})*)(?:(?!\2)([.,])([0-9]+))?"
)
_NEGATIVE: Final = re.compile(r"[-−–]\s*[0-9].*|\([0-9].*\)")
_EXPONENT: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_CURRENCY_WORD: Final = re.compile(
    r"[0-9]\s?(?:[A-Z]{3}|[Рр]уб|[Рр]|грн|тг|zł|kr|Kč|Ft|лв)\b|\b[A-Z]{3}\s?[0-9]",
)

#: Day first.
_DOTTED_DATE: Final = re.compile(
    r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4}) ([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:[.,]([0-9]{1,6})0*)?)?"
)
_DATE_HINTS: Final = (
    (re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:[.,][0-9]+)?"), "day_missing"),
    (re.compile(r"[0-9]{5}(?:[.,][0-9]*)?"), "serial_number"),
    (re.compile(r"[0-9]{10,19}(?:[.,][0-9]*)?"), "unix_timestamp"),
    (re.compile(r"[0-9]{1,2}([/-])[0-9]{1,2}\1[0-9]{2,4}(?:[^0-9].*)?"), "day_or_month_first"),
    (re.compile(r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{2}(?:[^0-9].*)?"), "two_digit_year"),
    (re.compile(r".*[0-9]\s*[AaPp]\.?[Mm]\.?"), "twelve_hour_clock"),
    (re.compile(r"[0-9]{4}([-/])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"), "time_missing"),
    (re.compile(r"[0-9./-]{8,10}[ T][0-9:]{3,8}[.,][0-9]{7,}.*"), "too_many_second_decimals"),
)


def read_name(cell: str) -> str:
    text = cell.strip(BLANKS)
    if not text:
        raise InvalidCell("empty")
    # NFC combines at most four characters into one, and takes quadratic time for thousands of combining accents.
    name = unicodedata.normalize("NFC", text) if len(text) <= 4 * MAX_NAME_LENGTH else text
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidCell("name_too_long", maximum=MAX_NAME_LENGTH)
    if not name.isprintable() and any(unicodedata.category(character) == "Cc" for character in name):
        raise InvalidCell("control_character")
    if _LOST_CHARACTER in name or ("?" in name and not any(map(str.isalnum, name))):
        raise InvalidCell("letters_lost")
    if name == r"\N":
        raise InvalidCell("null")
    if name.startswith('"') and not cell.lstrip(" ").startswith('"'):
        raise InvalidCell("misplaced_quote")  # the CSV reader has taken the quotes for a part of the name
    if _SPREADSHEET_ERROR.fullmatch(name):
        raise InvalidCell("spreadsheet_error")
    return name


def read_total(cell: str) -> int:
    """Return the amount in hundredths."""
    text = cell.strip(BLANKS)
    number = _parse_number(text)
    if number is None:
        raise InvalidCell(_describe_amount(text))
    digits, _, decimals = number
    if len(decimals) > 2:
        raise InvalidCell("too_many_decimals")
    if len(digits) > MAX_TOTAL_DIGITS:
        raise InvalidCell("too_many_digits", maximum=MAX_TOTAL_DIGITS)
    return int(digits) * 100 + int(f"{decimals:0<2}")


def read_quantity(cell: str) -> int:
    text = cell.strip(BLANKS)
    number = _parse_number(text)
    if number is None:
        raise InvalidCell(_describe_value(text) or "not_a_quantity")
    digits, _, decimals = number
    if len(digits) > MAX_QUANTITY_DIGITS:
        raise InvalidCell("too_many_digits", maximum=MAX_QUANTITY_DIGITS)
    if decimals or not int(digits):
        raise InvalidCell("not_a_quantity")
    return int(digits)


def read_date(cell: str) -> str:
    """Return the date as ISO 8601 in UTC without an offset."""
    text = cell.strip(BLANKS)
    try:
        date = parse_iso_date(text) or _parse_dotted_date(text)
    except ValueError:
        raise InvalidCell("no_such_date") from None
    if date is None:
        raise InvalidCell(_describe_date(text))
    return date.isoformat(" ")


def decimal_separator(total: str) -> str:
    """Return the separator of the decimals in a valid amount; empty if there are none."""
    number = _parse_number(total.strip(BLANKS))
    return number[1] if number else ""


def date_format(date: str) -> str:
    """Return the order and the separator of the parts of a valid date."""
    text = date.strip(BLANKS)
    if "." in text[:3]:
        return "DD.MM.YYYY"
    return "YYYY/MM/DD" if "/" in text else "YYYY-MM-DD"


def _parse_number(text: str) -> tuple[str, str, str] | None:
    """Return the digits before the decimals, the separator, and the decimals without zeros at the end."""
    if match := _NUMBER.fullmatch(text):
        digits, separator, decimals = match.groups(default="")
        if len(decimals) == 3:
            raise InvalidCell("ambiguous_separator")
    elif match := _GROUPED_NUMBER.fullmatch(text):
        grouped, sign, separator, decimals = match.groups(default="")
        digits = grouped.replace(sign, "")
    else:
        return None
    return digits, separator, decimals.rstrip("0")


def _parse_dotted_date(text: str) -> datetime | None:
    """Raises: ValueError, if there is no such date or time."""
    match = _DOTTED_DATE.fullmatch(text)
    if match is None:
        return None
    day, month, year, hour, minute, second, fraction = match.groups(default="0")
    return datetime(  # noqa: DTZ001
        int(year), int(month), int(day), int(hour), int(minute), int(second), int(fraction.ljust(6, "0"))
    )


def _describe_amount(text: str) -> str:
    """Return the code of the reason why a text is not an amount."""
    if len(text) > _MAX_DESCRIBED:
        return "not_an_amount"
    if _NEGATIVE.fullmatch(text):
        return "negative"
    if _EXPONENT.fullmatch(text):
        return "exponent"
    if any(unicodedata.category(character) == "Sc" for character in text) or _CURRENCY_WORD.search(text):
        return "currency"
    return _describe_value(text) or "not_an_amount"


def _describe_date(text: str) -> str:
    """Return the code of the reason why a text is not a date."""
    if len(text) > _MAX_DESCRIBED:
        return "not_a_date"
    hints = (code for pattern, code in _DATE_HINTS if pattern.fullmatch(text))
    return _describe_value(text) or next(hints, "not_a_date")


def _describe_value(text: str) -> str:
    """Return the code of a value that is invalid as a number and as a date; empty for any other."""
    if not text:
        return "empty"
    if _SPREADSHEET_ERROR.fullmatch(text):
        return "spreadsheet_error"
    return "column_too_narrow" if len(text) > 1 and not text.strip("#") else ""
