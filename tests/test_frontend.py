"""A frontend in TypeScript: types made of the committed schema, strict, and run against the real service.

``tests/frontend/src/deals.ts`` is meant to be taken as a model; ``explore.ts`` beside it tries all of it.
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
    """The program, after its types were made and the compiler found nothing to say."""
    node.run("node", "codegen.mjs")
    assert node.run("node", "node_modules/typescript/bin/tsc") == ""


@pytest.fixture
def report(compiled: None, server: Server, real_file: bytes, tmp_path: Path) -> Any:
    """What the program found at a service that has the real file; half-way through a second one came."""
    server.upload(real_file)
    next_file = tmp_path / "next.csv"
    next_file.write_bytes(csv_of(deal("ann", "ruby", "10.50"), deal("bob", "opal", "7", date="2019-01-01 00:00:00")))
    return json.loads(node.run("node", "run.mjs", server.url, str(next_file)))


def test_a_frontend_reads_pages_survives_an_upload_and_rolls_back(report: Any) -> None:
    richest = {"username": "resplendent", "spentMoney": "451731", "gems": ["Рубин", "Сапфир", "Танзанит"]}
    assert report["topClients"][0] == richest
    assert len(report["topClients"]) == 5
    # To the end: no row twice, none missing, in order, and nothing lost of any sum.
    assert report["upload"]["dealCount"] == report["rows"] == report["ids"] == report["dealsOfMonths"] == 767
    assert report["dates"] == sorted(report["dates"], reverse=True)
    assert report["total"] == report["totalOfMonths"] == "150959700"
    # Two pages of the first file, then another came: its only page, and none of the first one's rows.
    assert report["pages"] == 3
    assert report["afterUpload"] == [["ann", "ruby", "10.5"], ["bob", "opal", "7"]]
    assert report["second"] == "next.csv"
    assert report["wentBack"] is True
    # Each refusal by its code, whoever refused.
    assert report["tooMany"] == "limit_exceeded"
    assert report["notRetained"] == "upload_not_retained"
    assert report["badFile"] == "unreadable_upload"
    assert report["nobody"] == "no_answer"


def test_every_scalar_of_the_schema_has_a_type_in_typescript() -> None:
    show = "import('./codegen.config.mjs').then((it) => console.log(JSON.stringify(it.default)))"
    config = json.loads(node.run("node", "-e", show))["generates"]["src/gql/"]["config"]
    schema = build_schema((ROOT / "graphql_schema" / "schema.graphql").read_text())
    scalars = {
        name
        for name, one in schema.type_map.items()
        if isinstance(one, GraphQLScalarType) and not is_specified_scalar_type(one)
    }
    assert set(config["scalars"]) == scalars
    assert config["strictScalars"] is True


def test_the_packages_are_pinned_and_name_no_place_to_fetch_them_from() -> None:
    wanted = json.loads((node.FOLDER / "package.json").read_text())
    assert all(version[0].isdigit() and "x" not in version for version in wanted["devDependencies"].values())
    locked = json.loads((node.FOLDER / "package-lock.json").read_text())["packages"]
    assert [name for name, package in locked.items() if "resolved" in package] == []
    assert all(package["integrity"] for name, package in locked.items() if name)
