"""The admin: what it shows of which upload, how it pages, what it may change, and who may enter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import unescape
from itertools import chain
from pathlib import Path

import httpx
import psycopg2
import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deals_api.admin import changelist, model_admins
from deals_api.errors import UploadHasProblems
from deals_api.models import Customer, Deal, Gem, Upload
from deals_api.security.throttling import LOGINS_PER_MINUTE
from tests.builders import deal, load, many
from tests.servers import ROOT, TIMEOUT, Server, serving

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"  # noqa: S105
LISTS = ["upload", "customer", "gem", "deal"]
Staff = Callable[..., Client]


@pytest.fixture
def admin_client(client: Client) -> Client:
    """A browser of somebody who may do everything (pytest-django's would hash a password each time)."""
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def staff(client: Client) -> Staff:
    """``staff("view_deal")`` is a browser of somebody with these permissions and no others."""

    def enter(*permissions: str) -> Client:
        person = User.objects.create_user("ann", is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(person)
        return client

    return enter


def address(model: str, rest: str = "") -> str:
    return f"/admin/deals_api/{model}/{rest}"


def page(client: Client, model: str, rest: str = "") -> str:
    answer = client.get(address(model, rest))
    assert answer.status_code == 200, (answer.status_code, answer.headers)
    return answer.content.decode()


def column(text: str, name: str) -> list[str]:
    """One column of a list, without links."""
    cells = re.findall(rf'<t[dh] class="field-{name}[^"]*">(.*?)</t[dh]>', text)
    return [re.sub("<[^>]*>", "", cell) for cell in cells]


def places(text: str) -> list[int]:
    return [int(place) for place in column(text, "place")]


def counted(text: str) -> str:
    """What a list says of its length."""
    (said,) = re.findall(r'class="paginator".*?([0-9]+(?: or more)?) (?:deal|customer|gem|upload)s?\b', text, re.S)
    return str(said)


def messages(text: str) -> list[str]:
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', text, re.S)
    return [unescape(one) for one in re.findall(r"<li[^>]*>(.*?)</li>", found[1])] if found else []


# Which rows are shown


def test_a_list_has_the_rows_of_the_current_upload(admin_client: Client) -> None:
    load(deal("old", "opal"))
    load(deal("new", "ruby"), deal("newer", "ruby"))
    assert column(page(admin_client, "customer"), "username") == ["new", "newer"]
    assert column(page(admin_client, "gem"), "name") == ["ruby"]
    assert column(page(admin_client, "deal"), "customer") == ["new", "newer"]


def test_another_kept_upload_is_chosen_by_a_filter(admin_client: Client) -> None:
    kept = load(deal("old", "opal"))
    load(deal("new"))
    assert f"?upload={kept.pk}" in page(admin_client, "customer")
    for model, name, value in (("customer", "username", "old"), ("gem", "name", "opal"), ("deal", "customer", "old")):
        assert column(page(admin_client, model, f"?upload={kept.pk}"), name) == [value]


def test_an_upload_whose_rows_are_gone_is_answered_by_the_current_one_and_a_message(admin_client: Client) -> None:
    gone = load(deal("gone"))
    load(deal("new"))
    Upload.objects.filter(pk=gone.pk).update(state=Upload.State.PRUNED)
    text = admin_client.get(address("deal", f"?upload={gone.pk}"), follow=True).content.decode()
    assert messages(text) == [f"The rows of upload {gone.pk} are not kept; these are the current one's."]
    assert column(text, "customer") == ["new"]


@pytest.mark.parametrize("model", LISTS)
def test_a_list_opens_before_the_first_upload(admin_client: Client, model: str) -> None:
    assert counted(page(admin_client, model)) == "0"


def test_uploads_are_listed_with_their_fate(admin_client: Client) -> None:
    load(deal("ann"), deal("bob"), name="january.csv")
    with pytest.raises(UploadHasProblems):
        load(deal(total="x"), name="bad.csv")
    text = page(admin_client, "upload")
    assert column(text, "file_name") == ["bad.csv", "january.csv"]
    assert column(text, "outcome") == ["refused", "loaded"]
    assert column(text, "deals") == ["0", "2"]
    assert [error[:12] for error in column(text, "error")] == ["1 place in t", "-"]
    assert re.findall(r'alt="(True|False)"', text) == ["False", "True"]  # current
    assert column(page(admin_client, "upload", "?state__exact=refused"), "file_name") == ["bad.csv"]
    assert column(page(admin_client, "upload", "?q=JAN"), "file_name") == ["january.csv"]


def test_counts_lead_to_the_rows(admin_client: Client) -> None:
    kept = load(deal("ann", "ruby"), deal("bob", "opal"), deal("ann", "opal"))
    load(deal("new"))
    for model in ("customer", "gem"):
        text = page(admin_client, model, f"?upload={kept.pk}")
        links = re.findall(r'field-deal_link"><a href="([^"]*)">(\d+)', text)
        assert len(links) == 2
        for link, count in links:
            listed = admin_client.get(link.replace("&amp;", "&")).content.decode()
            assert (len(places(listed)), counted(listed)) == (int(count), count)


def test_a_row_is_shown_with_all_it_has(admin_client: Client) -> None:
    load(deal("ann", "ruby", "10.50", "2", "2020-01-02 03:04:05.678901"))
    row = Deal.objects.get()
    text = page(admin_client, "deal", f"{row.pk}/change/")
    for value in ("ann", "ruby", "10.50", "2020-01-02 03:04:05.678901"):
        assert value in text
    for model, number in (("customer", row.customer_id), ("gem", row.gem_id)):
        text = page(admin_client, model, f"{number}/change/")
        assert "10.50" in text
        assert text.count("2020-01-02 03:04:05.678901") == 2
    assert "deals.csv" in page(admin_client, "upload", f"{row.upload_id}/change/")


def test_a_row_on_its_way_out_is_not_shown(admin_client: Client) -> None:
    gone = load(deal("gone"))
    load(deal("new"))
    row = Deal.objects.get(upload=gone)
    Upload.objects.filter(pk=gone.pk).update(state=Upload.State.RETIRED)
    assert admin_client.get(address("deal", f"{row.pk}/change/")).status_code == 302


# Pages


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", [1, 2, 3, 4, 5, 6, 7]),
        ("&o=0", [1, 2, 3, 4, 5, 6, 7]),
        ("&o=-0", [7, 6, 5, 4, 3, 2, 1]),
        ("&o=1", [7, 3, 1, 2, 6, 5, 4]),
        ("&o=-1", [4, 5, 6, 2, 1, 3, 7]),
    ],
)
def test_pages_have_every_deal_once_in_order(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, order: str, expected: list[int]
) -> None:
    load(*many(9))
    load(*(deal("ann", "ruby", "1", "1", f"2020-01-0{day} 00:00:00") for day in (3, 4, 2, 9, 8, 7, 1)))
    load(*many(9))
    shown = Upload.objects.order_by("pk")[1]
    monkeypatch.setattr(model_admins.DealAdmin, "list_per_page", 2)
    found = [places(page(admin_client, "deal", f"?upload={shown.pk}&p={number}{order}")) for number in (1, 2, 3, 4)]
    assert [len(numbers) for numbers in found] == [2, 2, 2, 1]
    assert list(chain(*found)) == expected
    assert admin_client.get(address("deal", f"?p=5{order}")).status_code == 200
    assert admin_client.get(address("deal", f"?upload={shown.pk}&p=5{order}")).status_code == 302


