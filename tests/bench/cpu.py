"""CPU time of Linux processes, with a resolution that measures single requests."""

from __future__ import annotations

import resource
import time
from typing import Final

import psutil

#: ``CPUCLOCK_SCHED`` of the Linux kernel: the CPU time of a whole process.
_CPU_CLOCK: Final = 2


def cpu_seconds_of(process: psutil.Process) -> float:
    """Return the CPU time with a resolution of nanoseconds, as ``clock_getcpuclockid(3)``; that of /proc is 10 ms."""
    try:
        return time.clock_gettime((~process.pid << 3) | _CPU_CLOCK)
    except OSError:  # the process has ended
        return 0.0


def cpu_seconds_of_postgres(pid: int) -> float:
    """Return the CPU time of all processes of a PostgreSQL server, including those that have ended."""
    postmaster = psutil.Process(pid)
    times = postmaster.cpu_times()
    return times.children_user + times.children_system + sum(map(cpu_seconds_of, postmaster.children()))


def children_cpu_seconds() -> float:
    """Return the CPU time of all child processes of this one that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
