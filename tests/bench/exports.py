r"""CPU time of complete exports, compared with ``\copy`` of the same rows."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import Final

from tests import services
from tests.bench.cpu import children_cpu_seconds
from tests.bench.environment import BenchEnvironment
from tests.bench.table import interleaved_medians, print_row

CSV, NDJSON = "/api/exports/deals.csv", "/api/exports/deals.ndjson"
#: Half and a third of 4.4 s and 7.7 s, which a million deals took row by row.
_GOALS: Final = {CSV: "≤ 2.2 s (aim: 1.5 s)", NDJSON: "≤ 3.9 s (aim: 2.6 s)"}
_COPY: Final = r"""
    \copy (SELECT username, name, deal.total / 100.0, quantity, date
        FROM deals_api_deal deal JOIN deals_api_customer customer ON customer.id = customer_id
        JOIN deals_api_gem gem ON gem.id = gem_id
        WHERE deal.upload_id = (SELECT upload_id FROM deals_api_currentupload) ORDER BY deal.id)
    TO '/dev/null' WITH (FORMAT csv, HEADER)
"""


def bench(environment: BenchEnvironment) -> None:
    environment.activate("ordinary")
    for name, path in (("CSV", CSV), ("NDJSON", NDJSON)):
        baseline, result = interleaved_medians(
            lambda: copy_cpu_seconds(environment),
            partial(export_cpu_seconds, environment, path),
        )
        print_row(
            f"export of {environment.rows:,} deals as {name}, CPU of the service", f"{result:.2f} s",
            rf"`\copy` of the same deals, CPU of `psql` and PostgreSQL: {baseline:.2f} s",
            f"{result / baseline:.1f}×", _GOALS[path],
        )  # fmt: skip


def download(environment: BenchEnvironment, path: str) -> None:
    """Read an export of all deals of the current upload."""
    lines = 0
    with environment.client.stream("GET", path) as response:
        for chunk in response.iter_raw(2**16):
            lines += chunk.count(b"\n")
    assert lines == environment.rows + (path == CSV)


def export_cpu_seconds(environment: BenchEnvironment, path: str) -> float:
    before = environment.worker_cpu_seconds()
    download(environment, path)
    return environment.worker_cpu_seconds() - before


def copy_cpu_seconds(environment: BenchEnvironment) -> float:
    psql = services.postgres_binaries() / "psql"
    copy = " ".join(_COPY.split())  # psql reads a command of one line
    before = environment.postgres_cpu_seconds() + children_cpu_seconds()
    subprocess.run([psql, environment.database_url, "-qc", copy], check=True)
    return environment.postgres_cpu_seconds() + children_cpu_seconds() - before
