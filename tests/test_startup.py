"""Start and stop of ``manage.py``: errors are reported in one line, and signals cause no traceback."""

from __future__ import annotations

import ast
import json
import os
import pty
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError
from django.db import OperationalError, connection

from project.management.commands import serve
from tests.long_form import IS_LONG
from tests.servers import NO_TLS, REAL_FILE, ROOT, TIMEOUT
from tests.services import free_port

pytestmark = pytest.mark.database_independent

#: Number of interrupted starts for each signal.
INTERRUPTIONS = 40 if IS_LONG else 4


def environment_with(**changes: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")} | changes


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment_with(**environment),
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip


# Unsupported platforms


def test_old_python_versions_can_parse_manage_py() -> None:
    """Parse it with the grammar of Python 3.4; the other assertions exclude syntax that 2.7 lacks."""
    source = (ROOT / "manage.py").read_text()
    assert source.isascii()
    tree = ast.parse(source, feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.arg)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sys.version_info = (3, 10, 13)", "Python 3.11 or newer is required; this is Python 3.10.\n"),
        ("sys.version_info = (2, 7, 18)", "Python 3.11 or newer is required; this is Python 2.7.\n"),
        ("sys.platform = 'win32'", "Windows is not supported; use WSL or docker-compose.\n"),
    ],
)
def test_unsupported_platform_is_reported_before_any_import(change: str, message: str) -> None:
    code = f"import sys, runpy; {change}; runpy.run_path({str(ROOT / 'manage.py')!r}, run_name='__main__')"
    # Without site-packages, as on a machine where pip could not install anything.
    completed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert (completed.returncode, completed.stdout, completed.stderr) == (2, "", message)


def test_numpy_is_imported_by_loads_only() -> None:
    """A process that never loads a file does without its time and memory."""
    code = (
        "import sys, django; django.setup(); import project.urls, deals_api.management.commands.load_deals\n"
        "print('numpy' in sys.modules); import deals_api.ingest.loader; print('numpy' in sys.modules)"
    )
    environment = environment_with(DJANGO_SETTINGS_MODULE="project.settings")
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT,
        check=True,
    )  # fmt: skip
    assert completed.stdout.split() == ["False", "True"]


# Settings


@pytest.mark.parametrize("command", ["serve", "migrate", "shell"])
def test_invalid_setting_is_one_line_for_every_command(command: str) -> None:
    completed = manage(command, PORT="abc")
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr == "PORT must be a whole number from 1 to 65535, not 'abc'\n"


def test_invalid_setting_is_one_line_for_gunicorn() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:project.server.gunicorn_conf"],
        cwd=ROOT, env=os.environ | {"MAX_ROWS": "x"}, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr == "MAX_ROWS must be a whole number from 1 to 2147483648, not 'x'\n"


def test_help_and_usage_error_name_the_port_variable() -> None:
    assert "PORT=" in manage("serve", "--help").stdout
    rejected = manage("serve", "--port", "9000")
    assert rejected.returncode == 2
    assert "PORT=" in rejected.stderr


# The port


@contextmanager
def taken_port(family: socket.AddressFamily, address: str) -> Iterator[int]:
    port = free_port()
    with socket.socket(family) as listener:
        listener.bind((address, port))
        listener.listen()
        yield port


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")],  # noqa: S104
)
def test_port_in_use_is_reported_before_the_database_is_opened(
    family: socket.AddressFamily, address: str, tmp_path: Path
) -> None:
    with taken_port(family, address) as port:
        completed = manage("serve", PORT=str(port), DATABASE_URL=f"sqlite:///{tmp_path / 'd.sqlite3'}")
    assert (completed.returncode, completed.stdout) == (2, "")
    assert completed.stderr == f"CommandError: Port {port} is in use; set PORT to another one.\n"
    assert not list(tmp_path.iterdir())


# The database


LOAD = ["load_deals", str(REAL_FILE)]


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("directory", ["serve"]), ("directory", ["migrate"]), ("directory", LOAD), ("directory", ["top_clients"]),
        ("missing/deals.sqlite3", ["serve"]), ("/proc/deals.sqlite3", ["serve"]), ("text.csv", ["serve"]),
    ],
)  # fmt: skip
def test_unusable_database_file_is_reported_with_its_variable(file: str, command: list[str], tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "text.csv").write_bytes(REAL_FILE.read_bytes())
    path = tmp_path / file
    completed = manage(*command, PORT=str(free_port()), DATABASE_URL=f"sqlite:///{path}")
    assert (completed.returncode, completed.stdout) == (3, "")
    assert completed.stderr.count("\n") == 1
    assert f"{path}. Set DATABASE_URL" in completed.stderr


