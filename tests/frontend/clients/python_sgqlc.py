"""Python's sgqlc: a module generated from the introspection of the service, over requests and urllib.

python python_sgqlc.py SERVICE
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests
from sgqlc.endpoint.http import HTTPEndpoint
from sgqlc.endpoint.requests import RequestsEndpoint
from sgqlc.introspection import query as introspection_query
from sgqlc.introspection import variables as introspection_variables
from sgqlc.operation import Operation

ENDPOINT = f"{sys.argv[1]}/graphql/"


def check(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise SystemExit(f"{what}: {actual!r} instead of {expected!r}")
    print(f"ok: {what}")


def generated_schema(folder: Path) -> Any:
    """Generate and import the module of the schema."""
    variables = introspection_variables(include_description=True, include_deprecated=True)
    answer = requests.post(ENDPOINT, json={"query": introspection_query, "variables": variables}, timeout=300)
    (folder / "schema.json").write_bytes(answer.content)
    files = [str(folder / "schema.json"), str(folder / "deals_schema.py")]
    command = [sys.executable, "-m", "sgqlc.codegen", "schema", *files]
    subprocess.run(command, check=True)
    specification: Any = importlib.util.spec_from_file_location("deals_schema", folder / "deals_schema.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run(name: str, endpoint: Any, schema: Any) -> None:
    operation = Operation(schema.Query)
    deals = operation.deals(first=2, order_by="DATE_ASC")
    deals.total_count()
    deals.nodes.date()
    deals.nodes.row_number()
    operation.deal_stats(by=["MONTH"], limit=1).nodes.month()
    result = operation + endpoint(operation)
    check(f"{name}: typed fields", (result.deals.total_count, len(result.deals.nodes)), (767, 2))
    check(f"{name}: DateTime is a datetime", type(result.deals.nodes[0].date), datetime.datetime)
    check(f"{name}: Date is a date", type(result.deal_stats.nodes[0].month), datetime.date)
    errors = endpoint("{deals(first: 1000) {totalCount}}")["errors"]
    check(f"{name}: an error has a code", errors[0]["extensions"]["code"], "limit_exceeded")


with tempfile.TemporaryDirectory() as temporary:
    module = generated_schema(Path(temporary))
    check("the introspection is read", json.dumps(module.Deal.__field_names__).count("row_number"), 1)
    run("requests", RequestsEndpoint(ENDPOINT), module)
    run("urllib", HTTPEndpoint(ENDPOINT), module)
