"""Words that have a standard term are not used in code, comments and documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.source_files import text_files

pytestmark = pytest.mark.database_independent

VOCABULARY = ROOT / "tests" / "data" / "vocabulary.txt"
#: Words and their replacement, separated by a tab; lines that begin with # are comments.
RULES = [line.split("\t") for line in VOCABULARY.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(("words", "replacement"), RULES)
def test_no_text_uses_a_word_with_a_standard_term(words: str, replacement: str) -> None:
    """Also search the words of identifiers, but not names of methods, which may be those of the standard library."""
    pattern = re.compile(rf"(?<![^\W_])(?<!\.)(?:{words})(?![^\W_])", re.IGNORECASE)
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in text_files()
        if is_searched(path)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == [], f"write instead: {replacement}"


def is_searched(path: Path) -> bool:
    return not {"data", "migrations"} & set(path.parts)
