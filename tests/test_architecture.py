"""The house stands as it is drawn: imports go down only, every module says what it is for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, TIMEOUT

pytestmark = pytest.mark.database_independent

PACKAGES = [name for name in ("project", "deals_api", "graphql_schema", "tests") if (ROOT / name).is_dir()]
MODULES = sorted(
    path.relative_to(ROOT)
    for path in [ROOT / "manage.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    if "migrations" not in path.parts and path.stat().st_size
)


def test_imports_go_down_only() -> None:
    """Repair it by moving the code, not the contracts in pyproject.toml."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert re.search(r"[1-9] kept, 0 broken", linted.stdout)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_opens_by_saying_what_it_answers_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse((ROOT / module).read_text())), f"{module} has no docstring"


def test_the_environment_is_read_in_the_settings_and_nowhere_else() -> None:
    reading = re.compile(r"\bos\.(?:environ\b(?!\.setdefault)|getenv)")
    readers = {path for path in MODULES if path.parts[0] != "tests" and reading.search((ROOT / path).read_text())}
    assert readers == {Path("project/settings.py")}


def texts() -> Iterator[tuple[Path, str]]:
    """Every file of ours that is text."""
    places = [path for path in ROOT.iterdir() if path.is_file()]
    places += [path for name in [*PACKAGES, ".ci"] for path in (ROOT / name).rglob("*") if path.is_file()]
    for path in places:
        if path.suffix not in (".pyc", ".sqlite3") and path.name != ".git" and "node_modules" not in path.parts:
            yield path.relative_to(ROOT), path.read_text(errors="replace")


def test_nothing_names_a_place_on_somebodys_machine() -> None:
    folders = "|".join(("home", "root", "Users", "work", "workspace", "mnt"))
    somebodys = re.compile(rf"(?<![\w.:/])/(?:{folders})/[\w.]|\b[A-Z]:\\\w")
    assert somebodys.search("cd " + "/" + "home/ann/deals")
    found = [f"{path}: {hit[0]}" for path, text in texts() for hit in somebodys.finditer(text)]
    assert found == []
