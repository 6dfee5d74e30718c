"""The admin: listed rows, pagination, the roll-back action, permissions and sessions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg2
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deals_api.admin import changelist, model_admins
from deals_api.errors import UploadHasProblems, UploadNotRetained
from deals_api.models import Customer, Deal, Upload
from deals_api.security.throttling import LOGINS_PER_MINUTE
from tests.builders import deal, load, many
from tests.servers import NO_TLS, ROOT, TIMEOUT, Server, serving

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"  # noqa: S105
LISTS = ["upload", "customer", "gem", "purchase", "deal"]
Staff = Callable[..., Client]


@pytest.fixture
def admin_client(client: Client) -> Client:
    """A client that is logged in as a superuser; the fixture of pytest-django would hash a password each time."""
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def staff(client: Client) -> Staff:
    """Return a function: ``staff("view_deal")`` is a client that is logged in with these permissions only."""

    def log_in(*permissions: str) -> Client:
        user = User.objects.create_user("ann", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return log_in


def url_of(model: str, query: str = "") -> str:
    return f"/admin/deals_api/{model}/{query}"


def get_page(client: Client, model: str, query: str = "") -> str:
    response = client.get(url_of(model, query))
    assert response.status_code == 200, (response.status_code, response.headers)
    return response.content.decode()


def column(page: str, name: str) -> list[str]:
    """Return the text of each cell in a column of a list."""
    cells = re.findall(rf'<t[dh] class="field-{name}[^"]*">(.*?)</t[dh]>', page)
    return [unescape(re.sub("<[^>]*>", "", cell)) for cell in cells]


def row_numbers(page: str) -> list[int]:
    return [int(number) for number in column(page, "row_number")]


def row_count(page: str) -> str:
    """Return the number of rows that the paginator shows."""
    pattern = r'class="paginator".*?([0-9]+(?: or more)?) (?:deal|customer|gem|purchase|upload)s?\b'
    (count,) = re.findall(pattern, page, re.S)
    return str(count)


def links_to(page: str, model: str) -> list[str]:
    """Return the URLs of the links to lists of this model."""
    return [unescape(url) for url in re.findall(rf'<a href="(/admin/deals_api/{model}/\?[^"]*)"', page)]


def messages(page: str) -> list[str]:
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', page, re.S)
    return [unescape(message) for message in re.findall(r"<li[^>]*>(.*?)</li>", found[1])] if found else []


# Listed rows


def test_list_shows_rows_of_the_current_upload(admin_client: Client) -> None:
    load(deal("old", "opal"))
    load(deal("new", "ruby"), deal("newer", "ruby"))
    assert column(get_page(admin_client, "customer"), "username") == ["new", "newer"]
    assert column(get_page(admin_client, "gem"), "name") == ["ruby"]
    assert column(get_page(admin_client, "purchase"), "customer") == ["new", "newer"]
    assert column(get_page(admin_client, "deal"), "customer") == ["new", "newer"]


def test_filter_selects_another_retained_upload(admin_client: Client) -> None:
    retained = load(deal("old", "opal"))
    load(deal("new"))
    assert f"?upload={retained.pk}" in get_page(admin_client, "customer")
    columns = {"customer": "username", "gem": "name", "purchase": "customer", "deal": "customer"}
    for model, name in columns.items():
        page = get_page(admin_client, model, f"?upload={retained.pk}")
        assert column(page, name) == ["opal" if model == "gem" else "old"]


def test_upload_without_rows_falls_back_to_the_current_one(admin_client: Client) -> None:
    pruned = load(deal("gone"))
    load(deal("new"))
    Upload.objects.filter(pk=pruned.pk).update(state=Upload.State.PRUNED)
    page = admin_client.get(url_of("deal", f"?upload={pruned.pk}"), follow=True).content.decode()
    assert messages(page) == ["The rows of this upload are not retained. The current upload is shown."]
    assert column(page, "customer") == ["new"]


@pytest.mark.parametrize("model", LISTS)
def test_list_is_empty_before_the_first_upload(admin_client: Client, model: str) -> None:
    assert row_count(get_page(admin_client, model)) == "0"


def test_upload_list_shows_states_counts_and_errors(admin_client: Client) -> None:
    load(deal("ann"), deal("bob"), name="january.csv")
    with pytest.raises(UploadHasProblems):
        load(deal(total="x"), name="bad.csv")
    page = get_page(admin_client, "upload")
    assert column(page, "file_name") == ["bad.csv", "january.csv"]
    assert column(page, "state") == ["rejected", "loaded; its rows can be read"]
    assert column(page, "deal_count") == ["0", "2"]
    assert [len(error) > 1 for error in column(page, "error")] == [True, False]
    assert re.findall(r'alt="(True|False)"', page) == ["False", "True"]  # current
    assert column(get_page(admin_client, "upload", "?state__exact=refused"), "file_name") == ["bad.csv"]
    assert column(get_page(admin_client, "upload", "?q=JAN"), "file_name") == ["january.csv"]


def test_links_of_an_upload_lead_to_its_rows(admin_client: Client) -> None:
    retained = load(deal("ann", "ruby"), deal("bob", "opal"), deal("ann", "opal"))
    load(deal("new"))
    page = get_page(admin_client, "upload")
    counts = {"customer": "2", "gem": "2", "purchase": "3", "deal": "3"}
    for model, count in counts.items():
        _, link = links_to(page, model)  # the newest upload is the first one
        assert link.endswith(f"?upload={retained.pk}")
        assert row_count(admin_client.get(link).content.decode()) == count


@pytest.mark.parametrize(
    ("source", "target", "counts"),
    [("customer", "deal", ["3", "1"]), ("customer", "purchase", ["2", "1"]), ("gem", "purchase", ["2", "1"])],
)
def test_counts_link_to_the_counted_rows(admin_client: Client, source: str, target: str, counts: list[str]) -> None:
    retained = load(deal("ann", "opal"), deal("ann", "opal"), deal("ann", "ruby"), deal("bob", "opal"))
    load(deal("new"))
    links = links_to(get_page(admin_client, source, f"?upload={retained.pk}"), target)
    assert [row_count(admin_client.get(link).content.decode()) for link in links] == counts


def test_deal_list_shows_every_field_exactly(admin_client: Client) -> None:
    load(deal("ann", "ruby", "10.50", "2", "2020-01-02 03:04:05.678901"))
    page = get_page(admin_client, "deal")
    cells = [column(page, name) for name in ("row_number", "exact_date", "customer", "gem", "quantity", "total")]
    assert cells == [["1"], ["2020-01-02 03:04:05.678901+00:00"], ["ann"], ["ruby"], ["2"], ["10.50"]]


# Pagination


@pytest.mark.parametrize("model", ["customer", "gem", "purchase", "deal"])
def test_pages_contain_every_row_once(admin_client: Client, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    load(*many(9))
    load(*(deal(f"c{number}", f"g{number}") for number in range(7)))
    load(*many(9))
    shown = Upload.objects.order_by("pk")[1]
    monkeypatch.setattr(model_admins.SnapshotAdmin, "list_per_page", 2)
    name = {"customer": "username", "gem": "name"}.get(model, "customer")
    pages = [get_page(admin_client, model, f"?upload={shown.pk}&p={number}") for number in (1, 2, 3, 4)]
    assert [row_count(page) for page in pages] == ["7"] * 4
    cells = [cell for page in pages for cell in column(page, name)]
    assert [cell[1:] for cell in cells] == list("0123456")
    assert admin_client.get(url_of(model, f"?upload={shown.pk}&p=5")).status_code == 302


def test_search_finds_names_by_prefix(admin_client: Client) -> None:
    load(
        deal("ann", "ruby"), deal("Ann", "rubellite"), deal("anna b", "opal"), deal("a%n", "opal"),
        deal("Ёжик", "Рубин"),
    )  # fmt: skip
    searches = {
        "ann": ["ann", "anna b"],
        "Ann": ["Ann"],
        "anna b": ["anna b"],
        "%": [],
        "Ё": ["Ёжик"],
        "Е\u0308": ["Ёжик"],
    }
    for text, names in searches.items():
        page = get_page(admin_client, "customer", f"?q={quote(text)}")
        assert (column(page, "username"), row_count(page)) == (names, str(len(names)))
    assert column(get_page(admin_client, "gem", "?q=rub"), "name") == ["rubellite", "ruby"]


@pytest.mark.parametrize(("number", "names"), [(0, ["ann", "bob", "cid"]), (1, ["cid", "bob", "ann"])])
def test_customers_are_sorted_by_name_and_spending(admin_client: Client, number: int, names: list[str]) -> None:
    load(deal("ann", total="30"), deal("bob", total="20"), deal("cid", total="10"))
    assert column(get_page(admin_client, "customer"), "username") == ["ann", "bob", "cid"]
    assert column(get_page(admin_client, "customer", f"?o={number}"), "username") == names
    assert column(get_page(admin_client, "customer", f"?o=-{number}"), "username") == names[::-1]


def test_filtered_list_is_counted_up_to_a_limit(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    load(*many(5, ["ann"]))
    query = f"?customer={Customer.objects.get().pk}"
    assert row_count(get_page(admin_client, "deal", query)) == "5"
    monkeypatch.setattr(changelist, "MAX_FILTERED_ROWS", 4)
    monkeypatch.setattr(model_admins.DealAdmin, "list_per_page", 2)
    assert row_count(get_page(admin_client, "deal", query)) == "4 or more"
    assert row_numbers(get_page(admin_client, "deal", f"{query}&p=2")) == [3, 4]


@pytest.mark.parametrize("model", ["deal", "purchase"])
def test_rows_of_a_customer_are_not_read_in_the_order_of_the_file(
    admin_client: Client, on_postgres: bool, model: str
) -> None:
    load(*many(5, ["ann"]))
    with CaptureQueriesContext(connection) as queries:
        get_page(admin_client, model, f"?customer={Customer.objects.get().pk}")
    statements = [query["sql"] for query in queries]
    assert any(f'ORDER BY ("deals_api_{model}"."id" + 0) ASC' in sql for sql in statements) == on_postgres


@pytest.mark.parametrize("query", ["deal/", "deal/?p=3", "deal/?_facets=1", "purchase/", "customer/", "gem/"])
def test_unfiltered_list_never_counts_rows(admin_client: Client, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    load(*many(6))
    monkeypatch.setattr(model_admins.DealAdmin, "list_per_page", 2)
    with CaptureQueriesContext(connection) as queries:
        assert admin_client.get(f"/admin/deals_api/{query}").status_code == 200
    assert [query["sql"] for query in queries if "COUNT(" in query["sql"]] == []


@pytest.mark.parametrize("query", ["upload/", "customer/", "gem/", "purchase/", "deal/", "customer/?q=c", "deal/?q=c"])
def test_query_count_does_not_grow_with_the_list(admin_client: Client, query: str) -> None:
    def query_count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert admin_client.get(f"/admin/deals_api/{query}").status_code == 200
        return len(queries)

    load(deal("c0", "g0"))
    short = query_count()
    for number in range(1, 7):
        load(*(deal(f"c{n}", f"g{n}") for n in range(number)), deal())
    assert query_count() <= short <= 10


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?total__gte=5", 400),
        ("?customer__username=ann", 400),
        ("?customer=x", 302),
        ("?customer=1", 200),
        ("?customer=99999999999999999999999", 400),
        ("?upload=x", 302),
        ("?upload=999999999999", 302),
        ("?upload=99999999999999999999999", 302),
        ("?p=x", 200),
        ("?p=0", 302),
        ("?o=99.x", 200),
    ],
)
def test_invalid_url_of_a_list_is_no_server_error(admin_client: Client, query: str, status: int) -> None:
    load(*many(101))
    assert admin_client.get(url_of("deal", query)).status_code == status


def test_rows_have_no_detail_page(admin_client: Client) -> None:
    load(deal())
    url = url_of("deal", f"{Deal.objects.get().pk}/change/?upload=x")
    assert admin_client.get(url).status_code == 302
    assert "/change/" not in get_page(admin_client, "deal")


# The roll-back action


@pytest.mark.parametrize("model", LISTS)
def test_rows_cannot_be_added_edited_or_deleted(admin_client: Client, model: str) -> None:
    load(deal())
    manager = apps.get_model("deals_api", model)._default_manager
    before = manager.values().get()
    pk = before["id"]
    for page in ("add/", f"{pk}/delete/"):
        assert admin_client.get(url_of(model, page)).status_code == 403
        assert admin_client.post(url_of(model, page), {"post": "yes"}).status_code == 403
    assert admin_client.post(url_of(model, f"{pk}/change/"), {"file_name": "x", "name": "x"}).status_code == 403
    admin_client.post(url_of(model), {"action": "delete_selected", "_selected_action": pk, "post": "yes"})
    assert manager.values().get() == before


def make_current(client: Client, *uploads: Upload) -> list[str]:
    form = {"action": "make_current", "_selected_action": [upload.pk for upload in uploads]}
    return messages(client.post(url_of("upload"), form, follow=True).content.decode())


def test_retained_upload_is_made_current_and_logged(admin_client: Client) -> None:
    retained = load(deal("old"))
    load(deal("new"))
    assert make_current(admin_client, retained) == [f"Upload {retained.pk} is current now."]
    assert Upload.objects.current() == retained
    assert column(get_page(admin_client, "customer"), "username") == ["old"]
    assert [(entry.object_id, entry.change_message) for entry in LogEntry.objects.all()] == [
        (str(retained.pk), "Made current.")
    ]


@pytest.mark.parametrize("state", [Upload.State.PRUNED, Upload.State.RETIRED, Upload.State.REFUSED])
def test_upload_without_rows_is_not_made_current(admin_client: Client, state: str) -> None:
    unreadable, current = load(deal("gone")), load(deal("new"))
    Upload.objects.filter(pk=unreadable.pk).update(state=state)
    assert make_current(admin_client, unreadable) == [UploadNotRetained().message]
    assert Upload.objects.current() == current
    assert not LogEntry.objects.exists()


def test_two_uploads_are_not_made_current(admin_client: Client) -> None:
    first, second, current = load(deal("a")), load(deal("b")), load(deal("c"))
    assert make_current(admin_client, first, second) == ["Select one upload."]
    assert Upload.objects.current() == current


def test_view_permission_does_not_allow_a_roll_back(staff: Staff) -> None:
    retained, current = load(deal("old")), load(deal("new"))
    client = staff("view_upload")
    assert "make_current" not in get_page(client, "upload")
    make_current(client, retained)
    assert Upload.objects.current() == current


def test_change_permission_allows_a_roll_back(staff: Staff) -> None:
    retained = load(deal("old"))
    load(deal("new"))
    make_current(staff("view_upload", "change_upload"), retained)
    assert Upload.objects.current() == retained


# Access


@pytest.mark.parametrize("path", ["/admin/", *map(url_of, LISTS)])
def test_anonymous_user_is_redirected_to_the_login(client: Client, path: str) -> None:
    assert client.get(path).headers["Location"] == f"/admin/login/?next={path}"


def test_user_sees_only_permitted_models(staff: Staff) -> None:
    client = staff("view_gem")
    assert client.get(url_of("gem")).status_code == 200
    assert client.get(url_of("deal")).status_code == 403


@pytest.mark.parametrize("path", ["/admin", "/admin/deals_api/deal", "/admin/login", "/admin/deals_api/deal?o=1"])
def test_url_without_trailing_slash_redirects(admin_client: Client, path: str) -> None:
    response = admin_client.get(path)
    assert response.status_code in (301, 302)
    location = response.headers["Location"]
    assert location == "/admin/" if path == "/admin" else path.replace("?", "/?") in (location, location.rstrip("/"))
    assert admin_client.get(path, follow=True).status_code == 200


def test_request_without_csrf_token_is_rejected() -> None:
    User.objects.create_superuser("ann", password="secret")  # noqa: S106
    retained, current = load(deal("old")), load(deal("new"))
    client = Client(enforce_csrf_checks=True)
    assert client.post("/admin/login/", {"username": "ann", "password": "secret"}).status_code == 403
    client.force_login(User.objects.get())
    form = {"action": "make_current", "_selected_action": retained.pk}
    assert client.post(url_of("upload"), form).status_code == 403
    assert Upload.objects.current() == current


def test_cookies_are_sent_to_the_admin_only(client: Client) -> None:
    User.objects.create_superuser("ann", password="secret")  # noqa: S106
    client.post("/admin/login/", {"username": "ann", "password": "secret"})
    assert {name: (cookie["path"], cookie["samesite"]) for name, cookie in client.cookies.items()} == {
        "csrftoken": ("/admin/", "Lax"),
        "sessionid": ("/admin/", "Lax"),
    }
    assert client.cookies["sessionid"]["httponly"]


@pytest.mark.parametrize("path", ["/api/top-clients/", "/graphql/?query={currentUpload{dealCount}}", "/health/live"])
def test_other_responses_do_not_depend_on_cookies(admin_client: Client, path: str) -> None:
    load(deal())
    response = admin_client.get(path)
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert "cookie" not in response.headers.get("Vary", "").lower()
    assert not {"session", "_messages"} & vars(response.wsgi_request).keys()


def test_admin_links_to_the_web_page(admin_client: Client) -> None:
    assert '<a href="/">' in admin_client.get("/admin/").content.decode()


# Sessions of server processes


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip


def create_admin(environment: dict[str, str]) -> None:
    done = manage(
        "createsuperuser", "--noinput", "--username", "ann", "--email", "ann@deals.example",
        **environment, DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def log_in(server: Server) -> str:
    """Return the session cookie."""
    with httpx.Client(base_url=server.url, timeout=TIMEOUT, verify=NO_TLS) as client:
        client.get("/admin/login/")
        form = {"username": "ann", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        response = client.post("/admin/login/?next=/admin/", data=form)
        assert (response.status_code, response.headers["Location"]) == (302, "/admin/")
        return str(client.cookies["sessionid"])


def is_logged_in(server: Server, session: str) -> bool:
    response = server.get("/admin/", headers={"Cookie": f"sessionid={session}"})
    assert response.status_code in (200, 302)
    return response.status_code == 200


def secret_key(environment: dict[str, str]) -> str:
    code = "from deals_api.models import Installation as I; print(I.objects.get().secret_key, end='')"
    return manage("shell", "--no-imports", "-c", code, **environment).stdout


def test_servers_started_together_share_sessions(tmp_path: Path, environment: dict[str, str]) -> None:
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        starting = [pool.submit(stack.enter_context, serving(tmp_path, **environment)) for _ in range(3)]
        servers = [future.result() for future in starting]
        create_admin(environment)
        session = log_in(servers[0])
        assert [is_logged_in(server, session) for server in servers] == [True] * 3


@pytest.mark.database_independent
def test_session_is_valid_after_a_restart(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as first:
        create_admin(environment)
        session = log_in(first)
    with serving(tmp_path, **environment, SECRET_KEY="") as second:
        assert is_logged_in(second, session)
    with serving(tmp_path, **environment, SECRET_KEY=50 * "x") as third:
        assert not is_logged_in(third, session)
        assert is_logged_in(third, log_in(third))


@pytest.mark.database_independent
def test_each_installation_has_its_own_secret_key(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        environment = {"DATABASE_URL": f"sqlite:///{tmp_path / name}.sqlite3"}
        with serving(tmp_path, **environment):
            keys.append(secret_key(environment))
    assert all(len(key) >= 50 for key in keys)
    assert len({*keys, settings.SECRET_KEY}) == 3


@pytest.mark.usefixtures("postgresql_only")
def test_admin_works_after_the_database_restarted(server: Server, environment: dict[str, str]) -> None:
    create_admin(environment)
    session = log_in(server)
    threads = settings.WEB_WORKERS * settings.WEB_THREADS
    assert all(is_logged_in(server, session) for _ in range(threads))
    with psycopg2.connect(environment["DATABASE_URL"]) as database, database.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.rowcount > 0
    database.close()
    assert all(is_logged_in(server, session) for _ in range(threads))


# Login rate


@pytest.mark.usefixtures("stopped_clock")
def test_login_attempts_are_limited(client: Client) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    correct, wrong = ({"username": "root", "password": password} for password in (PASSWORD, "wrong"))
    statuses = [client.post("/admin/login/", wrong).status_code for _ in range(LOGINS_PER_MINUTE + 1)]
    assert statuses == [200] * LOGINS_PER_MINUTE + [429]
    response = client.post("/admin/login/", correct)
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 60
    assert "sessionid" not in client.cookies
    assert client.get("/admin/login/").status_code == 200
    assert client.post("/admin/login/", correct, REMOTE_ADDR="192.0.2.7").status_code == 302
