"""The service as processes: real gunicorn, real database, real Redis, and what happens to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2
import pytest
from redis import Redis

from tests import services
from tests.bench.files import write_deals
from tests.builders import csv_of, deal, many
from tests.servers import ROOT, TIMEOUT, Server, serving

ANSWER = json.loads((ROOT / "tests" / "data" / "top-clients.json").read_text())


#: The top clients by each API.
REST, GRAPHQL = "/api/top-clients/", "/graphql/?query=%7BtopClients%7Busername%7D%7D"
BOTH_APIS = pytest.mark.parametrize("api", [REST, GRAPHQL], ids=["REST", "GraphQL"])


def usernames_in(answer: Any) -> list[str]:
    clients = answer["data"]["topClients"] if "data" in answer else answer["response"]
    return [client["username"] for client in clients]


def top_client(server: Server, api: str = REST) -> str:
    """Return the first of the top clients; each file of these tests has a customer of its own."""
    return next(iter(usernames_in(server.get(api).json())), "")


def upload(server: Server, name: str, rows: int = 1) -> None:
    answer = server.upload(csv_of(*many(rows, [name])))
    assert (answer.status_code, answer.text) == (200, '{"Status":"OK"}')


def large_file(folder: Path, rows: int) -> bytes:
    path = folder / "large.csv"
    write_deals(path, rows)
    return path.read_bytes()


def wait_until(true: Any, seconds: float = TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(shared_server: Server) -> Server:
    """Tests that need one of their own start it."""
    return shared_server


# The main job


def test_the_real_file_goes_in_and_the_right_answer_comes_out(server: Server, real_file: bytes) -> None:
    assert server.get().json() == {"response": []}
    assert server.upload(real_file).json() == {"Status": "OK"}
    for path in ("/api/upload/", "/api/upload", "/api/top-clients/", "/api/top-clients"):
        assert server.get(path).json() == ANSWER


def test_services_with_other_limits_do_not_share_cached_responses(tmp_path: Path, database_url: str) -> None:
    """On one database and one Redis, at the same time and after a restart with other settings."""
    query = "/graphql/?query=%7Bdeals%7Bnodes%7Bid%7D%7D%7D"

    def rows(server: Server) -> int:
        return len(server.get(query).json()["data"]["deals"]["nodes"])

    with services.redis() as (_, url):
        shared = {"DATABASE_URL": database_url, "REDIS_URL": url}
        with serving(tmp_path, **shared) as first:
            assert first.upload(csv_of(*many(30))).status_code == 200
            etag = first.get(query).headers["ETag"]
            with serving(tmp_path, PAGE_SIZE="5", MAX_PAGE_SIZE="10", **shared) as second:
                assert [rows(server) for server in (first, second, first, second)] == [20, 5, 20, 5]
        with serving(tmp_path, PAGE_SIZE="7", **shared) as restarted:
            conditional = restarted.get(query, headers={"If-None-Match": etag})
            assert (conditional.status_code, rows(restarted)) == (200, 7)
        with serving(tmp_path, **shared) as restarted:
            assert restarted.get(query, headers={"If-None-Match": etag}).status_code == 304


def test_data_outlive_a_restart(tmp_path: Path, environment: dict[str, str], real_file: bytes) -> None:
    with serving(tmp_path, **environment) as first:
        first.upload(real_file)
        assert first.stop() == 0
    with serving(tmp_path, **environment) as second:
        assert second.get().json() == ANSWER


def test_a_hundred_uploads_are_each_seen_at_once_in_every_worker(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment, WEB_WORKERS="4", WEB_THREADS="2") as server:
        wait_until(lambda: len(server.workers()) == 4)
        clients = [connection_to(server, worker) for worker in server.workers()]
        for number in range(100):
            upload(server, f"client {number}")
            for api in (REST, GRAPHQL):
                assert [usernames(client, api) for client in clients] == [[f"client {number}"]] * 4
        for client in clients:
            client.close()


def connection_to(server: Server, worker: psutil.Process) -> http.client.HTTPConnection:
    """A kept-alive connection that this very worker has accepted."""
    deadline = time.monotonic() + TIMEOUT  # the others may win every connection until this one gets its turn
    while time.monotonic() < deadline:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        client.request("GET", "/health/live")
        client.getresponse().read()
        mine = client.sock.getsockname()
        if any(one.raddr == mine for one in worker.net_connections("tcp")):
            return client
        client.close()
    raise AssertionError(f"worker {worker.pid} accepts no connection")


def usernames(client: http.client.HTTPConnection, api: str) -> list[str]:
    client.request("GET", api)
    return usernames_in(json.loads(client.getresponse().read()))


def test_a_roll_back_is_seen_at_once_in_every_worker(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment, WEB_WORKERS="4", WEB_THREADS="2") as server:
        wait_until(lambda: len(server.workers()) == 4)
        clients = [connection_to(server, worker) for worker in server.workers()]
        ids = []
        for name in ("ann", "bob"):
            upload(server, name)
            ids.append(graph(server, "{currentUpload {id}}")["currentUpload"]["id"])
        for number in range(20):
            activate(server, ids[number % 2])
            for api in (REST, GRAPHQL):
                assert [usernames(client, api) for client in clients] == [[("ann", "bob")[number % 2]]] * 4
        for client in clients:
            client.close()


def graph(server: Server, query: str) -> Any:
    return httpx.post(server.url + "/graphql/", json={"query": query}, timeout=TIMEOUT).json()["data"]


def activate(server: Server, upload_id: str) -> None:
    answer = graph(server, f'mutation {{activateUpload(id: "{upload_id}") {{__typename}}}}')
    assert answer == {"activateUpload": {"__typename": "UploadActivated"}}


def test_a_roll_back_wins_over_an_upload_still_loading(tmp_path: Path, environment: dict[str, str]) -> None:
    content = large_file(tmp_path, 30_000)
    with serving(tmp_path, **environment) as server, ThreadPoolExecutor() as pool:
        upload(server, "before")
        current = graph(server, "{currentUpload {id}}")["currentUpload"]["id"]
        uploading = pool.submit(server.upload, content)
        wait_until(lambda: loading(environment["DATABASE_URL"]))
        activate(server, current)
        assert uploading.result().json() == {"Status": "OK"}
        assert [top_client(server, api) for api in (REST, GRAPHQL)] == ["before", "before"]


#: Much of what the graph can say, without a number of its own.
MUCH = """{
    topClients {username spentMoney gems customer {gems {nodes {name}}}}
    customers {nodes {username spentMoney deals {nodes {total gem {name}}}}}
    gems {nodes {name buyers {nodes {username spentMoney}}}}
    dealStats(by: [CUSTOMER, GEM]) {total customer {username} gem {name}}
}"""


def test_readers_see_one_file_or_the_other_while_uploads_land(server: Server) -> None:
    """Each file says its number in the client, the sum and the gem; a mixture would show."""

    def upload_number(number: int) -> None:
        twins = [deal(f"{name}{number}", f"gem {number}", str(number)) for name in ("a", "b")]
        assert server.upload(csv_of(*twins)).status_code == 200

    upload_number(0)
    upload_done = threading.Event()
    seen: list[set[str]] = []

    def read(ask: Callable[[httpx.Client], str]) -> None:
        with httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
            while not upload_done.is_set():
                seen.append(set(re.findall("[0-9]+", ask(client))))

    def by_rest(client: httpx.Client) -> str:
        return client.get(REST).text

    def by_graphql(client: httpx.Client) -> str:
        return json.dumps(client.post("/graphql/", json={"query": MUCH}).json()["data"])

    threads = [threading.Thread(target=read, args=(ask,)) for ask in (by_rest, by_graphql, by_graphql)]
    for thread in threads:
        thread.start()
    for number in range(1, 31):
        upload_number(number)
    upload_done.set()
    for thread in threads:
        thread.join()
    assert len(set(map(frozenset, seen))) > 10
    assert max(map(len, seen)) == 1


def test_readers_are_answered_during_a_long_upload(server: Server, tmp_path: Path) -> None:
    upload(server, "before")
    content = large_file(tmp_path, 60_000)
    with ThreadPoolExecutor() as pool:
        beginning = time.monotonic()
        uploading = pool.submit(server.upload, content)
        slowest = 0.0
        answers = 0
        while not uploading.done():
            begin = time.monotonic()
            assert top_client(server) != ""
            slowest = max(slowest, time.monotonic() - begin)
            answers += 1
        assert uploading.result().status_code == 200
        whole = time.monotonic() - beginning
    assert answers > 3
    assert slowest < max(1.0, whole / 3)  # a machine may be slow, but nobody waits for the upload
    assert top_client(server) != "before"


def test_uploads_at_once_are_all_answered_and_one_wins_whole(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: server.upload(csv_of(*many(3000, [f"c{number}"]))), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    (winner,) = server.get().json()["response"]
    assert (winner["username"] in {"c0", "c1", "c2", "c3"}, winner["spent_money"]) == (True, 3000)


# Deaths


def test_a_server_killed_in_the_middle_of_a_load_keeps_the_old_answer(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    content = large_file(tmp_path, 150_000)
    with serving(tmp_path, **environment) as server:
        upload(server, "before")
        with ThreadPoolExecutor() as pool:
            uploading = pool.submit(server.upload, content)
            wait_until(lambda: loading(environment["DATABASE_URL"]))
            time.sleep(0.3)
            server.kill()
            with pytest.raises(httpx.HTTPError):
                uploading.result()
    with serving(tmp_path, **environment) as again:
        assert top_client(again) == "before"
        upload(again, "after")
        assert top_client(again) == "after"
    assert rows_left(environment["DATABASE_URL"]) == {"before": 1, "after": 1}


def query(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """Past the service, straight from its database."""
    opened = (
        sqlite3.connect(database_url.removeprefix("sqlite:///"))
        if database_url.startswith("sqlite")
        else psycopg2.connect(database_url)
    )
    with contextlib.closing(opened) as connection, contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def loading(database_url: str) -> bool:
    return bool(query(database_url, "SELECT id FROM deals_api_upload WHERE state = 'loading'"))


def rows_left(database_url: str) -> dict[str, int]:
    by_name = "SELECT c.username, count(*) FROM deals_api_deal d JOIN deals_api_customer c ON c.id = d.customer_id"
    return dict(query(database_url, f"{by_name} GROUP BY c.username"))


def test_a_server_told_to_stop_finishes_the_upload_first(tmp_path: Path, environment: dict[str, str]) -> None:
    content = large_file(tmp_path, 60_000)
    with serving(tmp_path, **environment) as server, ThreadPoolExecutor() as pool:
        uploading = pool.submit(server.upload, content)
        wait_until(lambda: loading(environment["DATABASE_URL"]))
        assert server.stop() == 0
        assert uploading.result().json() == {"Status": "OK"}


def test_a_worker_that_is_killed_is_replaced(server: Server) -> None:
    upload(server, "ann")
    victims = server.workers()
    for worker in victims:
        worker.kill()
    wait_until(lambda: len([one for one in server.workers() if one not in victims and one.is_running()]) == 2)
    assert top_client(server) == "ann"


# Bodies that break off


def test_a_body_that_ends_early_is_refused(server: Server) -> None:
    upload(server, "before")
    body = b'--b\r\nContent-Disposition: form-data; name="deals"; filename="d.csv"\r\n\r\n' + csv_of(
        *many(1000, ["half"])
    )
    head = (
        "POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body) + 1000}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert b"400 Bad Request" in answer
    assert b"ended early" in answer
    assert top_client(server) == "before"


BROKEN_OFF = (
    b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 1000000\r\n\r\n--b\r\n"
    b'Content-Disposition: form-data; name="deals"; filename="d.csv"\r\n\r\n' + b"customer" * 50_000
)


def files_received(server: Server) -> int:
    """How many the processes hold open; they have no name."""
    found = 0
    for worker in server.workers():
        for opened in Path(f"/proc/{worker.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found += ".upload" in str(opened.readlink())
    return found


def test_a_client_that_hangs_up_leaves_nothing(server: Server) -> None:
    upload(server, "before")
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(BROKEN_OFF)
            wait_until(lambda: files_received(server) == 1)
        wait_until(lambda: files_received(server) == 0)
    assert top_client(server) == "before"


def test_a_server_killed_in_the_middle_of_a_body_leaves_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "received"
    folder.mkdir()
    with serving(tmp_path, **environment, TMPDIR=str(folder)) as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(BROKEN_OFF)
            wait_until(lambda: files_received(server) == 1)
            server.kill()
        assert list(folder.iterdir()) == []


def test_a_file_over_the_limit_is_told_so_before_it_is_read(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment, MAX_UPLOAD_BYTES="100000") as server:
        answer = server.upload(b"x" * 5_000_000)
        assert answer.status_code == 413
        assert answer.json()["Desc"] == "The file is over 100000 bytes."
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(
                b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 5000000\r\n\r\n"
            )
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"GET /api/upload/?limit=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/upload/?%00 HTTP/1.1\r\nHost: \xd0\x9f\r\n\r\n",
        b"GET /api/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Type: \xff\xfe\r\n\r\nhello",
        b"BREW /api/upload/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/upload/ HTTP/1.1\r\nHost: x\r\nAccept: \xff;q=x,,,\r\nIf-None-Match: \xff\"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)  # fmt: skip
def test_no_request_gives_a_5xx(server: Server, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        client.sendall(request_bytes)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    status = re.match(rb"HTTP/1\.1 (\d)", answer)
    assert status is None or status[1] in b"24"
    assert server.get().status_code == 200


# Redis


@BOTH_APIS
def test_a_redis_killed_between_commit_and_answer_changes_nothing(
    server_with_redis: Server, redis: services.Service, database_url: str, api: str
) -> None:
    """The upload itself never needs Redis, so wherever it dies, the next answer is the new one."""
    server = server_with_redis
    upload(server, "before")
    assert top_client(server, api) == "before"
    with ThreadPoolExecutor() as pool:
        uploading = pool.submit(upload, server, "after", 20_000)
        wait_until(lambda: loading(database_url))
        redis.stop(signal.SIGKILL)
        uploading.result()
    for _ in range(10):
        assert top_client(server, api) == "after"


@BOTH_APIS
def test_a_redis_with_yesterdays_data_cannot_bring_back_yesterday(
    server_with_redis: Server, redis: services.Service, api: str
) -> None:
    server = server_with_redis
    upload(server, "yesterday")
    assert top_client(server, api) == "yesterday"
    with Redis(port=redis.port) as client:
        dump = {key: client.dump(key) for key in client.keys("*")}
        assert dump
        upload(server, "today")
        assert top_client(server, api) == "today"
        client.flushall()
        for key, value in dump.items():
            client.restore(key, 0, value)
    for _ in range(10):
        assert top_client(server, api) == "today"


@BOTH_APIS
def test_a_hung_redis_delays_nobody_by_a_second(server_with_redis: Server, redis: services.Service, api: str) -> None:
    server = server_with_redis
    upload(server, "before")
    redis.send(signal.SIGSTOP)
    for name in ("a", "b"):
        upload(server, name)
        seconds = []
        for _ in range(10):
            begin = time.monotonic()
            assert top_client(server, api) == name
            seconds.append(time.monotonic() - begin)
        assert min(seconds) < 0.9  # a loaded machine may delay some of them, and a hung Redis would delay each
    redis.send(signal.SIGCONT)


# PostgreSQL


def test_a_database_that_goes_away_is_told_as_503_and_found_again(tmp_path: Path, on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("needs PostgreSQL")
    with services.postgres() as (database, url), serving(tmp_path, DATABASE_URL=url) as server:
        upload(server, "before")
        database.stop()
        for answer in (server.get(), server.upload(csv_of(deal("lost"))), server.get("/health/ready")):
            assert answer.status_code == 503
        assert server.get().json()["Code"] == server.upload(csv_of(deal("lost"))).json()["Code"] == "database_busy"
        assert server.get().headers["Retry-After"] == "2"
        assert server.get("/health/live").status_code == 200
        database.start()
        wait_until(lambda: server.get("/health/ready").status_code == 200)
        assert top_client(server) == "before"
        upload(server, "after")
        assert top_client(server) == "after"


@pytest.mark.parametrize("first", ["a question", "a file"])
def test_a_database_that_restarted_unnoticed_is_noticed_by_nobody(
    tmp_path: Path, on_postgres: bool, first: str
) -> None:
    """Connections are kept from one request to the next, and this one is dead."""
    if not on_postgres:
        pytest.skip("needs PostgreSQL")
    with (
        services.postgres() as (database, url),
        serving(tmp_path, DATABASE_URL=url, WEB_WORKERS="1", WEB_THREADS="1") as server,
    ):
        upload(server, "before")
        assert top_client(server) == "before"
        database.stop()
        database.start()
        if first == "a file":
            upload(server, "after")
        assert top_client(server) == ("after" if first == "a file" else "before")


def test_a_server_that_starts_before_its_database_waits_for_it(tmp_path: Path, on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("needs PostgreSQL")
    with services.postgres() as (database, url), ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        database.stop()
        starting = pool.submit(stack.enter_context, serving(tmp_path, DATABASE_URL=url))
        wait_until(lambda: any(tmp_path.glob("serve-*.log")))
        time.sleep(1.5)  # its first try has failed
        assert not starting.done()
        database.start()
        upload(starting.result(TIMEOUT), "ann")


# Memory


def test_memory_does_not_grow_with_rows(tmp_path: Path, environment: dict[str, str]) -> None:
    """A worker's peak after 30,000 rows and after 300,000 (bulk_create is slow: fewer on SQLite)."""
    rows = 300_000 if environment["DATABASE_URL"].startswith("postgres") else 100_000
    with serving(tmp_path, **environment, WEB_WORKERS="1") as server:
        (worker,) = server.workers()
        peaks = []
        for count in (rows // 10, rows):
            assert server.upload(large_file(tmp_path, count)).status_code == 200
            status = Path(f"/proc/{worker.pid}/status").read_text()
            peaks.append(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]))
    assert peaks[1] < 150 * 1024
    assert peaks[1] - peaks[0] < 25 * 1024


def test_nothing_is_printed_but_requests_when_all_is_well(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as server:
        upload(server, "ann")
        top_client(server)
        for path in ("/api/top-clients/", "/api/nothing", "/health/live"):
            httpx.head(server.url + path)
    lines = server.log.read_text().splitlines()
    lines.remove(f"Serving on http://localhost:{server.port}/")
    told = [json.loads(line) for line in lines]
    assert {(one["event"] == "request" or one["logger"] == "gunicorn.error", one["level"]) for one in told} == {
        (True, "info")
    }
