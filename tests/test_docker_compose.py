"""The containers, started by the README's command from a fresh clone, with each installed Compose.

Deselected by default; ``python -m pytest -m docker`` runs them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

import project as service
from tests.compose_project import ComposeProject
from tests.readme_commands import command_block
from tests.requires import skip_or_fail
from tests.servers import REAL_FILE, ROOT, TIMEOUT, wait_until
from tests.services import free_port
from tests.slow_clients import PARTIAL_UPLOAD, clients, slow_senders
from tests.smoke import (
    TOP_CLIENTS,
    background,
    fresh_clone,
    repeated_file,
    run,
    top_clients_of_repeated_file,
    upload_and_read,
)

pytestmark = [pytest.mark.docker, pytest.mark.database_independent]


def installed_composes() -> list[str]:
    """Return the installed Compose commands: the standalone program, and the plugin of docker."""
    return [program for program in ("docker-compose", "docker compose") if succeeds(f"{program} version")]


def succeeds(command: str) -> bool:
    program, *arguments = command.split()
    if shutil.which(program) is None:
        return False
    return subprocess.run([program, *arguments], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class Started:
    """A project after its first start. ``events`` lists the starts and health changes of its containers in order."""

    project: ComposeProject
    events: str


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        skip_or_fail("no Docker engine is running")
    with fresh_clone() as folder:
        yield folder


@pytest.fixture(scope="module", params=installed_composes() or ["docker compose"])
def started(clone: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    project = ComposeProject(request.param, clone, free_port())
    log = tmp_path_factory.mktemp("compose") / "events"
    try:
        with project.recorded_events(log), readme_command(project) as up:
            wait_until(lambda: project.is_healthy() or up.poll() is not None, 480, "web is not healthy")
            assert up.poll() is None, "the README's command ended"
        yield Started(project, summarize_events(log.read_text()))
    except BaseException:
        print(project.states_and_logs())  # noqa: T201
        raise
    finally:
        project.remove()


@contextlib.contextmanager
def readme_command(project: ComposeProject) -> Iterator[subprocess.Popen[bytes]]:
    """Run the README's start command in the foreground of a shell; the containers outlive it."""
    command = command_block(r"\Adocker-compose up\Z").replace("docker-compose", project.compose)
    with background(command, cwd=project.folder, env=project.environment) as up:
        yield up


def summarize_events(log: str) -> str:
    events = [(event["Actor"]["Attributes"], event["status"]) for event in map(json.loads, log.splitlines())]
    return ", ".join(f"{labels['com.docker.compose.service']} {status}" for labels, status in events)


@pytest.fixture
def project(started: Started, request: pytest.FixtureRequest) -> Iterator[ComposeProject]:
    """The running project. A test may leave it stopped."""
    project = started.project
    if not project.is_healthy():
        project("up", "--detach")
        project.wait_until_healthy()
    failures = request.session.testsfailed
    yield project
    if request.session.testsfailed > failures:
        print(project.states_and_logs())  # noqa: T201


def upload(project: ComposeProject, content: bytes) -> None:
    response = httpx.post(
        f"http://localhost:{project.port}/api/upload/", files={"deals": ("deals.csv", content)}, timeout=TIMEOUT
    )
    assert response.json() == {"Status": "OK"}


# Start


def test_web_starts_after_database_and_cache_are_healthy(started: Started) -> None:
    before, _, after = started.events.partition("web start")
    assert "db health_status: healthy" in before
    assert "redis health_status: healthy" in before
    assert "web start" not in after


def test_commands_of_readme_return_the_top_clients(project: ComposeProject) -> None:
    upload_and_read(project.port, cwd=project.folder, env=project.environment)


def test_every_file_that_a_page_loads_exists(project: ComposeProject) -> None:
    """Static files are collected in the image only; elsewhere they are served from the packages."""
    for page in ("/", "/graphql/", "/api/docs/", "/api/upload/"):
        paths = re.findall(r"""(?:src|href)=["'](/[^"']+)""", project.get(page, "text/html"))
        assert any(path.startswith("/static/") for path in paths), page
        for path in paths:
            content = project.get(path, "text/html,*/*;q=0.8")  # as a browser: some paths are those of other pages
            assert content, path
            for module in re.findall(r'^import .* from "\./(\w+\.js)";$', content, re.MULTILINE):
                assert project.get(f"{path.rpartition('/')[0]}/{module}"), module


