"""Uploads by the web page in a real browser: progress, outcomes, history, and the announcement of new data."""

from __future__ import annotations

import contextlib
import csv
import inspect
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, expect

from deals_api.ingest import csv_reader
from deals_api.ingest.reasons import REASONS
from tests import node
from tests.axe import violations
from tests.builders import csv_of, deal, many
from tests.chromium import open_page
from tests.server_actions import top_client
from tests.servers import ROOT, Server, serving, wait_until
from tests.test_error_shape import defined_codes

pytestmark = pytest.mark.database_independent

SCRIPTS: Final = ROOT / "project" / "frontend" / "static" / "frontend"
DESKTOP: Final = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US"}
PHONE: Final = {"viewport": {"width": 375, "height": 812}, "locale": "ru-RU"}
JSON: Final = "application/json"
INVALID_FILE: Final = csv_of(
    deal(), deal(total='"1,234"', quantity="0"), deal(total='"5,678"'), deal(customer="=cmd()", date="x")
)


# Texts


def test_modules_of_uploads_work_without_a_browser() -> None:
    node.run("node", "--test", "uploads.test.mjs")


def test_every_reason_has_a_russian_text() -> None:
    """The service returns the reasons in English, so the page has only the others."""
    params = {code: {name: 7 for _, name, _, _ in Formatter().parse(text) if name} for code, text in REASONS.items()}
    params["wrong_cell_count"]["cells"] = "7 cells"  # type: ignore[assignment]
    script = f"""
        import {{ FILE_REASONS, REASONS, REJECTIONS }} from "{SCRIPTS}/messages_reasons.js";
        const params = {json.dumps(params)};
        const textOf = ([code, text]) => [code, typeof text === "function" ? text(params[code]) : text];
        const texts = Object.entries({{ ...FILE_REASONS, ...REASONS }}).map(textOf);
        console.log(JSON.stringify([Object.fromEntries(texts), REJECTIONS]));
    """
    texts, rejections = json.loads(node.run("node", "--input-type=module", "-e", script))
    assert texts.keys() == REASONS.keys()
    assert rejections.keys() <= defined_codes()
    for code, text in texts.items():
        assert re.search("[а-я]{2}", text), code
        assert "undefined" not in text
        assert "NaN" not in text
        assert text.count("7") == (0 if code == "not_csv" else len(params[code])), text


@pytest.mark.parametrize("name", ["sample_en.csv", "sample_ru.csv", "template.csv"])
def test_offered_files_are_accepted(shared_server: Server, name: str) -> None:
    assert shared_server.upload((SCRIPTS / name).read_bytes(), name).json() == {"Status": "OK"}


# Use in a browser


@pytest.fixture
def page(browser: Browser, shared_server: Server) -> Iterator[Page]:
    """The page with the data of one deal."""
    shared_server.upload(csv_of(deal("ann", total="100")), "first.csv")
    with open_page(browser, shared_server, **DESKTOP) as page:
        page.goto("/")
        expect(page.locator(".clients .name").first).to_have_text("ann")
        yield page


