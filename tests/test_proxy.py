"""nginx, configured by project/server/nginx.conf, in front of real services."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from deals_api.limits import Limits
from project.settings import DEALS_BUILD
from tests.builders import csv_of, deal
from tests.name_server import name_server
from tests.proxy import SERVER_FOLDER, USER, Proxy, nginx
from tests.servers import NO_TLS, REAL_FILE, ROOT, TIMEOUT, Server, serving, wait_until
from tests.services import Service, free_port, nginx_binary
from tests.slow_clients import PARTIAL_HEAD, PARTIAL_QUERY, PARTIAL_UPLOAD, clients
from tests.smoke import TOP_CLIENTS

pytestmark = [pytest.mark.database_independent, pytest.mark.second_run]

MAX_UPLOAD_BYTES = 20_000_000
QUERY = {"query": "{topClients(limit: 1) {username}}"}
FIRST_CLIENT = {"data": {"topClients": [{"username": "resplendent"}]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with one thread: a client that occupied it would stop all others."""
    folder = tmp_path_factory.mktemp("service")
    settings = {
        "WEB_WORKERS": "1", "WEB_THREADS": "1", "PROXIES": "1", "MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "UPLOADS_PER_MINUTE": "0",
    }  # fmt: skip
    with serving(folder, **settings) as server:
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
        yield server


@pytest.fixture
def proxy(server: Server, tmp_path: Path) -> Iterator[Proxy]:
    with nginx(tmp_path, f"127.0.0.1:{server.port}", MAX_UPLOAD_BYTES=str(MAX_UPLOAD_BYTES)) as proxy:
        yield proxy


def post_query(proxy: Proxy | Server) -> httpx.Response:
    return httpx.post(proxy.url + "/graphql/", json=QUERY, timeout=TIMEOUT, verify=NO_TLS)


# What passes through


def test_both_apis_respond_as_without_the_proxy(proxy: Proxy, server: Server) -> None:
    assert proxy.upload(REAL_FILE.read_bytes()).json() == {"Status": "OK"}
    assert post_query(proxy).json()["data"] == FIRST_CLIENT["data"]
    for path in (
        "/",
        "/api/top-clients",
        "/api/exports/deals.csv",
        "/graphql/schema.graphql",
        "/api/x",
        "/admin/",
    ):
        through, direct = proxy.get(path), server.get(path)
        assert (through.status_code, through.headers["Content-Type"]) == (
            direct.status_code, direct.headers["Content-Type"],
        )  # fmt: skip
        assert re.sub(rb'value="\w+"', b"", through.content) == re.sub(rb'value="\w+"', b"", direct.content)


def url_of(length: int) -> str:
    return "/graphql/?query={__typename}%23".ljust(length, "x")


def test_url_of_8000_characters_is_accepted(proxy: Proxy, server: Server) -> None:
    for service in (proxy, server):
        assert service.get(url_of(8_000)).json()["data"] == {"__typename": "Query"}


def test_longer_url_is_json_from_nginx_and_html_from_gunicorn(proxy: Proxy, server: Server) -> None:
    responses = [service.get(url_of(8_193)) for service in (proxy, server)]
    assert [(response.status_code, response.headers["Content-Type"]) for response in responses] == [
        (414, "application/json"), (414, "text/html"),
    ]  # fmt: skip


def test_chunked_upload_is_accepted(proxy: Proxy) -> None:
    """The service itself requires a length, which the proxy knows when it has received the body."""
    response = httpx.post(
        proxy.url + "/api/upload/",
        content=iter([REAL_FILE.read_bytes()]),
        headers={"Content-Type": "text/csv"},
        timeout=TIMEOUT,
        verify=NO_TLS,
    )
    assert response.json() == {"Status": "OK"}


