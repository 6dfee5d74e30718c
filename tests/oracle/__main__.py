"""``python -m tests.oracle [DOCUMENTS] [SEED]``: compare random documents with their predictions.

Creates the tables in the empty database of DATABASE_URL. Prints the costs as JSON, with the prices of PostgreSQL on
every database, so that runs can be compared; differences end with exit code 1.
"""

from __future__ import annotations

import json
import os
import sys

import django

#: Limits that would reject random documents. The limit of the cost is the default.
GENEROUS = {
    "COMPUTATIONS_PER_MINUTE": "0", "UPLOADS_PER_MINUTE": "0", "KEEP_UPLOADS": "100000", "MAX_QUERY_TOKENS": "20000",
    "MAX_QUERY_ALIASES": "500", "MAX_QUERY_SECONDS": "300", "LOG_REQUESTS": "0",
}  # fmt: skip


def main(documents: int = 300, seed: int = 1) -> int:
    os.environ.update(GENEROUS)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()

    from django.core.management import call_command

    from graphql_schema.execution.cost import SORTING_COSTS
    from tests.oracle.runner import Run

    SORTING_COSTS["sqlite"] = SORTING_COSTS["postgresql"]
    call_command("migrate", verbosity=0)
    report = Run(seed).execute(documents)
    sys.stdout.write(json.dumps(report.costs) + "\n")
    summary = f"{report.documents} documents, {report.rejected} rejected, {len(report.differences)} differences"
    sys.stderr.write("\n\n".join([*report.differences[:5], summary]) + "\n")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
