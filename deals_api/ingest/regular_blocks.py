"""Read blocks of regular rows with numpy, several times as fast as ``csv_reader``.

A block is regular if all its rows are written in the usual way: no quotes, as many cells as the header has, totals of
digits with up to two decimals after a point, dates as ``2018-12-14 08:29:52.506166``. Only a block that is proven
regular and valid is read here; ``csv_reader`` reads any other one, and describes what is invalid in it.

Numbers and dates are read as words of eight bytes, whose bytes are digits after an exclusive or with ASCII zeros.
"""

from __future__ import annotations

from typing import Any, Final

from deals_api.ingest.deal_batch import Dates, DealBatch, Integers, NameNumbers, number_names
from deals_api.ingest.header import Header
from deals_api.ingest.numpy_setup import np
from deals_api.ingest.reasons import InvalidCell

_Words = np.ndarray[Any, np.dtype[np.uint64]]
_Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_WORD: Final = 8
#: Surrounds a block, so that words near its ends can be read; contains no separator.
_PADDING: Final = b"0" * 2 * _WORD
#: Longer cells are left to ``csv_reader``, which limits them.
_MAX_CELL_BYTES: Final = 4096
_MAX_TOTAL_DIGITS: Final = 12
_MAX_QUANTITY_DIGITS: Final = 9
_DATE_LENGTHS: Final = (19, 21, 22, 23, 24, 25, 26)
_LINE_FEED: Final = ord("\n")
_POINT: Final = ord(".")
_ZERO: Final = ord("0")
_EPOCH_YEAR: Final = 1970


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


_ZEROS: Final = _word(b"0" * _WORD)
_HIGH_BITS: Final = _word(b"\x80" * _WORD)
#: Sets the high bit of every byte from 10 to 127.
_OVER_NINE: Final = _word(b"\x76" * _WORD)
#: Masks of the first bytes, and of the last bytes, by their number.
_FIRST: Final = np.array([_word(b"\xff" * count + b"\0" * (_WORD - count)) for count in range(_WORD + 1)])
_LAST: Final = np.array([_word(b"\0" * (_WORD - count) + b"\xff" * count) for count in range(_WORD + 1)])
#: The words of a date, and their bytes that are no digits.
_DATE_WORDS: Final = [_word(text) for text in (b"0000-00-", b"00 00:00", b":00.0000")]
_DATE_SIGNS: Final = [
    _word(text) for text in (b"\0\0\0\0\xff\0\0\xff", b"\0\0\xff\0\0\xff\0\0", b"\xff\0\0\xff\0\0\0\0")
]


class _IrregularError(Exception):
    """The block may contain something unusual or invalid."""


def read_block(
    block: bytes, header: Header, customers: NameNumbers, gems: NameNumbers
) -> tuple[DealBatch, bool] | None:
    """Return the deals of a block of whole lines in UTF-8, and whether a total has decimals; None if irregular.

    New names are numbered only if the other cells are regular.
    """
    if b'"' in block:
        return None
    rows = block.replace(b"\r\n", b"\n")
    if not rows.endswith(b"\n"):
        rows += b"\n"
    padded = _PADDING + rows + _PADDING
    data = np.frombuffer(padded, np.uint8)
    words = np.ndarray(len(padded) - _WORD + 1, "<u8", padded, strides=1)
    customer, gem, total, quantity, date = header.positions
    try:
        starts, ends = _cells(data, header)
        totals, have_decimals = _read_totals(data, words, starts[:, total], ends[:, total])
        quantities = _read_digits(words, starts[:, quantity], ends[:, quantity], _MAX_QUANTITY_DIGITS)
        _require(quantities.min() > 0)
        dates = _read_dates(words, starts[:, date], ends[:, date])
        delimiter = header.delimiter.encode()
        cells = rows.replace(b"\n", delimiter).split(delimiter)
        batch = DealBatch(
            number_names(customers, cells[customer : -1 : header.width]),
            number_names(gems, cells[gem : -1 : header.width]),
            totals,
            quantities,
            dates,
            customers,
            gems,
        )
    except (_IrregularError, InvalidCell):
        return None
    return batch, have_decimals


def _require(condition: bool | np.bool) -> None:
    if not condition:
        raise _IrregularError