def test_client_address_is_the_one_that_the_proxy_sees(proxy: Proxy, server: Server) -> None:
    proxy.get("/api/top-clients/?limit=9", headers={"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "through-proxy"})
    wait_until(lambda: "through-proxy" in server.log.read_text())
    [line] = [line for line in server.log.read_text().splitlines() if "through-proxy" in line]
    assert json.loads(line)["client"] == "127.0.0.1"


@pytest.mark.parametrize(("proxies", "status"), [("0", 301), ("1", 301), ("2", 200)])
def test_forwarded_scheme_is_trusted_only_behind_another_proxy(tmp_path: Path, proxies: str, status: int) -> None:
    with (
        serving(tmp_path, SECURE="1", PROXIES=proxies) as server,
        nginx(tmp_path, f"127.0.0.1:{server.port}", PROXIES=proxies) as proxy,
    ):
        assert proxy.get(headers={"X-Forwarded-Proto": "https"}).status_code == status


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        ({"PROXIES": ""}, ["default 1;", "client_max_body_size 134283264;"]),
        ({"PROXIES": " 02 ", "MAX_UPLOAD_BYTES": "0100000"}, ["default 2;", "client_max_body_size 165536;"]),
        ({"PROXIES": "0", "MAX_UPLOAD_BYTES": ""}, ["default 1;", "client_max_body_size 134283264;"]),
    ],
)
def test_settings_of_the_service_are_those_of_nginx(
    tmp_path: Path, variables: dict[str, str], lines: list[str]
) -> None:
    with nginx(tmp_path, f"127.0.0.1:{free_port()}", replace={}, **variables) as proxy:
        configuration = (proxy.log.parent / "nginx.conf").read_text()
        assert [configuration.count(line) for line in lines] == [1, 1]


@pytest.mark.parametrize("name", ["PROXIES", "MAX_UPLOAD_BYTES"])
def test_invalid_setting_of_nginx_is_rejected_with_its_name(name: str) -> None:
    command = ["sh", str(SERVER_FOLDER / "nginx.sh")]
    run = subprocess.run(command, env=os.environ | {name: "x&/"}, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, f"{name} must be a whole number, not 'x&/'\n")


@pytest.mark.parametrize("path", ["/api/exports/deals.csv", "/api/exports/deals.ndjson", "/api/top-clients/?limit=18"])
def test_large_responses_are_compressed(proxy: Proxy, path: str) -> None:
    plain = proxy.get(path, headers={"Accept-Encoding": "identity"})
    with httpx.stream("GET", proxy.url + path, headers={"Accept-Encoding": "gzip"}, verify=NO_TLS) as response:
        compressed = b"".join(response.iter_raw())
    assert (response.headers["Content-Encoding"], "Accept-Encoding" in response.headers["Vary"]) == ("gzip", True)
    assert gzip.decompress(compressed) == plain.content
    assert len(compressed) < len(plain.content) / 2


def test_etag_of_a_compressed_response_leads_to_304(proxy: Proxy) -> None:
    path = "/api/top-clients/?limit=18"
    etags = {proxy.get(path, headers={"Accept-Encoding": name}).headers["ETag"] for name in ("gzip", "identity")}
    assert len(etags) == 2
    for etag in etags:
        response = proxy.get(path, headers={"If-None-Match": etag, "Accept-Encoding": "gzip"})
        assert (response.status_code, response.content) == (304, b"")


@pytest.mark.parametrize("accepted_encoding", ["identity", "gzip"])
def test_interrupted_response_is_incomplete_for_the_client(tmp_path: Path, accepted_encoding: str) -> None:
    """The service ends a response like this if its process is killed during an export."""
    part = b"%x\r\n%s\r\n" % (len(REAL_FILE.read_bytes()), REAL_FILE.read_bytes())
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        nginx(tmp_path, f"127.0.0.1:{listener.getsockname()[1]}") as proxy,
        ThreadPoolExecutor() as pool,
    ):
        response = pool.submit(proxy.get, "/api/exports/deals.csv", headers={"Accept-Encoding": accepted_encoding})
        service, _ = listener.accept()
        assert b" HTTP/1.1\r\n" in service.recv(10_000)
        service.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n" + part)
        service.close()
        with pytest.raises(httpx.RemoteProtocolError):
            response.result()


