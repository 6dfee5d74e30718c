"""The commands of README.md, so that what is tried is what a newcomer reads and never a copy of it.

``python3 .ci/readme.py PATTERN`` prints the first block of commands in which PATTERN is found.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def block(pattern: str) -> str:
    """The first block of commands with the pattern in it."""
    return _first([part.strip() for part in _blocks()], pattern)


def line(pattern: str) -> str:
    """The first line of commands with the pattern in it."""
    return _first([line for part in _blocks() for line in part.splitlines()], pattern)


def _blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _first(commands: list[str], pattern: str) -> str:
    for command in commands:
        if re.search(pattern, command, re.MULTILINE):
            return command
    sys.exit(f"README.md shows no command with {pattern!r}")


if __name__ == "__main__":
    print(block(sys.argv[1]))
