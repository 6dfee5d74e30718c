"""CPU time of processes, with a resolution that measures single requests (Linux)."""

from __future__ import annotations

import time
from typing import Final

import psutil

#: ``CPUCLOCK_SCHED`` of the Linux kernel: the CPU time of a whole process.
_CPU_CLOCK: Final = 2


def cpu_seconds_of(process: psutil.Process) -> float:
    """CPU time of a process in nanoseconds' resolution, as ``clock_getcpuclockid(3)``; /proc has 10 ms."""
    try:
        return time.clock_gettime((~process.pid << 3) | _CPU_CLOCK)
    except OSError:  # it has ended
        return 0.0


def cpu_seconds_of_postgres(pid: int) -> float:
    """CPU time of all processes of a PostgreSQL server, those that have ended included."""
    postmaster = psutil.Process(pid)
    ended = postmaster.cpu_times()
    return ended.children_user + ended.children_system + sum(map(cpu_seconds_of, postmaster.children()))
