"""Time and memory of an upload, compared with a ``\\copy`` of the file by PostgreSQL."""

from __future__ import annotations

import contextlib
import re
import statistics
import subprocess
from pathlib import Path

import psycopg2

from tests import services
from tests.bench.files import write_deals
from tests.bench.table import print_row, timed
from tests.servers import Server


def bench(server: Server, database_url: str, folder: Path, rows: int) -> None:
    """Measure the only worker process of ``server``."""
    files = [folder / f"{number}.csv" for number in range(3)]
    for number, file in enumerate(files):
        write_deals(file, rows, seed=number)
    psql = services.postgres_binaries() / "psql"
    pairs = [(copy_seconds(psql, database_url, file), upload_seconds(server, file)) for file in files]
    baseline = statistics.median(copy for copy, _ in pairs)
    result = statistics.median(upload for _, upload in pairs)
    ratio = statistics.median(upload / copy for copy, upload in pairs)
    print_row(
        f"POST of {rows:,} rows", f"{result:.1f} s", rf"`\copy`, no index: {baseline:.1f} s", f"{ratio:.1f}×", "≤ 7×"
    )
    peak = max(peak_megabytes(worker.pid) for worker in server.workers())
    print_row("peak memory of the loading process", f"{peak:.0f} MB", "", "", "< 150 MB")


def copy_seconds(psql: Path, database_url: str, file: Path) -> float:
    """Copy the file into a table with typed columns and no index."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare")
        cursor.execute(
            "CREATE TABLE bare (customer text, item text, total numeric(14,2), quantity integer, date timestamptz)"
        )
    copy = rf"\copy bare FROM '{file}' WITH (FORMAT csv, HEADER)"
    return timed(lambda: subprocess.run([psql, database_url, "-qc", copy], check=True))


def upload_seconds(server: Server, file: Path) -> float:
    content = file.read_bytes()

    def upload() -> None:
        response = server.upload(content)
        assert response.status_code == 200, response.text

    return timed(upload)


def peak_megabytes(pid: int) -> float:
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