def test_management_commands_work_in_the_container(project: ComposeProject) -> None:
    """Only /tmp is writable in the container."""
    upload(project, repeated_file(2))
    ranking = json.loads(project.shell("python manage.py top_clients --format json"))
    assert ranking == top_clients_of_repeated_file(2)
    rejected = project.shell("printf nonsense | python manage.py load_deals - 2>&1; echo $?")
    assert rejected.startswith("CommandError: ")
    assert rejected.split()[-1] == "1"
    options = "--no-input --username root --email root@example.org"
    project.shell(f"DJANGO_SUPERUSER_PASSWORD=gems-and-more python manage.py createsuperuser {options}")
    assert "deals_uploads_total" in project.get("/metrics", "text/plain")


# Privileges and contents


def test_web_runs_without_privileges(project: ComposeProject) -> None:
    lines = project.shell("cat /proc/self/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split()) == {"10001"}
    assert [int(status[f"Cap{name}"], 16) for name in ("Prm", "Eff", "Bnd")] == [0, 0, 0]
    assert status["NoNewPrivs"] == "1"
    for path in ("/app/x", "/app/project/x", "/x"):
        assert "Read-only" in project.shell(f"touch {path} 2>&1 || true")
    # The image may also be run without docker-compose.yml's read_only.
    image = project.inspect("web")["Image"]
    assert project.docker("run", "--rm", image, "find", "/app", "/opt/venv", "-writable", "!", "-type", "l") == ""


def test_image_contains_only_what_the_service_runs(project: ComposeProject) -> None:
    packages = {path.parent.name for path in project.folder.glob("*/__init__.py")} - {"tests"}
    names = set(project.shell("ls -A /app").split())
    assert names == {"manage.py", "requirements.txt", "collected", "__pycache__"} | packages
    unwanted = "-name '.*' -o -name '*.sqlite3*' -o -name '*.csv' -not -path '*/frontend/*' -o -name tests"
    assert project.shell(f"find /app {unwanted}") == ""
    assert project.shell("find /opt/venv /app -type d -name LC_MESSAGES -o -type d -name redoc") == ""


def test_image_has_its_version_and_no_secret(project: ComposeProject) -> None:
    image = project.inspect("web")["Image"]
    [description] = json.loads(project.docker("inspect", image))
    assert description["Config"]["Labels"]["org.opencontainers.image.version"] == service.__version__
    texts = project.docker("history", "--no-trunc", image) + str(description["Config"]["Env"])
    assert [word for word in ("PASSWORD", "SECRET", "TOKEN") if word in texts] == []


# Stop and restart


def test_stop_finishes_the_upload_in_progress(project: ComposeProject) -> None:
    content = repeated_file(20)
    head = b'--edge\r\nContent-Disposition: form-data; name="deals"; filename="deals.csv"\r\n\r\n'
    body = head + content + b"\r\n--edge--\r\n"
    half = len(body) // 2
    assert project.shell("ls /tmp") == "", "an earlier upload left a file"
    with readme_command(project) as up, contextlib.closing(connect(project)) as client:
        client.putrequest("POST", "/api/upload/")
        client.putheader("Content-Type", "multipart/form-data; boundary=edge")
        client.putheader("Content-Length", str(len(body)))
        client.endheaders(body[:half])
        received = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep client_body || true"
        wait_until(lambda: project.shell(received, "proxy"), 60, "the proxy did not receive the first half")
        with background(f"{project.compose} stop", cwd=project.folder, env=project.environment) as stop:
            time.sleep(5)
            assert project.inspect("proxy")["State"]["Running"], "the proxy stopped during the upload"
            assert project.inspect("web")["State"]["Running"], "web stopped during the upload"
            client.send(body[half:])
            assert json.loads(client.getresponse().read()) == {"Status": "OK"}
            assert stop.wait(150) == 0
        wait_until(lambda: up.poll() is not None, 60, "the README's command did not end")
    for name in ("proxy", "web", "db"):
        state = project.inspect(name)["State"]
        assert (state["Running"], state["ExitCode"]) == (False, 0), name
    project("up", "--detach")
    project.wait_until_healthy()
    assert project.top_clients() == top_clients_of_repeated_file(20)


def connect(project: ComposeProject) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", project.port, timeout=150)


def test_data_survives_restart_and_down(project: ComposeProject) -> None:
    upload(project, repeated_file(3))
    for commands in (["restart"], ["down", "up --detach"]):
        for command in commands:
            project(*command.split())
        project.wait_until_healthy()
        assert project.top_clients() == top_clients_of_repeated_file(3)


def test_service_works_without_redis(project: ComposeProject) -> None:
    upload(project, repeated_file(4))
    assert project.top_clients() == top_clients_of_repeated_file(4)
    project("stop", "redis")
    try:
        assert project.top_clients() == top_clients_of_repeated_file(4)
        upload(project, repeated_file(1))
        assert project.top_clients() == TOP_CLIENTS
    finally:
        project("start", "redis")
    assert project.top_clients() == TOP_CLIENTS


# Proxy

PROJECT_README = ROOT / "project" / "README.md"


def documented(project: ComposeProject, pattern: str) -> str:
    return command_block(pattern, PROJECT_README).replace("docker-compose", project.compose)


def test_static_files_are_served_without_the_service(project: ComposeProject) -> None:
    [script] = re.findall(r'src="(/static/[^"]+/main.js)"', project.get("/"))
    previous = script.replace(script.split("/")[2], "0123456789abcdef")
    project.shell(f"mkdir -p $(dirname {previous}) && echo '// previous' > {previous}")
    project("stop", "web")
    assert project.get(previous) == "// previous\n"
    response = httpx.get(f"http://localhost:{project.port}{script}", headers={"Accept-Encoding": "gzip"})
    assert (response.status_code, response.headers["Content-Encoding"]) == (200, "gzip")
    stopped = httpx.get(f"http://localhost:{project.port}/api/top-clients/", timeout=TIMEOUT)
    # Until nginx looks the name up again, connecting to the address of the stopped container fails or times out.
    assert stopped.status_code in (502, 504)
    assert stopped.json()["Code"] == "service_unavailable"
    project("start", "web")
    project.wait_until_healthy()
    assert "response" in project.top_clients()


def test_slow_clients_do_not_delay_others(project: ComposeProject) -> None:
    upload(project, repeated_file(20))
    unread = b"GET /api/exports/deals.ndjson HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4
    with (
        clients(project.port, 24, unread, receive_buffer=2048),
        clients(project.port, 2300),
        clients(project.port, 40, PARTIAL_UPLOAD) as uploading,
        slow_senders(uploading, 5000),
    ):
        for _ in range(20):
            assert project.top_clients() == top_clients_of_repeated_file(20)
        upload(project, repeated_file(21))
    assert project.top_clients() == top_clients_of_repeated_file(21)


def test_three_containers_restart_one_by_one_without_an_error(project: ComposeProject) -> None:
    def run_documented(pattern: str) -> None:
        run(["bash", "-c", documented(project, pattern)], 600, cwd=project.folder, env=project.environment)

    upload(project, REAL_FILE.read_bytes())
    run_documented(r"--scale web=3")
    project.wait_until_healthy()
    errors: list[str] = []
    stop = threading.Event()

    def request_continuously(request: Callable[[httpx.Client], httpx.Response]) -> None:
        with httpx.Client(base_url=f"http://localhost:{project.port}", timeout=TIMEOUT) as client:
            while not stop.is_set():
                response = request(client)
                if response.status_code != 200:
                    errors.append(f"{response.status_code} {response.text}")
                time.sleep(0.2)  # fewer uploads than UPLOADS_PER_MINUTE

    requests: list[Callable[[httpx.Client], httpx.Response]] = [
        lambda client: client.get("/api/top-clients/"),
        lambda client: client.post("/graphql/", json={"query": "{topClients {username}}"}),
        lambda client: client.post("/api/upload/", files={"deals": ("deals.csv", REAL_FILE.read_bytes())}),
    ]
    try:
        assert len(project.ids("container", service="web")) == 3
        with ThreadPoolExecutor() as pool:
            running = [pool.submit(request_continuously, request) for request in requests]
            try:
                for _ in range(2):
                    run_documented(r"docker restart")
            finally:
                stop.set()
            for request in running:
                request.result()
        assert errors == []
        assert scrape(project) == [True, True, True]
    finally:
        project("up", "--detach", "--scale", "web=1")
        project.wait_until_healthy()


def test_replica_answers_as_documented(project: ComposeProject) -> None:
    """A new operator starts the replica, uploads the example file, and reads it."""
    try:
        command = documented(project, "--profile replicas")
        run(["bash", "-c", command], 600, cwd=project.folder, env=project.environment)
        project.wait_until_healthy()
        wait_until(lambda: project.inspect("replica")["State"]["Health"]["Status"] == "healthy", 240)
        upload(project, repeated_file(2))
        upload_and_read(project.port, cwd=project.folder, env=project.environment)

        def is_replicated() -> bool:
            [replica] = json.loads(project.get("/health/ready"))["replicas"]
            return bool(replica["status"] == "ok" and replica["lag_bytes"] == 0)

        wait_until(is_replicated, 60)
        for limit in range(6, 30):
            assert len(json.loads(project.get(f"/api/top-clients/?limit={limit}"))["response"]) == min(limit, 18)
        metrics = project.get("/metrics", "text/plain")
        assert re.search(r'deals_snapshot_reads_total\{database="replica1",result="complete"\} [1-9]', metrics)
        project("--profile", "replicas", "stop", "replica")
        for limit in range(30, 36):
            assert len(json.loads(project.get(f"/api/top-clients/?limit={limit}"))["response"]) == 18
        assert project.top_clients() == TOP_CLIENTS
    finally:
        project("--profile", "replicas", "rm", "--stop", "--force", "-v", "replica")
        project("up", "--detach")
        project.wait_until_healthy()


def scrape(project: ComposeProject) -> list[bool]:
    """Return whether each container that the documented configuration of Prometheus finds has metrics."""
    [configuration] = re.findall(
        r"^```yaml\n(scrape_configs:.*?)^```", PROJECT_README.read_text(), re.MULTILINE | re.DOTALL
    )
    [job] = yaml.safe_load(configuration)["scrape_configs"]
    [targets] = job["dns_sd_configs"]
    [name], port = targets["names"], targets["port"]
    script = (
        "import socket, urllib.request; "
        f"addresses = {{info[4][0] for info in socket.getaddrinfo('{name}', {port})}}; "
        f"responses = [urllib.request.urlopen(f'http://{{a}}:{port}/metrics').read() for a in addresses]; "
        "print([b'deals_requests_total{' in response for response in responses])"
    )
    return list(json.loads(project.shell(f'python -c "{script}"').lower()))


def test_profile_loads_asynchronous_uploads(project: ComposeProject) -> None:
    upload(project, repeated_file(2))
    command = documented(project, r"--profile worker") + " --detach"
    try:
        run(["bash", "-c", command], 600, cwd=project.folder, env=project.environment)
        project.wait_until_healthy()
        with httpx.Client(base_url=f"http://localhost:{project.port}", timeout=TIMEOUT) as client:
            files, headers = {"deals": ("deals.csv", REAL_FILE.read_bytes())}, {"Prefer": "respond-async"}
            response = client.post("/api/upload/", files=files, headers=headers)
            assert (response.status_code, response.json()) == (202, {"Status": "Accepted"})
            state = response.headers["Location"]
            wait_until(lambda: client.get(state).json()["State"] == "loaded")
        assert project.top_clients() == TOP_CLIENTS
        assert project.shell("ls /uploads") == ""
    finally:
        project("--profile", "worker", "rm", "--stop", "--force", "worker")
        project("up", "--detach")
        project.wait_until_healthy()


def test_profile_serves_https(project: ComposeProject) -> None:
    folder = project.folder / ".tls"
    folder.mkdir(exist_ok=True)
    files = f"-keyout {folder}/tls.key -out {folder}/tls.crt"
    names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    run(["bash", "-c", f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 {names} {files} 2>&1"], 60)
    (folder / "tls.key").chmod(0o644)
    port = free_port()
    command = documented(project, r"--profile tls") + " --detach"
    assert " PORT=80 TLS_PORT=443 " in command
    command = command.replace(" PORT=80 TLS_PORT=443 ", f" PORT={project.port} TLS_PORT={port} ")
    try:
        run(["bash", "-c", command], 240, cwd=project.folder, env=project.environment)
        project.wait_until_healthy()
        verified = ssl.create_default_context(cafile=folder / "tls.crt")
        with httpx.Client(base_url=f"https://localhost:{port}", verify=verified, timeout=TIMEOUT) as client:
            wait_until(lambda: responds(client), 60, "HTTPS is not served")
            response = client.get("/api/top-clients/")
            assert (response.status_code, response.headers["Strict-Transport-Security"][:8]) == (200, "max-age=")
        plain = httpx.get(f"http://localhost:{project.port}/api/top-clients/")
        assert (plain.status_code, plain.headers["Location"]) == (
            301,
            f"https://localhost:{project.port}/api/top-clients/",
        )
    finally:
        project("--profile", "tls", "rm", "--stop", "--force", "tls")
        project("up", "--detach")
        project.wait_until_healthy()


def responds(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.HTTPError:
        return False
