"""Output and exit codes of the commands ``load_deals`` and ``top_clients``."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest
from django.core.management import call_command

from deals_api.ingest.service import ingest_deals
from deals_api.management.terminal import format_table
from deals_api.models import Upload
from tests.bench.files import write_deals
from tests.builders import csv_of, deal, load, many
from tests.long_form import IS_LONG
from tests.server_actions import is_loading, query
from tests.servers import REAL_FILE, ROOT, TIMEOUT, Server, wait_until

INVALID_FILE = csv_of(deal(), deal(total="x", quantity="0"), deal("red\x1b[31m"))


def command(
    environment: dict[str, str], *arguments: str, stdin: bytes | IO[bytes] = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run ``manage.py`` without a terminal."""
    options: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, check=False, timeout=TIMEOUT, **options,
    )  # fmt: skip


def write_file(content: bytes, folder: Path, name: str = "deals.csv") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


@pytest.mark.database_independent
def test_objects_are_excluded_from_the_collections_at_exit() -> None:
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0));"  # the last one to be called
        " from project.command_line import collect_garbage_less_often; collect_garbage_less_often()"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout == b"True\n"


# Loading


def test_running_service_answers_from_a_loaded_file_at_once(
    server: Server, environment: dict[str, str], real_file: bytes
) -> None:
    server.upload(csv_of(deal("before")))
    assert server.get().json()["response"][0]["username"] == "before"
    done = command(environment, "load_deals", str(REAL_FILE))
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.fullmatch(rb"Loaded as upload 2: 767 deals, 18 customers, 25 gems, in [0-9.]+ s\.\n", done.stdout)
    assert server.get().json()["response"][0]["username"] == "resplendent"
    for limit in ("5", "7"):
        ranking = command(environment, "top_clients", "--limit", limit, "--format", "json")
        assert ranking.stdout == server.get(f"/api/top-clients/?limit={limit}").content + b"\n"


def test_loading_the_current_bytes_again_changes_nothing(environment: dict[str, str]) -> None:
    assert command(environment, "load_deals", str(REAL_FILE)).returncode == 0
    repeated = command(environment, "load_deals", str(REAL_FILE))
    assert (repeated.returncode, repeated.stdout.decode()) == (
        0, "Nothing to do: this file is already current, as upload 1 (767 deals, 18 customers, 25 gems).\n"
    )  # fmt: skip
    as_json = command(environment, "load_deals", str(REAL_FILE), "--format", "json")
    body = json.loads(as_json.stdout)
    assert body.pop("Report")["rows"] == 767
    assert body == {"Status": "OK", "Upload": 1, "Loaded": False, "Deals": 767, "Customers": 18, "Gems": 25}
    assert query(environment["DATABASE_URL"], "SELECT count(*) FROM deals_api_upload") == [(1,)]


@pytest.mark.database_independent
def test_rejected_file_is_reported_by_cell_and_changes_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    command(environment, "load_deals", "-", stdin=csv_of(deal("before")))
    done = command(environment, "load_deals", write_file(INVALID_FILE, tmp_path))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines() == [
        "CommandError: The file has 3 errors: 1 × total (is not an amount such as 612 or 100.50), 1 ×"
        " quantity (is not a whole number of 1 or more), 1 × customer (has a line break or another control character);"
        " the first is in line 3, column 'total': 'x'.",
        "",
        "line  column    value        reason",
        "----  --------  -----------  " + 45 * "-",
        "   3  total     x            is not an amount such as 612 or 100.50",
        "   3  quantity  0            is not a whole number of 1 or more",
        "   4  customer  red\\x1b[31m  has a line break or another control character",
    ]
    assert b"before" in command(environment, "top_clients").stdout


@pytest.mark.database_independent
def test_long_list_of_errors_is_printed_in_part(environment: dict[str, str]) -> None:
    file = csv_of(*[deal(total="x")] * 250)
    done = command(environment, "load_deals", "-", stdin=file)
    *_, last_row, empty, note = done.stderr.decode().splitlines()
    assert last_row.strip() == "101  total   x      is not an amount such as 612 or 100.50"
    assert (empty, note) == ("", "Rows of this table that are not printed: 150; --format json prints all.")
    as_json = command(environment, "load_deals", "-", "--format", "json", stdin=file)
    assert len(json.loads(as_json.stdout)["Errors"]) == 250


@pytest.mark.database_independent
def test_rejection_as_json_is_the_rest_body(server: Server, environment: dict[str, str]) -> None:
    done = command(environment, "load_deals", "-", "--format", "json", stdin=INVALID_FILE)
    assert (done.returncode, done.stdout) == (1, server.upload(INVALID_FILE).content + b"\n")
    assert done.stderr.startswith(b"CommandError: The file has 3 errors")


@pytest.mark.database_independent
def test_standard_input_can_be_a_pipe_or_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    assert command(environment, "load_deals", "-", stdin=csv_of(deal("piped"))).returncode == 0
    assert b"piped" in command(environment, "top_clients").stdout
    with Path(write_file(csv_of(deal("redirected")), tmp_path)).open("rb") as file:
        assert command(environment, "load_deals", "-", stdin=file).returncode == 0
    assert b"redirected" in command(environment, "top_clients").stdout


