"""The service as processes with gunicorn, a database and Redis, including crashes of each of them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis

from tests import services
from tests.bench.files import write_deals
from tests.builders import csv_of, deal, many
from tests.conftest import serving_shared
from tests.requires import require_unnamed_files
from tests.server_actions import (
    GRAPHQL,
    REST,
    activate,
    graphql,
    is_loading,
    query,
    top_client,
    upload,
    usernames_in,
)
from tests.servers import NO_TLS, ROOT, TIMEOUT, Server, serving, wait_until

TOP_CLIENTS = json.loads((ROOT / "tests" / "data" / "top-clients.json").read_text())


def large_file(folder: Path, rows: int) -> bytes:
    path = folder / "large.csv"
    write_deals(path, rows)
    return path.read_bytes()


@pytest.fixture(scope="module")
def server(shared_server: Server) -> Server:
    """The server of the module; tests that stop a server or change its settings start another."""
    return shared_server


@pytest.fixture(scope="module")
def four_workers(postgresql_server: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the module with four worker processes."""
    folder = tmp_path_factory.mktemp("four")
    with serving_shared(postgresql_server, folder, WEB_WORKERS="4", WEB_THREADS="2") as server:
        wait_until(lambda: len(server.workers()) == 4)
        yield server


# Uploads and reads


def test_upload_of_real_file_returns_the_documented_top_clients(
    tmp_path: Path, environment: dict[str, str], real_file: bytes
) -> None:
    with serving(tmp_path, **environment) as server:
        assert server.get().json() == {"response": []}
        assert server.upload(real_file).json() == {"Status": "OK"}
        for path in ("/api/upload/", "/api/upload", "/api/top-clients/", "/api/top-clients"):
            assert server.get(path).json() == TOP_CLIENTS


@pytest.mark.database_independent
def test_services_with_other_limits_do_not_share_cached_responses(tmp_path: Path, database_url: str) -> None:
    """Two services share a database and a Redis, at the same time and after a restart with other limits."""
    query = "/graphql/?query=%7Bdeals%7Bnodes%7Bid%7D%7D%7D"

    def node_count(server: Server) -> int:
        return len(server.get(query).json()["data"]["deals"]["nodes"])

    with services.redis() as (_, url):
        shared = {"DATABASE_URL": database_url, "REDIS_URL": url}
        with serving(tmp_path, **shared) as first:
            assert first.upload(csv_of(*many(30))).status_code == 200
            etag = first.get(query).headers["ETag"]
            with serving(tmp_path, PAGE_SIZE="5", MAX_PAGE_SIZE="10", **shared) as second:
                assert [node_count(server) for server in (first, second, first, second)] == [20, 5, 20, 5]
        with serving(tmp_path, PAGE_SIZE="7", **shared) as restarted:
            conditional = restarted.get(query, headers={"If-None-Match": etag})
            assert (conditional.status_code, node_count(restarted)) == (200, 7)
        with serving(tmp_path, **shared) as restarted:
            assert restarted.get(query, headers={"If-None-Match": etag}).status_code == 304


def test_data_survives_a_restart(tmp_path: Path, environment: dict[str, str], real_file: bytes) -> None:
    with serving(tmp_path, **environment) as first:
        first.upload(real_file)
        assert first.stop() == 0
    with serving(tmp_path, **environment) as second:
        assert second.get().json() == TOP_CLIENTS


def test_every_worker_returns_each_upload_immediately(four_workers: Server) -> None:
    with connections_to_workers(four_workers) as clients:
        for number in range(40):
            upload(four_workers, f"client {number}")
            for api in (REST, GRAPHQL):
                assert [usernames(client, api) for client in clients] == [[f"client {number}"]] * 4


