"""Commands of README.md, so that checks run what readers run.

``python3 .ci/readme.py PATTERN`` prints the first block of commands that matches the regular expression.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def block(pattern: str) -> str:
    """Return the first block of commands that matches the pattern."""
    return _first_match([text.strip() for text in _blocks()], pattern)


def line(pattern: str) -> str:
    """Return the first line of commands that matches the pattern."""
    return _first_match([line for text in _blocks() for line in text.splitlines()], pattern)


def _blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _first_match(commands: list[str], pattern: str) -> str:
    for command in commands:
        if re.search(pattern, command, re.MULTILINE):
            return command
    sys.exit(f"README.md has no command that matches {pattern!r}.")


if __name__ == "__main__":
    print(block(sys.argv[1]))
