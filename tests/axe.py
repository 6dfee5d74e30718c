"""Barriers for people with disabilities, found by axe-core of the package ``axe-playwright-python``."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

from playwright.sync_api import Page

#: Rules that are not selected by default: of WCAG 2.2, and 2.5.3 of WCAG 2.1.
_MORE_RULES: Final = ("target-size", "label-content-name-mismatch")
_SOURCE: Final = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def violations(page: Page, *, without: str | None = None) -> list[str]:
    """Return a line for each violation of the visible page, except inside of the elements of a selector."""
    page.evaluate(_SOURCE)
    found: dict[str, Any] = page.evaluate(
        "([context, options]) => axe.run(context, options)",
        [
            {"include": ["html"], "exclude": [without] if without else []},
            {"resultTypes": ["violations"], "rules": {rule: {"enabled": True} for rule in _MORE_RULES}},
        ],
    )
    return [
        f"{violation['id']} ({violation['impact']}): {node['html'][:300]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