SHOP = (
    deal("ann", "ruby", date="2018-12-31 23:59:59.999999"),
    deal("ann", "opal", date="2019-01-01 00:00:00"),
    deal("Ann", "ruby", date="2019-02-01 00:00:00"),
    deal("anna", "rubellite", date="2019-02-28 23:59:59"),
    deal("bob", "opal", date="2019-12-31 23:00:00"),
    deal("rudolf", "ruby", date="9999-12-31 00:00:00"),
    deal("Ёжик", "Рубин", date="0001-01-01 00:00:00"),
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("date=2018", [1]),
        ("date=2019", [2, 3, 4, 5]),
        ("date=2019-02", [3, 4]),
        ("date=2019-12", [5]),
        ("date=9999-12", [6]),
        ("date=0001", [7]),
        ("q=ann", [1, 2, 4]),
        ("q=Ann", [3]),
        ("q=rub", [1, 3, 4, 6]),
        ("q=ru", [1, 3, 4, 6]),
        ("q=%D0%81", [7]),
        ("q=%D0%95%CC%88", [7]),
        ("q=bob", [5]),
        ("q=%25", []),
        ("q=nobody", []),
        ("q=ann&date=2019", [2, 4]),
        ("customer={ann}", [1, 2]),
        ("gem={ruby}", [1, 3, 6]),
        ("customer={ann}&gem={ruby}", [1]),
        ("customer={bob}&gem={ruby}", []),
        ("customer={ann}&date=2019", [2]),
    ],
)
def test_deals_are_found(admin_client: Client, asked: str, expected: list[int]) -> None:
    load(*SHOP)
    ids = {
        "ann": Customer.objects.get(username="ann").pk,
        "bob": Customer.objects.get(username="bob").pk,
        "ruby": Gem.objects.get(name="ruby").pk,
    }
    load(*SHOP, deal("ann"))
    first = Upload.objects.order_by("pk")[0]
    text = page(admin_client, "deal", f"?upload={first.pk}&{asked.format(**ids)}")
    assert (sorted(places(text)), counted(text)) == (expected, str(len(expected)))


