"""``If-Match`` on uploads: a file replaces only the upload that its client has seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import Client

from deals_api.errors import UploadChanged
from deals_api.ingest.deal_batch import DealBatch
from deals_api.ingest.loader import store_snapshot
from deals_api.limits import Limits
from deals_api.models import Deal, Upload
from deals_api.snapshots.current import activate
from tests.builders import csv_of, deal, load, many
from tests.proxy import nginx
from tests.servers import NO_TLS, TIMEOUT, Server, serving
from tests.test_ingest import register
from tests.test_rest import UPLOAD, error_of, post

CHANGED = "The current upload is not the one in If-Match."


@pytest.fixture
def client(db: None) -> Client:
    return Client(raise_request_exception=False)


def etag(client: Client, path: str = UPLOAD) -> str:
    return str(client.get(path)["ETag"])


def send(client: Client, if_match: str, name: str = "new", path: str = UPLOAD) -> Any:
    return post(client, csv_of(deal(name)), path, headers={"If-Match": if_match})


def current_client(client: Client) -> str:
    return "".join(item["username"] for item in client.get(UPLOAD).json()["response"])


def check_rejected(client: Client, response: Any) -> None:
    assert error_of(response, 412) == {"Status": "Error", "Desc": CHANGED, "Code": "upload_changed"}
    assert current_client(client) == "old"


@pytest.mark.parametrize(
    "header", ["{}", "W/{}", '"x", {}', 'W/"x",W/{} , "y"', " {} ", "*", " * "], ids=lambda header: header
)
def test_file_replaces_the_expected_upload(client: Client, header: str) -> None:
    load(deal("old"))
    assert send(client, header.replace("{}", etag(client))).json() == {"Status": "OK"}
    assert current_client(client) == "new"


@pytest.mark.parametrize("header", ['"x"', 'W/"x"', "", "nonsense", '"*"', '"x", "y"', '*, "x"'])
def test_file_does_not_replace_another_upload(client: Client, header: str) -> None:
    load(deal("old"))
    check_rejected(client, send(client, header))
    assert Upload.objects.count() == 1


def test_etag_without_its_quotes_does_not_match(client: Client) -> None:
    load(deal("old"))
    check_rejected(client, send(client, etag(client).strip('"')))


def test_etag_of_a_replaced_upload_does_not_match(client: Client) -> None:
    first = load(deal("older"))
    seen = etag(client)
    load(deal("old"))
    check_rejected(client, send(client, seen))
    activate(first.snapshot)
    assert send(client, seen).status_code == 200


def test_etag_of_the_empty_service_matches_until_the_first_upload(client: Client) -> None:
    empty = etag(client)
    assert error_of(send(client, "*"), 412)["Code"] == "upload_changed"
    assert send(client, empty, "old").status_code == 200
    check_rejected(client, send(client, empty))


def test_etag_of_top_clients_is_the_same(client: Client) -> None:
    load(deal("old"))
    assert etag(client, "/api/top-clients/") == etag(client)
    check_rejected(client, send(client, etag(client, f"{UPLOAD}?limit=7")))


def test_file_that_is_already_current_is_accepted(client: Client) -> None:
    """A client, or a proxy, may repeat an upload whose response was lost."""
    load(deal("older"))
    seen = etag(client)
    assert [send(client, seen, "new").status_code for _ in range(2)] == [200, 200]
    assert Upload.objects.count() == 2


def test_dry_run_checks_the_current_upload_too(client: Client) -> None:
    load(deal("old"))
    check_rejected(client, send(client, '"x"', path=f"{UPLOAD}?dry_run=1"))
    report = send(client, etag(client), path=f"{UPLOAD}?dry_run=1").json()["Report"]
    assert (report["rows"], current_client(client)) == (1, "old")
    assert send(client, '"x"', "old", f"{UPLOAD}?dry_run=1").status_code == 200  # already current


def test_upload_without_the_header_replaces_any_upload(client: Client) -> None:
    load(deal("old"))
    assert post(client, csv_of(deal("new"))).status_code == 200


# Concurrent uploads


def upload(server: Server, name: str, if_match: str) -> int:
    content = csv_of(*many(2_000, [name]))
    headers = {"If-Match": if_match, "Content-Type": "text/csv"}
    return httpx.post(
        f"{server.url}{UPLOAD}", content=content, headers=headers, timeout=TIMEOUT, verify=NO_TLS
    ).status_code


def test_exactly_one_of_concurrent_uploads_wins(server: Server) -> None:
    """All of them start while the expected upload is current."""
    uploads = 4
    for attempt in range(5):
        seen = server.get(UPLOAD).headers["ETag"]
        start = threading.Barrier(uploads)

        def send_at_once(name: str) -> int:
            start.wait(TIMEOUT)  # noqa: B023
            return upload(server, name, seen)  # noqa: B023

        names = [f"{attempt}-{number}" for number in range(uploads)]
        with ThreadPoolExecutor(uploads) as pool:
            statuses = dict(zip(names, pool.map(send_at_once, names), strict=True))
        assert sorted(statuses.values()) == [200, *[412] * (uploads - 1)]
        (current,) = server.get(UPLOAD).json()["response"]
        assert statuses[current["username"]] == 200


def store(upload: Upload, batches: Iterator[DealBatch], expected: Upload) -> None:
    store_snapshot(upload, batches, Limits(), lambda current: current == expected)


@pytest.mark.django_db
def test_upload_that_became_current_during_the_load_is_not_replaced() -> None:
    older = load(deal("older"))
    slow, batches = register(deal("slow"))
    newer = load(deal("newer"))
    with pytest.raises(UploadChanged):
        store(slow, batches, older)
    assert Upload.objects.current() == newer
    assert not Deal.objects.for_upload(slow).exists()


@pytest.mark.django_db
def test_file_that_arrived_before_the_current_one_is_rejected() -> None:
    """Without If-Match it would be stored, but not become current."""
    old = load(deal("old"))
    slow, batches = register(deal("slow"))
    load(deal("old"))
    with pytest.raises(UploadChanged):
        store(slow, batches, old)
    assert Upload.objects.current() == old


@pytest.mark.django_db
def test_file_that_became_current_during_its_own_load_is_accepted() -> None:
    older = load(deal("older"))
    slow, batches = register(deal("same"))
    same = load(deal("same"))
    store(slow, batches, older)
    assert Upload.objects.current() == same


@pytest.mark.database_independent
@pytest.mark.django_db
def test_weak_etag_of_a_compressing_proxy_matches(tmp_path: Path) -> None:
    with serving(tmp_path, PROXIES="1") as server, nginx(tmp_path, f"127.0.0.1:{server.port}") as proxy:
        proxy.upload(csv_of(*many(100, [f"{number:0240}" for number in range(50)])))
        response = proxy.get(UPLOAD, headers={"Accept-Encoding": "gzip"})
        assert response.headers["ETag"].startswith('W/"')
        for expected in (200, 412):
            status = httpx.post(
                proxy.url + UPLOAD, files={"deals": ("d.csv", csv_of(deal(str(expected))))},
                headers={"If-Match": response.headers["ETag"]}, timeout=TIMEOUT, verify=NO_TLS,
            ).status_code  # fmt: skip
            assert status == expected
