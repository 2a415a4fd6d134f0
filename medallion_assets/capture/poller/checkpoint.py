"""What the poller has delivered, on disk: survives kill -9 and power cuts.

Belongs here: the file, who may write it, what it says about tables and shards. Does not belong here: what follows from
it (lineage, gaps). One SQLite file in WAL mode with full sync: a commit that returned is on the disk, and `status` may
read while the poller writes.
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

from medallion_assets.capture.coverage import Claim
from medallion_assets.capture.heartbeat import PolledShard
from medallion_assets.errors import CheckpointUnusable, SettingsError

# A finished shard is remembered well past the 24 hours in which its children can still name it as their parent.
_FORGET_AFTER: Final = timedelta(days=7)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tables (
    table_name TEXT PRIMARY KEY, stream_arn TEXT NOT NULL, gap TEXT, captured_at TEXT, began_at TEXT
);
CREATE TABLE IF NOT EXISTS shards (
    stream_arn TEXT NOT NULL, shard_id TEXT NOT NULL, known_at TEXT NOT NULL, first INTEGER NOT NULL,
    sequence_number TEXT, finished_at TEXT, claimed TEXT, given_up INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream_arn, shard_id)
);
"""


# For a file from before objects made claims, and before the marker told since when a table is captured.
_CLAIMS: Final = """
ALTER TABLE shards ADD COLUMN claimed TEXT;
ALTER TABLE shards ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
"""
_BEGAN: Final = "ALTER TABLE tables ADD COLUMN began_at TEXT"
_TABLES: Final = "SELECT table_name, stream_arn, gap, captured_at FROM tables"


@dataclass(frozen=True, slots=True)
class TableMark:
    """One captured table. `gap` says why it needs a backfill; `captured_at` is the time of its newest object."""

    table: str
    stream_arn: str
    gap: str | None
    captured_at: datetime | None


@dataclass(frozen=True, slots=True)
class ShardMark:
    """One shard: the last sequence number delivered, as sent. `first`: it was there when capture began."""

    known_at: datetime
    first: bool
    sequence_number: str | None
    finished: bool


