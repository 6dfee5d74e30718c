"""``python -m tests.bench``: measure the service and baselines in the same run, and print a table.

PostgreSQL, Valkey and the service are real processes on this machine. Every figure is a median, measured
alternately with its baseline, because the speed of machines varies; compare the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests import services
from tests.bench import graphql, proxy, rest, uploads, worst
from tests.bench.environment import BenchEnvironment
from tests.bench.files import DATASETS
from tests.bench.table import print_header, save_rows
from tests.servers import serving

GROUPS = ("loading", "proxy", "rest", "graphql", "worst")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="deals of the generated files")
    parser.add_argument("--only", choices=GROUPS, help="run one group")
    parser.add_argument("--seconds", type=int, default=300, help="duration of the search for the highest CPU per node")
    parser.add_argument("--files", nargs="+", choices=DATASETS, default=list(DATASETS), help="files of that search")
    parser.add_argument("--save", action="store_true", help="store the results of all groups in results.json")
    parser.add_argument("--sqlite", action="store_true", help="use SQLite, and run that search only")
    arguments = parser.parse_args()
    if arguments.save and (arguments.only or arguments.sqlite):
        parser.error("--save needs the results of all groups.")
    return arguments


@contextlib.contextmanager
def database(*, sqlite: bool) -> Iterator[tuple[services.Service | None, str | None]]:
    if sqlite:
        yield None, None
    else:
        with services.postgres() as (postgres, url):
            yield postgres, url


def main() -> None:
    arguments = parse_arguments()
    only = "worst" if arguments.sqlite else arguments.only
    groups = [only] if only else GROUPS
    with (
        tempfile.TemporaryDirectory() as name,
        database(sqlite=arguments.sqlite) as (postgres, postgres_url),
        services.redis() as (redis, redis_url),
    ):
        folder = Path(name)
        folder.chmod(0o755)
        database_url = postgres_url or f"sqlite:///{folder / 'deals.sqlite3'}"
        variables = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        print(f"{os.cpu_count()} cores for client, service, PostgreSQL and Valkey together\n")
        print_header()
        if "loading" in groups:
            with serving(folder, **variables, WEB_WORKERS="1") as server:
                uploads.bench(server, database_url, folder, arguments.rows)
        if "proxy" in groups:
            proxy.bench(folder, database_url, redis_url)
        # All uploads are retained, because pruning would disturb measurements.
        variables |= {
            "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
            "KEEP_UPLOADS": "20",
            "COMPUTATIONS_PER_MINUTE": "0",
        }
        with serving(folder, **variables) as server:
            environment = BenchEnvironment(server, folder, arguments.rows, database_url, postgres, redis.port)
            if "rest" in groups:
                rest.bench(environment)
            if "graphql" in groups:
                graphql.bench(environment)
            if "worst" in groups:
                worst.bench(environment, arguments.seconds, arguments.files)
        if arguments.save:
            save_rows(Path(__file__).with_name("results.json"))


if __name__ == "__main__":
    main()