def test_a_search_for_many_deals_finds_what_one_for_few_does(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(*SHOP)
    few = places(page(admin_client, "deal", "?q=ann"))
    monkeypatch.setattr(model_admins, "MAX_NAMES_IN_QUERY", 0)
    assert places(page(admin_client, "deal", "?q=ann")) == few == [1, 2, 4]


def test_customers_and_gems_are_found_by_how_they_begin(admin_client: Client) -> None:
    load(*SHOP)
    assert column(page(admin_client, "customer", "?q=ann"), "username") == ["ann", "anna"]
    assert column(page(admin_client, "gem", "?q=rub"), "name") == ["rubellite", "ruby"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("username", ["ann", "bob", "cid"]),
        ("spent_money", ["cid", "bob", "ann"]),
        ("deal_link", ["ann", "bob", "cid"]),
        ("gem_count", ["ann", "bob", "cid"]),
        ("first", ["bob", "cid", "ann"]),
        ("last", ["cid", "ann", "bob"]),
    ],
)
def test_customers_are_sorted_by_each_column(admin_client: Client, order: str, expected: list[str]) -> None:
    load(
        deal("ann", "ruby", "30", date="2020-01-03 00:00:00"),
        deal("bob", "ruby", "10", date="2020-01-01 00:00:00"),
        deal("bob", "opal", "5", date="2020-01-05 00:00:00"),
        *(deal("cid", gem, "1", date="2020-01-02 00:00:00") for gem in ("ruby", "opal", "jade")),
    )
    number = model_admins.CustomerAdmin.list_display.index(order)
    assert column(page(admin_client, "customer", f"?o={number}"), "username") == expected
    assert column(page(admin_client, "customer", f"?o=-{number}"), "username") == expected[::-1]


def test_years_and_then_months_are_offered(admin_client: Client) -> None:
    load(deal(date="2018-05-05 00:00:00"), deal(date="2020-05-05 00:00:00"))
    assert re.findall(r'href="\?date=([^"&]*)', page(admin_client, "deal")) == ["2020", "2019", "2018"]
    assert "?date=2019-07" in page(admin_client, "deal", "?date=2019")