@contextlib.contextmanager
def connections_to_workers(server: Server) -> Iterator[list[http.client.HTTPConnection]]:
    """Yield a connection to each worker."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(connection_to(server, worker))) for worker in server.workers()]


def connection_to(server: Server, worker: psutil.Process) -> http.client.HTTPConnection:
    """Open connections until this worker accepts one, and return it."""
    deadline = time.monotonic() + TIMEOUT  # other workers may accept many connections first
    while time.monotonic() < deadline:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        client.request("GET", "/health/live")
        client.getresponse().read()
        address = client.sock.getsockname()
        if any(connection.raddr == address for connection in worker.net_connections("tcp")):
            return client
        client.close()
    raise AssertionError(f"worker {worker.pid} accepts no connection")


def usernames(client: http.client.HTTPConnection, api: str) -> list[str]:
    client.request("GET", api)
    return usernames_in(json.loads(client.getresponse().read()))


def test_every_worker_returns_an_activated_upload_immediately(four_workers: Server) -> None:
    with connections_to_workers(four_workers) as clients:
        ids = []
        for name in ("ann", "bob"):
            upload(four_workers, name)
            ids.append(graphql(four_workers, "{currentUpload {id}}")["currentUpload"]["id"])
        for number in range(20):
            activate(four_workers, ids[number % 2])
            for api in (REST, GRAPHQL):
                assert [usernames(client, api) for client in clients] == [[("ann", "bob")[number % 2]]] * 4


def test_activation_wins_over_an_upload_still_loading(server: Server, tmp_path: Path) -> None:
    content = large_file(tmp_path, 30_000)
    with ThreadPoolExecutor() as pool:
        upload(server, "before")
        current = graphql(server, "{currentUpload {id}}")["currentUpload"]["id"]
        uploading = pool.submit(server.upload, content)
        wait_until(lambda: is_loading(server.database_url))
        activate(server, current)
        assert uploading.result().json() == {"Status": "OK"}
        assert [top_client(server, api) for api in (REST, GRAPHQL)] == ["before", "before"]


#: A query of many types; only names and sums in the response contain digits.
BROAD_QUERY = """{
    topClients {username spentMoney gems customer {gems {nodes {name}}}}
    customers {nodes {username spentMoney deals {nodes {total gem {name}}}}}
    gems {nodes {name buyers {nodes {username spentMoney}}}}
    dealStats(by: [CUSTOMER, GEM]) {nodes {total customer {username} gem {name}}}
}"""


def test_concurrent_reads_never_mix_two_uploads(server: Server) -> None:
    """All names and sums of a file contain one number, so each response must contain one number."""

    def upload_deals_of(number: int) -> None:
        deals = [deal(f"{name}{number}", f"gem {number}", str(number)) for name in ("a", "b")]
        assert server.upload(csv_of(*deals)).status_code == 200

    upload_deals_of(0)
    uploads_finished = threading.Event()
    numbers_in_responses: list[set[str]] = []

    def read(get_body: Callable[[httpx.Client], str]) -> None:
        with httpx.Client(base_url=server.url, timeout=TIMEOUT, verify=NO_TLS) as client:
            while not uploads_finished.is_set():
                numbers_in_responses.append(set(re.findall("[0-9]+", get_body(client))))

    def by_rest(client: httpx.Client) -> str:
        return client.get(REST).text

    def by_graphql(client: httpx.Client) -> str:
        return json.dumps(client.post("/graphql/", json={"query": BROAD_QUERY}).json()["data"])

    threads = [threading.Thread(target=read, args=(get_body,)) for get_body in (by_rest, by_graphql, by_graphql)]
    for thread in threads:
        thread.start()
    for number in range(1, 31):
        upload_deals_of(number)
    uploads_finished.set()
    for thread in threads:
        thread.join()
    assert len(set(map(frozenset, numbers_in_responses))) > 10
    assert max(map(len, numbers_in_responses)) == 1


def test_reads_are_served_during_a_long_upload(server: Server, tmp_path: Path) -> None:
    upload(server, "before")
    content = large_file(tmp_path, 120_000)
    with ThreadPoolExecutor() as pool:
        uploading = pool.submit(server.upload, content)
        reads = 0
        while not uploading.done():
            assert top_client(server) != ""
            reads += 1
        assert uploading.result().status_code == 200
    assert reads > 3  # one, if a read waits for the upload
    assert top_client(server) != "before"


def test_one_of_several_concurrent_uploads_becomes_current(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda number: server.upload(csv_of(*many(3000, [f"c{number}"]))), range(4)))
    assert [response.status_code for response in responses] == [200] * 4
    (client,) = server.get().json()["response"]
    assert (client["username"] in {"c0", "c1", "c2", "c3"}, client["spent_money"]) == (True, 3000)


# Crashes and stops


def test_crash_during_upload_keeps_previous_top_clients(tmp_path: Path, environment: dict[str, str]) -> None:
    content = large_file(tmp_path, 150_000)
    with serving(tmp_path, **environment) as server:
        upload(server, "before")
        with ThreadPoolExecutor() as pool:
            uploading = pool.submit(server.upload, content)
            wait_until(lambda: is_loading(environment["DATABASE_URL"]))
            time.sleep(0.3)
            server.kill()
            with pytest.raises(httpx.HTTPError):
                uploading.result()
    with serving(tmp_path, **environment) as restarted:
        assert top_client(restarted) == "before"
        upload(restarted, "after")
        assert top_client(restarted) == "after"
    assert deals_by_username(environment["DATABASE_URL"]) == {"before": 1, "after": 1}


def deals_by_username(database_url: str) -> dict[str, int]:
    deals = "SELECT c.username, count(*) FROM deals_api_deal d JOIN deals_api_customer c ON c.id = d.customer_id"
    return dict(query(database_url, f"{deals} GROUP BY c.username"))


def test_stop_finishes_an_upload_in_progress(tmp_path: Path, environment: dict[str, str]) -> None:
    content = large_file(tmp_path, 60_000)
    with serving(tmp_path, **environment) as server, ThreadPoolExecutor() as pool:
        uploading = pool.submit(server.upload, content)
        wait_until(lambda: is_loading(environment["DATABASE_URL"]))
        assert server.stop() == 0
        assert uploading.result().json() == {"Status": "OK"}


@pytest.mark.database_independent
@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_stopping_service_refuses_connections_while_it_finishes_a_request(
    tmp_path: Path, stop_signal: signal.Signals
) -> None:
    """A connection that the kernel accepted would wait until the request has finished, and then be reset."""
    body = csv_of(deal())
    head = f"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {len(body)}\r\n"
    with serving(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
        client.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        server.process.send_signal(stop_signal)
        wait_until(lambda: is_refused(server.port))
        assert server.process.poll() is None
        client.sendall(body)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert server.process.wait(TIMEOUT) == 0


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


def test_killed_worker_is_replaced(server: Server) -> None:
    upload(server, "ann")
    killed = server.workers()
    for worker in killed:
        worker.kill()
    wait_until(
        lambda: len([worker for worker in server.workers() if worker not in killed and worker.is_running()]) == 2
    )
    assert top_client(server) == "ann"


# Incomplete bodies


def test_incomplete_body_is_rejected(server: Server) -> None:
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
        response = client.makefile("rb").read()
    assert b"400 Bad Request" in response
    assert b"ended early" in response
    assert top_client(server) == "before"


INCOMPLETE_REQUEST = (
    b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 1000000\r\n\r\n--b\r\n"
    b'Content-Disposition: form-data; name="deals"; filename="d.csv"\r\n\r\n' + b"customer" * 50_000
)


def open_upload_files(server: Server) -> int:
    """Count the uploaded files that the workers hold open: files with bytes and without a name."""
    count = 0
    for worker in server.workers():
        for descriptor in Path(f"/proc/{worker.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed in the meantime
                file = descriptor.stat()
                count += stat.S_ISREG(file.st_mode) and file.st_nlink == 0 and file.st_size > 0
    return count


def test_disconnected_upload_leaves_no_open_file(server: Server) -> None:
    upload(server, "before")
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(INCOMPLETE_REQUEST)
            wait_until(lambda: open_upload_files(server) == 1)
        wait_until(lambda: open_upload_files(server) == 0)
    assert top_client(server) == "before"


@pytest.mark.database_independent
def test_crash_while_receiving_a_body_leaves_no_file(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "received"
    folder.mkdir()
    with serving(tmp_path, **environment, TMPDIR=str(folder)) as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(INCOMPLETE_REQUEST)
            wait_until(lambda: open_upload_files(server) == 1)
            server.kill()
        assert list(folder.iterdir()) == []


@pytest.mark.database_independent
def test_temporary_files_never_have_a_name(tmp_path: Path, environment: dict[str, str]) -> None:
    """A crash at any moment leaves no file: the folder's modification time shows that it never had an entry."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    require_unnamed_files(folder)
    with serving(tmp_path, **environment, TMPDIR=str(folder)) as server:
        os.utime(folder, (0, 0))
        upload(server, "form")
        csv = {"Content-Type": "text/csv"}
        body = httpx.post(
            f"{server.url}/api/upload/", content=csv_of(deal("body")), headers=csv, timeout=TIMEOUT, verify=NO_TLS
        )
        assert body.status_code == 200
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
            client.sendall(b"GET /api/exports/deals.csv HTTP/1.0\r\nHost: x\r\n\r\n")  # the export is spooled
            assert b"body" in client.makefile("rb").read()
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as client:
            client.sendall(INCOMPLETE_REQUEST)
            wait_until(lambda: open_upload_files(server) == 1)
        wait_until(lambda: open_upload_files(server) == 0)
        assert folder.stat().st_mtime == 0


