"""Copies of the static files for a proxy, which serves those of several builds.

During an upgrade, pages of both builds are open, but each web process has only its own files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

#: The running build, and the one before it.
BUILDS: Final = 2


def publish(collected: Path, folder: Path, build: str) -> None:
    """Copy the files of a build to ``folder/build``, and delete those of builds before the previous one.

    Several containers may publish the same build at the same time.

    Raises: OSError.
    """
    published = folder / build
    if not published.is_dir():
        copy = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
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
    for old in sorted(folder.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)[BUILDS:]:
        shutil.rmtree(old, ignore_errors=True)
