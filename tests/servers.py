"""The service as a process: ``manage.py serve``, as an operator starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpx
import psutil

from tests.databases import migrated_sqlite_file
from tests.services import free_port

#: Limit of waits in tests that are not about time: a machine may have ten busy processes per core.
TIMEOUT: Final = 300.0
#: By default, each client of httpx loads the certificate authorities, which takes longer than a request without TLS.
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ROOT = Path(__file__).resolve().parent.parent
REAL_FILE = ROOT / "tests" / "data" / "deals.csv"


@dataclass
class Server:
    """A running service. ``log`` is the file of its output."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    database_url: str
    address: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def get(self, path: str = "/api/top-clients/", **kwargs: object) -> httpx.Response:
        return httpx.get(self.url + path, timeout=TIMEOUT, verify=NO_TLS, **kwargs)  # type: ignore[arg-type]

    def upload(self, content: bytes | IO[bytes], name: str = "deals.csv", timeout: float = TIMEOUT) -> httpx.Response:
        return httpx.post(self.url + "/api/upload/", files={"deals": (name, content)}, timeout=timeout, verify=NO_TLS)

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def wait_until_ready(self, seconds: float = TIMEOUT) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server exited: {self.log.read_text()}")
            with contextlib.suppress(httpx.HTTPError):
                if self.get("/health/ready").status_code == 200:
                    return
            time.sleep(0.05)
        raise TimeoutError(self.log.read_text())

    def stop(self) -> int:
        """Send SIGTERM, as docker does; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)

    def kill(self) -> None:
        """Send SIGKILL to the master and its workers, which resembles a power failure."""
        processes = [*self.workers(), psutil.Process(self.process.pid)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(processes, timeout=TIMEOUT)


@contextlib.contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Server]:
    """Run a service, by default on a free port, with a migrated SQLite file in ``folder``."""
    default_file = folder / "deals.sqlite3"
    if "DATABASE_URL" not in environment and not default_file.exists():
        default_file.write_bytes(migrated_sqlite_file())
    port = int(environment.get("PORT") or free_port())
    address = environment.get("BIND", "127.0.0.1")
    log = folder / f"serve-{address}-{port}.log"
    inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    settings = {
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{default_file}",
        "MAX_QUERY_SECONDS": str(int(TIMEOUT)),
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"], cwd=ROOT, env=inherited | settings, stdout=output, stderr=output
        )
    server = Server(process, port, log, settings["DATABASE_URL"], address)
    try:
        server.wait_until_ready()
        yield server
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            server.stop()


@contextlib.contextmanager
def worker_process(log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``manage.py db_worker``, as an operator starts it."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    command = [sys.executable, "manage.py", "db_worker", "--no-startup-delay", "--interval", "0.1"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=inherited | environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def wait_until(condition: Callable[..., object], timeout: float = TIMEOUT, failure: str = "condition is false") -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{failure} after {timeout:.0f} s"
        time.sleep(0.05)
