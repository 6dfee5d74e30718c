"""Entry point of ``manage.py``: signals, invalid settings and exit codes."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterator

#: Commands that a signal may end at any instruction, because their changes are transactions. ``load_deals`` has its own
#: signal handler while it stores a file.
_INTERRUPTIBLE = {"serve", "load_deals", "top_clients", "migrate"}


def main() -> None:
    """Run the command of ``sys.argv``.

    Exit codes, besides those of the command: 2 invalid setting; 3 unusable database; 130 interrupted.
    """
    collect_garbage_less_often()
    _exit_on(signal.SIGINT, signal.SIGTERM)
    command = sys.argv[1:2]
    if command == ["serve"] and sys.stdout.isatty():
        sys.stdout.write("Starting…\n")
        sys.stdout.flush()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    with exit_on_invalid_setting():
        import django
        from django.core.management import execute_from_command_line
        from django.db import Error

        from deals_api.db_vendor import describe_error, is_database_file_unusable

        django.setup()
        if not _INTERRUPTIBLE.intersection(command):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            execute_from_command_line(sys.argv)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except Error as error:
            if not is_database_file_unusable(error):
                raise
            sys.stderr.write(f"The database cannot be used: {describe_error(error)}\n")
            sys.exit(3)
        finally:
            # A signal must not interrupt the clean-up of the interpreter with a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def collect_garbage_less_often() -> None:
    """Raise the thresholds of garbage collection, and exclude all objects from the collections at exit.

    It finds nothing among the objects that imports and loads create: the former are never deleted, and the latter have
    no cycles.
    """
    gc.set_threshold(50_000, 20, 50)
    atexit.register(gc.freeze)


def _exit_on(*signals: signal.Signals) -> None:
    """End the process without a traceback. An exception from a handler could be printed, or lost in a callback."""
    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, _frame: os._exit(128 + received))


@contextlib.contextmanager
def exit_on_invalid_setting() -> Iterator[None]:
    """Report an invalid setting in one line, and exit with code 2."""
    from django.core.exceptions import ImproperlyConfigured

    try:
        yield
    except ImproperlyConfigured as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        sys.exit(2)
