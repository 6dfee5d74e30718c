"""Every package that pip would install, dependencies included, is pinned in a requirements file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import ROOT

pytestmark = pytest.mark.database_independent

SERVICE, TESTS = ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt"
#: Installed into another virtual environment, where .ci/packages checks that every dependency is pinned.
CLIENTS = ROOT / "tests" / "frontend" / "openapi" / "requirements.txt"
#: Supported Python versions; the first is that of Debian 12.
PYTHONS = ("3.11.2", "3.11.14", "3.12.9", "3.13.9", "3.14.0")


def read(path: Path) -> Iterator[Requirement]:
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from read(path.parent / text.removeprefix("-r "))
        elif text:
            yield Requirement(text)


def applies(requirement: Requirement, python: str, extras: set[str]) -> bool:
    environment = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    marker = requirement.marker
    return marker is None or any(marker.evaluate(environment | {"extra": extra}) for extra in extras | {""})


def dependencies_of(requirement: Requirement) -> list[Requirement]:
    try:
        return [Requirement(text) for text in metadata.requires(requirement.name) or []]
    except metadata.PackageNotFoundError:
        return []  # its marker excludes the Python that runs this test


@pytest.mark.parametrize("path", [SERVICE, TESTS, CLIENTS], ids=["service", "tests", "clients"])
def test_every_requirement_is_pinned_to_one_version(path: Path) -> None:
    operators = {str(requirement): [part.operator for part in requirement.specifier] for requirement in read(path)}
    assert [requirement for requirement, found in operators.items() if found != ["=="]] == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("path", [SERVICE, TESTS], ids=["service", "tests"])
def test_every_dependency_of_a_requirement_is_pinned(path: Path, python: str) -> None:
    requirements = [requirement for requirement in read(path) if applies(requirement, python, set())]
    pinned = {canonicalize_name(requirement.name) for requirement in requirements}
    missing = {
        str(dependency)
        for requirement in requirements
        for dependency in dependencies_of(requirement)
        if applies(dependency, python, requirement.extras) and canonicalize_name(dependency.name) not in pinned
    }
    assert missing == set(), f"add these with their versions to {path.name}"
