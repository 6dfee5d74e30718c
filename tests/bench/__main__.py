"""``python -m tests.bench``: how fast, beside a yardstick in the same run. Prints a table.

PostgreSQL, Redis and the service are real processes on this machine. Every figure is a median, measured in
turns with its yardstick, because machines are noisy; read the ratios. ``--rows`` changes the million,
``--only`` runs one group, ``--seconds`` is how long the worst question is searched for.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests import services
from tests.bench import asking, graph, loading, worst
from tests.bench.stage import Stage
from tests.bench.table import heading
from tests.servers import serving

GROUPS = ("loading", "asking", "graphql", "worst")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=GROUPS)
    parser.add_argument("--seconds", type=int, default=300)
    arguments = parser.parse_args()
    groups = [arguments.only] if arguments.only else GROUPS
    with (
        tempfile.TemporaryDirectory() as name,
        services.postgres() as (postgres, database_url),
        services.redis() as (redis, redis_url),
    ):
        folder = Path(name)
        folder.chmod(0o755)
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        print(f"{os.cpu_count()} cores for client, service, PostgreSQL and Redis together\n")
        heading()
        if "loading" in groups:
            with serving(folder, **environment, WEB_WORKERS="1") as server:
                loading.bench(server, database_url, folder, arguments.rows)
        # Uploads are kept, so that none is deleted while others are measured.
        environment |= {"DJANGO_SETTINGS_MODULE": "tests.bench.settings", "KEEP_UPLOADS": "20"}
        with serving(folder, **environment) as server:
            stage = Stage(server, folder, arguments.rows, database_url, postgres, redis.port)
            if "asking" in groups:
                asking.bench(stage)
            if "graphql" in groups:
                graph.bench(stage)
            if "worst" in groups:
                worst.bench(stage, arguments.seconds)


if __name__ == "__main__":
    main()