@pytest.mark.database_independent
def test_too_large_file_is_rejected_before_it_is_read(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment, MAX_UPLOAD_BYTES="100000") as server:
        response = server.upload(b"x" * 5_000_000)
        assert response.status_code == 413
        assert response.json()["Desc"] == "The file is over 100000 bytes."
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(
                b"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 5000000\r\n\r\n"
            )
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.database_independent
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
def test_malformed_request_is_never_a_5xx(server: Server, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        client.sendall(request_bytes)
        client.shutdown(socket.SHUT_WR)
        response = client.makefile("rb").read()
    status = re.match(rb"HTTP/1\.1 (\d)", response)
    assert status is None or status[1] in b"24"
    assert server.get().status_code == 200


# Redis


def read_by_both(server: Server) -> list[str]:
    return [top_client(server, api) for api in (REST, GRAPHQL)]


def test_redis_crash_during_upload_keeps_reads_correct(
    server_with_redis: Server, redis: services.Service, database_url: str
) -> None:
    """Uploads do not use Redis, so a crash of Redis at any time does not affect them."""
    server = server_with_redis
    upload(server, "before")
    assert read_by_both(server) == ["before", "before"]
    with ThreadPoolExecutor() as pool:
        uploading = pool.submit(upload, server, "after", 20_000)
        wait_until(lambda: is_loading(database_url))
        redis.stop(signal.SIGKILL)
        uploading.result()
    for _ in range(10):
        assert read_by_both(server) == ["after", "after"]


@pytest.mark.database_independent
def test_restored_redis_dump_never_returns_old_responses(server_with_redis: Server, redis: services.Service) -> None:
    server = server_with_redis
    upload(server, "old")
    assert read_by_both(server) == ["old", "old"]
    with Redis(port=redis.port) as client:
        dump = {key: client.dump(key) for key in client.keys("*")}
        assert len(dump) >= 2
        upload(server, "new")
        assert read_by_both(server) == ["new", "new"]
        client.flushall()
        for key, value in dump.items():
            client.restore(key, 0, value)
    for _ in range(10):
        assert read_by_both(server) == ["new", "new"]


@pytest.mark.database_independent
def test_hung_redis_delays_requests_under_a_second(server_with_redis: Server, redis: services.Service) -> None:
    server = server_with_redis
    upload(server, "before")
    redis.send(signal.SIGSTOP)
    for name, api in itertools.product(("a", "b"), (REST, GRAPHQL)):
        upload(server, f"{name} {api}")
        seconds = []
        for _ in range(10):
            started = time.monotonic()
            assert top_client(server, api) == f"{name} {api}"
            seconds.append(time.monotonic() - started)
        # The minimum, because a loaded machine delays some requests, and a hung Redis would delay each.
        assert min(seconds) < 0.9
    redis.send(signal.SIGCONT)


# PostgreSQL


@pytest.mark.usefixtures("postgresql_only")
def test_stopped_database_is_a_503_until_it_restarts(tmp_path: Path) -> None:
    with services.postgres() as (database, url), serving(tmp_path, DATABASE_URL=url) as server:
        upload(server, "before")
        database.stop()
        for response in (server.get(), server.upload(csv_of(deal("lost"))), server.get("/health/ready")):
            assert response.status_code == 503
        assert server.get().json()["Code"] == server.upload(csv_of(deal("lost"))).json()["Code"] == "database_busy"
        assert server.get().headers["Retry-After"] == "2"
        assert server.get("/health/live").status_code == 200
        database.start()
        wait_until(lambda: server.get("/health/ready").status_code == 200)
        assert top_client(server) == "before"
        upload(server, "after")
        assert top_client(server) == "after"


@pytest.mark.usefixtures("postgresql_only")
@pytest.mark.parametrize("first_request", ["read", "upload"])
def test_database_restart_between_requests_causes_no_error(tmp_path: Path, first_request: str) -> None:
    """Workers keep database connections open; the restart closes them."""
    with (
        services.postgres() as (database, url),
        serving(tmp_path, DATABASE_URL=url, WEB_WORKERS="1", WEB_THREADS="1") as server,
    ):
        upload(server, "before")
        assert top_client(server) == "before"
        database.stop()
        database.start()
        if first_request == "upload":
            upload(server, "after")
        assert top_client(server) == ("after" if first_request == "upload" else "before")


@pytest.mark.usefixtures("postgresql_only")
def test_start_waits_for_the_database(tmp_path: Path) -> None:
    with services.postgres() as (database, url), ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        database.stop()
        starting = pool.submit(stack.enter_context, serving(tmp_path, DATABASE_URL=url))
        wait_until(lambda: any(tmp_path.glob("serve-*.log")))
        time.sleep(1.5)  # the first attempt to connect has failed
        assert not starting.done()
        database.start()
        upload(starting.result(TIMEOUT), "ann")


# Memory


def test_memory_does_not_grow_with_rows(tmp_path: Path, environment: dict[str, str]) -> None:
    """Compare the peak memory after 30,000 and 300,000 rows; on SQLite, which loads slower, after 100,000."""
    rows = 300_000 if environment["DATABASE_URL"].startswith("postgres") else 100_000
    with serving(tmp_path, **environment, WEB_WORKERS="1") as server:
        (worker,) = server.workers()
        peaks = []
        for count in (30_000, rows):
            assert server.upload(large_file(tmp_path, count)).status_code == 200
            status = Path(f"/proc/{worker.pid}/status").read_text()
            peaks.append(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]))
    assert peaks[1] < 150 * 1024
    assert peaks[1] - peaks[0] < 25 * 1024


def test_log_of_normal_operation_has_no_errors(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, **environment) as server:
        upload(server, "ann")
        top_client(server)
        for path in ("/api/top-clients/", "/api/nothing", "/health/live"):
            httpx.head(server.url + path, verify=NO_TLS)
        workers = set(server.workers())
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.workers() and not workers & set(server.workers()))
        server.wait_until_ready()
    lines = server.log.read_text().splitlines()
    lines.remove(f"Serving on http://localhost:{server.port}/")
    for entry in map(json.loads, lines):
        assert entry["level"] == "info"
        assert entry["event"] == "request" or entry["logger"] == "gunicorn.error"
