"""Detect the encoding of an uploaded file, and convert it to UTF-8 in blocks of whole lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Final, Protocol

from deals_api.errors import UnreadableUpload
from deals_api.ingest.reasons import MAX_SHOWN, row_problem, unreadable

_BLOCK_BYTES: Final = 256 * 1024
MAX_LINE_BYTES: Final = _BLOCK_BYTES

#: Signatures of formats other than CSV, with the reason code and its params.
_OTHER_FORMATS: Final[tuple[tuple[bytes, str, dict[str, str]], ...]] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel_workbook", {"extension": ".xls"}),
    (b"\x1f\x8b", "compressed", {"program": "gzip"}),
    (b"BZh", "compressed", {"program": "bzip2"}),
    (b"\xfd7zXZ\0", "compressed", {"program": "xz"}),
    (b"\x28\xb5\x2f\xfd", "compressed", {"program": "Zstandard"}),
    (b"7z\xbc\xaf\x27\x1c", "archive", {"format": "7z"}),
    (b"Rar!\x1a\x07", "archive", {"format": "RAR"}),
    (b"PAR1", "parquet_file", {}),
    (b"SQLite format 3\0", "sqlite_database", {}),
    (b"{\\rtf", "rtf_document", {}),
    (b"\x89PNG", "image", {"format": "PNG"}),
    (b"\xff\xd8\xff", "image", {"format": "JPEG"}),
    (b"%PDF", "pdf_document", {}),
    (b"\xff\xfe\0\0", "utf_32", {}),
    (b"\0\0\xfe\xff", "utf_32", {}),
)
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_TAR: Final = slice(257, 262)

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
#: Evidence for MacCyrillic, which differs from Windows-1251 in the capitals, in я and in ё: a capital before two small
#: letters, or я, ё or a closing quotation mark after one. Mac capitals whose bytes are punctuation in Windows-1251 are
#: not counted, nor are the bytes that are З, Э, Ю and Я in Windows-1251 but other characters on a Mac.
_MAC_LETTER: Final = re.compile(
    rb"[\x80\x81\x83\x8a\x8c-\x90\x9a\x9c-\x9f][\xde\xe0-\xfe]{2}|(?<=[\xe0-\xfe])(?:[\xde\xdf]|\xc8(?![\xc0-\xff]))"
)
_WINDOWS_LETTER: Final = re.compile(
    rb"(?<![\x80-\x9f\xc0-\xff])[\xa8\xc0-\xc6\xc8-\xdc][\xe0-\xff]{2}|(?<=[\xe0-\xfe])[\xb8\xff]"
)
#: A word that begins with a capital. KOI8-R exchanges capitals and small letters, so that it has none.
_TITLE_CASE: Final = re.compile(rb"(?<![\x80-\xff])[\xa8\xc0-\xdf][\xb8\xe0-\xff]{2}")
#: The letters О, Е, А, И, Н and Т, nearly half of any Russian text, in Windows-1251 and in KOI8-R.
_COMMON_IN_1251: Final = re.compile("[оеаинтОЕАИНТ]".encode("cp1251"))
_COMMON_IN_KOI8: Final = re.compile("[оеаинтОЕАИНТ]".encode("koi8-r"))
#: Three Russian letters in UTF-8; no word in Windows-1251 has these bytes.
_UTF8_WORD: Final = re.compile(rb"(?:[\xd0\xd1][\x80-\xbf]){3}")
_UNUSED_IN_1251: Final = b"\x98"
_CTRL_Z: Final = b"\x1a"


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a file in UTF-8: blocks of whole lines, which end with LF, and the name of the file's encoding."""

    encoding: str
    blocks: Iterator[bytes]


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def decode(file: IO[bytes]) -> Text:
    """Detect the encoding, after reading the whole file if it is not UTF-16.

    Windows-1251 needs evidence: most bytes outside ASCII are not valid UTF-8, and most of them are in Cyrillic words.
    Damaged UTF-8 still has too many valid characters for that.

    Raises: UnreadableUpload, for other formats and encodings, and for damaged text; also while the blocks are read.
    """
    file.seek(0)
    start = file.read(_BLOCK_BYTES)
    _reject_other_formats(start)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        newline = _newline(start.decode("utf-16", "ignore").encode())
        file.seek(0)
        return Text("UTF-16", _utf8_blocks(_Utf16AsUtf8(file), newline))
    if b"\0" in start.lstrip().partition(b"\n")[0]:
        raise unreadable("nul_bytes")
    newline = _newline(start)
    name, codec = "UTF-8", None
    if broken := _first_broken_line(file, newline):
        if start.startswith(codecs.BOM_UTF8) or not _is_windows_1251(file, newline):
            line, value = broken
            raise UnreadableUpload(
                f"Line {line} is neither UTF-8 nor clearly Windows-1251; save the file again as CSV UTF-8.",
                [row_problem(line, None, value, "not_utf8")],
            )
        name, codec = "Windows-1251", "cp1251"
    file.seek(0)
    return Text(name, _utf8_blocks(file, newline, codec))