def test_a_long_list_that_nothing_stored_counts_is_counted_up_to_a_bound(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(*many(5))
    assert counted(page(admin_client, "deal", "?date=2020")) == "5"
    monkeypatch.setattr(changelist, "COUNTED", 4)
    monkeypatch.setattr(model_admins.DealAdmin, "list_per_page", 2)
    assert counted(page(admin_client, "deal", "?date=2020")) == "4 or more"
    assert places(page(admin_client, "deal", "?date=2020&p=2")) == [3, 4]


@pytest.mark.parametrize(
    "rest",
    ["deal/", "deal/?o=1", "deal/?o=-1&p=3", "deal/?q=a", "deal/?customer={ann}", "deal/?_facets=1", "customer/"],
)
def test_a_list_never_counts_its_rows(admin_client: Client, monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    load(*many(6))
    monkeypatch.setattr(model_admins.DealAdmin, "list_per_page", 2)
    ann = Customer.objects.get(username="ann").pk
    with CaptureQueriesContext(connection) as statements:
        assert admin_client.get(f"/admin/deals_api/{rest.format(ann=ann)}").status_code == 200
    assert [one["sql"] for one in statements if "COUNT(" in one["sql"]] == []


@pytest.mark.parametrize("rest", ["upload/", "customer/", "gem/", "deal/", "deal/?o=1", "deal/?q=c", "deal/?date=2020"])
def test_a_longer_list_takes_no_more_statements(admin_client: Client, rest: str) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(f"/admin/deals_api/{rest}").status_code == 200
        return len(captured)

    load(deal("c0", "g0"))
    few = statements()
    for number in range(1, 7):
        load(*(deal(f"c{n}", f"g{n}") for n in range(number)), deal())
    assert statements() <= few
    assert few <= 10


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("?total__gte=5", 400),
        ("?customer__username=ann", 400),
        ("?customer=x", 302),
        ("?customer=1", 302),
        ("?gem=99999999999999999999999", 302),
        ("?upload=x", 302),
        ("?upload=999999999999", 302),
        ("?date=2020-13", 302),
        ("?date=0000", 302),
        ("?date=yesterday", 302),
        ("?p=x", 200),
        ("?p=0", 302),
        ("?o=99.x", 200),
    ],
)
def test_an_address_that_means_nothing_is_no_crash(admin_client: Client, rest: str, status: int) -> None:
    load(*many(101))
    assert admin_client.get(address("deal", rest)).status_code == status


def test_an_address_cannot_sort_by_what_no_index_has(admin_client: Client) -> None:
    load(deal("bob", total="2"), deal("ann", total="1"))
    for number, name in enumerate(model_admins.DealAdmin.list_display):
        if name not in ("place", "exact_date"):
            assert places(page(admin_client, "deal", f"?o={number}")) == [1, 2]


# What may be changed


@pytest.mark.parametrize("model", LISTS)
def test_nothing_is_added_edited_or_deleted(admin_client: Client, model: str) -> None:
    load(deal())
    row = {"upload": Upload, "customer": Customer, "gem": Gem, "deal": Deal}[model]._default_manager.get()
    before = type(row)._default_manager.values().get()
    for rest in ("add/", f"{row.pk}/delete/"):
        assert admin_client.get(address(model, rest)).status_code == 403
        assert admin_client.post(address(model, rest), {"post": "yes"}).status_code == 403
    assert admin_client.post(address(model, f"{row.pk}/change/"), {"file_name": "x", "name": "x"}).status_code == 403
    marked = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
    admin_client.post(address(model), marked)
    assert type(row)._default_manager.values().get() == before


def make_current(client: Client, *uploads: Upload) -> list[str]:
    chosen = {"action": "make_current", "_selected_action": [upload.pk for upload in uploads]}
    return messages(client.post(address("upload"), chosen, follow=True).content.decode())


