"""A short run of the soak test, ``python -m tests.soak``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import soaking


@pytest.mark.usefixtures("postgresql_only")
def test_large_uploads_affect_no_reader_and_leak_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with soaking(tmp_path, 20_000) as soak:
        soak.run(12)
        assert soak.failures() == []
        assert len(soak.upload_seconds) >= 2
        assert len(soak.read_seconds) > 100
