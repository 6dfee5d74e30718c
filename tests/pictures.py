"""``python -m tests.pictures``: screenshots of the running service for the documents."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import expect

from tests.chromium import chromium, open_page
from tests.servers import REAL_FILE, ROOT, serving

FOLDER = ROOT / ".pictures"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server, chromium() as browser:
        server.upload(REAL_FILE.read_bytes())
        size = {"viewport": {"width": 1100, "height": 1140}, "locale": "en-US", "color_scheme": "light"}
        with open_page(browser, server, **size) as page:
            page.goto("/")
            expect(page.locator("#ranking [data-lines]").first).to_be_visible()
            page.wait_for_timeout(1000)
            page.screenshot(path=FOLDER / "page.png")
            page.goto("/graphql/")
            page.click("button.graphiql-execute-button")
            expect(page.locator(".result-window")).to_contain_text("resplendent")
            page.wait_for_timeout(1000)
            page.screenshot(path=FOLDER / "graphiql.png")


if __name__ == "__main__":
    main()
