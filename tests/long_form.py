"""The long form of the suite, which tests more cases and for longer; the variable DEALS_TEST_SECONDS selects it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

#: Duration of the tests that run for a given time; 0 in the short form.
SECONDS: Final = float(os.environ.get("DEALS_TEST_SECONDS", "0"))
IS_LONG: Final = SECONDS > 0


def sample(cases: Sequence[T], step: int, start: int = 0) -> Sequence[T]:
    """Return all cases in the long form, otherwise every ``step``-th one."""
    return cases if IS_LONG else cases[start % step :: step]
