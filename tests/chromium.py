"""A headless browser, and pages that fail the test on any script error, policy violation or foreign request."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.requires import require
from tests.servers import TIMEOUT, Server

# Without these flags the browser contacts hosts of its vendor.
FLAGS: Final = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: Limit of each wait for the page.
BROWSER_TIMEOUT_MS: Final = 1000 * TIMEOUT


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    require("chromium")
    expect.set_options(timeout=BROWSER_TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, *flags])
        yield browser
        browser.close()


@contextlib.contextmanager
def open_page(browser: Browser, server: Server, **options: Any) -> Iterator[Page]:
    """Open a page of the server; fail if a script fails, the policy blocks anything, or another host is requested."""
    page_errors: list[str] = []

    def check_origin(url: str) -> None:
        if not url.startswith((server.url, "data:")):
            page_errors.append(url)

    with browser.new_context(base_url=server.url, **options) as context:
        page = context.new_page()
        page.set_default_timeout(BROWSER_TIMEOUT_MS)
        page.on("pageerror", lambda error: page_errors.append(str(error)))
        page.on("console", lambda message: page_errors.append(message.text) if "Security" in message.text else None)
        page.on("request", lambda request: check_origin(request.url))
        page.expose_function("reportViolation", lambda violation: page_errors.append(violation))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " reportViolation(event.violatedDirective + ' ' + event.blockedURI))"
        )
        yield page
        assert page_errors == []