class Checkpoint:
    """The poller's memory, safe to use from several threads. One process at a time writes it.

    Over a connection (in autocommit mode) it is the memory's logic alone; `open` is what makes it durable. Every method
    raises CheckpointUnusable when the file cannot be read or written, with nothing noted.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        connection.executescript(_SCHEMA)
        if "claimed" not in {column[1] for column in connection.execute("PRAGMA table_info(shards)")}:
            connection.executescript(_CLAIMS)
        if "began_at" not in {column[1] for column in connection.execute("PRAGMA table_info(tables)")}:
            connection.execute(_BEGAN)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open or create the file for writing. SettingsError if another poller has it or it is no checkpoint."""
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
                    f"{path} cannot be used as the poller's checkpoint ({error}); mend that or move it. Without it "
                    "the poller starts from the oldest records of the streams, and a table may need a backfill."
                ) from error
            yield checkpoint

    def table(self, table: str) -> TableMark | None:
        """Return what is known of a table; None before its capture began."""
        marks = _tables(self._run(f"{_TABLES} WHERE table_name = ?", table))
        return marks[0] if marks else None

    def shards(self, stream_arn: str) -> dict[str, ShardMark]:
        """Return the known shards of a stream by id."""
        rows = self._run(
            "SELECT shard_id, known_at, first, sequence_number, finished_at FROM shards WHERE stream_arn = ?",
            stream_arn,
        )
        return {
            shard_id: ShardMark(datetime.fromisoformat(known_at), bool(first), sequence_number, finished_at is not None)
            for shard_id, known_at, first, sequence_number, finished_at in rows
        }

    def begin(self, table: str, stream_arn: str, shard_ids: Iterable[str], *, now: datetime) -> None:
        """Note that capture of a table begins now with this stream and these shards: what they hold is promised."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO tables (table_name, stream_arn, began_at) VALUES (?, ?, ?)",
                (table, stream_arn, _text(now)),
            )
            self._insert(stream_arn, shard_ids, first=True, now=now)

    def know(self, stream_arn: str, shard_ids: Iterable[str], *, now: datetime) -> None:
        """Note shards that came after capture began, all or none of them."""
        with self._transaction():
            self._insert(stream_arn, shard_ids, first=False, now=now)

    def _insert(self, stream_arn: str, shard_ids: Iterable[str], *, first: bool, now: datetime) -> None:
        self._connection.executemany(
            "INSERT INTO shards (stream_arn, shard_id, known_at, first) VALUES (?, ?, ?, ?)",
            [(stream_arn, shard_id, now.isoformat(), first) for shard_id in shard_ids],
        )

    def advance(self, table: str, shard_id: str, sequence_number: str, captured_at: datetime | None) -> None:
        """Note that a shard is delivered up to this number: in an object named so, or by giving the record up."""
        with self._transaction():
            self._connection.execute(
                "UPDATE shards SET sequence_number = ?, given_up = given_up + 1 WHERE shard_id = ? AND stream_arn = "
                "(SELECT stream_arn FROM tables WHERE table_name = ?)",
                (sequence_number, shard_id, table),
            )
            if captured_at:
                self._connection.execute(
                    "UPDATE shards SET claimed = sequence_number, given_up = 0 WHERE shard_id = ? AND stream_arn = "
                    "(SELECT stream_arn FROM tables WHERE table_name = ?)",
                    (shard_id, table),
                )
                self._connection.execute(
                    "UPDATE tables SET captured_at = max(ifnull(captured_at, ''), ?) WHERE table_name = ?",
                    (_text(captured_at), table),
                )

    def claim(self, stream_arn: str, shard_id: str, *, upto: str) -> Claim:
        """Return what the shard's next object accounts for if it ends with `upto`."""
        ((after, given_up),) = self._run(
            "SELECT claimed, given_up FROM shards WHERE stream_arn = ? AND shard_id = ?", stream_arn, shard_id
        )
        return Claim(stream_arn=stream_arn, shard_id=shard_id, after=after, upto=upto, given_up=given_up)

    def polled(self, table: str, *, ended_since: datetime) -> tuple[datetime | None, tuple[PolledShard, ...]]:
        """Return when the capture of a table began, None if that is not known, and what each shard has claimed.

        Left out are shards that ended before `ended_since`.
        """
        began = self._run("SELECT began_at FROM tables WHERE table_name = ?", table)
        rows = self._run(
            "SELECT shard_id, claimed, given_up, finished_at FROM shards WHERE stream_arn = "
            "(SELECT stream_arn FROM tables WHERE table_name = ?1) AND ifnull(finished_at, ?2) >= ?2",
            table,
            _text(ended_since),
        )
        began_at = datetime.fromisoformat(began[0][0]) if began and began[0][0] else None
        return began_at, tuple(
            PolledShard(shard_id=shard_id, upto=claimed, given_up=given_up, finished=finished_at is not None)
            for shard_id, claimed, given_up, finished_at in rows
        )

    def finish(self, stream_arn: str, shard_id: str, *, now: datetime) -> None:
        """Note that a closed shard is delivered to its end; forget those that ended long ago."""
        self._run(
            "UPDATE shards SET finished_at = ? WHERE stream_arn = ? AND shard_id = ?", _text(now), stream_arn, shard_id
        )
        self._run("DELETE FROM shards WHERE stream_arn = ? AND finished_at < ?", stream_arn, _text(now - _FORGET_AFTER))

    def mark_gap(self, table: str, reason: str) -> None:
        """Note that a table lost changes; it stays so until `forget`."""
        self._run("UPDATE tables SET gap = ? WHERE table_name = ?", reason, table)

    def forget(self, table: str) -> None:
        """Forget a table, so that its capture begins anew with the oldest records of its current stream."""
        with self._transaction():
            self._connection.execute(
                "DELETE FROM shards WHERE stream_arn IN (SELECT stream_arn FROM tables WHERE table_name = ?)", (table,)
            )
            self._connection.execute("DELETE FROM tables WHERE table_name = ?", (table,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is executed inside is noted, or none of it."""
        with self._lock, _usable(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, _usable():
            return self._connection.execute(statement, values).fetchall()


def read_tables(path: Path) -> list[TableMark]:
    """Return the captured tables of a checkpoint file, while a poller may be writing it; none if there is no file."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return _tables(connection.execute(f"{_TABLES} ORDER BY table_name").fetchall())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file against other pollers. Raises SettingsError if one has it, or if it cannot be written here."""
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
            f"the poller's checkpoint cannot be used ({error}). Mend that (a full disk, rights, a file that was moved) "
            "and start the poller again: it goes on where it was."
        ) from error


def _tables(rows: Iterable[tuple[Any, ...]]) -> list[TableMark]:
    return [
        TableMark(table, stream_arn, gap, datetime.fromisoformat(captured_at) if captured_at else None)
        for table, stream_arn, gap, captured_at in rows
    ]


def _text(time: datetime) -> str:
    """Times of one width, so that SQLite's text order is their order."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
