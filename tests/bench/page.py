"""The web page in Chromium: time until it shows the first response, on a fast and on a slow connection."""

from __future__ import annotations

import statistics
from typing import Final

from playwright.sync_api import Browser

from tests.bench.environment import BenchEnvironment
from tests.bench.table import ROUNDS, ms, print_row
from tests.chromium import chromium
from tests.requires import find

#: "Fast 3G" of Chromium's developer tools: latency in ms, throughput in bytes per second.
_FAST_3G: Final = {"latency": 562.5, "downloadThroughput": 180_000, "uploadThroughput": 84_375}
_OBSERVE: Final = """
    new MutationObserver(() => {
        if (document.querySelector(".clients .name")) window.answeredAt ??= performance.now();
    }).observe(document, { childList: true, subtree: true });
"""
_TIMES: Final = """() => ({
    load: performance.getEntriesByType("navigation")[0].loadEventEnd, answer: window.answeredAt,
})"""


def bench(environment: BenchEnvironment) -> None:
    if find("chromium") is None:
        print("\nThe page is not measured, because Chromium is not installed.\n")
        return
    environment.activate("ordinary")
    with chromium() as browser:
        for name, conditions in (("local network", None), ("Fast 3G", _FAST_3G)):
            times = [load_times(browser, environment.server.url, conditions) for _ in range(ROUNDS)]
            load, answer = (statistics.median(each) for each in zip(*times, strict=True))
            print_row(
                f"first response in the page after its load event, {environment.rows:,} deals, {name}",
                ms(max(0.0, answer - load)), f"load event: {ms(load)} after the start", "", "< 1 s",
            )  # fmt: skip


def load_times(browser: Browser, url: str, conditions: dict[str, float] | None) -> tuple[float, float]:
    """Return the seconds from the start of the navigation until the load event, and until a client is shown.

    The browser has an empty cache.
    """
    with browser.new_context() as context:
        page = context.new_page()
        if conditions:
            session = context.new_cdp_session(page)
            session.send("Network.enable")
            session.send("Network.emulateNetworkConditions", {"offline": False, **conditions})
        page.add_init_script(_OBSERVE)
        page.goto(url, wait_until="load")
        page.wait_for_selector(".clients .name")
        times = page.evaluate(_TIMES)
    return times["load"] / 1000, times["answer"] / 1000