@pytest.mark.database_independent
def test_endless_pipe_is_rejected_at_the_size_limit(environment: dict[str, str]) -> None:
    endless = subprocess.Popen(["yes", deal()], stdout=subprocess.PIPE)
    assert endless.stdout is not None
    try:
        done = command(environment | {"MAX_UPLOAD_BYTES": "1000000"}, "load_deals", "-", stdin=endless.stdout)
    finally:
        endless.stdout.close()
        endless.kill()
        endless.wait()
    assert (done.returncode, done.stderr) == (1, b"CommandError: The file is over 1000000 bytes.\n")


@pytest.mark.database_independent
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["load_deals"], "required: FILE"),
        (["load_deals", "no such.csv"], "CommandError: no such.csv cannot be read: No such file or directory."),
        (["load_deals", "."], "CommandError: . cannot be read: Is a directory."),
        (["load_deals", "x", "--format", "xml"], "invalid choice: 'xml'"),
        (["top_clients", "--limit", "0"], "Expected an integer from 1 to 100."),
        (["top_clients", "--limit", "101"], "Expected an integer from 1 to 100."),
        (["top_clients", "--limit", "ten"], "Expected an integer from 1 to 100."),
        (["top_clients", "--upload", "x"], "invalid int value: 'x'"),
    ],
)
def test_usage_error_exits_with_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = command({"DATABASE_URL": f"sqlite:///{tmp_path / 'd.sqlite3'}"}, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()


@pytest.mark.parametrize("arguments", [["load_deals", str(REAL_FILE)], ["top_clients"]], ids=["load", "top"])
@pytest.mark.parametrize("url", ["postgres://deals@127.0.0.1:1/deals", "sqlite:///{folder}/d.sqlite3"])
def test_unavailable_database_exits_with_3(tmp_path: Path, arguments: list[str], url: str) -> None:
    done = command({"DATABASE_URL": url.format(folder=tmp_path), "REDIS_URL": ""}, *arguments)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"CommandError: The database cannot be used")
    assert done.stderr.count(b"\n") == 1


def test_database_without_tables_exits_with_3(empty_environment: dict[str, str]) -> None:
    assert command(empty_environment, "load_deals", str(REAL_FILE)).returncode == 3


def test_full_disk_of_temporary_files_exits_with_3(tmp_path: Path) -> None:
    """The sums of more pairs of customer and gem than fit in memory are written to a temporary file."""
    pairs = csv_of(*(deal(f"c{number % 1000}", f"g{number // 1000}") for number in range(140_000)))
    done = subprocess.run(
        [sys.executable, "manage.py", "load_deals", "--dry-run", write_file(pairs, tmp_path)],
        cwd=ROOT, capture_output=True, check=False, timeout=TIMEOUT,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr == b"CommandError: The file cannot be loaded: File too large.\n"


def test_interrupted_load_exits_with_130_and_changes_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    command(environment, "load_deals", "-", stdin=csv_of(deal("before")))
    write_deals(tmp_path / "large.csv", 200_000)
    running = subprocess.Popen(
        [sys.executable, "manage.py", "load_deals", str(tmp_path / "large.csv")],
        cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore it
    )  # fmt: skip
    wait_until(lambda: is_loading(environment["DATABASE_URL"]))
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=TIMEOUT)
    assert (running.returncode, stderr) == (130, b"CommandError: The load was interrupted.\n")
    assert query(environment["DATABASE_URL"], "SELECT state FROM deals_api_upload ORDER BY id") == [
        ("loaded",),
        ("interrupted",),
    ]
    assert b"before" in command(environment, "top_clients").stdout


#: Number of loads, each interrupted at another moment.
MOMENTS = 100 if IS_LONG else 12


def test_load_interrupted_at_any_moment_exits_with_130(environment: dict[str, str], tmp_path: Path) -> None:
    environment["KEEP_UPLOADS"] = "2"
    done = subprocess.run(
        [sys.executable, "-m", "tests.interrupted_loads", str(tmp_path), str(MOMENTS), "10"],
        cwd=ROOT, env=os.environ | environment, capture_output=True, check=True, timeout=1200,
    )  # fmt: skip
    results = [tuple(result) for result in json.loads(done.stdout)]
    assert set(results) <= {
        (130, "CommandError: The load was interrupted.\n"),
        (130, "CommandError: The load had finished before the interrupt.\n"),
        (130, ""),  # while no file was being stored
        (0, ""),  # the load was faster than the signal
    }
    assert (130, "CommandError: The load was interrupted.\n") in results
    rows = query(environment["DATABASE_URL"], "SELECT state FROM deals_api_upload ORDER BY id")
    states = [state for (state,) in rows]
    assert set(states) <= {"loaded", "interrupted", "retired", "pruned"}
    # A load that is interrupted early has not registered its upload yet.
    assert 0 < states.count("interrupted") <= results.count((130, "CommandError: The load was interrupted.\n"))
    with_deals = "SELECT DISTINCT state FROM deals_api_deal d JOIN deals_api_upload u ON u.id = d.upload_id"
    assert {state for (state,) in query(environment["DATABASE_URL"], with_deals)} <= {"loaded", "retired"}
    assert command(environment, "top_clients").returncode == 0


