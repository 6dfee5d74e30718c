"""Handwritten and generated expensive operations stay within the limits, and take CPU time in proportion to their cost.

The short form of ``python -m tests.bench --only worst``: a small file, a low cost limit, and the CPU time of a plain
page in the same process as the yardstick, so the speed and the load of the machine hardly matter.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, Final

import django.test
import pytest
from django.conf import settings
from django.db import connection

from deals_api.ingest.service import ingest_deals
from tests import graphql
from tests.bench.expensive_queries import expensive_queries
from tests.bench.files import write_deals
from tests.bench.worst import Measurement, measure, measure_sizes, sample_values, search

pytestmark = pytest.mark.django_db

ROWS, CUSTOMERS, GEMS = 2_000, 400, 60
#: A low limit keeps the test short.
MAX_NODES: Final = 1_000
#: Statements outside the operation: the current upload, the time limits of the session, the check for pruning.
OTHER_STATEMENTS: Final = 10
YARDSTICK: Final = "{deals(first: 100) {nodes {id total quantity customer {id} gem {id name}}}}"
#: CPU time per node, relative to that of the yardstick, whose rows are cheap. The highest ratio found is about 5, of
#: twenty searches for a text that is longer than any name, so that no statement runs.
MAX_RATIO: Final = 8
#: Other processes can only raise a CPU time, so the lowest of several is compared.
_REPETITIONS: Final = 20


class InProcessClient:
    """Sends queries to the service in this process, without caches, and counts its statements."""

    def __init__(self) -> None:
        self.client = django.test.Client()
        self.max_statements = 0

    def post(self, query: str, variables: dict[str, Any], /) -> Any:
        graphql.clear_caches()
        statements = 0

        def count(execute: Any, *arguments: Any) -> Any:
            nonlocal statements
            statements += 1
            return execute(*arguments)

        body = json.dumps({"query": query, "variables": variables})
        with connection.execute_wrapper(count):
            response = self.client.post(graphql.PATH, body, content_type="application/json")
        self.max_statements = max(self.max_statements, statements)
        return response

    def data(self, query: str, /) -> Any:
        return self.post(query, {}).json()["data"]

    def cpu_seconds(self) -> float:
        return time.thread_time()

    def microseconds_per_node(self, query: str, variables: dict[str, Any]) -> float:
        return measure(self, "", query, variables).microseconds_per_node

    def exceeds_the_ratio(self, query: str, variables: dict[str, Any]) -> bool:
        """Return whether the CPU time per node stays above the limit, measured in turns with the yardstick."""
        yardstick = lowest = math.inf
        for _ in range(_REPETITIONS):
            yardstick = min(yardstick, self.microseconds_per_node(YARDSTICK, {}))
            lowest = min(lowest, self.microseconds_per_node(query, variables))
            if lowest <= MAX_RATIO * yardstick:
                return False
        return True


@pytest.fixture
def client(tmp_path: Path, limits: Any) -> InProcessClient:
    path = tmp_path / "deals.csv"
    for seed in (2, 1):
        write_deals(path, ROWS, customers=CUSTOMERS, gems=GEMS, shuffled=True, long_names=True, seed=seed)
        with path.open("rb") as file:
            ingest_deals(file, path.name)
    limits(max_nodes=MAX_NODES)
    return InProcessClient()


def assert_within_limits(client: InProcessClient, found: list[Measurement]) -> None:
    assert client.max_statements <= settings.DEALS_LIMITS.max_sql_queries + OTHER_STATEMENTS
    assert [measurement for measurement in found if "internal_error" in measurement.error_codes] == []
    assert [
        measurement
        for measurement in found
        if measurement.cost > MAX_NODES and "limit_exceeded" not in measurement.error_codes
    ] == []
    limit = MAX_RATIO * min(client.microseconds_per_node(YARDSTICK, {}) for _ in range(_REPETITIONS))
    suspects = [measurement for measurement in found if measurement.microseconds_per_node > limit]
    assert [suspect for suspect in suspects if client.exceeds_the_ratio(suspect.query, suspect.variables)] == []


def test_expensive_queries_are_rejected_or_cost_their_cpu_time(client: InProcessClient) -> None:
    found = [
        measurement
        for query in expensive_queries(sample_values(client))
        for measurement in measure_sizes(client, "", query)
    ]
    assert sum("limit_exceeded" in measurement.error_codes for measurement in found) > 5
    assert sum(measurement.cost > MAX_NODES / 2 and not measurement.error_codes for measurement in found) > 5
    assert_within_limits(client, found)


def test_generated_queries_are_rejected_or_cost_their_cpu_time(client: InProcessClient) -> None:
    assert_within_limits(client, search(client, "", seed=1, examples=25))