def _reject_other_formats(start: bytes) -> None:
    """Raises: UnreadableUpload."""
    for signature, code, params in _OTHER_FORMATS:
        if start.startswith(signature):
            raise unreadable(code, **params)
    if start.startswith(_ZIP):
        if b"application/vnd.oasis.opendocument.spreadsheet" in start[:200]:
            raise unreadable("opendocument_spreadsheet")
        if b"xl/workbook" in start or b"xl/worksheets" in start:
            raise unreadable("excel_workbook", extension=".xlsx")
        raise unreadable("archive", format="ZIP")
    if start[_TAR] == b"ustar":
        raise unreadable("archive", format="tar")


def _newline(start: bytes) -> bytes:
    """Return the byte that ends a line: LF, also after CR, or CR if there is no LF."""
    return b"\r" if b"\r" in start and b"\n" not in start else b"\n"


def _first_broken_line(file: IO[bytes], newline: bytes) -> tuple[int, str] | None:
    """Return the number and the printable text of the first line that is not UTF-8, or None."""
    file.seek(0)
    line = 1
    for block in read_blocks(file, newline):
        try:
            block.decode()
        except UnicodeDecodeError as error:
            line += block.count(newline, 0, error.start)
            begin = block.rfind(newline, 0, error.start) + 1
            text = block[begin:].split(newline, 1)[0].strip()
            return line, text.decode(errors="backslashreplace")[:MAX_SHOWN]
        line += block.count(newline)
    return None


def _is_windows_1251(file: IO[bytes], newline: bytes) -> bool:
    """Raises: UnreadableUpload, if the text may be in MacCyrillic, which has the same small letters."""
    file.seek(0)
    high = in_utf8 = in_words = mac = windows = titles = common = common_in_koi8 = 0
    for block in read_blocks(file, newline):
        if _UNUSED_IN_1251 in block or _UTF8_WORD.search(block):
            return False
        high += len(_HIGH_BYTE.findall(block))
        in_utf8 += sum(map(len, _UTF8_CHARACTER.findall(block)))
        in_words += sum(map(len, _CYRILLIC_WORD.findall(block)))
        mac += len(_MAC_LETTER.findall(block))
        windows += len(_WINDOWS_LETTER.findall(block))
        titles += len(_TITLE_CASE.findall(block))
        common += len(_COMMON_IN_1251.findall(block))
        common_in_koi8 += len(_COMMON_IN_KOI8.findall(block))
    if in_utf8 * 2 >= high or in_words * 2 <= high or (not titles and common_in_koi8 > common):
        return False
    if mac > 9 * windows:  # Serbian and Macedonian in Windows-1251 have a few such letters
        raise unreadable("mac_cyrillic")
    return True


class _Utf16AsUtf8:
    """The UTF-8 text of a file in UTF-16, as a stream."""

    def __init__(self, file: IO[bytes]) -> None:
        self.chunks = codecs.iterdecode(iter(partial(file.read, _BLOCK_BYTES), b""), "utf-16")

    def read(self, _size: int, /) -> bytes:
        try:
            return next(self.chunks, "").encode()
        except UnicodeError as error:
            raise unreadable("invalid_utf_16") from error


def read_blocks(file: _Source, newline: bytes) -> Iterator[bytes]:
    """Yield the file in blocks of whole lines, which split no character; a Ctrl-Z at the end is left out."""
    rest, line = b"", 1
    while chunk := file.read(_BLOCK_BYTES):
        whole, end, tail = chunk.rpartition(newline)
        if len(rest) + len(chunk.partition(newline)[0]) > MAX_LINE_BYTES:
            raise unreadable("row_too_long", line=line, maximum=MAX_LINE_BYTES)
        if end:
            block = b"".join((rest, whole, end))
            line += block.count(newline)
            rest = tail
            yield block
        else:
            rest += chunk
    if rest := rest.rstrip(_CTRL_Z):
        yield rest


def _utf8_blocks(file: _Source, newline: bytes, codec: str | None = None) -> Iterator[bytes]:
    """Yield the blocks without byte-order marks; ``codec`` is the encoding if it is not UTF-8."""
    first = True
    for block in read_blocks(file, newline):
        utf8 = block.decode(codec).encode() if codec else block
        while first and utf8.startswith(codecs.BOM_UTF8):
            utf8 = utf8.removeprefix(codecs.BOM_UTF8)
        first = False
        yield utf8.replace(b"\r", b"\n") if newline == b"\r" else utf8
