"""The checkpoint: what the poller has delivered, on disk; it survives kill -9 and power cuts.

Belongs here: the file, its lock, and what it stores about tables and shards. Does not belong here: what follows from it
(shards, table). It is one SQLite file in WAL mode with full sync: a commit that returned is on disk.
"""

import fcntl
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from medallion_assets.capture.coverage import ShardCoverage
from medallion_assets.capture.heartbeat import ShardHeartbeat
from medallion_assets.errors import CheckpointUnusable, SettingsError

# Well past the stream's retention of 24 hours, in which the children of a finished shard can name it as their parent.
_FORGET_FINISHED_AFTER: Final = timedelta(days=7)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tables (
    table_name TEXT PRIMARY KEY, stream_arn TEXT NOT NULL, started_at TEXT NOT NULL, gap TEXT, captured_at TEXT
);
CREATE TABLE IF NOT EXISTS shards (
    stream_arn TEXT NOT NULL, shard_id TEXT NOT NULL, discovered_at TEXT NOT NULL, initial INTEGER NOT NULL,
    sequence_number TEXT, finished_at TEXT, covered_up_to TEXT, dead_lettered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream_arn, shard_id)
);
"""


@dataclass(frozen=True, slots=True)
class TableCheckpoint:
    """One captured table. `gap` says why it needs a backfill; `captured_at` is the time of its newest object."""

    table: str
    stream_arn: str
    gap: str | None
    captured_at: datetime | None


@dataclass(frozen=True, slots=True)
class ShardCheckpoint:
    """One shard. `sequence_number` is the last one delivered, as sent.

    `initial`: the shard existed when the capture of the table started. `finished`: it is delivered to its end.
    """

    discovered_at: datetime
    initial: bool
    sequence_number: str | None
    finished: bool


class Checkpoint:
    """What the poller has delivered. Safe to use from several threads; one process at a time writes it.

    On a plain connection (in autocommit mode) it is the logic without durability; `open` makes it durable. Every method
    raises CheckpointUnusable when the file cannot be read or written; then nothing was stored.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        connection.executescript(_SCHEMA)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open or create the file for writing.

        Raises SettingsError if another poller uses it or if it is not a checkpoint.
        """
        with _locked(path), ExitStack() as opened:
            try:
                connection = opened.enter_context(
                    closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
                )
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                checkpoint = cls(connection)
            except sqlite3.DatabaseError as error:
                raise SettingsError(
                    f"{path} cannot be used as the poller's checkpoint ({error}); fix that, or move the file away. "
                    "Without it the poller starts at the oldest records of the streams; a table may need a backfill."
                ) from error
            yield checkpoint

    def table(self, table: str) -> TableCheckpoint | None:
        """Return the checkpoint of a table; None before its capture started."""
        found = self._run("SELECT table_name, stream_arn, gap, captured_at FROM tables WHERE table_name = ?", table)
        if not found:
            return None
        name, stream_arn, gap, captured_at = found[0]
        return TableCheckpoint(name, stream_arn, gap, datetime.fromisoformat(captured_at) if captured_at else None)

    def shards(self, stream_arn: str) -> dict[str, ShardCheckpoint]:
        """Return the known shards of a stream by id."""
        rows = self._run(
            "SELECT shard_id, discovered_at, initial, sequence_number, finished_at FROM shards WHERE stream_arn = ?",
            stream_arn,
        )
        return {
            shard_id: ShardCheckpoint(
                datetime.fromisoformat(discovered_at), bool(initial), sequence_number, finished_at is not None
            )
            for shard_id, discovered_at, initial, sequence_number, finished_at in rows
        }

    def begin_capture(self, table: str, stream_arn: str, shard_ids: Iterable[str], *, now: datetime) -> None:
        """Store that capture of a table starts now, with this stream and these shards: their records are promised."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO tables (table_name, stream_arn, started_at) VALUES (?, ?, ?)",
                (table, stream_arn, _text(now)),
            )
            self._insert(stream_arn, shard_ids, initial=True, now=now)

    def add_shards(self, stream_arn: str, shard_ids: Iterable[str], *, now: datetime) -> None:
        """Store shards that were discovered after capture started, all or none of them."""
        with self._transaction():
            self._insert(stream_arn, shard_ids, initial=False, now=now)

    def _insert(self, stream_arn: str, shard_ids: Iterable[str], *, initial: bool, now: datetime) -> None:
        self._connection.executemany(
            "INSERT INTO shards (stream_arn, shard_id, discovered_at, initial) VALUES (?, ?, ?, ?)",
            [(stream_arn, shard_id, now.isoformat(), initial) for shard_id in shard_ids],
        )

    def advance(self, table: str, shard_id: str, sequence_number: str, captured_at: datetime | None) -> None:
        """Store that a shard is delivered up to this number.

        `captured_at` is the time in the name of the object that ends with it; None: the record was dead-lettered.
        """
        with self._transaction():
            self._connection.execute(
                "UPDATE shards SET sequence_number = ?, dead_lettered = dead_lettered + 1 WHERE shard_id = ? "
                "AND stream_arn = (SELECT stream_arn FROM tables WHERE table_name = ?)",
                (sequence_number, shard_id, table),
            )
            if captured_at:
                self._connection.execute(
                    "UPDATE shards SET covered_up_to = sequence_number, dead_lettered = 0 WHERE shard_id = ? "
                    "AND stream_arn = (SELECT stream_arn FROM tables WHERE table_name = ?)",
                    (shard_id, table),
                )
                self._connection.execute(
                    "UPDATE tables SET captured_at = max(ifnull(captured_at, ''), ?) WHERE table_name = ?",
                    (_text(captured_at), table),
                )

    def next_coverage(self, stream_arn: str, shard_id: str, *, up_to: str) -> ShardCoverage:
        """Return what the shard's next object covers if it ends with `up_to`."""
        ((after, dead_lettered),) = self._run(
            "SELECT covered_up_to, dead_lettered FROM shards WHERE stream_arn = ? AND shard_id = ?",
            stream_arn,
            shard_id,
        )
        return ShardCoverage(
            stream_arn=stream_arn, shard_id=shard_id, after=after, up_to=up_to, dead_lettered=dead_lettered
        )

    def shard_heartbeats(self, table: str, *, finished_since: datetime) -> tuple[datetime, tuple[ShardHeartbeat, ...]]:
        """Return when the capture of a table started, and how far the objects of each shard reach.

        Leaves out shards that were finished before `finished_since`. The capture of the table must have started.
        """
        ((started_at,),) = self._run("SELECT started_at FROM tables WHERE table_name = ?", table)
        rows = self._run(
            "SELECT shard_id, covered_up_to, dead_lettered, finished_at FROM shards WHERE stream_arn = "
            "(SELECT stream_arn FROM tables WHERE table_name = ?1) AND ifnull(finished_at, ?2) >= ?2",
            table,
            _text(finished_since),
        )
        return datetime.fromisoformat(started_at), tuple(
            ShardHeartbeat(
                shard_id=shard_id, up_to=up_to, dead_lettered=dead_lettered, finished=finished_at is not None
            )
            for shard_id, up_to, dead_lettered, finished_at in rows
        )

    def finish_shard(self, stream_arn: str, shard_id: str, *, now: datetime) -> None:
        """Store that a closed shard is delivered to its end; forget those that ended more than seven days ago."""
        self._run(
            "UPDATE shards SET finished_at = ? WHERE stream_arn = ? AND shard_id = ?", _text(now), stream_arn, shard_id
        )
        self._run(
            "DELETE FROM shards WHERE stream_arn = ? AND finished_at < ?",
            stream_arn,
            _text(now - _FORGET_FINISHED_AFTER),
        )

    def mark_gap(self, table: str, reason: str) -> None:
        """Store that a table lost changes; it stays so until `forget`."""
        self._run("UPDATE tables SET gap = ? WHERE table_name = ?", reason, table)

    def forget(self, table: str) -> None:
        """Forget a table: its next capture starts at the oldest records of its current stream."""
        with self._transaction():
            self._connection.execute(
                "DELETE FROM shards WHERE stream_arn IN (SELECT stream_arn FROM tables WHERE table_name = ?)", (table,)
            )
            self._connection.execute("DELETE FROM tables WHERE table_name = ?", (table,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit everything that is executed inside, or nothing."""
        with self._lock, _usable(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, _usable():
            return self._connection.execute(statement, values).fetchall()


def read_gaps(path: Path) -> dict[str, str]:
    """Return by table why it lost changes; none for a file that is not there. A poller may be writing the file.

    Raises CheckpointUnusable.
    """
    if not path.exists():
        return {}
    with _usable(), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT table_name, gap FROM tables WHERE gap IS NOT NULL"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the file for this poller. Raises SettingsError if another one has it, or if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise SettingsError(f"the poller's checkpoint {path} cannot be written: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"another poller uses {path}; stop it, or give this one another file") from error
        yield


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CheckpointUnusable(
            f"the poller's checkpoint cannot be used ({error}). Fix the cause (a full disk, permissions, a file "
            "that was moved or that another version wrote) and start the poller again: it continues where it stopped."
        ) from error


def _text(time: datetime) -> str:
    """Return a time as text of fixed width, so that SQLite's order of text is the order of times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
