"""Commands of README.md, which tests and CI execute. Uses the standard library only.

``python3 tests/readme_commands.py PATTERN`` prints the first ``sh`` block that matches the pattern.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def command_block(pattern: str, document: Path = README) -> str:
    """Return the first ``sh`` block of a document that matches the pattern."""
    return _first_match([block.strip() for block in _blocks(document)], pattern)


def command_line(pattern: str) -> str:
    """Return the first line of a ``sh`` block that matches the pattern."""
    return _first_match([line for block in _blocks(README) for line in block.splitlines()], pattern)


def _blocks(document: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _first_match(commands: list[str], pattern: str) -> str:
    for command in commands:
        if re.search(pattern, command, re.MULTILINE):
            return command
    raise LookupError(f"no command matches {pattern!r}")


if __name__ == "__main__":
    print(command_block(sys.argv[1]))  # noqa: T201
