"""Copies of the static files for a proxy, which serves those of several builds.

During an upgrade, pages of both builds are open, but each web process has only its own files.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

#: The running build, and the one before it.
BUILDS: Final = 2
#: Names of published folders: the digests of builds.
_BUILD: Final = re.compile("[0-9a-f]{16}")
#: Begins the names of copies in progress, and of those that a killed process left.
_PREFIX: Final = ".copy-"
_MAX_CONCURRENT: Final = 20


def publish(collected: Path, folder: Path, build: str) -> None:
    """Copy the files of a build to ``folder/build``, and delete those of builds before the previous one.

    Several containers may publish the same build at the same time.

    Raises: OSError.
    """
    published = folder / build
    if not published.is_dir():
        copy = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        try:
            shutil.copytree(collected, copy, dirs_exist_ok=True)
            copy.chmod(0o755)
            copy.rename(published)
        except OSError:
            if not published.is_dir():  # another container has published the build
                raise
        finally:
            shutil.rmtree(copy, ignore_errors=True)
    os.utime(published)
    delete_all_but_newest([path for path in folder.iterdir() if _BUILD.fullmatch(path.name)], BUILDS)
    delete_all_but_newest(list(folder.glob(f"{_PREFIX}*")), _MAX_CONCURRENT)


def delete_all_but_newest(folders: list[Path], count: int) -> None:
    """Delete folders except the ``count`` newest; another container may delete them at the same time."""
    ages: list[tuple[float, Path]] = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            ages.append((folder.stat().st_mtime, folder))
    for _, folder in sorted(ages, reverse=True)[count:]:
        shutil.rmtree(folder, ignore_errors=True)
