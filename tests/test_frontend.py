"""A client in TypeScript, with types generated from the committed schema, run against the real service.

``tests/frontend/src/deals.ts`` is an example to copy; ``explore.ts`` exercises it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLScalarType, build_schema, is_specified_scalar_type

from tests import node
from tests.builders import csv_of, deal
from tests.servers import ROOT, Server

pytestmark = pytest.mark.database_independent


@pytest.fixture(scope="module")
def compiled() -> None:
    """Generate the types and compile the client; the compiler must report nothing."""
    node.run("node", "codegen.mjs")
    assert node.run("node", "node_modules/typescript/bin/tsc") == ""


@pytest.fixture
def report(compiled: None, server: Server, real_file: bytes, tmp_path: Path) -> Any:
    """Run ``explore.ts`` against a service with the real file; a second file is uploaded while the client reads."""
    server.upload(real_file)
    next_file = tmp_path / "next.csv"
    next_file.write_bytes(csv_of(deal("ann", "ruby", "10.50"), deal("bob", "opal", "7", date="2019-01-01 00:00:00")))
    return json.loads(node.run("node", "run.mjs", server.url, str(next_file)))


def test_client_reads_all_pages_restarts_after_an_upload_and_rolls_back(report: Any) -> None:
    richest = {"username": "resplendent", "spentMoney": "451731", "gems": ["Рубин", "Сапфир", "Танзанит"]}
    assert report["topClients"][0] == richest
    assert len(report["topClients"]) == 5
    # Each row once, in order, with exact sums.
    assert report["upload"]["dealCount"] == report["rows"] == report["ids"] == report["dealsOfMonths"] == 767
    assert report["dates"] == sorted(report["dates"], reverse=True)
    assert report["total"] == report["totalOfMonths"] == "150959700"
    # Two pages of the first file, then the only page of the second file; no rows of the first file are left.
    assert report["pageCount"] == 3
    assert report["afterUpload"] == [["ann", "ruby", "10.5"], ["bob", "opal", "7"]]
    assert report["second"] == "next.csv"
    assert report["rolledBack"] is True
    # Every error has a code, whether GraphQL, REST or the client reports it.
    assert report["tooMany"] == "limit_exceeded"
    assert report["notRetained"] == "upload_not_retained"
    assert report["badFile"] == "unreadable_upload"
    assert report["unreachable"] == "no_response"


def test_every_scalar_has_a_typescript_type() -> None:
    script = "import('./codegen.config.mjs').then((module) => console.log(JSON.stringify(module.default)))"
    config = json.loads(node.run("node", "-e", script))["generates"]["src/gql/"]["config"]
    schema = build_schema((ROOT / "graphql_schema" / "schema.graphql").read_text())
    scalars = {
        name
        for name, type_ in schema.type_map.items()
        if isinstance(type_, GraphQLScalarType) and not is_specified_scalar_type(type_)
    }
    assert set(config["scalars"]) == scalars
    assert config["strictScalars"] is True


def test_npm_packages_are_pinned_without_registry_urls() -> None:
    manifest = json.loads((node.FOLDER / "package.json").read_text())
    assert all(version[0].isdigit() and "x" not in version for version in manifest["devDependencies"].values())
    lock = json.loads((node.FOLDER / "package-lock.json").read_text())["packages"]
    assert [name for name, package in lock.items() if "resolved" in package] == []
    assert all(package["integrity"] for name, package in lock.items() if name)