def test_documented_proxy_serves_below_a_base_path(tmp_path: Path) -> None:
    [location] = re.findall(r"```nginx\n(.*?)```", (ROOT / "project" / "README.md").read_text(), re.DOTALL)
    assert "http://127.0.0.1:8000;" in location
    with serving(tmp_path, BASE_PATH="/deals") as server:
        port, folder = free_port(), tmp_path / "other"
        folder.mkdir()
        location = location.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        temporary = "client_body_temp_path body; proxy_temp_path proxy; access_log off;"
        configuration = folder / "nginx.conf"
        configuration.write_text(
            f"{USER} pid {folder}/pid; error_log {folder}/log; daemon off; events {{}}"
            f"http {{ {temporary} server {{ listen 127.0.0.1:{port}; {location} }} }}"
        )
        other_proxy = Service([str(nginx_binary()), "-p", str(folder), "-c", str(configuration)], port)
        with contextlib.ExitStack() as stack:
            stack.callback(other_proxy.stop, signal.SIGTERM)
            other_proxy.start()
            page = httpx.get(f"http://127.0.0.1:{port}/deals/", timeout=TIMEOUT, verify=NO_TLS)
            script = re.findall(r'src="(/deals/static/[^"]+)"', page.text)[0]
            assert httpx.get(f"http://127.0.0.1:{port}{script}", timeout=TIMEOUT, verify=NO_TLS).status_code == 200
            assert httpx.post(
                f"http://127.0.0.1:{port}/deals/api/upload/",
                content=b"x" * 2_000_000, headers={"Content-Type": "text/csv"}, timeout=TIMEOUT, verify=NO_TLS,
            ).json()["Code"] == "unreadable_upload"  # fmt: skip
            redirect = httpx.get(f"http://127.0.0.1:{port}/deals", timeout=TIMEOUT, verify=NO_TLS)
            assert redirect.headers["Location"].endswith("/deals/")


# Static files


def test_static_files_of_the_running_and_the_previous_build_are_served(tmp_path: Path) -> None:
    previous = "0123456789abcdef"
    port = free_port()
    with nginx(tmp_path, f"127.0.0.1:{port}") as proxy:
        (proxy.static / previous / "frontend").mkdir(parents=True)
        (proxy.static / previous / "frontend" / "main.js").write_text("// previous")
        with serving(tmp_path, PORT=str(port)):
            response = proxy.get(f"/static/{previous}/frontend/main.js")
            assert (response.text, response.headers["Content-Type"]) == (
                "// previous",
                "text/javascript; charset=utf-8",
            )
            assert response.headers["Cache-Control"] == "max-age=315360000, public, immutable"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert proxy.get(f"/base/path/static/{previous}/frontend/main.js").text == "// previous"
            # Without a copy, the service responds.
            assert proxy.get(f"/static/{DEALS_BUILD}/frontend/main.js").status_code == 200
            assert proxy.get(f"/static/{previous}/frontend/missing.js").json()["Code"] == "not_found"
            for path in (
                f"/static/{previous}/../../log",
                f"/static/{previous}/%2e%2e/%2e%2e/log",
                f"/static/{previous}//../..",
            ):
                assert "proxy" not in raw_get(proxy, path)


def raw_get(proxy: Proxy, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=TIMEOUT)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status in (400, 404)
        return response.read().decode()


# Errors of the proxy itself


def test_documented_codes_are_those_of_the_configuration() -> None:
    [codes] = re.findall(r"map \$status \$error_code \{([^}]*)\}", (SERVER_FOLDER / "nginx.conf").read_text())
    configured = dict(re.findall(r"(\d{3}|default) (\w+);", codes))
    rows = re.findall(
        r"^\| ((?:\d{3}(?:, )?)+) \| `(\w+)` \|", (ROOT / "project" / "README.md").read_text(), re.MULTILINE
    )
    documented = {status: code for statuses, code in rows for status in statuses.split(", ")}
    default = configured.pop("default")
    assert documented == configured | {"400": default}


def rest_error(message: str, code: str) -> dict[str, object]:
    return {"Status": "Error", "Desc": message, "Code": code}