# Progress bar


def run_on_terminal(environment: dict[str, str], *arguments: str) -> tuple[int, list[str]]:
    """Return the exit code and the output, split where the command cleared the line."""
    terminal, stderr = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=stderr,
    )  # fmt: skip
    os.close(stderr)
    output = b"".join(_read(terminal))
    os.close(terminal)
    return process.wait(TIMEOUT), output.decode().split("\r\x1b[K")


def _read(terminal: int) -> Iterator[bytes]:
    with suppress(OSError):  # raised by Linux when the other end is closed
        while block := os.read(terminal, 65536):
            yield block


@pytest.mark.database_independent
def test_load_on_a_terminal_shows_its_progress(environment: dict[str, str], tmp_path: Path) -> None:
    write_deals(tmp_path / "large.csv", 30_000)
    code, lines = run_on_terminal(environment, "load_deals", str(tmp_path / "large.csv"))
    assert code == 0
    bars = [
        re.fullmatch(r"\[(#*)(\.*)\] +(\d+)%  ([\d,]+) rows  [\d,]+ rows/s  (.+)", line)
        for line in lines
        if line.startswith("[")
    ]
    assert len(bars) >= 2
    assert all(bars)
    first, last = bars[0], bars[-1]
    assert first is not None
    assert last is not None
    assert re.fullmatch(r"(\d+ min )?\d+ s left", first[5])
    assert (last[2], last[3], last[4], last[5]) == ("", "100", "30,000", "storing sums")
    percentages = [int(bar[3]) for bar in bars if bar]
    assert percentages == sorted(percentages)
    assert max(map(len, lines)) < 80
    assert lines[-1] == ""


@pytest.mark.database_independent
def test_rejection_on_a_terminal_replaces_the_progress_bar(environment: dict[str, str], tmp_path: Path) -> None:
    code, lines = run_on_terminal(environment, "load_deals", write_file(INVALID_FILE, tmp_path))
    assert code == 1
    assert "CommandError: The file has 3 errors" in lines[-1]


@pytest.mark.django_db
def test_progress_is_reported_in_rows_and_bytes(tmp_path: Path) -> None:
    write_deals(tmp_path / "some.csv", 10_000)
    reports: list[tuple[int, int]] = []
    with (tmp_path / "some.csv").open("rb") as file:
        ingest_deals(file, "some.csv", progress=lambda rows, bytes_read: reports.append((rows, bytes_read)))
    assert len(reports) > 2
    assert reports == sorted(reports)
    assert reports[0][0] < 10_000
    assert reports[-1] == (10_000, (tmp_path / "some.csv").stat().st_size)


# Top clients


@pytest.mark.django_db
def test_ranking_is_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    load(deal("ann", "ruby", "100.50"), deal("bob", "ruby", "0.25"), deal("ci\u202ed", "opal", "7.00"))
    call_command("top_clients")
    assert capsys.readouterr().out.splitlines() == [
        "   username   spent_money  gems",
        "-  ---------  -----------  ----",
        "1  ann              100.5  ruby",
        "2  ci\\u202ed            7",
        "3  bob               0.25  ruby",
    ]


@pytest.mark.django_db
def test_option_upload_ranks_a_retained_upload(capsys: pytest.CaptureFixture[str]) -> None:
    retained = load(deal("old"))
    load(deal("new"))
    call_command("top_clients", upload=retained.pk, format="json")
    assert capsys.readouterr().out == '{"response":[{"username":"old","spent_money":10,"gems":[]}]}\n'


def test_upload_that_is_not_retained_exits_with_2(environment: dict[str, str]) -> None:
    done = command(environment, "top_clients", "--upload", "1")
    assert (done.returncode, done.stderr) == (
        2, b"CommandError: There is no such upload, or its rows are no longer retained.\n"
    )  # fmt: skip


@pytest.mark.django_db
def test_ranking_before_the_first_upload_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("top_clients")
    call_command("top_clients", format="json")
    assert capsys.readouterr().out == 'No file has been uploaded yet.\n{"response":[]}\n'


def test_table_columns_are_as_wide_as_their_cells() -> None:
    assert format_table(("n", "name"), [(1, "a"), (10, "bcdef")], right=[0]) == " n  name\n--  -----\n 1  a\n10  bcdef"


@pytest.mark.django_db
def test_load_applies_the_retention(tmp_path: Path, limits: Any) -> None:
    limits(keep_uploads=2)
    for number in range(4):
        call_command("load_deals", write_file(csv_of(*many(number + 1)), tmp_path), verbosity=0)
    states = Upload.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["pruned", "pruned", "loaded", "loaded"]