def test_start_on_a_full_disk_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt would rewrite tables until the disk is full again."""
    attempts: list[None] = []

    def fail(*_: object) -> None:
        attempts.append(None)
        cause = sqlite3.OperationalError("database or disk is full")
        cause.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise OperationalError(str(cause)) from cause

    monkeypatch.setattr(connection, "cursor", fail)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(CommandError, match="cannot be used: database or disk is full") as raised:
        serve.Command().prepare_database()
    assert (raised.value.returncode, len(attempts)) == (3, 1)


# psycopg 3


def test_psycopg_3_is_not_used_where_it_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "psycopg").mkdir()
    (tmp_path / "psycopg" / "__init__.py").write_text("__version__ = '3.2.0'\n")
    code = (
        "import django; django.setup(); from django.db.backends.postgresql import base, psycopg_any;"
        " print(psycopg_any.is_psycopg3, base.Database.__name__)"
    )
    paths = f"{tmp_path}{os.pathsep}{ROOT}"
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=TIMEOUT,
        env=os.environ | {"PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "project.settings"},
    )  # fmt: skip
    assert completed.stdout == "False psycopg2\n"


# Imports


def test_application_starts_no_process_and_imports_all_views_but_not_redis() -> None:
    """strawberry-django would search for GDAL with many processes; workers share what the master has imported."""
    code = (
        "import sys; sys.addaudithook(lambda event, _: print(event) if event == 'subprocess.Popen' else None);"
        " import project.wsgi; print('project.urls' in sys.modules, 'redis' in sys.modules)"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment_with(),
        capture_output=True, text=True, check=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert completed.stdout == "True False\n"


# Stop signals


def test_stop_signal_waits_for_no_lock_of_the_interrupted_main_loop(tmp_path: Path) -> None:
    """A worker that stops while it accepts a connection would wait until the master kills it."""
    code = """
        import os, selectors, signal, sys
        from gunicorn.config import Config
        from gunicorn.glogging import Logger
        from gunicorn.workers.gthread import ThreadWorker
        from project.server import gunicorn_conf

        config = Config()
        worker = ThreadWorker(1, os.getppid(), [], None, 30, config, Logger(config))
        worker.tpool, worker.poller = worker.get_thread_pool(), selectors.DefaultSelector()
        worker.method_queue.init()
        worker.poller.register(worker.method_queue.fileno(), selectors.EVENT_READ, worker.method_queue.run_callbacks)
        gunicorn_conf.post_worker_init(worker)
        with worker.tpool._shutdown_lock:  # as during ThreadPoolExecutor.submit
            os.kill(os.getpid(), int(sys.argv[1]))
        while worker.alive:
            worker.wait_for_and_dispatch_events(timeout=1)
    """
    for stop_signal in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        completed = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(stop_signal.value)], cwd=ROOT, env=environment_with(),
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        assert (completed.returncode, completed.stderr) == (0, "")


# On a terminal


class Terminal:
    """``manage.py serve`` in the foreground of a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave,
            env=environment_with(PORT=str(self.port), DATABASE_URL=f"sqlite:///{folder / 'd.sqlite3'}"),
            start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        os.close(slave)
        self.output = ""

    def read_until(self, text: str) -> None:
        while text not in self.output:
            self.output += self._read()

    def _read(self) -> str:
        with suppress(OSError):  # on Linux, the other end is closed
            if chunk := os.read(self._master, 65536):
                return chunk.decode()
        raise EOFError(self.output)

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal to all processes in the foreground, as Ctrl-C does."""
        os.killpg(self.process.pid, signal_number)

    def wait(self) -> int:
        """Read the output to the end; return the exit code."""
        with suppress(EOFError):
            self.read_until("no such text")
        return self.process.wait(TIMEOUT)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


def test_log_is_readable_on_a_terminal(tmp_path: Path) -> None:
    with closing(Terminal(tmp_path)) as terminal:
        terminal.read_until("Serving on")
        assert terminal.output.startswith("Starting…")
        address = f"http://127.0.0.1:{terminal.port}"
        httpx.get(f"{address}/api/top-clients/", timeout=TIMEOUT, verify=NO_TLS)
        httpx.get(f"{address}/nothing/%1b[31mж%0A00:00:00", timeout=TIMEOUT, verify=NO_TLS)
        terminal.read_until("not_found")
        terminal.send(signal.SIGINT)
        assert terminal.wait() == 0
    lines = terminal.output.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    Starting gunicorn [0-9.]+", lines[1])
    requests = [line for line in lines if "GET" in line]
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    GET /api/top-clients/ 200 [0-9.]+ ms", requests[0])
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d INFO    GET /nothing/\\x1b\[31mж\\n00:00:00 404 [0-9.]+ ms not_found", requests[1]
    )
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f]", terminal.output)


def test_log_is_json_without_a_terminal(tmp_path: Path) -> None:
    port = free_port()
    environment = environment_with(PORT=str(port), DATABASE_URL=f"sqlite:///{tmp_path / 'd.sqlite3'}")
    log = []
    with subprocess.Popen(
        [sys.executable, "manage.py", "serve"], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            if line == f"Serving on http://localhost:{port}/\n":
                # The line is printed once the port accepts connections.
                socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
                process.send_signal(signal.SIGTERM)
            else:
                log.append(json.loads(line))
    assert process.returncode == 0
    assert {entry["logger"] for entry in log} == {"gunicorn.error"}


# Signals


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_start_causes_no_traceback(signal_number: signal.Signals, tmp_path: Path) -> None:
    with closing(Terminal(tmp_path)) as terminal:
        terminal.read_until("Starting")
        started = time.monotonic()
        terminal.read_until("Booting worker")
        duration = (time.monotonic() - started) * 1.2
    rng = random.Random(signal_number)  # noqa: S311
    for attempt in range(INTERRUPTIONS):
        with closing(Terminal(tmp_path)) as terminal:
            terminal.read_until("Starting")
            time.sleep((attempt + rng.random()) / INTERRUPTIONS * duration)
            terminal.send(signal_number)
            code = terminal.wait()
        assert code in (0, 128 + signal_number), terminal.output
        assert code == 0 or "Booting worker" not in terminal.output
        for text in ("Traceback", "Exception ignored", "Fatal"):
            assert text not in terminal.output
