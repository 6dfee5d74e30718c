"""The log that forked processes share."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from deals_api.processes import SharedLog

pytestmark = pytest.mark.database_independent


def in_other_process(action: Callable[[], object]) -> None:
    """Fork a process, call ``action`` in it, and wait for its end."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_each_process_reads_every_entry_once() -> None:
    log = SharedLog(1_000)
    log.append(b"first")
    in_other_process(lambda: log.append(b"|".join([*log.read(), b"seen by the other process"])))
    log.append(b"")
    assert log.read() == [b"first", b"first|seen by the other process", b""]
    assert log.read() == []


def test_entries_are_read_across_the_end_of_the_buffer() -> None:
    log = SharedLog(800)
    for number in range(1_000):
        entry = bytes([number % 256]) * (number % 96)
        log.append(entry)
        assert log.read() == [entry]


def test_overwritten_entries_are_not_read() -> None:
    log = SharedLog(800)
    for number in range(20):
        log.append(b"%d" % number * 40)
    assert log.read() == []
    log.append(b"next")
    assert log.read() == [b"next"]


def test_entry_over_an_eighth_of_the_buffer_is_not_stored() -> None:
    log = SharedLog(800)
    log.append(b"x" * 97)
    log.append(b"x" * 96)
    assert log.read() == [b"x" * 96]


def test_killed_process_neither_holds_the_lock_nor_leaves_a_partial_entry() -> None:
    log = SharedLog(1_000)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with log._lock:
            log._memory[8:12] = b"\x00\x00\x00\x05"  # the beginning of an entry
            os.write(writer, b"x")
            time.sleep(600)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert log.read() == []
    log.append(b"next")
    assert log.read() == [b"next"]
