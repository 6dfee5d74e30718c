"""The README holds: its commands answer what it says, and its tables are those of the code.

Blocks are run in the page's order, in one service and one folder: a ``sh`` block by a shell, a ``graphql`` block
by a POST to ``/graphql/``; the ``json`` or ``text`` block that follows is what it must print. Three kinds of ``sh``
blocks are left to others: those that start the service or the tests (.ci does that), and those of backup and restore
(tests/test_backup.py).
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from django.core.management.base import CommandError
from django.urls import URLResolver, get_resolver
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from deals_api.errors import UploadHasProblems
from deals_api.formats import COLUMNS
from deals_api.ingest.csv_reader import read_deals
from deals_api.limits import Limits
from deals_api.management import terminal
from deals_api.management.commands import load_deals
from deals_api.request_context import UploadOutcome
from project.telemetry import metrics
from tests.requires import require
from tests.servers import ROOT, TIMEOUT, Server
from tests.test_error_shape import codes_of_graphql, kinds_of, statuses_of_rest
from tests.test_logs import FIELDS
from tests.test_settings import defaults_read, variables_read

README = (ROOT / "README.md").read_text()
ADDRESS = "http://localhost:8000"
#: What marks a block that starts something for long.
STARTS = ("manage.py serve", "docker-compose up", "-m tests")
#: What marks the blocks of "Backup and restore".
BACKUPS = ("VACUUM INTO", "deals.backup", "deals.dump")


@dataclass(frozen=True, slots=True)
class Example:
    """A block that asks, and the block after it that says what comes out."""

    language: str
    asked: str
    answer_language: str
    answer: str


def blocks_of(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def examples_of(page: str) -> Iterator[Example]:
    blocks = blocks_of(page)
    for (language, text), (next_language, next_text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language in ("sh", "graphql") and not any(mark in text for mark in STARTS + BACKUPS):
            answered = next_language in ("json", "text")
            yield Example(language, text, next_language if answered else "", next_text if answered else "")


def ask(example: Example, server: Server, folder: Path, environment: dict[str, str]) -> str:
    """What comes out of an example."""
    if example.language == "graphql":
        return httpx.post(f"{server.url}/graphql/", json={"query": example.asked}, timeout=TIMEOUT).text
    command = example.asked.replace(ADDRESS, server.url)
    done = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=os.environ | environment,
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def normal(language: str, text: str) -> Any:
    """JSON by its values, of which the numbers are exact; anything else by its letters."""
    return json.loads(text, parse_float=Decimal) if language == "json" else text.strip()


def check(example: Example, printed: str) -> None:
    """A page need not show the extensions of GraphQL, which name the upload."""
    told, found = normal(example.answer_language, example.answer), normal(example.answer_language, printed)
    if isinstance(told, dict) and "data" in told and "extensions" not in told:
        found.pop("extensions", None)
    assert found == told, f"{example.asked}printed\n{printed}"


def try_out(page: str, server: Server, folder: Path, environment: dict[str, str]) -> int:
    """Runs every example of a page; returns how many there were."""
    examples = list(examples_of(page))
    for example in examples:
        printed = ask(example, server, folder, environment)
        if example.answer_language:
            check(example, printed)
    return len(examples)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader would be, but that whatever the commands leave behind lies elsewhere."""
    require("curl")
    for name, there in {"tests": ROOT / "tests", "manage.py": ROOT / "manage.py", ".venv": Path(sys.prefix)}.items():
        (tmp_path / name).symlink_to(there)
    return tmp_path


def test_every_command_answers_what_the_page_says(server: Server, folder: Path, environment: dict[str, str]) -> None:
    assert try_out(README, server, folder, environment) >= 6


def test_every_json_of_the_page_is_an_answer_to_a_command() -> None:
    answers = [example.answer for example in examples_of(README) if example.answer_language]
    assert answers == [text for language, text in blocks_of(README) if language in ("json", "text")]


def test_a_start_and_the_tests_have_each_their_block() -> None:
    blocks = [text for language, text in blocks_of(README) if language == "sh"]
    for start in STARTS:
        (block,) = [text for text in blocks if start in text]
        assert len(block.strip().splitlines()) == 1


