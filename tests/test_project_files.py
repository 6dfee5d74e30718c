"""Project files agree with each other: version number, example settings, top level of the repository."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from django.conf import settings

import project
from tests.servers import ROOT
from tests.test_compose import COMPOSE, OTHER_DEFAULTS, settings_with, unset_environment
from tests.test_readme_install import SUPPORTED

pytestmark = pytest.mark.database_independent

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: The requirements fix the top level; files whose names begin with a dot may be added.
TOP_LEVEL = {
    "docker-compose.yml", "Dockerfile", "README.md", "README.ru.md", "requirements.txt", "pyproject.toml", "manage.py",
    "project", "deals_api", "graphql_schema", "tests",
}  # fmt: skip


def test_version_is_the_same_everywhere() -> None:
    label = re.search(r'image\.version="(.*?)"', (ROOT / "Dockerfile").read_text())
    assert label
    newest = re.search(r"^## (\S+)$", (ROOT / ".github" / "CHANGELOG.md").read_text(), re.MULTILINE)
    supported = re.search(r"newest version, ([\d.]+),", (ROOT / ".github" / "SECURITY.md").read_text())
    assert newest
    assert supported
    versions = {
        "project/__init__.py": project.__version__,
        "pyproject.toml": PYPROJECT["project"]["version"],
        "Dockerfile": label[1],
        "CHANGELOG.md": newest[1],
        "SECURITY.md": supported[1],
        "OpenAPI": settings.SPECTACULAR_SETTINGS["VERSION"],
    }
    assert set(versions.values()) == {project.__version__}, versions


def example_settings() -> dict[str, str]:
    return dict(re.findall(r"^# ([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_env_example_lists_every_setting_of_docker_compose() -> None:
    variables = set(re.findall(r"\$\{([A-Z_]+)", str(COMPOSE)))
    assert example_settings().keys() == variables


def test_env_example_shows_the_defaults() -> None:
    defaults = unset_environment()
    assert settings_with(defaults | example_settings()) == settings_with(defaults | OTHER_DEFAULTS)
    assert f"${{POSTGRES_PASSWORD:-{example_settings()['POSTGRES_PASSWORD']}}}" in str(COMPOSE)


def test_top_level_has_only_the_required_files() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    names = {path.partition("/")[0] for path in listed.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_workflow_runs_every_supported_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["checks"]["strategy"]["matrix"]["python"] == list(SUPPORTED)
    assert PYPROJECT["project"]["requires-python"] == f">={SUPPORTED[0]}"
