"""A browser, and windows in which nothing may go wrong unseen."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.requires import require
from tests.servers import TIMEOUT, Server

# Without these the browser itself looks for its makers' hosts.
FLAGS: Final = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: Generous, because machines are slow at times; nothing waits so long that goes well.
PATIENCE_MS: Final = 1000 * TIMEOUT


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    require("chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, *flags])
        yield browser
        browser.close()


@contextlib.contextmanager
def window(browser: Browser, server: Server, **options: Any) -> Iterator[Page]:
    """A window on the server, in which no script fails, nothing is blocked and nothing is loaded from elsewhere."""
    mishaps: list[str] = []
    with browser.new_context(base_url=server.url, **options) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: mishaps.append(str(error)))
        page.on("console", lambda message: mishaps.append(message.text) if "Security" in message.text else None)
        page.on("request", lambda one: None if one.url.startswith((server.url, "data:")) else mishaps.append(one.url))
        page.expose_function("tell", lambda violation: mishaps.append(violation))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (one) => tell(one.violatedDirective + ' ' + one.blockedURI))"
        )
        yield page
        assert mishaps == []
