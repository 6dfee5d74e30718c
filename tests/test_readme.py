"""Documents agree with the code: commands print the documented output, and tables list what exists.

The blocks of one document run in order, in one service and one folder: a ``sh`` block in a shell, a ``graphql`` block
as a POST to ``/graphql/``. The ``json`` or ``text`` block that follows is the expected output. Documents other than
README.md assume that the example file has been uploaded. Two kinds of ``sh`` blocks are tested elsewhere: those that
start the service or the tests (.ci), and those of backup and restore (tests/test_backup.py).
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
from django.urls import URLResolver, get_resolver
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from deals_api.errors import UploadHasProblems
from deals_api.formats import COLUMNS
from deals_api.ingest.csv_reader import DealsReader
from deals_api.ingest.reasons import REASONS
from deals_api.limits import Limits
from deals_api.management import terminal
from deals_api.management.commands import load_deals
from deals_api.request_context import SnapshotReadResult, UploadOutcome
from project.telemetry import metrics
from tests.bench.table import GROWTH, LONG_FORM, SHORT_FORM, replace_table
from tests.bench.table import RESULTS as RESULTS_FILE
from tests.builders import load, many
from tests.graphql import data
from tests.requires import require
from tests.servers import NO_TLS, REAL_FILE, ROOT, TIMEOUT, Server
from tests.test_error_shape import codes_of_graphql, statuses_of_rest
from tests.test_logs import FIELDS
from tests.test_settings import defaults_read, variables_read

pytestmark = pytest.mark.database_independent


def read_document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


README = read_document("README.md")
REST = read_document("deals_api/README.md")
GRAPHQL = read_document("graphql_schema/README.md")
OPERATION = read_document("project/README.md")
TESTS = read_document("tests/README.md")
CONTRIBUTING = read_document(".github/CONTRIBUTING.md")
RUSSIAN = read_document("README.ru.md")
DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for folder in (ROOT, *ROOT.glob("*/"), ROOT / ".github") for path in folder.glob("*.md")
)
#: Details belong to the READMEs of the packages.
MAX_README_LINES = 200

URL = "http://localhost:8000"
#: Marks of blocks that start the service or the tests.
STARTS = ("manage.py serve", "docker-compose up", "-m tests")
#: Mark of blocks that the container tests run.
CONTAINERS = ("docker-compose",)
#: Marks of blocks of backup and restore.
BACKUPS = ("VACUUM INTO", "deals.backup", "deals.dump")


@dataclass(frozen=True, slots=True)
class Example:
    """A command or query, and the block after it with the expected output."""

    language: str
    text: str
    output_language: str
    output: str


def blocks_of(document: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


def backup_blocks_of(document: str) -> list[str]:
    return [text for _, text in blocks_of(document) if any(mark in text for mark in BACKUPS)]


def examples_of(document: str) -> Iterator[Example]:
    blocks = blocks_of(document)
    for (language, text), (next_language, next_text) in zip(blocks, [*blocks[1:], ("", "")], strict=False):
        if language in ("sh", "graphql") and not any(mark in text for mark in STARTS + CONTAINERS + BACKUPS):
            has_output = next_language in ("json", "text")
            yield Example(language, text, next_language if has_output else "", next_text if has_output else "")


def run_example(example: Example, server: Server, folder: Path, environment: dict[str, str]) -> str:
    """Return the output of the command, or the body of the response."""
    if example.language == "graphql":
        variables = {"base": oldest_upload(server)} if "$base" in example.text else {}
        return post_query(server, example.text, variables).text
    command = example.text.replace(URL, server.url)
    process = subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=os.environ | environment,
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert process.returncode == 0, f"{command}\n{process.stderr}"
    return process.stdout


def post_query(server: Server, query: str, variables: dict[str, Any]) -> httpx.Response:
    return httpx.post(
        f"{server.url}/graphql/", json={"query": query, "variables": variables}, timeout=TIMEOUT, verify=NO_TLS
    )


def oldest_upload(server: Server) -> str:
    """Return the id that documents call ``$base``."""
    (upload,) = post_query(server, "{uploads(last: 1) {nodes {id}}}", {}).json()["data"]["uploads"]["nodes"]
    return str(upload["id"])


def parse(language: str, text: str) -> Any:
    """Parse JSON with exact numbers; strip other text."""
    return json.loads(text, parse_float=Decimal) if language == "json" else text.strip()


def check_output(example: Example, printed: str) -> None:
    """Documents may omit ``extensions`` of GraphQL responses, which differ between uploads."""
    expected, actual = parse(example.output_language, example.output), parse(example.output_language, printed)
    if isinstance(expected, dict) and "data" in expected and "extensions" not in expected:
        actual.pop("extensions", None)
    assert actual == expected, f"{example.text}printed\n{printed}"


def run_examples(document: str, server: Server, folder: Path, environment: dict[str, str]) -> int:
    """Run every example of a document; return the number of examples."""
    examples = list(examples_of(document))
    for example in examples:
        printed = run_example(example, server, folder, environment)
        if example.output_language:
            check_output(example, printed)
        elif example.language == "graphql":
            assert "errors" not in json.loads(printed), printed
    return len(examples)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder for commands, with links to the files that they use."""
    require("curl")
    for name, target in {"tests": ROOT / "tests", "manage.py": ROOT / "manage.py", ".venv": Path(sys.prefix)}.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