def graphql_error(message: str, code: str) -> dict[str, object]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


APIS = [("/api/top-clients/", rest_error), ("/graphql/", graphql_error), ("/deals/graphql", graphql_error)]
UNREADABLE = [
    ("GET {} HTTP/1.1\r\n\r\n", 400, "The request cannot be read.", "bad_request"),
    ("GET {} HTTP/1.1\r\nHost: x\r\nX: " + "x" * 9000 + "\r\n\r\n", 400, "The request cannot be read.", "bad_request"),
    (
        f"POST {{}} HTTP/1.1\r\nHost: x\r\nContent-Length: {3 * 2**20 + 1}\r\n\r\n",
        413, "The request is too large.", "request_too_large",
    ),
    ("GET {}?query=" + "x" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414, "The URL is too long.", "url_too_long"),
    ("TRACE {} HTTP/1.1\r\nHost: x\r\n\r\n", 405, "The method is not allowed.", "method_not_allowed"),
    (
        "POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        501, "The transfer encoding is not supported.", "not_implemented",
    ),
    ("GET {} HTTP/3.0\r\nHost: x\r\n\r\n", 505, "The version of HTTP is not supported.", "http_version_not_supported"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body_of"), APIS, ids=[path for path, _ in APIS])
@pytest.mark.parametrize(
    ("request_text", "status", "message", "code"),
    UNREADABLE,
    ids=["400", "400 head", "413", "414", "405", "501", "505"],
)
def test_rejected_requests_get_json(
    proxy: Proxy, path: str, body_of: Callable[..., object], request_text: str, status: int, message: str, code: str
) -> None:
    assert json_error(proxy, request_text.format(path).encode(), status) == body_of(message, code)


def json_error(proxy: Proxy, request: bytes, status: int) -> object:
    with clients(proxy.port, 1, request) as (client,), client.makefile("rb"):
        response = http.client.HTTPResponse(client)
        response.begin()
        assert (response.status, response.headers["Content-Type"]) == (status, "application/json")
        body = json.loads(response.read())
        response.close()
    return body


def test_upload_over_the_limit_gets_json(proxy: Proxy) -> None:
    head = f"POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_UPLOAD_BYTES + 65537}\r\n\r\n"
    error = json_error(proxy, head.encode(), 413)
    assert error == rest_error("The request is too large.", "request_too_large")


def test_service_accepts_the_headers_that_nginx_accepts(proxy: Proxy) -> None:
    assert proxy.get(headers={"X-Forwarded-For": "1" * 8000}).status_code == 200
    assert proxy.get(headers={f"X-Header-{number}": "x" for number in range(150)}).status_code == 200


def test_body_of_the_largest_accepted_size_reaches_the_service(proxy: Proxy) -> None:
    limits = Limits.from_environment({"MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES)})
    head = "POST /api/upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n"
    request = head.format(limits.max_body_bytes).encode() + b"x" * limits.max_body_bytes
    with clients(proxy.port, 1, request) as (client,):
        response = http.client.HTTPResponse(client)
        response.begin()
        assert json.loads(response.read())["Code"] == "upload_too_large"


def test_too_many_requests_in_progress_get_429(proxy: Proxy) -> None:
    with clients(proxy.port, 199, PARTIAL_QUERY), contextlib.ExitStack() as more_clients:

        def is_full_with_one_more() -> bool:
            """Return whether another client reaches the limit; the request that checks it may take its place."""
            more_clients.enter_context(clients(proxy.port, 1, PARTIAL_QUERY))
            return proxy.get().status_code == 429

        wait_until(is_full_with_one_more)
        response, graphql = proxy.get(), post_query(proxy)
        assert (response.headers["Retry-After"], response.json()["Code"]) == ("1", "too_many_requests")
        assert graphql.json()["errors"][0]["extensions"]["code"] == "too_many_requests"
        assert proxy.upload(REAL_FILE.read_bytes()).status_code == 429
    wait_until(lambda: proxy.get().status_code == 200)


def test_uploads_in_progress_have_a_limit_of_their_own(proxy: Proxy) -> None:
    def status_of_an_upload() -> int:
        return proxy.upload(REAL_FILE.read_bytes()).status_code

    def is_full_with_one_more(address: str) -> bool:
        """Return whether another upload in progress reaches the limit; exports have a limit of their own.

        It may be rejected itself, because nginx still counts an upload for a moment after its response.
        """
        with clients(proxy.port, 1, PARTIAL_UPLOAD, address=address):
            is_full = status_of_an_upload() == 429
            assert proxy.get("/api/exports/deals.csv").status_code == 200
        return is_full

    with clients(proxy.port, 100, PARTIAL_QUERY), clients(proxy.port, 59, PARTIAL_UPLOAD):
        time.sleep(0.5)
        assert status_of_an_upload() == 200
        wait_until(lambda: is_full_with_one_more("127.0.0.1"))
    with (
        clients(proxy.port, 49, PARTIAL_UPLOAD, address="127.0.0.2"),
        clients(proxy.port, 50, PARTIAL_UPLOAD, address="127.0.0.3"),
    ):
        wait_until(lambda: status_of_an_upload() == 200)
        wait_until(lambda: is_full_with_one_more("127.0.0.4"))


@pytest.mark.parametrize(("path", "body_of"), APIS, ids=[path for path, _ in APIS])
def test_stopped_service_is_a_502_in_json(tmp_path: Path, path: str, body_of: Callable[..., object]) -> None:
    with nginx(tmp_path, f"127.0.0.1:{free_port()}") as proxy:
        response = proxy.get(path)
        assert (response.status_code, response.headers["Retry-After"]) == (502, "2")
        assert response.json() == body_of(
            "The service is starting or unavailable; try again in a moment.", "service_unavailable"
        )
        wait_until(lambda: '"proxy_error"' in proxy.log.read_text())
        proxy.get(f"{path}?secret=query-string")
        wait_until(lambda: proxy.log.read_text().count('"proxy_error"') == 2)
        assert "query-string" not in proxy.log.read_text()
        for line in map(json.loads, proxy.log.read_text().splitlines()):
            assert (line["method"], line["path"], line["status"]) == ("GET", path, 502)


def test_service_that_does_not_respond_is_a_504_in_json(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        web = f"127.0.0.1:{silent.getsockname()[1]}"
        with nginx(tmp_path, web, replace={"proxy_read_timeout 75s": "proxy_read_timeout 1s"}) as proxy:
            response = proxy.get()
            assert (response.status_code, response.json()["Code"]) == (504, "service_unavailable")


# Slow clients


def connection_count(server: Server) -> int:
    """Return how many connections the worker processes have, apart from closed ones."""
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == server.port
        for worker in server.workers()
        for connection in worker.net_connections("tcp")
    )


@pytest.mark.parametrize(
    "data", [b"", PARTIAL_HEAD, PARTIAL_QUERY, PARTIAL_UPLOAD], ids=["silent", "head", "query", "upload"]
)
def test_incomplete_requests_do_not_reach_the_service(proxy: Proxy, server: Server, data: bytes) -> None:
    wait_until(lambda: connection_count(server) == 0)
    with clients(proxy.port, 50, data):
        time.sleep(1)
        assert connection_count(server) == 0
        for _ in range(10):
            assert proxy.get().json() == TOP_CLIENTS


def test_request_in_pieces_gets_a_response_when_complete(proxy: Proxy) -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with clients(proxy.port, 1) as (client,):
        for position in range(len(request)):
            client.sendall(request[position : position + 1])
            time.sleep(0.002)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_thousands_of_idle_connections_do_not_delay_others(server: Server, tmp_path: Path) -> None:
    # Without the time limit of nginx, because slow machines take longer to open the connections.
    no_limit = {"client_header_timeout 20s": "client_header_timeout 3600s"}
    with (
        nginx(tmp_path, f"127.0.0.1:{server.port}", replace=no_limit) as proxy,
        clients(proxy.port, 2300) as silent,
        clients(proxy.port, 1000, PARTIAL_HEAD) as partial,
    ):
        assert proxy.get().json() == TOP_CLIENTS
        assert proxy.upload(REAL_FILE.read_bytes()).json() == {"Status": "OK"}
        assert sum(map(is_open, silent + partial)) == 3300


def is_open(client: socket.socket) -> bool:
    """Return whether the server has neither closed the connection nor sent anything."""
    try:
        client.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except ConnectionResetError:
        pass
    return False


def test_clients_that_do_not_read_occupy_no_thread(proxy: Proxy, server: Server) -> None:
    """The service has one thread. A response is larger than all buffers of the kernel."""
    assert proxy.upload(csv_of(*[deal("я" * 255)] * 20_000)).json() == {"Status": "OK"}
    request = b"GET /api/exports/deals.ndjson HTTP/1.1\r\nHost: x\r\n\r\n"
    with clients(proxy.port, 3, request, receive_buffer=2048):
        wait_until(lambda: connection_count(server) > 0)
        wait_until(lambda: connection_count(server) == 0)
        assert proxy.get("/api/top-clients/?limit=1").status_code == 200
    assert server.upload(REAL_FILE.read_bytes()).json() == {"Status": "OK"}


# Several containers


def test_containers_are_found_again_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with (
        name_server("127.0.0.2") as names,
        nginx(
            tmp_path,
            f"web:{port}",
            resolver=f"127.0.0.1:{names.port}",
            replace={"worker_processes 2": "worker_processes 1"},
        ) as proxy,
    ):
        with serving(tmp_path, BIND="127.0.0.2", PORT=str(port)):
            wait_until(lambda: proxy.get().status_code == 200)
        assert proxy.get().status_code == 502
        with serving(tmp_path, BIND="127.0.0.3", PORT=str(port)):
            names.addresses[:] = ["127.0.0.3"]
            wait_until(lambda: proxy.get().status_code == 200)
        names.addresses.clear()
        wait_until(lambda: proxy.get().json()["Code"] == "service_unavailable")


def test_rolling_restarts_cause_no_error(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    settings = {
        "PORT": str(port), "DATABASE_URL": database_url, "WEB_WORKERS": "1", "PROXIES": "1", "UPLOADS_PER_MINUTE": "0",
    }  # fmt: skip
    errors: list[str] = []
    counts = {"GET": 0, "POST": 0, "upload": 0}
    stop = threading.Event()

    def request_continuously(url: str, kind: str, request: Callable[[httpx.Client], httpx.Response]) -> None:
        with httpx.Client(base_url=url, timeout=TIMEOUT, verify=NO_TLS) as client:
            while not stop.is_set():
                try:
                    response = request(client)
                    if response.status_code != 200:
                        errors.append(f"{kind}: {response.status_code} {response.text}")
                except httpx.HTTPError as error:
                    errors.append(f"{kind}: {error!r}")
                counts[kind] += 1
                time.sleep(0.01)

    file = REAL_FILE.read_bytes()
    kinds: list[tuple[str, Callable[[httpx.Client], httpx.Response]]] = [
        ("GET", lambda client: client.get("/api/top-clients/")),
        ("POST", lambda client: client.post("/graphql/", json=QUERY)),
        ("POST", lambda client: client.post("/graphql/", json=QUERY)),
        ("upload", lambda client: client.post("/api/upload/", files={"deals": ("deals.csv", file)})),
    ]
    with (
        name_server(*addresses) as names,
        nginx(tmp_path, f"web:{port}", resolver=f"127.0.0.1:{names.port}") as proxy,
        contextlib.ExitStack() as stack,
    ):

        def start(address: str) -> Server:
            return stack.enter_context(serving(tmp_path, BIND=address, **settings))

        running = {address: start(address) for address in addresses}
        threads = [threading.Thread(target=request_continuously, args=(proxy.url, *kind)) for kind in kinds]
        for thread in threads:
            thread.start()
        for address in addresses:
            running[address].stop()
            start(address)
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert min(counts.values()) > 0
