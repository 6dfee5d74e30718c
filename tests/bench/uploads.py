"""Time and memory of an upload, compared with PostgreSQL's own ``\\copy`` of the file."""

from __future__ import annotations

import contextlib
import re
import statistics
import subprocess
from pathlib import Path

import psycopg2

from tests import services
from tests.bench.files import write_deals
from tests.bench.table import row, timed
from tests.servers import Server


def bench(server: Server, database_url: str, folder: Path, rows: int) -> None:
    """``server`` has one worker, so that worker loads the file."""
    files = [folder / f"{number}.csv" for number in range(3)]
    for number, file in enumerate(files):
        write_deals(file, rows, seed=number)
    psql = services.postgres_binaries() / "psql"
    pairs = [(copy_into_a_bare_table(psql, database_url, file), post(server, file)) for file in files]
    yardstick = statistics.median(copied for copied, _ in pairs)
    measured = statistics.median(posted for _, posted in pairs)
    ratio = statistics.median(posted / copied for copied, posted in pairs)
    row(
        f"POST of {rows:,} rows", f"{measured:.1f} s", rf"`\copy`, no index: {yardstick:.1f} s", f"{ratio:.1f}×", "≤ 7×"
    )
    peak = max(peak_memory(worker.pid) for worker in server.workers())
    row("peak memory of the process that loads", f"{peak:.0f} MB", "", "", "< 150 MB")


def copy_into_a_bare_table(psql: Path, database_url: str, file: Path) -> float:
    """The yardstick: the same file into typed columns without an index."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare")
        cursor.execute(
            "CREATE TABLE bare (customer text, item text, total numeric(14,2), quantity integer, date timestamptz)"
        )
    copy = rf"\copy bare FROM '{file}' WITH (FORMAT csv, HEADER)"
    return timed(lambda: subprocess.run([psql, database_url, "-qc", copy], check=True))


def post(server: Server, file: Path) -> float:
    content = file.read_bytes()

    def upload() -> None:
        answer = server.upload(content)
        assert answer.status_code == 200, answer.text

    return timed(upload)


def peak_memory(pid: int) -> float:
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