def test_a_kept_upload_is_made_current(admin_client: Client) -> None:
    kept = load(deal("old"))
    load(deal("new"))
    assert make_current(admin_client, kept) == [f"Upload {kept.pk} is current now."]
    assert Upload.objects.current() == kept
    assert column(page(admin_client, "customer"), "username") == ["old"]
    assert [(entry.object_id, entry.change_message) for entry in LogEntry.objects.all()] == [
        (str(kept.pk), "Made current.")
    ]


@pytest.mark.parametrize("state", [Upload.State.PRUNED, Upload.State.RETIRED, Upload.State.REFUSED])
def test_an_upload_whose_rows_are_gone_is_not_made_current(admin_client: Client, state: str) -> None:
    gone, now = load(deal("gone")), load(deal("new"))
    Upload.objects.filter(pk=gone.pk).update(state=state)
    assert make_current(admin_client, gone) == [f"Upload {gone.pk} cannot be made current: its rows are not kept."]
    assert Upload.objects.current() == now
    assert not LogEntry.objects.exists()


def test_two_uploads_are_not_made_current(admin_client: Client) -> None:
    first, second, now = load(deal("a")), load(deal("b")), load(deal("c"))
    assert make_current(admin_client, first, second) == ["Choose one upload: only one can be current."]
    assert Upload.objects.current() == now


def test_who_may_only_view_cannot_make_an_upload_current(staff: Staff) -> None:
    kept, now = load(deal("old")), load(deal("new"))
    browser = staff("view_upload")
    assert "make_current" not in page(browser, "upload")
    make_current(browser, kept)
    assert Upload.objects.current() == now


def test_who_may_change_uploads_can(staff: Staff) -> None:
    kept = load(deal("old"))
    load(deal("new"))
    make_current(staff("view_upload", "change_upload"), kept)
    assert Upload.objects.current() == kept


# Who may enter, and what it costs the others


@pytest.mark.parametrize("path", ["/admin/", *map(address, LISTS)])
def test_a_stranger_is_asked_to_log_in(client: Client, path: str) -> None:
    assert client.get(path).headers["Location"] == f"/admin/login/?next={path}"


def test_who_has_no_permission_sees_nothing(staff: Staff) -> None:
    browser = staff("view_gem")
    assert browser.get(address("gem")).status_code == 200
    assert browser.get(address("deal")).status_code == 403


@pytest.mark.parametrize("path", ["/admin", "/admin/deals_api/deal", "/admin/login", "/admin/deals_api/deal?o=1"])
def test_an_address_without_its_last_slash_leads_there(admin_client: Client, path: str) -> None:
    first = admin_client.get(path)
    assert first.status_code in (301, 302)
    assert first.headers["Location"] == "/admin/" if path == "/admin" else path.replace("?", "/?") in (
        first.headers["Location"], first.headers["Location"].rstrip("/")
    )  # fmt: skip
    assert admin_client.get(path, follow=True).status_code == 200


def test_a_forged_request_is_refused() -> None:
    User.objects.create_superuser("ann", password="secret")  # noqa: S106
    kept, now = load(deal("old")), load(deal("new"))
    browser = Client(enforce_csrf_checks=True)
    assert browser.post("/admin/login/", {"username": "ann", "password": "secret"}).status_code == 403
    browser.force_login(User.objects.get())
    answer = browser.post(address("upload"), {"action": "make_current", "_selected_action": kept.pk})
    assert answer.status_code == 403
    assert Upload.objects.current() == now


def test_the_cookies_are_for_the_admin_alone(client: Client) -> None:
    User.objects.create_superuser("ann", password="secret")  # noqa: S106
    client.post("/admin/login/", {"username": "ann", "password": "secret"})
    assert {name: (cookie["path"], cookie["samesite"]) for name, cookie in client.cookies.items()} == {
        "csrftoken": ("/admin/", "Lax"),
        "sessionid": ("/admin/", "Lax"),
    }
    assert client.cookies["sessionid"]["httponly"]


