"""gunicorn's worker process with threads, which leaves connections that it cannot serve yet to other processes."""

from __future__ import annotations

from gunicorn.workers.gthread import ThreadWorker


class GunicornWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Accepts a connection only while a thread is free.

    gunicorn itself accepts up to the setting ``worker_connections``, which includes idle connections, so it cannot be
    the number of threads. Many readers waited for slow uploads that occupied all threads of one process, although
    threads of another process were idle.
    """

    @property
    def worker_connections(self) -> int:
        """The number of connections at which gunicorn stops accepting more."""
        waiting: int = len(self.keepalived_conns) + len(self.pending_conns)
        return min(self._max_connections, waiting + int(self.cfg.threads))

    @worker_connections.setter
    def worker_connections(self, maximum: int) -> None:
        self._max_connections: int = maximum
