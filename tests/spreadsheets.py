"""Make workbooks of deals, and have LibreOffice save them as CSV."""

from __future__ import annotations

import os
import signal
import subprocess
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from tests.requires import require
from tests.servers import TIMEOUT

#: A date and time is the number of days since this one.
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001
#: The built-in format that follows the locale of the reader; Excel gives it to dates with a time.
LOCALE_DATE: Final = "date and time of the locale"
_BUILT_IN_FORMATS: Final = {"General": 0, LOCALE_DATE: 22}

_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPES: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_CONSTANT_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="deals" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
}


@dataclass(frozen=True)
class ErrorValue:
    """The result of an invalid formula, such as ``#N/A``."""

    text: str


Cell = str | int | Decimal | datetime | ErrorValue


def write_xlsx(path: Path, rows: Iterable[Sequence[Cell]], *, number_format: str, date_format: str) -> None:
    """Write a workbook with one sheet; the format codes are those of the dialog "Format Cells"."""
    sheet = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
    parts = _CONSTANT_PARTS | {
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{sheet}</sheetData></worksheet>',
        "xl/styles.xml": _styles(["General", number_format, date_format]),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, _XML + text)


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    if isinstance(value, ErrorValue):
        return f'<c t="e"><v>{value.text}</v></c>'
    if isinstance(value, datetime):
        days = (value - _EPOCH).total_seconds() / 86400
        return f'<c s="2"><v>{days!r}</v></c>'
    return f'<c s="1"><v>{value}</v></c>'


def _styles(formats: Sequence[str]) -> str:
    """Return the styles of the cells; the position of a format is the number of its style."""
    own = {code: number for number, code in enumerate(formats, 164) if code not in _BUILT_IN_FORMATS}
    ids = [_BUILT_IN_FORMATS.get(code) or own.get(code, 0) for code in formats]
    number_formats = "".join(
        f"<numFmt numFmtId={quoteattr(str(number))} formatCode={quoteattr(code)}/>" for code, number in own.items()
    )
    return (
        f'<styleSheet xmlns="{_MAIN}"><numFmts count="{len(own)}">{number_formats}</numFmts>'
        '<fonts count="1"><font><name val="Liberation Sans"/></font></fonts>'
        '<fills count="1"><fill><patternFill patternType="none"/></fill></fills><borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(ids)}">'
        + "".join(f'<xf numFmtId="{number}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
                  for number in ids)
        + "</cellXfs></styleSheet>"
    )  # fmt: skip


_PROFILE: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Setup/L10N">
<prop oor:name="ooSetupSystemLocale" oor:op="fuse"><value>{locale}</value></prop>
</item>
</oor:items>
"""
_CSV: Final = "Text - txt - csv (StarCalc)"
#: The codes of the language token in the filter that reads CSV.
_LANGUAGES: Final = {"en-US": 1033, "de-DE": 1031, "ru-RU": 1049}
_QUOTE, _UTF8 = ord('"'), 76


class LibreOffice:
    """LibreOffice of a user with a locale: its profile is in ``folder``."""

    def __init__(self, folder: Path, locale: str) -> None:
        require("LibreOffice")
        self.locale = locale
        self.folder = folder / locale
        settings = self.folder / "profile" / "user" / "registrymodifications.xcu"
        settings.parent.mkdir(parents=True)
        settings.write_text(_PROFILE.format(locale=locale))

    def save_as_csv(self, files: Sequence[Path], delimiter: str, *, read_csv: bool = False) -> dict[str, bytes]:
        """Save the files as CSV with the cells as shown; return the content by the name without the suffix.

        The locale of the profile determines the formats; the language token of the filter has no effect on saving.
        """
        output = self.folder / f"saved {ord(delimiter)} {read_csv}"
        # Tokens: delimiter, quote, encoding, first line, columns, language, quote all text, contents as shown
        save = f"csv:{_CSV}:{ord(delimiter)},{_QUOTE},{_UTF8},1,,0,false,true"
        # The last two tokens: quoted cells as text, detect dates
        read = f"--infilter={_CSV}:44/59,{_QUOTE},{_UTF8},1,,{_LANGUAGES[self.locale]},false,false"
        process = subprocess.Popen(
            [
                "soffice",
                f"-env:UserInstallation={(self.folder / 'profile').as_uri()}",
                "--headless",
                *([read] if read_csv else []),
                "--convert-to",
                save,
                "--outdir",
                str(output),
                *map(str, files),
            ],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            messages, _ = process.communicate(timeout=TIMEOUT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        saved = {path.stem: path.read_bytes() for path in output.glob("*.csv")}
        assert saved.keys() == {path.stem for path in files}, messages
        return saved