def _cells(data: _Bytes, header: Header) -> tuple[Integers, Integers]:
    """Return the first position of each cell and the one after its last; shape (rows, cells)."""
    separators = np.flatnonzero((data == ord(header.delimiter)) | (data < ord(" ")))
    _require(len(separators) % header.width == 0)
    ends = separators.reshape(-1, header.width)
    expected = np.full(header.width, ord(header.delimiter), np.uint8)
    expected[-1] = _LINE_FEED
    _require((data[ends] == expected).all())
    starts = np.empty_like(separators)
    starts[0] = len(_PADDING)
    starts[1:] = separators[:-1] + 1
    starts = starts.reshape(ends.shape)
    lengths = ends - starts
    _require(lengths.max() <= _MAX_CELL_BYTES and not lengths[:, header.named_width :].any())
    return starts, ends


def _read_totals(data: _Bytes, words: _Words, starts: Integers, ends: Integers) -> tuple[Integers, bool]:
    """Return the totals in hundredths, and whether one has decimals."""
    lengths = ends - starts
    one = (data[ends - 2] == _POINT) & (lengths > 2)
    two = (data[ends - 3] == _POINT) & (lengths > 3)
    have_decimals = bool(one.any() or two.any())
    if not have_decimals:
        return _read_digits(words, starts, ends, _MAX_TOTAL_DIGITS) * 100, False
    whole = _read_digits(words, starts, ends - np.where(two, 3, 2 * one), _MAX_TOTAL_DIGITS)
    tens, ones = data[ends - 2] - np.uint8(_ZERO), data[ends - 1] - np.uint8(_ZERO)
    _require((ones[one | two] <= 9).all() and (tens[two] <= 9).all())
    tens, ones = tens.astype(np.int64), ones.astype(np.int64)
    return whole * 100 + np.where(two, tens * 10 + ones, ones * 10 * one), True


def _read_digits(words: _Words, starts: Integers, ends: Integers, most: int) -> Integers:
    """Return numbers of up to 16 digits."""
    lengths = ends - starts
    longest = lengths.max()
    _require(lengths.min() >= 1 and longest <= most)
    numbers = _parse((words[ends - _WORD] ^ _ZEROS) & _LAST[np.minimum(lengths, _WORD)])
    if longest > _WORD:
        first = (words[ends - 2 * _WORD] ^ _ZEROS) & _LAST[np.maximum(lengths - _WORD, 0)]
        numbers += _parse(first) * 10**_WORD
    return numbers


def _parse(digits: _Words) -> Integers:
    """Return the numbers whose eight digits are the bytes of the words, the first digit in the lowest byte."""
    _require(not np.bitwise_or.reduce(digits | (digits + _OVER_NINE)) & _HIGH_BITS)
    pairs = (digits * np.uint64(10 << 8 | 1) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100 << 16 | 1) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(10_000 << 32 | 1) >> np.uint64(32)).view(np.int64)


def _read_dates(words: _Words, starts: Integers, ends: Integers) -> Dates:
    lengths = ends - starts
    _require(np.isin(lengths, _DATE_LENGTHS).all())
    first, second, third = (words[starts + _WORD * place] ^ word for place, word in enumerate(_DATE_WORDS))
    third &= _FIRST[np.minimum(lengths - 2 * _WORD, _WORD)]
    signs = first & _DATE_SIGNS[0] | second & _DATE_SIGNS[1] | third & _DATE_SIGNS[2]
    _require(not signs.any())
    # A sign counts as the digit 0: YYYY0MM0, DD0HH0MM and 0SS0FFFF.
    year, month = np.divmod(_parse(first) // 10, 1000)
    day, time = np.divmod(_parse(second), 1_000_000)
    hour, minute = np.divmod(time, 1000)
    seconds, microseconds = np.divmod(_parse(third), 100_000)
    microseconds *= 100
    if lengths.max() > 3 * _WORD:
        last = (words[starts + 3 * _WORD] ^ _ZEROS) & _FIRST[np.maximum(lengths - 3 * _WORD, 0)]
        microseconds += _parse(last) // 1_000_000
    for part, least, most in ((year, 1, 9999), (month, 1, 12), (hour, 0, 23), (minute, 0, 59), (seconds, 0, 59)):
        _require(part.min() >= least and part.max() <= most)
    months = ((year - _EPOCH_YEAR) * 12 + month - 1).view("M8[M]")
    days = months.astype("M8[D]") + (day - 1).view("m8[D]")
    _require((days.astype("M8[M]") == months).all())
    seconds += hour * 3600 + minute * 60
    dates: Dates = days.astype("M8[us]") + (seconds * 1_000_000 + microseconds).view("m8[us]")
    return dates
