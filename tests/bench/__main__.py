"""``python -m tests.bench``: measure the service and baselines in the same run, and print tables.

PostgreSQL, Valkey and the service are real processes on this machine. Every figure is a median, measured
alternately with its baseline, because the speed of machines varies; compare the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from tests import services
from tests.bench import exports, graphql, growth, page, proxy, replicas, rest, startup, uploads, worker, worst
from tests.bench.clients import CONNECTIONS
from tests.bench.environment import Backends
from tests.bench.files import DATASETS
from tests.bench.table import LONG_FORM, SHORT_FORM, begin_table, save_tables

SHORT_GROUPS = ("loading", "worker", "startup", "proxy", "rest", "graphql", "exports", "page", "replicas", "worst")
LONG_GROUPS = ("demanding", "large", "growth")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--long", action="store_true", help="also run the long form, with up to ten times as many rows")
    parser.add_argument("--rows", type=int, default=1_000_000, help="deals of the generated files")
    parser.add_argument("--only", choices=SHORT_GROUPS + LONG_GROUPS, help="run one group")
    parser.add_argument("--seconds", type=int, default=300, help="duration of the search for the highest CPU per node")
    parser.add_argument("--files", nargs="+", choices=DATASETS, default=list(DATASETS), help="files of that search")
    parser.add_argument("--save", action="store_true", help="store the tables in results.json and tests/README.md")
    parser.add_argument("--sqlite", action="store_true", help="use SQLite, and run that search only")
    arguments = parser.parse_args()
    if arguments.save and (arguments.only or arguments.sqlite):
        parser.error("--save needs the results of all groups.")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    only = "worst" if arguments.sqlite else arguments.only
    groups = {only} if only else {*SHORT_GROUPS, *(LONG_GROUPS if arguments.long else ())}
    with backends(sqlite=arguments.sqlite) as servers:
        print(f"{os.cpu_count()} cores for client, service, PostgreSQL and Valkey together")
        for form, form_groups in ((run_short_form, SHORT_GROUPS), (run_long_form, LONG_GROUPS)):
            if groups & {*form_groups}:
                form(servers, arguments, groups)
                if arguments.save:  # also if the next form fails
                    save_tables()


@contextlib.contextmanager
def backends(*, sqlite: bool) -> Iterator[Backends]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        redis, redis_url = stack.enter_context(services.redis())
        postgres, url = (None, f"sqlite:///{folder / 'deals.sqlite3'}")
        if not sqlite:
            postgres, url = stack.enter_context(services.postgres())
        yield Backends(folder, url, postgres, redis, redis_url)


def run_short_form(servers: Backends, arguments: argparse.Namespace, groups: Collection[str]) -> None:
    begin_table(SHORT_FORM)
    if "loading" in groups:
        uploads.bench(servers, arguments.rows)
    if "worker" in groups:
        worker.bench(servers, arguments.rows)
    if "startup" in groups:
        startup.bench(servers)
    if "proxy" in groups:
        proxy.bench(servers.folder, servers.database_url, servers.redis_url)
    # All uploads are retained, because their deletion would disturb measurements.
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
        "KEEP_UPLOADS": "20",
        "COMPUTATIONS_PER_MINUTE": "0",
    }
    if "rest" in groups:
        one_process = {"WEB_WORKERS": "1", "WEB_THREADS": str(CONNECTIONS)}
        with servers.environment(settings | one_process) as environment:
            rest.bench_cached(environment)
    if "replicas" in groups:
        replicas.bench(servers, settings, arguments.rows)
    with servers.environment(settings, arguments.rows) as environment:
        if "rest" in groups:
            rest.bench_uncached(environment)
        if "graphql" in groups:
            graphql.bench(environment)
        if "exports" in groups:
            exports.bench(environment)
        if "page" in groups:
            page.bench(environment)
        if "worst" in groups:
            worst.bench(environment, arguments.seconds, arguments.files)


def run_long_form(servers: Backends, arguments: argparse.Namespace, groups: Collection[str]) -> None:
    begin_table(LONG_FORM)
    if "demanding" in groups:
        uploads.bench_demanding(servers, arguments.rows)
    if "large" in groups:
        worker.bench_large(servers, arguments.rows)
    if "growth" in groups:
        growth.bench(servers, arguments.rows)


if __name__ == "__main__":
    main()
