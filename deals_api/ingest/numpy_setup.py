"""numpy without the threads of its linear algebra, which the service does not use: each would have its own memory."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

__all__ = ["np"]