SAMPLE = """
```sh
curl --silent -F deals=@tests/data/deals.csv http://localhost:8000/api/upload/
```

```graphql
{ topClients(limit: 1) { username spentMoney } }
```

```json
{"data": {"topClients": [{"username": "resplendent", "spentMoney": SUM}]}}
```
"""


def test_an_example_of_graphql_is_asked_over_http(server: Server, folder: Path, environment: dict[str, str]) -> None:
    assert try_out(SAMPLE.replace("SUM", '"451731"'), server, folder, environment) == 2
    with pytest.raises(AssertionError, match="printed"):
        try_out(SAMPLE.replace("SUM", '"451732"'), server, folder, environment)


# Tables


def section(heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(##+) {re.escape(heading)}\n(.*?)(?=^\1 |^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[2]


def rows_under(heading: str) -> list[list[str]]:
    """The rows of all tables in one section, without their heads."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    heads = [number - 1 for number, line in enumerate(lines) if set(line) <= set("|- ")]
    rows = [line for number, line in enumerate(lines) if number not in heads and number - 1 not in heads]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def codes_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_settings_of_the_page_are_those_that_the_service_reads() -> None:
    named = [name for row in rows_under("Limits and settings") for name in codes_in(row[0])]
    assert sorted(named) == sorted(variables_read())


def test_the_defaults_of_the_page_are_those_of_the_service() -> None:
    defaults = {codes_in(row[0])[0]: codes_in(row[1]) for row in rows_under("Limits and settings")}
    numbers = defaults_read()
    assert {name: defaults[name] for name in numbers} == {name: [str(value)] for name, value in numbers.items()}


def test_the_errors_of_the_page_are_those_that_the_service_gives() -> None:
    table = {codes_in(code)[0]: int(status) for status, code, *_ in rows_under("Errors")}
    assert table == statuses_of_rest()
    statuses = [int(row[0]) for row in rows_under("Errors")]
    assert statuses == sorted(statuses)


def test_graphql_error_table_lists_every_code() -> None:
    assert {code for row in rows_under("Explore with GraphQL") for code in codes_in(row[0])} == codes_of_graphql()


def test_metrics_table_lists_every_metric_with_its_labels() -> None:
    table = {codes_in(name)[0]: codes_in(labels) for name, labels, _ in rows_under("Metrics")}
    registered = {}
    for metric in metrics._registry._collector_to_names:
        assert isinstance(metric, MetricWrapperBase)
        name = metric._name + ("_total" if isinstance(metric, Counter) else "")
        registered[name] = [*metric._labelnames, *(get_args(UploadOutcome) if "outcome" in metric._labelnames else ())]
    assert table == registered


def test_log_table_and_example_have_every_field() -> None:
    (line,) = [json.loads(text) for language, text in blocks_of(README) if language == "log"]
    assert line.keys() == FIELDS
    table = [field for row in rows_under("Logs") for field in codes_in(row[0])]
    assert sorted(table) == sorted(FIELDS)


def test_exit_code_table_lists_the_exit_code_of_every_error() -> None:
    ends = {kind("").returncode for kind in kinds_of(CommandError) if kind.__module__ == terminal.__name__}
    assert [int(codes_in(row[0])[0]) for row in rows_under("From the command line")] == sorted({0, *ends})
    assert all(re.search(rf"\b{code} \w", load_deals.Command.help) for code in {0, *ends})
    assert all(re.search(rf"\b{code} \w", terminal.__doc__ or "") for code in {0, *ends})


def routes(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    """Every address of the service; one for all of the admin."""
    for pattern in patterns:
        path = prefix + re.sub(r"[\^$\\]|/\?", "", str(pattern.pattern))
        if isinstance(pattern, URLResolver) and not pattern.namespace:
            yield from routes(pattern.url_patterns, path)
        else:
            yield f"/{path}".rstrip("/")


def test_route_table_lists_every_address() -> None:
    listed = set()
    for row in rows_under("Use"):
        addresses = [code.split()[-1] for code in codes_in(row[0])]
        for address in addresses:
            if address.startswith("…"):
                address = addresses[0].rpartition(".")[0] + address.removeprefix("…")
            if address.startswith("/"):
                listed.add(address.rstrip("/"))
    assert listed == set(routes(get_resolver().url_patterns))


GOOD = {"customer": "ann", "item": "ruby", "total": "1", "quantity": "1", "date": "2018-12-14 08:29:52"}
#: Column, cells that are taken, cells that are refused.
CELLS = [
    (codes_in(column)[0], codes_in(taken), codes_in(refused))
    for column, _, taken, refused in rows_under("What a file may look like")
]


def read(column: str, cell: str) -> int:
    cells = GOOD | {column: '"' + cell.replace('"', '""') + '"'}
    content = "\n".join([",".join(cells), ",".join(cells.values())])
    return sum(map(len, read_deals(io.BytesIO(content.encode()), Limits())))


def test_the_page_has_a_row_for_each_column() -> None:
    assert [column for column, *_ in CELLS] == list(COLUMNS) == list(GOOD)


@pytest.mark.parametrize(("column", "cell"), [(column, cell) for column, taken, _ in CELLS for cell in taken])
def test_a_cell_that_the_page_says_is_taken_is_taken(column: str, cell: str) -> None:
    assert read(column, cell) == 1


@pytest.mark.parametrize(("column", "cell"), [(column, cell) for column, _, refused in CELLS for cell in refused])
def test_a_cell_that_the_page_says_is_refused_is_refused(column: str, cell: str) -> None:
    with pytest.raises(UploadHasProblems):
        read(column, cell)


def test_map_lists_every_package() -> None:
    """To repair it, add a line to "How it is built"."""
    listed = sorted(codes_in(row[0])[0] for row in rows_under("How it is built"))
    roots = {path.parent for path in ROOT.glob("*/__init__.py")} - {ROOT / "tests"}
    packages = {init.parent.relative_to(ROOT) for root in roots for init in root.rglob("__init__.py")}
    assert listed == sorted(f"{path}/" for path in packages if path.name not in ("commands", "migrations"))


def test_each_promise_of_the_page_names_tests_that_there_are() -> None:
    written = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    promises = [row for row in rows_under("What we promise and how it is tested") if len(row) == 3]
    assert len(promises) > 10
    for promise, tests, _ in promises:
        names = [name for name in codes_in(tests) if name.startswith("test_")]
        assert names, promise
        assert [name for name in names if f"def {name}(" not in written] == [], promise


def test_what_the_page_says_to_run_is_what_is_run_before_a_merge() -> None:
    commands = [codes_in(row[1])[0] for row in rows_under("Change it")]
    checks = (ROOT / ".ci" / "run").read_text()
    for program in ("ruff check", "mypy", "lint-imports"):  # the tests are started by the command of the page itself
        (command,) = [command for command in commands if program in command]
        assert command in checks
    assert all((ROOT / word).exists() for command in commands for word in command.split() if word.startswith("tests/"))


# The Russian page

RUSSIAN = (ROOT / "README.ru.md").read_text()


def shape_of(page: str) -> list[object]:
    """What two languages have in common: headings by their depth, blocks by their text, tables by their code."""
    shape: list[object] = []
    for block in re.split(r"(^```\w+\n.*?^```$)", page, flags=re.MULTILINE | re.DOTALL):
        if block.startswith("```"):
            shape.append(block)
            continue
        for line in block.splitlines():
            if line.startswith("#"):
                shape.append(len(line) - len(line.lstrip("#")))
            elif line.startswith("|"):
                shape.append((line.count(" |"), codes_in(line), re.findall(r"\b\d+(?:\.\d+)?\b", line.split("|")[1])))
    return shape


def test_the_russian_page_is_the_same_whole() -> None:
    for english, russian in zip(shape_of(README), shape_of(RUSSIAN), strict=True):
        if isinstance(english, tuple):
            assert isinstance(russian, tuple)
            assert english[:2] == russian[:2]
        else:
            assert english == russian
    assert README.count("](") == RUSSIAN.count("](")


def test_the_figures_of_both_pages_are_the_same() -> None:
    def figures(page: str, heading: str) -> list[str]:
        section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        return re.findall(r"[0-9]+(?:\.[0-9]+)?(?= ?[×%])", section)

    assert figures(README, "How fast") == figures(RUSSIAN, "Насколько быстро")