@pytest.fixture
def empty_page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The page of a service without uploads."""
    with serving(tmp_path) as server, open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        expect(page.locator("#empty")).to_be_visible()
        yield page


def choose(page: Page, name: str, content: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": content})


def drop(page: Page, place: str, **files: bytes) -> None:
    """Dispatch the events of files that are dragged from a folder and dropped on an element."""
    dragged = page.evaluate_handle(
        "(files) => { const dragged = new DataTransfer();"
        " for (const [name, content] of files) dragged.items.add(new File([content], name)); return dragged; }",
        [[f"{name}.csv", content.decode()] for name, content in files.items()],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(place, event, {"dataTransfer": dragged})


def item(page: Page, name: str) -> Locator:
    """Return the newest entry of a file in the history."""
    return page.locator(".uploads > li", has_text=name).first


def test_empty_page_offers_sample_data(empty_page: Page) -> None:
    expect(empty_page.locator("#history-card")).to_be_hidden()
    assert violations(empty_page) == []
    with empty_page.expect_download() as download:
        empty_page.get_by_role("link", name="Download a template").click()
    assert Path(download.value.path()).read_bytes() == (SCRIPTS / "template.csv").read_bytes()
    empty_page.get_by_role("button", name="Try it with sample data").click()
    expect(empty_page.locator("#result .good")).to_have_text("sample_en.csv was accepted.")
    expect(empty_page.locator(".clients > li")).to_have_count(5)
    expect(item(empty_page, "sample_en.csv")).to_contain_text("80 deals, 8 customers, 8 gems")


@pytest.mark.parametrize("place", ["#drop", "footer"])
def test_file_is_dropped_anywhere(page: Page, shared_server: Server, place: str) -> None:
    drop(page, place, dropped=csv_of(deal("bob")))
    expect(page.locator("#result .good")).to_have_text("dropped.csv was accepted.")
    expect(page.locator(".clients .name")).to_have_text("bob")
    expect(page.locator("#dropping")).to_be_hidden()


def test_several_files_are_not_uploaded(page: Page, shared_server: Server) -> None:
    drop(page, "#drop", a=csv_of(deal("bob")), b=csv_of(deal("cid")))
    expect(page.locator("#result")).to_have_text("Drop one file at a time.")
    assert top_client(shared_server) == "ann"


def test_report_of_a_checked_file_is_shown_before_it_is_uploaded(page: Page, shared_server: Server) -> None:
    page.get_by_label("Check only").check()
    choose(page, "next.csv", csv_of(deal("bob", total="1234.5"), deal("cid")))
    result = page.locator("#result")
    expect(result.locator(".good")).to_have_text("next.csv has no errors. Nothing has changed yet.")
    expect(result.locator(".report")).to_contain_text("Deals2Customers2Gems1Total1,244.50Period")
    expect(result.locator(".report")).to_contain_text("EncodingUTF-8")
    assert top_client(shared_server) == "ann"
    result.get_by_role("button", name="Upload this file").click()
    expect(result.locator(".good")).to_have_text("next.csv was accepted.")
    expect(page.locator(".clients .name").first).to_have_text("bob")


def test_file_that_is_current_changes_nothing(page: Page) -> None:
    choose(page, "again.csv", csv_of(deal("ann", total="100")))
    expect(page.locator("#result")).to_have_text("again.csv contains the current data already. Nothing has changed.")


def test_rejected_file_shows_groups_of_errors_and_a_list(page: Page) -> None:
    choose(page, "bad.csv", INVALID_FILE)
    result = page.locator("#result")
    expect(result.locator(".bad")).to_have_text("bad.csv was rejected. The data have not changed.")
    expect(result.locator(".groups li")).to_have_text(
        [
            f"2 × total {REASONS['ambiguous_separator']} in lines 3, 4",
            f"1 × quantity {REASONS['not_a_quantity']} in line 3",
            f"1 × date {REASONS['not_a_date']} in line 5",
        ]
    )
    expect(result.locator(".problems tbody tr")).to_have_count(4)
    assert violations(page) == []
    with page.expect_download() as download:
        result.get_by_role("button", name="Download the list of errors").click()
    assert download.value.suggested_filename == "bad.csv-errors.csv"
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert rows[0] == ["Line", "Column", "Value", "Reason"]
    assert rows[1] == ["3", "total", "1,234", REASONS["ambiguous_separator"]]
    assert len(rows) == 5
    reason = item(page, "bad.csv").locator("details")
    reason.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(reason.locator(".groups li").first).to_contain_text("2 × total")


@pytest.mark.parametrize("count", [150, 10_050])
def test_long_list_of_errors_is_shown_in_part_and_downloaded_completely(page: Page, count: int) -> None:
    listed, is_complete = min(count, 10_000), count < 10_000
    choose(page, "bad.csv", csv_of(*[deal(total="x")] * count))
    result = page.locator("#result")
    expect(result.locator(".groups li")).to_have_text(
        [f"{listed:,} × total {REASONS['not_an_amount']} in lines 2, 3, 4, 5, 6…"]
    )
    expect(result.locator("summary")).to_have_text(f"Listed errors: {listed:,}")
    expect(result.locator(".problems tbody tr")).to_have_count(100)
    note = "The table has the first 100 errors; the file to download has all of them."
    expect(result.get_by_text(note)).to_be_visible()
    end = result.get_by_text("The service stopped reading in line 10,001; the file may contain more errors.")
    expect(end).to_have_count(0 if is_complete else 1)
    with page.expect_download() as download:
        result.get_by_role("button", name="Download the list of errors").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert [row[0] for row in rows[1 : listed + 1]] == [str(line) for line in range(2, listed + 2)]
    assert rows[listed + 1 :] == (
        [] if is_complete else [["10001", "whole line", "", REASONS["too_many_errors"].format(maximum=10_000)]]
    )
    page.get_by_label("Language").select_option("ru")
    expect(result.get_by_text("В таблице первые ошибки (100), в файле для скачивания – все.")).to_be_visible()
    end = result.get_by_text("Сервис прекратил чтение на строке 10 001; дальше могут быть и другие ошибки.")
    expect(end).to_have_count(0 if is_complete else 1)


def test_groups_of_errors_are_listed_up_to_a_number(page: Page) -> None:
    rows = "".join(f"ann{',x' * cells}\n" for cells in range(5, 30))
    choose(page, "bad.csv", csv_of() + rows.encode())
    result = page.locator("#result")
    expect(result.locator(".groups li")).to_have_count(20)
    expect(result.get_by_text("Other kinds of errors: 5")).to_be_visible()
    page.get_by_label("Language").select_option("ru")
    expect(result.get_by_text("Других видов ошибок: 5")).to_be_visible()


def test_page_has_every_reason_after_which_reading_stops() -> None:
    codes = set(re.findall(r'row_problem\(line, None, "", "(\w+)"', inspect.getsource(csv_reader)))
    script = (SCRIPTS / "upload_result.js").read_text()
    too_many, others = re.findall(r'const TOO_MANY = ("\w+");|const LAST_READ = \[TOO_MANY, (.+)\];', script)
    assert set(json.loads(f"[{too_many[0]}, {others[1]}]")) == codes


def test_page_shows_the_line_where_reading_stopped(page: Page) -> None:
    choose(page, "bad.csv", csv_of(deal(total="x")) + b'"ann,ruby\n')
    note = "The service stopped reading in line 3; the file may contain more errors."
    expect(page.locator("#result").get_by_text(note)).to_be_visible()
    expect(page.locator("#result .problems tbody tr")).to_have_count(2)


def test_rejection_is_in_the_language_of_the_page(browser: Browser, shared_server: Server) -> None:
    shared_server.upload(csv_of(deal("ann")), "first.csv")
    with open_page(browser, shared_server, **PHONE) as page:
        page.goto("/")
        choose(page, "bad.csv", INVALID_FILE)
        result = page.locator("#result")
        expect(result.locator(".groups li").nth(1)).to_have_text("1 × quantity не целое число от 1 и больше в строке 3")
        assert not re.search("[a-z]{2}", re.sub(r"bad\.csv|total|quantity|date|CSV|cmd", "", result.inner_text()))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(page) == []
        page.reload()
        entry = item(page, "bad.csv")
        entry.locator("summary", has_text="Почему").click()
        expect(entry.locator(".groups li").nth(1)).to_have_text("1 × quantity не целое число от 1 и больше в строке 3")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert violations(page) == []
        choose(page, "image.csv", b"\x89PNG\r\n\x1a\n")
        expect(result).to_contain_text("Файл не удалось прочитать как таблицу сделок. Это изображение PNG")
        page.get_by_label("Язык").select_option("en")
        expect(result.locator(".bad")).to_have_text("image.csv was rejected. The data have not changed.")


# Progress


@contextlib.contextmanager
def waiting_load(page: Page, server: Server) -> Iterator[Page]:
    """Upload a file to a service whose database is locked, so that the load waits after the file was sent."""
    database = sqlite3.connect(server.database_url.removeprefix("sqlite:///"), isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        choose(page, "slow.csv", csv_of(deal("slow")))
        expect(page.locator("#transfer")).to_contain_text("Reading the file…")
        yield page
    finally:
        database.execute("ROLLBACK")
        database.close()


def test_progress_of_a_load_is_shown(page: Page, shared_server: Server) -> None:
    texts = page.evaluate_handle(
        "() => { const texts = []; const transfer = document.querySelector('#transfer'); new MutationObserver(() => {"
        " const bar = transfer.querySelector('progress');"
        " if (bar) texts.push([bar.hasAttribute('value'), transfer.textContent]); })"
        ".observe(transfer, {subtree: true, childList: true, attributes: true, characterData: true}); return texts; }"
    )
    choose(page, "large.csv", csv_of(*many(60_000)))
    expect(page.locator("#result .good")).to_have_text("large.csv was accepted.")
    seen: list[Any] = page.evaluate("(texts) => texts", texts)
    assert any(is_known and "Uploading" in text for is_known, text in seen)
    assert any(not is_known and "Reading the file…" in text for is_known, text in seen)
    expect(page.locator("#transfer")).to_be_empty()


def test_rows_and_time_left_are_shown_while_the_service_loads(page: Page, shared_server: Server) -> None:
    size = len(csv_of(deal("slow")))
    load = {"fileName": "slow.csv", "size": size, "state": "LOADING", "rowsRead": 250, "bytesRead": 10}
    body = json.dumps({"data": {"uploads": {"nodes": [load]}}})
    page.route(
        "**/graphql/?query=query+Loads*", lambda route: route.fulfill(body=body, content_type="application/json")
    )
    with waiting_load(page, shared_server):
        transfer = page.locator("#transfer")
        expect(transfer).to_contain_text(re.compile(r"Deals read: 250\. About \d+ (second|minute)s? left\."))
        assert float(transfer.locator("progress").get_attribute("value") or "") == 10 / size
        assert violations(page) == []
    expect(page.locator(".clients .name")).to_have_text("slow")


def test_page_warns_before_it_is_left_and_no_longer_waits(page: Page, shared_server: Server) -> None:
    warnings: list[str] = []

    def stay(dialog: Dialog) -> None:
        warnings.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    with waiting_load(page, shared_server):
        page.close(run_before_unload=True)
        wait_until(lambda: page.title() and warnings == ["beforeunload"])
        expect(page.locator("#file")).to_be_disabled()
        drop(page, "footer", second=csv_of(deal("bob")))  # is ignored
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#result")).to_contain_text("The service has received slow.csv and goes on to load it.")
        expect(page.locator("#result")).to_be_focused()
        expect(page.locator("#file")).to_be_enabled()
    expect(page.locator("#announcement")).to_contain_text("New data: slow.csv")


def test_unreachable_service_is_reported(page: Page) -> None:
    page.route("**/api/upload/", lambda route: route.abort())
    choose(page, "next.csv", csv_of(deal("bob")))
    expect(page.locator("#result")).to_have_text("The service does not respond. Is it running?")


# History


def test_version_is_made_current_after_a_confirmation_and_undone(page: Page, shared_server: Server) -> None:
    shared_server.upload(csv_of(deal("bob")), "second.csv")
    page.reload()
    button = item(page, "first.csv").get_by_role("button", name="Make current")
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Make first.csv current?")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    assert top_client(shared_server) == "bob"
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Make current").click()
    message = page.locator("#history-message")
    expect(message).to_contain_text("first.csv is now current.")
    expect(message).to_be_focused()
    expect(page.locator(".clients .name")).to_have_text("ann")
    expect(item(page, "first.csv").locator(".state")).to_have_text("current")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Undo
    expect(message).to_contain_text("second.csv is now current.")
    expect(page.locator(".clients .name")).to_have_text("bob")
    assert top_client(shared_server) == "bob"
    shared_server.upload(csv_of(deal("cid")), "third.csv")
    expect(message).to_be_empty()  # to undo the change would replace the new data


def test_any_two_versions_are_compared(page: Page, shared_server: Server) -> None:
    for name in ("bob", "cid"):
        shared_server.upload(csv_of(deal(name)), f"{name}.csv")
    page.reload()
    form = page.get_by_role("form", name="Compare two versions")
    expect(form.get_by_label("To").locator("option:checked")).to_contain_text("cid.csv")
    shared_server.upload(csv_of(deal("dora")), "dora.csv")
    expect(form.get_by_label("To").locator("option:checked")).to_contain_text("dora.csv")
    form.get_by_label("From").select_option(index=2)
    form.get_by_label("To").select_option(index=1)
    form.get_by_role("button", name="Compare").click()
    base, head = (form.get_by_label(label).input_value() for label in ("From", "To"))
    expect(page).to_have_url(re.compile("base="))
    assert parse_qs(urlsplit(page.url).query) == {"upload": [head], "base": [base]}


def test_history_names_the_uploader_and_shows_more(browser: Browser, tmp_path: Path) -> None:
    environment = {"API_TOKENS": "ann:a-long-secret-word"}
    with serving(tmp_path, **environment) as server, open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        choose(page, "first.csv", csv_of(deal("bob")))
        page.get_by_label("Token").fill("a-long-secret-word")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#result .good")).to_have_text("first.csv was accepted.")  # it was sent again
        expect(item(page, "first.csv")).to_contain_text("by ann")


# New data


def test_upload_of_another_client_is_announced(page: Page, shared_server: Server) -> None:
    shared_server.upload(csv_of(deal("bob")), "other.csv")
    announcement = page.locator("#announcement")
    expect(announcement).to_contain_text("New data: other.csv")
    expect(page.locator(".clients .name")).to_have_text("ann")
    expect(item(page, "other.csv").locator(".state")).to_have_text("current")
    assert violations(page) == []
    announcement.get_by_role("button", name="Show").click()
    expect(page.locator(".clients .name")).to_have_text("bob")
    expect(announcement).to_be_empty()
    expect(page.locator("#clients-title")).to_be_focused()


def test_own_upload_is_not_announced(page: Page) -> None:
    choose(page, "own.csv", csv_of(deal("bob")))
    expect(page.locator(".clients .name")).to_have_text("bob")
    expect(page.locator("#announcement")).to_be_empty()


def test_large_file_waits_for_a_worker_and_can_be_cancelled(browser: Browser, tmp_path: Path) -> None:
    """No worker runs, so that the file is never loaded."""
    content = csv_of(*many(40_000))
    assert len(content) > 2**20
    folder = tmp_path / "uploads"
    folder.mkdir()
    with serving(tmp_path, UPLOADS_DIR=str(folder)) as server, open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        choose(page, "large.csv", content)
        expect(page.locator("#transfer")).to_contain_text("Waiting to be loaded…")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#result")).to_contain_text("The upload of large.csv was cancelled.")
        expect(item(page, "large.csv").locator(".state")).to_have_text("cancelled")
        assert list(folder.iterdir()) == []


#: The service does not respond to the next request for the state of an upload, and its time limit is over at once.
HOLD_STATE: Final = """() => {
    const { fetch } = window;
    const limits = new Map();
    AbortSignal.timeout = (milliseconds) => {
        const controller = new AbortController();
        limits.set(controller.signal, { controller, milliseconds });
        return controller.signal;
    };
    window.fetch = (url, options) => {
        if (!String(url).includes("/api/uploads/")) return fetch(url, options);
        window.fetch = fetch;
        return new Promise((_, reject) => {
            const { controller, milliseconds } = limits.get(options.signal) ?? {};
            window.heldFor = milliseconds ?? Infinity;
            controller?.signal.addEventListener("abort", () => reject(controller.signal.reason));
            controller?.abort();
        });
    };
}"""


def test_load_is_followed_although_one_request_gets_no_response(browser: Browser, tmp_path: Path) -> None:
    """No worker runs, so that the file is never loaded."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    with serving(tmp_path, UPLOADS_DIR=str(folder)) as server, open_page(browser, server, **DESKTOP) as page:
        page.goto("/")
        choose(page, "large.csv", csv_of(*many(40_000)))
        expect(page.locator("#transfer")).to_contain_text("Waiting to be loaded…")
        page.evaluate(HOLD_STATE)
        wait_until(lambda: page.evaluate("window.heldFor"))
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#result")).to_contain_text("The upload of large.csv was cancelled.", timeout=20_000)
        assert page.evaluate("window.heldFor") == 60_000


def test_reasons_are_requested_again_if_there_was_no_response(page: Page, shared_server: Server) -> None:
    choose(page, "bad.csv", INVALID_FILE)
    entry = item(page, "bad.csv").locator("details").first
    page.evaluate(HOLD_STATE)
    entry.locator("summary").first.click()
    wait_until(lambda: page.evaluate("window.heldFor"))
    assert page.evaluate("window.heldFor") == 60_000
    expect(entry).to_contain_text("The file has 4 errors")
    expect(entry.locator(".groups")).to_have_count(0)
    entry.locator("summary").first.click()
    entry.locator("summary").first.click()
    expect(entry.locator(".groups li").first).to_contain_text("2 × total")
