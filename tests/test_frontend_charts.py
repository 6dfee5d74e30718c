"""The charts of the web page in a real browser, on the screen, on paper and in files."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from tests import node
from tests.builders import csv_of, deal
from tests.chromium import open_page
from tests.servers import REAL_FILE, Server, serving

pytestmark = pytest.mark.database_independent

DESKTOP: Final = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US", "color_scheme": "light"}
PHONE: Final = {
    "viewport": {"width": 375, "height": 812},
    "locale": "ru-RU",
    "color_scheme": "dark",
    "has_touch": True,
    "is_mobile": True,
}
REAL_DEALS: Final = list(csv.DictReader(REAL_FILE.read_text().splitlines()))
MAY: Final = [row for row in REAL_DEALS if row["date"].startswith("2019-05")]
MAY_LINES: Final = [
    "May 2019",
    f"Total: {sum(int(row['total']) for row in MAY):,}",
    f"Deals: {len(MAY)}",
    f"Pieces: {sum(int(row['quantity']) for row in MAY)}",
]


def test_calculations_of_the_charts() -> None:
    node.run("node", "--test", "charts.test.mjs")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("charts")) as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page of which the service has the real file."""
    assert server.upload(REAL_FILE.read_bytes()).status_code == 200
    with open_page(browser, server, **DESKTOP) as page:
        yield page


def bars(page: Page, chart: str = "timeline") -> Locator:
    return page.locator(f"#{chart} [data-lines]")


def show(page: Page, **state: str) -> None:
    """Open a view, and wait until its charts are drawn."""
    page.goto(f"/?{urlencode(state)}")
    for chart in ("timeline", "ranking"):
        expect(bars(page, chart).first).to_be_attached()
        expect(page.locator(f"#{chart}-content")).to_have_attribute("aria-busy", "false")


def lines(bar: Locator) -> list[str]:
    return (bar.get_attribute("data-lines") or "").split("\n")


def box(element: Locator) -> FloatRect:
    rectangle = element.bounding_box()
    assert rectangle is not None
    return rectangle


def table(page: Page, chart: str = "timeline") -> list[list[str]]:
    page.locator(f"#{chart}-table summary").click()
    rows = page.locator(f"#{chart}-table tbody tr")
    expect(rows.first).to_be_visible()
    return [row.locator("th, td").all_inner_texts() for row in rows.all()]


def upload_ids(server: Server) -> list[str]:
    """Return the ids of the uploads, newest first."""
    response = server.get("/graphql/", params={"query": "{ uploads { nodes { id } } }"})
    return [upload["id"] for upload in response.json()["data"]["uploads"]["nodes"]]


# Values


def test_bar_shows_its_values_on_hover_and_leads_to_its_deals(page: Page) -> None:
    show(page)
    expect(bars(page)).to_have_count(13)
    bars(page).nth(5).hover()
    expect(page.locator("#timeline .tip")).to_have_text("\n".join(MAY_LINES), use_inner_text=True)
    expect(bars(page).nth(5)).to_have_attribute("aria-label", ", ".join(MAY_LINES))
    page.locator("#timeline h3").hover()
    expect(page.locator("#timeline .tip")).to_be_hidden()
    bars(page).nth(5).click()
    expect(page).to_have_url(re.compile(r"/\?from=2019-05-01&to=2019-05-31#deals-card$"))
    # The chart keeps the other months, and marks the selected one.
    expect(bars(page)).to_have_count(13)
    expect(page.locator("#timeline [aria-current=true]")).to_have_attribute("aria-label", re.compile("^May 2019"))
    expect(page.locator("#timeline .selected")).to_have_count(1)


