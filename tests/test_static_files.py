"""Static files that the service copies for nginx."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from project.server.static_files import publish

pytestmark = pytest.mark.database_independent

BUILD = "0123456789abcdef"


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    folder = tmp_path / "collected"
    (folder / "frontend").mkdir(parents=True)
    (folder / "frontend" / "main.js").write_text("// code")
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    return folder


def builds(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_of_the_last_two_builds_are_retained(collected: Path, published: Path) -> None:
    a, b, c, d = ("0123456789abcde" + digit for digit in "abcd")
    for number, build in enumerate((a, b, c), start=1):
        publish(collected, published, build)
        os.utime(published / build, (number, number))
    assert builds(published) == [b, c]
    assert (published / c / "frontend" / "main.js").read_text() == "// code"
    # A return to the previous build makes it the newest one.
    publish(collected, published, b)
    publish(collected, published, d)
    assert builds(published) == [b, d]


def test_other_folders_and_files_are_retained(collected: Path, published: Path) -> None:
    for name in ("assets", "data", "0123", "backup", "css"):
        (published / name).mkdir()
    (published / "favicon.ico").touch()
    before = builds(published)
    publish(collected, published, BUILD)
    assert builds(published) == sorted([*before, BUILD])


def test_copies_of_killed_processes_do_not_accumulate(collected: Path, published: Path) -> None:
    for number in range(30):
        (published / f".copy-{number}").mkdir()
    publish(collected, published, BUILD)
    assert len(builds(published)) == 21


def test_containers_may_publish_the_same_build_concurrently(collected: Path, published: Path) -> None:
    for number in range(200):
        (collected / f"{number}.js").write_text("// code")
    with ThreadPoolExecutor(8) as pool:
        for publication in [pool.submit(publish, collected, published, BUILD) for _ in range(8)]:
            publication.result()
    assert builds(published) == [BUILD]
    assert len(list((published / BUILD).iterdir())) == 201


def test_failed_copy_leaves_nothing(collected: Path, published: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        publish(collected / "missing", published, BUILD)
    assert builds(published) == []
