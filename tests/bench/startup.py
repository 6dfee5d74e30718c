"""CPU time of ``manage.py serve`` until it is ready, compared with one import of the service and its packages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Final

import psutil

from tests.bench.cpu import children_cpu_seconds, cpu_seconds_of
from tests.bench.environment import Backends
from tests.bench.table import interleaved_medians, print_row
from tests.servers import ROOT, Server

_IMPORTS: Final = """
import django
django.setup()
import gunicorn.app.wsgiapp, gunicorn.workers.gthread
from django.urls import get_resolver
get_resolver().url_patterns
"""
#: The other workers also start; a worker without requests uses no CPU time.
_SETTLING_SECONDS: Final = 2


def bench(backends: Backends) -> None:
    """Measure starts on an existing database."""
    with backends.environment({}):
        pass

    def serve_cpu_seconds() -> float:
        with backends.environment({}) as environment:
            time.sleep(_SETTLING_SECONDS)
            return cpu_seconds_of_service(environment.server)

    baseline, result = interleaved_medians(import_cpu_seconds, serve_cpu_seconds)
    print_row(
        "`serve` until ready, CPU of all its processes", f"{result:.2f} s",
        f"importing the service and its packages once: {baseline:.2f} s", f"{result / baseline:.1f}×",
        "≤ 1.5 s (aim: 1.3 s)",
    )  # fmt: skip


def import_cpu_seconds() -> float:
    before = children_cpu_seconds()
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "project.settings"}
    subprocess.run([sys.executable, "-c", _IMPORTS], cwd=ROOT, env=environment, check=True)
    return children_cpu_seconds() - before


def cpu_seconds_of_service(server: Server) -> float:
    """Return the CPU time of the service's processes, including those that have ended."""
    master = psutil.Process(server.process.pid)
    times = master.cpu_times()
    ended = times.children_user + times.children_system
    return ended + sum(map(cpu_seconds_of, [master, *server.workers()]))
