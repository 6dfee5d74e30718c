"""Detect the encoding of an uploaded file, and decode it in blocks of whole lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO, Final

from deals_api.errors import RowProblem, UnreadableUpload

#: Characters of an invalid cell that an error repeats.
MAX_SHOWN: Final = 100

_BLOCK_BYTES: Final = 256 * 1024
MAX_LINE_BYTES: Final = _BLOCK_BYTES

_NOT_CSV: Final = (
    (b"PK\x03\x04", "an Excel workbook or a ZIP archive; save it as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook; save it as CSV"),
    (b"\x1f\x8b", "compressed with gzip; send it unpacked"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xfe", "text in UTF-16; save it as CSV UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as CSV UTF-8"),
)

_HIGH_BYTE: Final = re.compile(rb"[\x80-\xff]")

#: Well-formed UTF-8 outside ASCII. In Windows-1251, names such as Пётр and Лёд begin like a UTF-8 character, so such
#: sequences are excluded, except those of Р and С, whose bytes begin every Russian letter in UTF-8.
_UTF8_CHARACTER: Final = re.compile(
    rb"(?![\xc2-\xcf\xd2-\xdf][\xa8\xb8][\xc0-\xff](?![\x80-\xbf]))"
    rb"(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})"
)

#: Three or more consecutive Cyrillic letters of Windows-1251 without adjacent Latin letters. All are capitals, or
#: none after the first; in KOI8 the ranges of capitals and small letters are exchanged.
_CYRILLIC_WORD: Final = re.compile(
    rb"(?=[\xa8\xb8\xc0-\xff]{3})(?<![A-Za-z\xa8\xb8\xc0-\xff])"
    rb"(?:[\xa8\xc0-\xdf]?[\xb8\xe0-\xff]++|[\xa8\xc0-\xdf]++)(?![A-Za-z\xa8\xb8\xc0-\xff])"
)

_UNUSED_IN_1251: Final = b"\x98"


def detect_encoding(file: IO[bytes]) -> str:
    """Return ``utf-8-sig`` or ``cp1251`` after reading the whole file, and rewind it.

    Windows-1251 needs evidence: most bytes outside ASCII are not valid UTF-8, and most of them are in Cyrillic words.
    Damaged UTF-8 still has too many valid characters for that.

    Raises: UnreadableUpload, for other formats and for damaged UTF-8.
    """
    file.seek(0)
    start = file.read(_BLOCK_BYTES)
    for signature, kind in _NOT_CSV:
        if start.startswith(signature):
            raise UnreadableUpload(f"The file is not CSV text: it is {kind}.")
    if b"\0" in start.lstrip().partition(b"\n")[0]:
        raise UnreadableUpload("The file is not CSV text: it has NUL bytes, as UTF-16 has; save it as CSV UTF-8.")

    broken = _first_broken_line(file)
    if broken is None:
        return "utf-8-sig"
    if not start.startswith(codecs.BOM_UTF8) and _looks_like_1251(file):
        return "cp1251"
    line, value = broken
    raise UnreadableUpload(
        f"The text is damaged: line {line} is not UTF-8; save the file again as CSV UTF-8.",
        [RowProblem(line, None, value, "has bytes that are not UTF-8")],
    )


def _first_broken_line(file: IO[bytes]) -> tuple[int, str] | None:
    """Return the number and the printable text of the first line that is not UTF-8, or None; rewind the file."""
    file.seek(0)
    line = 1
    for block in read_blocks(file):
        try:
            block.decode()
        except UnicodeDecodeError as error:
            line += block.count(b"\n", 0, error.start)
            begin = block.rfind(b"\n", 0, error.start) + 1
            text = block[begin:].split(b"\n", 1)[0].strip()
            return line, text.decode(errors="backslashreplace")[:MAX_SHOWN]
        line += block.count(b"\n")
    file.seek(0)
    return None


def _looks_like_1251(file: IO[bytes]) -> bool:
    file.seek(0)
    high = in_utf8 = in_words = 0
    for block in read_blocks(file):
        if _UNUSED_IN_1251 in block:
            return False
        high += len(_HIGH_BYTE.findall(block))
        in_utf8 += sum(map(len, _UTF8_CHARACTER.findall(block)))
        in_words += sum(map(len, _CYRILLIC_WORD.findall(block)))
    file.seek(0)
    return in_utf8 * 2 < high and in_words * 2 > high


def read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the file in blocks of whole lines, which split no character."""
    rest, line = b"", 1
    while chunk := file.read(_BLOCK_BYTES):
        whole, newline, tail = chunk.rpartition(b"\n")
        if len(rest) + len(chunk.partition(b"\n")[0]) > MAX_LINE_BYTES:
            raise UnreadableUpload(
                f"The file is not a table of deals: line {line} is over {MAX_LINE_BYTES} bytes;"
                " are its line breaks LF or CRLF?"
            )
        if newline:
            block = b"".join((rest, whole, newline))
            line += block.count(b"\n")
            rest = tail
            yield block
        else:
            rest += chunk
    if rest:
        yield rest


def decode_blocks(file: IO[bytes], encoding: str) -> Iterator[str]:
    file.seek(0)
    for block in read_blocks(file):
        yield block.decode(encoding)
        encoding = encoding.removesuffix("-sig")  # only the first block has a byte-order mark