@pytest.mark.parametrize("path", ["/api/top-clients/", "/graphql/?query={currentUpload{dealCount}}", "/health/live"])
def test_no_answer_elsewhere_depends_on_a_cookie(admin_client: Client, path: str) -> None:
    load(deal())
    answer = admin_client.get(path)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert "cookie" not in answer.headers.get("Vary", "").lower()
    assert not {"session", "_messages"} & vars(answer.wsgi_request).keys()


# As processes


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip


def create_admin(environment: dict[str, str]) -> None:
    made = manage(
        "createsuperuser", "--noinput", "--username", "ann", "--email", "ann@deals.example",
        **environment, DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


def log_in(server: Server) -> str:
    """The session's cookie."""
    with httpx.Client(base_url=server.url, timeout=TIMEOUT) as browser:
        browser.get("/admin/login/")
        form = {"username": "ann", "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        answer = browser.post("/admin/login/?next=/admin/", data=form)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
        return str(browser.cookies["sessionid"])


def enters(server: Server, session: str) -> bool:
    answer = server.get("/admin/", headers={"Cookie": f"sessionid={session}"})
    assert answer.status_code in (200, 302)
    return answer.status_code == 200


def secret_key(environment: dict[str, str]) -> str:
    code = "from deals_api.models import Installation as I; print(I.objects.get().secret_key, end='')"
    return manage("shell", "--no-imports", "-c", code, **environment).stdout


def test_services_that_start_at_once_on_one_database_share_sessions(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        starting = [pool.submit(stack.enter_context, serving(tmp_path, **environment)) for _ in range(3)]
        servers = [one.result() for one in starting]
        create_admin(environment)
        session = log_in(servers[0])
        assert [enters(server, session) for server in servers] == [True] * 3


def test_a_session_outlives_a_restart(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as first:
        create_admin(environment)
        session = log_in(first)
    with serving(tmp_path, **environment, SECRET_KEY="") as second:
        assert enters(second, session)
    with serving(tmp_path, **environment, SECRET_KEY=50 * "x") as third:
        assert not enters(third, session)
        assert enters(third, log_in(third))


def test_no_two_installations_share_a_key(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        environment = {"DATABASE_URL": f"sqlite:///{tmp_path / name}.sqlite3"}
        with serving(tmp_path, **environment):
            keys.append(secret_key(environment))
    assert all(len(key) >= 50 for key in keys)
    assert len({*keys, settings.SECRET_KEY}) == 3


def test_the_admin_opens_after_the_database_restarted(server: Server, environment: dict[str, str]) -> None:
    if not environment["DATABASE_URL"].startswith("postgres"):
        pytest.skip("needs PostgreSQL")
    create_admin(environment)
    session = log_in(server)
    threads = settings.WEB_WORKERS * settings.WEB_THREADS
    assert all(enters(server, session) for _ in range(threads))
    with psycopg2.connect(environment["DATABASE_URL"]) as past, past.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.rowcount > 0
    past.close()
    assert all(enters(server, session) for _ in range(threads))


# How often


def test_passwords_cannot_be_tried_out_at_will(client: Client) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    wrong = {"username": "root", "password": "wrong"}
    tried = [client.post("/admin/login/", wrong).status_code for _ in range(LOGINS_PER_MINUTE + 1)]
    # A minute may have ended between two of them.
    assert set(tried) == {200, 429} or tried.count(200) > LOGINS_PER_MINUTE
    refused = client.post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert refused.status_code == 429 or tried[-1] == 200
    if refused.status_code == 429:
        assert 1 <= int(refused["Retry-After"]) <= 60
        assert "sessionid" not in client.cookies
    assert client.get("/admin/login/").status_code == 200
    elsewhere = {"username": "root", "password": PASSWORD}
    assert client.post("/admin/login/", elsewhere, REMOTE_ADDR="192.0.2.7").status_code == 302


def test_the_admin_leads_to_the_page(admin_client: Client) -> None:
    assert '<a href="/">' in admin_client.get("/admin/").content.decode()
