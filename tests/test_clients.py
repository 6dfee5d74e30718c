"""Clients of both APIs against a running service; a program for each prints what it checked.

``tests/frontend/clients`` contains those of GraphQL, and ``tests/frontend/openapi`` the generators of REST clients.
``tests/frontend/recipes`` contains the functions of the README that read all pages while uploads land.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import node
from tests.requires import OPENAPI_VENV, require
from tests.servers import ROOT, TIMEOUT, Server

pytestmark = pytest.mark.database_independent

CLIENTS = node.FOLDER / "clients"
NODE_PROGRAMS = sorted(path.stem for path in CLIENTS.glob("*.mjs"))
PYTHON_PROGRAMS = sorted(path.stem for path in CLIENTS.glob("*.py"))
OPENAPI = node.FOLDER / "openapi"
TYPESCRIPT_REST_CLIENTS = sorted(path.stem for path in (OPENAPI / "src").glob("*.ts") if path.stem != "client")
PYTHON_REST_PROGRAMS = sorted(path.stem for path in OPENAPI.glob("*.py"))
#: Walk all pages while uploads land; the graphql_schema/README.md shows the functions.
RECIPES = sorted(path.stem for path in (node.FOLDER / "recipes").glob("*.mjs") if path.stem != "polling")


@pytest.fixture(scope="module")
def _relay_documents() -> None:
    """Compile the documents of ``relay/documents.js``; the compiler validates them with the committed schema."""
    (node.FOLDER / "relay" / "__generated__").mkdir(exist_ok=True)
    node.run("node", "node_modules/relay-compiler/cli.js", "relay.config.json")


@pytest.fixture
def service(shared_server: Server, real_file: bytes) -> str:
    """The URL of a service whose current upload is the real file."""
    assert shared_server.upload(real_file).status_code == 200
    return shared_server.url


@pytest.mark.usefixtures("_relay_documents")
@pytest.mark.parametrize("client", NODE_PROGRAMS)
def test_javascript_client_passes_its_scenario(client: str, service: str) -> None:
    output = node.run("node", f"clients/{client}.mjs", service)
    assert_passed(output)


@pytest.mark.parametrize("client", PYTHON_PROGRAMS)
def test_python_client_passes_its_scenario(client: str, service: str) -> None:
    assert_passed(run_python(sys.executable, CLIENTS / f"{client}.py", service))


@pytest.fixture(scope="module")
def _typescript_rest_clients(shared_server: Server) -> None:
    """Generate the clients from the served description, and compile them together."""
    node.run("node", "openapi/generate.mjs", shared_server.url)


@pytest.mark.usefixtures("_typescript_rest_clients")
@pytest.mark.parametrize("client", TYPESCRIPT_REST_CLIENTS)
def test_generated_typescript_client_passes_its_scenario(client: str, service: str) -> None:
    assert_passed(node.run("node", "openapi/run.mjs", service, client))


@pytest.mark.parametrize("program", PYTHON_REST_PROGRAMS)
def test_python_program_of_openapi_passes_its_scenario(program: str, service: str) -> None:
    require("Python packages of tests/frontend/openapi")
    assert_passed(run_python(str(OPENAPI_VENV / "bin" / "python"), OPENAPI / f"{program}.py", service))


def run_python(interpreter: str, program: Path, service: str) -> str:
    command = [interpreter, str(program), service]
    result = subprocess.run(command, capture_output=True, text=True, timeout=2 * TIMEOUT, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def assert_passed(output: str) -> None:
    """Print what the program checked; a program that checks nothing fails."""
    sys.stdout.write(output)
    lines = output.splitlines()
    assert len(lines) > 2
    assert [line for line in lines if not line.startswith("ok: ")] == []


@pytest.mark.usefixtures("_relay_documents")
@pytest.mark.parametrize("recipe", RECIPES)
def test_documented_pagination_never_mixes_uploads(recipe: str, service: str) -> None:
    assert_passed(node.run("node", "recipes.mjs", service, recipe))


def test_documented_polling_reports_each_new_upload(service: str) -> None:
    assert_passed(node.run("node", "polling.mjs", service))


def test_readme_shows_the_tested_recipes() -> None:
    readme = (ROOT / "graphql_schema" / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Pagination")[2].partition("\n## ")[0]
    blocks = [block.partition("\n```")[0] for block in section.split("```js\n")[1:]]
    recipes = "\n".join(path.read_text(encoding="utf-8") for path in (node.FOLDER / "recipes").iterdir())
    assert len(blocks) > len(RECIPES)
    assert [block for block in blocks if block not in recipes] == []