def test_keys_move_between_bars_show_values_and_follow_the_link(page: Page) -> None:
    show(page)
    tip = page.locator("#timeline .tip")
    assert page.locator("#timeline [data-lines][tabindex='0']").count() == 1
    bars(page).first.focus()
    expect(tip).to_contain_text("Dec 2018")
    page.keyboard.press("ArrowRight")
    expect(bars(page).nth(1)).to_be_focused()
    expect(tip).to_contain_text("Jan 2019")
    page.keyboard.press("End")
    expect(tip).to_contain_text("Dec 2019")
    page.keyboard.press("ArrowRight")
    expect(bars(page).last).to_be_focused()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    expect(tip).to_contain_text("May 2019")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    assert page.locator("#timeline [data-lines][tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"from=2019-05-01&to=2019-05-31"))


def test_first_touch_shows_values_and_second_follows_the_link(browser: Browser, page: Page, server: Server) -> None:
    with open_page(browser, server, **PHONE) as phone:
        show(phone)
        bars(phone).nth(5).tap()
        expect(phone.locator("#timeline .tip")).to_contain_text("май 2019")
        expect(phone.locator("#timeline .tip")).to_contain_text("Коснитесь ещё раз")
        expect(phone).to_have_url(re.compile(r"/\?$"))
        bars(phone).nth(5).tap()
        expect(phone).to_have_url(re.compile("from=2019-05-01&to=2019-05-31"))


def test_axis_has_round_ticks_with_a_unit(page: Page) -> None:
    show(page)
    texts = page.locator("#timeline svg text").all_text_contents()
    assert texts[:5] == ["Total of the deals", "0", "100K", "200K", "300K"]
    assert texts[5:] == [
        *["Dec", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
        *["2018", "2019"],
    ]
    page.get_by_role("group", name="Measure").first.get_by_role("button", name="Pieces").click()
    expect(page.locator("#timeline svg text").first).to_have_text("Number of pieces")
    assert page.locator("#timeline svg text").all_text_contents()[1:5] == ["0", "200", "400", "600"]


def test_settings_of_the_charts_are_in_the_address(page: Page) -> None:
    show(page)
    for name in ("Deals", "Week", "One per customer"):
        page.locator("#timeline").get_by_role("button", name=name, exact=True).click()
    for name in ("Customers", "All"):
        page.locator("#ranking").get_by_role("button", name=name, exact=True).click()
    address = "chartMeasure=dealCount&chartPeriod=week&chartSplit=customer&chartGroup=customer&chartRows=all"
    expect(page).to_have_url(re.compile(re.escape(f"/?{address}")))
    page.reload()
    expect(page.locator("#timeline h3")).to_contain_text("Deals by week")
    expect(page.locator("#ranking h3")).to_have_text("Deals by customer")
    expect(bars(page, "ranking")).to_have_count(18)
    for _ in range(5):
        page.go_back()
    expect(page.locator("#timeline h3")).to_contain_text("Total by month")
    expect(bars(page)).to_have_count(13)


# Nothing is omitted silently


def test_ranking_sums_the_other_gems(page: Page) -> None:
    show(page)
    totals: Counter[str] = Counter()
    for row in REAL_DEALS:
        totals[row["item"]] += int(row["total"])
    largest = totals.most_common(10)
    rest = totals.total() - sum(total for _, total in largest)
    expect(bars(page, "ranking")).to_have_count(11)
    for index, (gem, total) in enumerate(largest):
        assert lines(bars(page, "ranking").nth(index))[:2] == [gem, f"Total: {total:,}"]
    assert lines(bars(page, "ranking").last)[:2] == ["Others (15 gems)", f"Total: {rest:,}"]
    share = f"Share: {100 * rest / totals.total():.1f}%"
    assert lines(bars(page, "ranking").last)[-1] == share
    bars(page, "ranking").last.click()
    expect(bars(page, "ranking")).to_have_count(25)
    bars(page, "ranking").nth(24).click()
    expect(page).to_have_url(re.compile(re.escape(urlencode({"gem": totals.most_common()[-1][0]}))))


def test_charts_per_gem_add_up_to_all_deals(page: Page) -> None:
    show(page, chartSplit="gem", chartMeasure="dealCount")
    gems = Counter(row["item"] for row in REAL_DEALS).most_common(5)
    titles = page.locator("#timeline text.name").all_text_contents()
    for gem, _ in gems:
        assert gem in titles
    assert "Others (20 gems), on a scale of its own" in titles
    months = Counter(row["date"][:7] for row in REAL_DEALS)
    rows = table(page)
    assert [sum(int(value) for value in row[1:]) for row in rows] == [months[key] for key in sorted(months)]
    assert [sum(int(row[column + 1]) for row in rows) for column in range(5)] == [count for _, count in gems]
    bars(page).first.click()
    expect(page).to_have_url(re.compile(rf"{urlencode({'gem': gems[0][0]})}&from=2018-12-01&to=2018-12-31"))


def test_six_gems_have_six_charts_and_no_others(page: Page, server: Server) -> None:
    server.upload(csv_of(*[deal(item=f"gem{number}") for number in range(6)]))
    show(page, chartSplit="gem")
    assert bars(page).count() == 6
    expect(page.locator("#timeline svg text", has_text="Others")).to_have_count(0)


def test_periods_without_deals_are_gaps(page: Page, server: Server) -> None:
    dates = ["2019-01-15 00:00:00", "2019-02-15 00:00:00", "2019-06-30 23:59:59.999999"]
    server.upload(csv_of(*[deal(date=date, total="5") for date in dates]))
    show(page)
    expect(bars(page)).to_have_count(3)
    first, second, last = (box(bar) for bar in page.locator("#timeline .hit").all())
    assert last["x"] - first["x"] == pytest.approx(5 * (second["x"] - first["x"]), abs=1)
    assert [row[:3] for row in table(page)] == [
        ["Jan 2019", "5", "1"],
        ["Feb 2019", "5", "1"],
        ["Mar 2019", "0", "0"],
        ["Apr 2019", "0", "0"],
        ["May 2019", "0", "0"],
        ["Jun 2019", "5", "1"],
    ]


def test_filter_by_date_selects_the_days_of_the_chart(page: Page) -> None:
    show(page, chartPeriod="day", **{"from": "2019-05-01", "to": "2019-05-31"})
    days = Counter(row["date"][:10] for row in MAY)
    expect(bars(page)).to_have_count(len(days))
    assert lines(bars(page).first) == [
        "May 1, 2019",
        f"Total: {sum(int(row['total']) for row in MAY if row['date'].startswith('2019-05-01')):,}",
        f"Deals: {days['2019-05-01']}",
        f"Pieces: {sum(int(row['quantity']) for row in MAY if row['date'].startswith('2019-05-01'))}",
    ]


# Two uploads


def test_two_uploads_are_compared(page: Page, server: Server) -> None:
    january, march = "2019-01-10 10:00:00", "2019-03-10 10:00:00"
    server.upload(csv_of(deal("ann", "opal", "10", date=january), deal("bob", "jade", "7.50", date=january)), "old.csv")
    server.upload(csv_of(deal("ann", "opal", "12.25", date=january), deal("bob", "ruby", "1", date=march)), "new.csv")
    show(page, base=upload_ids(server)[1])
    legend = page.locator("#timeline text.name").all_text_contents()
    assert [text.split(",")[0] for text in legend[:2]] == ["old.csv", "new.csv"]
    compared = [[re.sub(r"csv, .*:", "csv:", line) for line in lines(bar)] for bar in bars(page).all()]
    assert compared == [
        ["Jan 2019", "old.csv: 17.50", "new.csv: 12.25", "Difference: −5.25"],
        ["Mar 2019", "old.csv: 0", "new.csv: 1", "Difference: +1"],
    ]
    # The bars of the older file are outlines: the difference does not need colours.
    assert page.locator("#timeline a .base").count() == page.locator("#timeline a .head").count() == 2
    assert table(page, "ranking") == [
        ["opal", "10.00", "12.25", "+2.25"],
        ["jade", "7.50", "0.00", "−7.50"],
        ["ruby", "0.00", "1.00", "+1.00"],
    ]


def test_names_beyond_the_first_page_have_values_in_both_uploads(page: Page, server: Server) -> None:
    def gems(*totals: int) -> list[str]:
        return [deal(item=f"gem{number:03}", total=str(total)) for number, total in enumerate(totals)]

    server.upload(csv_of(*gems(*range(1, 131))), "old.csv")
    server.upload(csv_of(*gems(*range(130, 0, -1))), "new.csv")
    show(page, base=upload_ids(server)[1], chartRows="all")
    rows = {row[0]: row[1:] for row in table(page, "ranking")}
    # Each of the 100 names with the largest value in either file has both values: 1 and 130 add up to 131.
    assert len(rows) == 101
    others = rows.pop("Others")
    assert {int(old) + int(new) for old, new, _ in rows.values()} == {131}
    assert int(others[0].replace(",", "")) == sum(range(1, 131)) - sum(int(old) for old, _, _ in rows.values())


# States


def test_too_many_periods_offer_longer_ones(page: Page, server: Server) -> None:
    server.upload(csv_of(deal(date="2000-01-01 00:00:00"), deal(date="2004-01-01 00:00:00")))
    page.goto("/?chartPeriod=day")
    message = page.locator("#timeline [role=status]").first
    expect(message).to_have_text("There are too many bars to draw. Show by week")
    page.get_by_role("link", name="Show by week").click()
    expect(bars(page)).to_have_count(2)
    expect(page.locator("#timeline h3")).to_contain_text("Total by week")


def test_limit_of_the_service_offers_longer_periods_and_one_chart(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, MAX_GROUPS="60") as server, open_page(browser, server, **DESKTOP) as page:
        server.upload(REAL_FILE.read_bytes())
        page.goto("/?chartPeriod=week&chartSplit=gem")
        expect(page.locator("#timeline [role=status]").first).to_contain_text("limit")
        page.get_by_role("link", name="Show one chart").click()
        expect(bars(page).first).to_be_attached()
        page.get_by_role("button", name="Day", exact=True).click()
        page.get_by_role("link", name="Show by week").click()
        expect(page.locator("#timeline h3")).to_contain_text("Total by week")


def test_failed_chart_is_read_again_on_request(page: Page) -> None:
    failing = "**/graphql/?query=query+DealsByPeriod*"
    page.route(failing, lambda route: route.abort())
    page.goto("/")
    expect(page.locator("#timeline [role=alert]")).to_contain_text("The service does not respond.")
    expect(bars(page, "ranking").first).to_be_attached()
    page.unroute(failing)
    page.locator("#timeline").get_by_role("button", name="Try again").click()
    expect(bars(page)).to_have_count(13)


def test_chart_without_deals_offers_to_reset_the_filters(page: Page) -> None:
    page.goto(f"/?{urlencode({'gem': 'Рубин', 'customer': 'unknown'})}")
    expect(page.locator("#timeline")).to_contain_text("No deals match these filters.")
    expect(page.locator("#timeline").get_by_role("button", name="SVG")).to_have_count(0)
    page.locator("#timeline").get_by_role("link", name="Reset filters").click()
    expect(bars(page)).to_have_count(13)


# Themes, paper and files


def colours(page: Page, selector: str, property_: str) -> list[tuple[float, ...]]:
    values = page.locator(selector).evaluate_all(
        "(nodes, property) => nodes.map((node) => getComputedStyle(node)[property])", property_
    )
    return [tuple(float(part) for part in re.findall(r"[\d.]+", value)[:3]) for value in values]


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Return the contrast ratio of WCAG."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    "media",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"forced_colors": "active"}, {"media": "print"}],
    ids=lambda media: str(*media.values()),
)
def test_charts_have_contrast(page: Page, server: Server, media: dict[str, Any]) -> None:
    page.emulate_media(**media)
    server.upload(csv_of(deal()), "old.csv")
    server.upload(REAL_FILE.read_bytes())
    show(page, base=upload_ids(server)[1], gem="Опал")
    ground = colours(page, "#timeline-card", "backgroundColor")[0] if "media" not in media else (255.0, 255.0, 255.0)
    for shape in (".head", ".others", ".selected"):
        for colour in colours(page, f"#ranking {shape}", "fill"):
            assert contrast(colour, ground) >= 3, (shape, colour, ground)
    for colour in colours(page, "#ranking .base", "stroke"):
        assert contrast(colour, ground) >= 3
    for text in colours(page, "#timeline svg text", "fill") + colours(page, "#ranking svg text", "fill"):
        assert contrast(text, ground) >= 4.5


def test_printed_page_is_a_complete_report_without_controls(browser: Browser, page: Page, server: Server) -> None:
    with open_page(browser, server, **{**PHONE, "locale": "en-US"}) as phone:
        show(phone, chartPeriod="day")
        phone.emulate_media(media="print")
        # The chart has the width of the paper, in which all days fit.
        expect(phone.locator("#timeline svg:not(.axis)")).to_have_attribute("viewBox", re.compile("^0 0 700 "))
        expect(phone.locator("#timeline .plot")).not_to_have_class(re.compile("scrolling"))
        assert phone.locator("button:not(th button), select, input, form, summary").filter(visible=True).count() == 0
        cut = "nodes => nodes.filter((node) => node.scrollHeight > node.clientHeight + 1).map((node) => node.id)"
        assert phone.locator("#data section, #data section div").evaluate_all(cut) == []
        assert colours(phone, "body", "backgroundColor") == [(255, 255, 255)]
        assert colours(phone, "#deals-card tbody td", "color")[0] == (0, 0, 0)
        phone.emulate_media(media="screen")
        expect(phone.locator("#timeline .plot")).to_have_class(re.compile("scrolling"))
        phone.evaluate(
            "addEventListener('beforeprint', () => (window.printed = timeline.querySelectorAll('.scrolling').length))"
        )
        assert len(phone.pdf()) > 20_000
        assert phone.evaluate("printed") == 0
        expect(phone.locator("#timeline .plot")).to_have_class(re.compile("scrolling"))


def test_phone_shows_the_newest_days_first(browser: Browser, page: Page, server: Server) -> None:
    with open_page(browser, server, **PHONE) as phone:
        show(phone, chartPeriod="day")
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        newest = box(bars(phone).last)
        assert 0 < newest["x"] < 375
        assert box(bars(phone).first)["x"] < 0
        bars(phone).first.focus()
        axis = box(phone.locator("#timeline .axis"))
        first = box(bars(phone).first)
        assert axis["x"] + axis["width"] - 1 <= first["x"] < 375


def test_saved_chart_is_a_file_of_its_own(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    show(page, chartSplit="gem")
    with page.expect_download() as download:
        page.locator("#timeline").get_by_role("button", name="SVG").click()
    assert download.value.suggested_filename == "Total by month (UTC).svg"
    source = Path(download.value.path()).read_text()
    drawing = ElementTree.fromstring(source)  # noqa: S314 (our own file)
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "Total by month (UTC)"
    assert (texts[1] or "").startswith("deals.csv, ")
    titles = [title.text or "" for title in drawing.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == bars(page).count()
    assert all(bar.get("fill") for bar in drawing.iter("{http://www.w3.org/2000/svg}rect"))
    assert not re.search(r"href|var\(|<style|<script|class=\"plot", source)
    with page.expect_download() as download:
        page.locator("#ranking").get_by_role("button", name="SVG").click()
    assert download.value.suggested_filename == "Total by gem.svg"


def test_copied_table_has_plain_numbers(browser: Browser, page: Page, server: Server) -> None:
    server.upload(csv_of(deal("=1+1", "opal", "1234.5", quantity="2"), deal("ann", "jade", "1000000", quantity="1")))
    options = {**DESKTOP, "locale": "ru-RU", "permissions": ["clipboard-read"]}
    with open_page(browser, server, **options) as copying:
        show(copying, chartGroup="customer")
        copying.locator("#ranking").get_by_role("button", name="Копировать таблицу").click()
        copied = copying.evaluate("navigator.clipboard.readText()")
    assert copied.split("\n") == [
        "Покупатели\tСумма\tСделки\tШтуки",
        "ann\t1000000\t1\t1",
        "'=1+1\t1234,50\t1\t2",
    ]
