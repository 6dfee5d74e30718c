"""Configuration of gunicorn."""

import contextlib
import ctypes
import gc
import logging
import os
import select
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from project.command_line import collect_garbage_less_often, exit_on_invalid_setting

collect_garbage_less_often()
with exit_on_invalid_setting():
    from project import settings

wsgi_app = "project.wsgi:application"
bind = f"[{settings.BIND}]:{settings.PORT}" if ":" in settings.BIND else f"{settings.BIND}:{settings.PORT}"
worker_class = "project.server.gunicorn_worker.GunicornWorker"
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS

# A stopping worker finishes its requests; a large upload takes long.
graceful_timeout = 120
# Connections of a worker process. Each needs a file descriptor, some two, and a process has at least 1024.
worker_connections = 400
# As long as nginx.conf accepts; a proxy may lengthen a header.
limit_request_line = 8190
limit_request_field_size = 16380
limit_request_fields = 1000
# The heartbeat comes from the main loop of a worker, so this limit ends hung processes, not slow requests.
timeout = 60
keepalive = 75
# The heartbeat file is in memory, so that a heartbeat never waits for a disk.
worker_tmp_dir = "/dev/shm"  # noqa: S108
# Workers share the loaded modules of the master: less memory and a faster start.
preload_app = True
# No request header may replace a WSGI variable. By default, SCRIPT_NAME and PATH_INFO from 127.0.0.1 do.
forwarder_headers = ""
# By default, gunicorn creates a control socket below $HOME.
control_socket_disable = True
# Django's LOGGING formats gunicorn's own log records. A ``logconfig_dict`` here would also make gunicorn format an
# access log record for each request, which takes a quarter of the time of a cached response.


def pre_request(_worker: object, request: Any) -> None:
    """Enable the application to close the connection; gunicorn ignores its ``Connection`` header."""
    request.body.force_close = request.force_close


_STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def on_starting(_server: object) -> None:
    """Exit with code 2 if the tables do not match the code; /health/ready repeats the check after a database error."""
    from django.db import Error, connection

    from deals_api.schema_check import SchemaMismatch, require_matching_schema_once

    try:
        require_matching_schema_once()
    except SchemaMismatch as mismatch:
        sys.stderr.write(f"{mismatch}\n")
        sys.exit(2)
    except Error as error:
        logging.getLogger(__name__).warning("The tables were not checked: %s", error)
    finally:
        connection.close()  # Workers must not inherit it.
    _block_signals_in_new_workers()


def on_reload(_server: object) -> None:
    """Remove the handler of gunicorn's own format, which each SIGHUP adds: every record would be written twice."""
    logging.getLogger("gunicorn.error").handlers.clear()


def _block_signals_in_new_workers() -> None:
    """Block stop signals until a new worker has installed its handlers.

    With the inherited handlers of the master, the worker would lose the signal, and the master would wait for it until
    ``graceful_timeout``.
    """
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS),
    )


def post_worker_init(worker: Any) -> None:
    """Close the listening socket when a stop begins.

    gunicorn closes it when the last request has finished, up to ``graceful_timeout`` later. Until then, the kernel
    would accept connections that no process reads, and a proxy would wait for their responses.
    """

    def stop(signal_number: int, frame: Any) -> None:
        """Do the rest in the main loop, which may have been interrupted while it held a lock of the thread pool."""
        if signal_number == signal.SIGTERM:
            worker.handle_exit(signal_number, frame)
            worker.method_queue.defer(close_listeners)
        else:
            worker.method_queue.defer(quit_worker)

    def quit_worker() -> None:
        close_listeners()
        worker.handle_quit(signal.SIGQUIT, None)  # raises SystemExit

    def close_listeners() -> None:
        worker.set_accept_enabled(False)
        for listener in worker.sockets:
            while select.select([listener], [], [], 0)[0]:
                worker.accept(listener)
            listener.close()
        worker.sockets = []

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


def when_ready(_server: object) -> None:
    # A second master could not be started in this process's place: ``manage.py serve`` is not gunicorn's own command.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    sys.stdout.write(f"Serving on http://localhost:{settings.PORT}{settings.BASE_PATH}/\n")
    sys.stdout.flush()


#: The parameter of ``mallopt`` for the number of arenas, from ``malloc.h``.
_M_ARENA_MAX = -8


def post_fork(_server: object, _worker: object) -> None:
    """Exclude the objects of the master from garbage collection, and start the trace exporter.

    The threads of a worker share the memory that they free. By default, glibc keeps it for each thread, so that loads
    in several threads need more memory.
    """
    gc.freeze()
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    if settings.TRACES:
        from project.telemetry import tracing

        tracing.start()


def child_exit(_server: object, worker: Any) -> None:
    # Imported late, because the library reads PROMETHEUS_MULTIPROC_DIR when it is imported.
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    _remove_folder(server.cfg.env["PROMETHEUS_MULTIPROC_DIR"])


# Folder for the metrics of all workers


def make_metrics_folder() -> str:
    """Create a folder for this process, in memory if possible, and remove the folders of killed processes."""
    memory = "/dev/shm"  # noqa: S108
    parent = memory if os.access(memory, os.W_OK) else tempfile.gettempdir()
    for folder in Path(parent).glob("deals-metrics-*"):
        if not Path("/proc", folder.name.split("-")[2]).exists():
            _remove_folder(str(folder))
    return tempfile.mkdtemp(prefix=f"deals-metrics-{os.getpid()}-", dir=parent)


def _remove_folder(folder: str) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
