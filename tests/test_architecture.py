"""Import direction, module docstrings, and rules that hold for every source file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT, TIMEOUT
from tests.source_files import python_files, text_files

pytestmark = pytest.mark.database_independent

MODULES = [path for path in python_files() if "migrations" not in path.parts and (ROOT / path).stat().st_size]


def test_import_contracts_hold() -> None:
    """To repair it, move the code; do not change the contracts in pyproject.toml."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"[1-9] kept, 0 broken", result.stdout)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_a_docstring(module: Path) -> None:
    assert ast.get_docstring(ast.parse((ROOT / module).read_text())), f"{module} has no docstring"


def test_environment_is_read_in_settings_only() -> None:
    read_access = re.compile(r"\bos\.(?:environ\b(?!\.setdefault)|getenv)")
    modules = {path for path in MODULES if path.parts[0] != "tests" and read_access.search((ROOT / path).read_text())}
    assert modules == {Path("project/settings.py")}


def test_no_file_contains_a_path_of_a_developer_machine() -> None:
    folders = "|".join(("home", "root", "Users", "work", "workspace", "mnt"))
    personal_path = re.compile(rf"(?<![\w.:/])/(?:{folders})/[\w.]|\b[A-Z]:\\\w")
    assert personal_path.search("cd " + "/" + "home/ann/deals")
    found = [f"{path}: {match[0]}" for path, text in text_files() for match in personal_path.finditer(text)]
    assert found == []