#: Documents with examples; README.ru.md has the same examples as README.md.
GUIDES = ["README.md", "deals_api/README.md", "graphql_schema/README.md", "project/README.md"]


@pytest.mark.parametrize("name", GUIDES)
def test_commands_print_the_documented_output(
    name: str, server: Server, folder: Path, environment: dict[str, str]
) -> None:
    if name != "README.md":
        assert server.upload(REAL_FILE.read_bytes()).status_code == 200
    assert run_examples(read_document(name), server, folder, environment) >= 3


def test_every_document_with_examples_is_run() -> None:
    assert [name for name in DOCUMENTS if any(examples_of(read_document(name)))] == sorted([*GUIDES, "README.ru.md"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_output_of_a_document_follows_a_command(name: str) -> None:
    document = read_document(name)
    outputs = [example.output for example in examples_of(document) if example.output_language]
    assert outputs == [text for language, text in blocks_of(document) if language in ("json", "text")]


def test_commands_that_start_something_have_one_line() -> None:
    blocks = [text for language, text in blocks_of(README) if language == "sh"]
    for start in STARTS:
        (block,) = [text for text in blocks if start in text]
        assert len(block.strip().splitlines()) == 1


def test_readme_is_short() -> None:
    assert all(len(document.splitlines()) <= MAX_README_LINES for document in (README, RUSSIAN))


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


def test_wrong_output_in_a_document_is_detected(server: Server, folder: Path, environment: dict[str, str]) -> None:
    assert run_examples(SAMPLE.replace("SUM", '"451731"'), server, folder, environment) == 2
    with pytest.raises(AssertionError, match="printed"):
        run_examples(SAMPLE.replace("SUM", '"451732"'), server, folder, environment)


@pytest.mark.django_db
def test_documented_pagination_reads_one_upload_to_its_end() -> None:
    blocks = blocks_of(section(GRAPHQL, "Pagination"))
    current_upload, deals = [text for language, text in blocks if language == "graphql"]
    load(*many(250))
    upload = data(current_upload)["currentUpload"]["id"]
    nodes: list[Any] = []
    cursor = None
    while cursor or not nodes:
        page = data(deals, upload=upload, after=cursor)["deals"]
        load(*many(len(nodes) + 1))  # another client uploads a file between two pages
        nodes += page["nodes"]
        cursor = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None
    assert len({node["id"] for node in nodes}) == len(nodes) == 250


# Links


def anchors_of(document: str) -> set[str]:
    """Return the anchors that GitHub generates for the headings."""
    headings = re.findall(r"^#+ (.*)$", document, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_has_a_target(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]*)\)", read_document(name)):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target.read_text(encoding="utf-8")), link


# Tables


def section(document: str, heading: str) -> str:
    """Return the text below a heading, up to the next heading of the same or a higher level."""
    found = re.search(rf"^(##+) {re.escape(heading)}\n(.*?)(?=^\1 |^## |\Z)", document, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[2]


def table_rows(document: str, heading: str) -> list[list[str]]:
    """Return the rows of all tables in a section, without headers."""
    lines = [line for line in section(document, heading).splitlines() if line.startswith("|")]
    headers = [number - 1 for number, line in enumerate(lines) if set(line) <= set("|- ")]
    rows = [line for number, line in enumerate(lines) if number not in headers and number - 1 not in headers]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def codes_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_settings_table_lists_every_variable() -> None:
    listed = [name for row in table_rows(OPERATION, "Settings") for name in codes_in(row[0])]
    assert sorted(listed) == sorted(variables_read())


@pytest.mark.parametrize("document", [README, OPERATION], ids=["README.md", "project/README.md"])
def test_settings_tables_have_the_defaults_of_the_code(document: str) -> None:
    table = {codes_in(row[0])[0]: codes_in(row[1]) for row in table_rows(document, "Settings")}
    defaults = {name: [str(value)] for name, value in defaults_read().items() if document is OPERATION or name in table}
    assert {name: table[name] for name in defaults} == defaults


def test_readme_lists_ten_settings() -> None:
    listed = [name for row in table_rows(README, "Settings") for name in codes_in(row[0])]
    assert len(listed) == 10
    assert set(listed) <= variables_read()


def test_rest_error_table_lists_every_code_with_its_status() -> None:
    table = {codes_in(code)[0]: int(status) for status, code, *_ in table_rows(REST, "Errors")}
    assert table == statuses_of_rest()
    statuses = [int(row[0]) for row in table_rows(REST, "Errors")]
    assert statuses == sorted(statuses)


def test_graphql_error_table_lists_every_code() -> None:
    assert {code for row in table_rows(GRAPHQL, "Errors") for code in codes_in(row[0])} == codes_of_graphql()


def test_metrics_table_lists_every_metric_with_its_labels() -> None:
    table = {codes_in(name)[0]: codes_in(labels) for name, labels, _ in table_rows(OPERATION, "Metrics")}
    registered = {}
    for metric in metrics._registry._collector_to_names:
        assert isinstance(metric, MetricWrapperBase)
        name = metric._name + ("_total" if isinstance(metric, Counter) else "")
        registered[name] = [*metric._labelnames, *(get_args(UploadOutcome) if "outcome" in metric._labelnames else ())]
        if "result" in metric._labelnames:
            registered[name] += get_args(SnapshotReadResult)
    registered |= {family.name: list(family._labelnames) for family in metrics.ReplicaCollector().describe()}
    assert table == registered


def test_log_table_and_example_have_every_field() -> None:
    (line,) = [json.loads(text) for language, text in blocks_of(OPERATION) if language == "log"]
    assert line.keys() == FIELDS
    table = [field for row in table_rows(OPERATION, "Logs") for field in codes_in(row[0])]
    assert sorted(table) == sorted(FIELDS)


def test_exit_code_table_lists_the_exit_code_of_every_error() -> None:
    listed = [int(codes_in(row[0])[0]) for row in table_rows(REST, "Command line")]
    assert listed == [0, *terminal.ExitCode]
    assert all(re.search(rf"\b{code} \w", load_deals.Command.help) for code in listed)


def routes(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    """Yield every URL of the service; the admin is one URL."""
    for pattern in patterns:
        path = prefix + re.sub(r"[\^$\\]|/\?", "", str(pattern.pattern))
        if isinstance(pattern, URLResolver) and not pattern.namespace:
            yield from routes(pattern.url_patterns, path)
        else:
            yield re.sub(r"\(\?P(<\w+>).*?\)", r"\1", f"/{path}").rstrip("/")


def test_api_table_lists_every_url() -> None:
    listed = set()
    for row in table_rows(README, "API"):
        urls = [code.split()[-1] for code in codes_in(row[0])]
        for url in urls:
            if url.startswith("…"):
                url = urls[0].rpartition(".")[0] + url.removeprefix("…")
            if url.startswith("/"):
                listed.add(url.rstrip("/"))
    for_browsers_and_crawlers = {"/favicon.ico", "/robots.txt"}
    assert listed == set(routes(get_resolver().url_patterns)) - for_browsers_and_crawlers


VALID_ROW = {"customer": "ann", "item": "ruby", "total": "1", "quantity": "1", "date": "2018-12-14 08:29:52"}
#: Column, accepted cells, rejected cells.
CELLS = [
    (codes_in(column)[0], codes_in(accepted), codes_in(rejected))
    for column, _, accepted, rejected in table_rows(README, "File format")
]


def read(column: str, cell: str) -> int:
    """Return the number of deals in a file with this cell."""
    cells = VALID_ROW | {column: '"' + cell.replace('"', '""') + '"'}
    content = "\n".join([",".join(cells), ",".join(cells.values())])
    return sum(map(len, DealsReader(io.BytesIO(content.encode()), Limits())))


def test_file_format_has_a_row_for_each_column() -> None:
    assert [column for column, *_ in CELLS] == list(COLUMNS) == list(VALID_ROW)


@pytest.mark.parametrize(("column", "cell"), [(column, cell) for column, accepted, _ in CELLS for cell in accepted])
def test_cell_listed_as_accepted_is_accepted(column: str, cell: str) -> None:
    assert read(column, cell) == 1


@pytest.mark.parametrize(("column", "cell"), [(column, cell) for column, _, rejected in CELLS for cell in rejected])
def test_cell_listed_as_rejected_is_rejected(column: str, cell: str) -> None:
    with pytest.raises(UploadHasProblems):
        read(column, cell)


def test_table_of_reasons_lists_every_code_with_its_sentence() -> None:
    assert {codes_in(code)[0]: sentence for code, sentence in table_rows(REST, "Reasons")} == {
        code: reason.replace("|", "\\|") for code, reason in REASONS.items()
    }


def test_module_map_lists_every_package() -> None:
    """To repair it, add a line to "Module map" in tests/README.md."""
    listed = sorted(codes_in(row[0])[0] for row in table_rows(TESTS, "Module map"))
    roots = {path.parent for path in ROOT.glob("*/__init__.py")} - {ROOT / "tests"}
    packages = {init.parent.relative_to(ROOT) for root in roots for init in root.rglob("__init__.py")}
    assert listed == sorted(f"{path}/" for path in packages if path.name not in ("commands", "migrations"))


def test_each_guarantee_names_existing_tests() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    guarantees = table_rows(TESTS, "Guarantees")
    assert len(guarantees) > 10
    for guarantee, tests, _ in guarantees:
        names = [name for name in codes_in(tests) if name.startswith("test_")]
        assert names, guarantee
        assert [name for name in names if f"def {name}(" not in sources] == [], guarantee


RESULTS = json.loads(RESULTS_FILE.read_text())


@pytest.mark.parametrize("heading", RESULTS)
def test_documented_figures_match_the_committed_results(heading: str) -> None:
    """To repair it, run the benchmark, or the soak test, with ``--save``."""
    assert table_rows(TESTS, heading) == RESULTS[heading]["rows"]
    assert replace_table(TESTS, heading, RESULTS[heading]) == TESTS


def test_every_table_of_benchmarks_has_committed_results() -> None:
    stored = [RESULTS[heading]["rows"] for heading in (SHORT_FORM, LONG_FORM, GROWTH) if heading in RESULTS]
    assert table_rows(TESTS, "Benchmarks") == [row for rows in stored for row in rows]


def test_results_replace_the_table_at_the_end_of_their_section() -> None:
    document = "# A\n\nText\n\n## B\n\nMeasured on Mars.\n\n### C\n\nText\n"
    old = {"date": "2026-01-01", "columns": ["x"], "rows": [["1"], ["2"]]}
    new = {"date": "2026-02-03", "columns": ["x", "y"], "rows": [[r"`\copy`", "4"]]}
    table = "Measured on 2026-02-03:\n\n| x | y |\n| --- | --- |\n| `\\copy` | 4 |\n"
    expected = document.replace("on Mars.\n", f"on Mars.\n\n{table}")
    assert replace_table(document, "B", new) == expected
    assert replace_table(replace_table(document, "B", old), "B", new) == expected
    with pytest.raises(ValueError, match="Z"):
        replace_table(document, "Z", new)


def test_commands_for_contributors_are_run_before_a_merge() -> None:
    commands = [code for row in table_rows(CONTRIBUTING, "Commands") for code in codes_in(row[1])]
    checks = read_document(".ci/run")
    for program in (".venv/bin/ruff check .", ".venv/bin/mypy", ".venv/bin/lint-imports"):
        assert any(program in command for command in commands)  # .ci/run starts the tests by the command of the README
        assert program in checks
    paths = [word for command in commands for word in command.split() if word.startswith(("tests/", ".ci/"))]
    assert all((ROOT / path).exists() for path in paths)


# The Russian README


def structure_of(document: str) -> list[object]:
    """Return what both languages have in common: levels of headings, texts of blocks, code in tables."""
    structure: list[object] = []
    for block in re.split(r"(^```\w+\n.*?^```$)", document, flags=re.MULTILINE | re.DOTALL):
        if block.startswith("```"):
            structure.append(block)
            continue
        for line in block.splitlines():
            if line.startswith("#"):
                structure.append(len(line) - len(line.lstrip("#")))
            elif line.startswith("|"):
                structure.append((line.count(" |"), codes_in(line)))
    return structure


def test_russian_readme_mirrors_the_english_one() -> None:
    assert structure_of(RUSSIAN) == structure_of(README)
    assert README.count("](") == RUSSIAN.count("](")
