"""The worst that experience and chance can ask: within every budget, and in the time that its cost stands for.

The short form of ``python -m tests.bench --only worst``: a small file, and this machine's own yardstick.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import settings
from django.db import connection

from deals_api.ingest.service import ingest_deals
from tests import graphql
from tests.bench.bombs import bombs
from tests.bench.files import write_deals
from tests.bench.worst import Asked, ask, largest, search, words_of

pytestmark = pytest.mark.django_db

#: Deals, of so many customers in so many gems: few enough for a quick test, and each relation is long.
ROWS, CUSTOMERS, GEMS = 10_000, 60, 80
#: Beside the operation's own: the pointer, the session's time limits, a second look at the pointer.
STATEMENTS_AROUND: Final = 10
#: What a plain page takes, and how much longer a question may take for each node that it costs (3 times, mostly less).
YARDSTICK: Final = "{deals(first: 100) {nodes {id total quantity customer {id username} gem {id name}}}}"
TIMES: Final = 10
#: Reading a document and refusing it is paid for by nobody.
FREE_NODES: Final = 1_000


class Here:
    """Asks in this process, what no cache knows, and counts statements."""

    def __init__(self) -> None:
        self.most_statements = 0
        self.bodies: list[Any] = []

    def post(self, query: str, variables: dict[str, Any], /) -> Any:
        graphql.forget()
        statements = 0

        def count(execute: Any, *arguments: Any) -> Any:
            nonlocal statements
            statements += 1
            return execute(*arguments)

        with connection.execute_wrapper(count):
            response = graphql.post(query, variables)
        self.most_statements = max(self.most_statements, statements)
        return response

    def data(self, query: str, /) -> Any:
        return graphql.data(query)

    def seconds_a_node(self) -> float:
        asked = [ask(self, "", YARDSTICK, {}) for _ in range(5)]
        return statistics.median(one.seconds for one in asked) / asked[0].cost


@pytest.fixture(params=[False, True], ids=["short names", "long names"])
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Here:
    path = tmp_path / "deals.csv"
    long_names: bool = request.param
    customers = 5_000 if long_names else CUSTOMERS
    write_deals(path, ROWS, customers=customers, gems=GEMS, shuffled=True, long_names=long_names)
    with path.open("rb") as file:
        ingest_deals(file, path.name)
    return Here()


def must_be_bounded(here: Here, found: list[Asked]) -> None:
    limit = settings.DEALS_LIMITS.max_nodes
    assert here.most_statements <= settings.DEALS_LIMITS.max_sql_queries + STATEMENTS_AROUND
    assert [one for one in found if "internal_error" in one.refusal] == []
    assert [one for one in found if one.cost > limit and "limit_exceeded" not in one.refusal] == []
    unit = here.seconds_a_node() * TIMES
    slow = [one for one in found if one.seconds > unit * (FREE_NODES + min(one.cost, limit))]
    # Once more, because any may have met a pause of the machine.
    again = [ask(here, one.shape, one.text, one.variables) for one in slow]
    assert [one for one in again if one.seconds > unit * (FREE_NODES + min(one.cost, limit))] == []


def test_no_known_bomb_goes_off(here: Here) -> None:
    found = [largest(here, "", bomb) for bomb in bombs(words_of(here))]
    assert sum("limit_exceeded" in one.refusal for one in found) > 5
    assert sum(one.cost > 5_000 and not one.refusal for one in found) > 5
    must_be_bounded(here, found)


def test_chance_finds_none_either(here: Here) -> None:
    must_be_bounded(here, search(here, "", seed=1, examples=60))
