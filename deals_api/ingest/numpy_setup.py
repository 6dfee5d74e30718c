"""numpy with little memory: without the threads of its linear algebra, and with freed arrays returned to the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Final

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

__all__ = ["np"]

#: A parameter of ``mallopt`` in glibc. Its default grows with the largest freed block, and each thread that has loaded
#: a file would keep the memory of smaller ones.
_M_MMAP_THRESHOLD: Final = -3
with contextlib.suppress(AttributeError):  # other C libraries
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 512 * 1024)
