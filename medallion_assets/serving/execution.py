"""One query that is running, as its caller sees it: it can be stopped from another thread.

Belongs here: stopping it, and why it was stopped. Does not belong here: running it (reader).
"""

from __future__ import annotations

import threading

import duckdb

from medallion_assets.serving.refusal import Refusal


class Execution:
    """A query of one request. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._stopped: Refusal | None = None

    def use(self, connection: duckdb.DuckDBPyConnection | None) -> None:
        """Make `stop` interrupt this connection; None once it is closed."""
        with self._lock:
            self._connection = connection

    def stop(self, why: Refusal) -> None:
        """Stop the query; the first reason counts. To be called until it has ended, because an interruption that comes
        between two statements of DuckDB has no effect."""
        with self._lock:
            self._stopped = self._stopped or why
            if self._connection is not None:
                self._connection.interrupt()

    def check(self) -> None:
        """Raise the Refusal with which the query was stopped, if it was."""
        if self._stopped is not None:
            raise self._stopped
