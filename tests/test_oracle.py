"""Random GraphQL documents: an independent oracle predicts every response, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from tests import services
from tests.long_form import IS_LONG
from tests.oracle import answers, model
from tests.oracle.documents import QUERY, ROOTS
from tests.oracle.runner import Run
from tests.servers import ROOT, TIMEOUT

#: Documents on each database.
DOCUMENTS = 5_000 if IS_LONG else 200


def start(database_url: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.oracle", str(DOCUMENTS)], cwd=ROOT, text=True,
        env=environment | {"DATABASE_URL": database_url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.database_independent
def test_random_documents_have_the_predicted_responses_and_equal_costs(tmp_path: Path) -> None:
    with services.postgres() as (_, url):
        runs = [start(f"sqlite:///{tmp_path}/deals.sqlite3"), start(url)]
        outputs = [run.communicate(timeout=10 * TIMEOUT) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(errors for _, errors in outputs)
    costs = [json.loads(output) for output, _ in outputs]
    assert costs[0] == costs[1]
    assert len(costs[0]) == DOCUMENTS


def test_every_root_field_is_queried() -> None:
    """To repair it, add the field to ``ROOTS`` and to ``Oracle``."""
    assert QUERY.fields.keys() <= ROOTS.keys()


# The oracle finds errors: with another rule in the oracle, predictions and responses differ


def finds_a_difference() -> bool:
    run = Run(7)
    return any(run.execute(documents).differences for documents in range(20, 400, 20))


@pytest.fixture(autouse=True)
def _generous_limits(settings: Settings, limits: Any) -> None:
    limits(computations_per_minute=0, max_query_tokens=20_000, max_query_aliases=500, keep_uploads=1_000)


@pytest.mark.database_independent
@pytest.mark.django_db
def test_another_order_of_ties_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def sort_key(type_name: str, order: str) -> Any:
        key = model.sort_key(type_name, order)
        return lambda row: (key(row)[0], row.number)

    monkeypatch.setattr(answers, "sort_key", sort_key)
    assert finds_a_difference()


@pytest.mark.database_independent
@pytest.mark.django_db
def test_another_rounding_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "round_half_up", int)
    assert finds_a_difference()


@pytest.mark.database_independent
@pytest.mark.django_db
def test_another_folding_of_names_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "fold", str)
    assert finds_a_difference()
