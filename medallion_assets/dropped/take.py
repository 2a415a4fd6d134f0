"""Take a dropped file: check it whole, put its rows into Bronze, record it, move it away.

Belongs here: the steps, and their order, by which a crash at any point loses and doubles nothing. Does not belong here:
the steps themselves, merging (silver): the rows are Bronze objects like any other.

- A file whose content was taken for this table before is only moved.
- The record `taking` is written before the first object. It names the snapshots whose changes the rows follow, so that
  who goes on after a crash writes the same rows with the same versions, which the merge recognises.
- The file moves last. Until then it waits, and is taken again.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from pyiceberg.table import Table

from medallion_assets.capture.envelope import Row, content_hash, to_parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.dropped_files import EVENT_PREFIX
from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.check import Checked, check
from medallion_assets.dropped.inbox import DroppedFile, Inbox
from medallion_assets.dropped.order import known_changes_sql, rows_sql, version
from medallion_assets.dropped.record import FileRecord, State, file_key, find_records
from medallion_assets.dropped.report import SUFFIX, report, sentence
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_outages
from medallion_assets.silver.table import DELETED, SILVER, read_position

log = logging.getLogger(__name__)

# About the size of one delivery of a stream, which is the size that the merge is made for.
_MAX_OBJECT_ROWS: Final = 5_000
_MAX_OBJECT_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class TakenFile:
    """What was done with a file: its record, and of a rejected one its first fault as text."""

    record: FileRecord
    first_fault: str | None = None


@translate_outages()
def take(
    lake: Lake,
    store: BronzeStore,
    inbox: Inbox,
    contract: Contract,
    file: DroppedFile,
    *,
    run_id: str,
    now: Callable[[], datetime],
) -> TakenFile | None:
    """Take or reject a file; None if it is gone, or was written again since it was listed.

    The disk for temporary files needs room for the file and for its rows. Raises LakeUnavailable, SettingsError,
    CommitConflict.
    """
    with tempfile.TemporaryDirectory(prefix="medallion-dropped-", dir=lake.settings.spill_folder) as name:
        folder = Path(name)
        path = inbox.fetch(file, folder)
        if path is None:
            return None
        with path.open("rb") as content:
            hash_ = hashlib.file_digest(content, "sha256").hexdigest()
        taking = _Taking(lake, store, inbox, contract, file, hash_, run_id, now)
        return taking.take(path, folder / "rows.parquet")


@dataclass(frozen=True)
class _Taking:
    """The steps of one file, whose content has the SHA-256 `hash`."""

    lake: Lake
    store: BronzeStore
    inbox: Inbox
    contract: Contract
    file: DroppedFile
    hash: str
    run_id: str
    now: Callable[[], datetime]

    def take(self, path: Path, prepared: Path) -> TakenFile | None:
        """Take or reject the file at `path`."""
        known = find_records(self.lake, self.contract.lake_name, self.hash)
        if any(one.state == "taken" for one in known):
            return self._repeat(known)
        with self.lake.duckdb() as connection:
            checked = check(connection, path, self.file.name, self.contract, prepared=prepared)
        if not self.inbox.is_same(self.file):
            return None
        if checked.faults.count:
            return self._reject(checked)
        begun = next((one for one in known if one.state == "taking"), None) or self._begin(checked)
        objects = 0
        for rows in self._objects(prepared, begun):
            at = self._captured_at()
            name = ObjectName(self.contract.table, at, 0, content_hash(rows)).path
            self.store.put(name, to_parquet(rows, captured_at=at))
            objects += 1
        log.info("%s: %d rows in %d objects", self.contract.lake_name, checked.rows, objects)
        done = replace(
            self._record("taken", checked),
            silver_snapshot_id=begun.silver_snapshot_id,
            deleted_snapshot_id=begun.deleted_snapshot_id,
        )
        return self._conclude(done)

    def _repeat(self, known: Sequence[FileRecord]) -> TakenFile:
        """Move a file whose content is taken; the record of its taking stays as it is."""
        key = file_key(self.contract.lake_name, self.hash, self.file)
        own = next((one for one in known if one.file == key and one.state == "taken"), None)
        return self._conclude(own or self._record("repeated", None), write=own is None)

    def _reject(self, checked: Checked) -> TakenFile:
        path = self.file.moved_path("rejected", self.hash)
        self.inbox.put(path + SUFFIX, report(self.contract, self.file, checked))
        log.warning("%s: a file was rejected, %d faults", self.contract.lake_name, checked.faults.count)
        return replace(
            self._conclude(self._record("rejected", checked)), first_fault=sentence(checked.faults.listed[0])
        )

    def _begin(self, checked: Checked) -> FileRecord:
        """Record that the file is being taken, and the snapshots whose changes its rows follow."""
        record = self._record("taking", checked)
        if self.contract.files == "newer":
            silver, deleted = (self.lake.find(one, self.contract.lake_name) for one in (SILVER, DELETED))
            record = replace(record, silver_snapshot_id=_current(silver), deleted_snapshot_id=_current(deleted))
        record.write(self.lake)
        return record

    def _objects(self, prepared: Path, begun: FileRecord) -> Iterator[list[Row]]:
        """Yield the rows of each object."""
        known = known_changes_sql(self.lake, self.contract, self._snapshots(begun))
        event = f"{EVENT_PREFIX}{self.hash[:16]}-"
        with self.lake.duckdb() as connection:
            found = connection.execute(rows_sql(prepared, known, self.contract))
            rows: list[Row] = []
            size = 0
            while some := found.fetchmany(1_000):
                for row, keys, image, created, number in some:
                    stream, sequence = version(
                        self.hash, begun.modified_at, None if created is None else (created, number)
                    )
                    rows.append(
                        Row(
                            event_id=f"{event}{row}",
                            event_name="MODIFY",
                            table_name=self.contract.table,
                            sequence_number=sequence,
                            approximate_creation_us=None,
                            keys=keys,
                            new_image=image,
                            old_image=None,
                            user_identity=None,
                            stream_arn=stream,
                        )
                    )
                    size += len(image)
                    if len(rows) >= _MAX_OBJECT_ROWS or size >= _MAX_OBJECT_BYTES:
                        yield rows
                        rows, size = [], 0
            if rows:
                yield rows

    def _snapshots(self, begun: FileRecord) -> list[tuple[Table, int]]:
        """Return the recorded snapshots; in place of an expired one the current one."""
        found = []
        for namespace, snapshot_id in ((SILVER, begun.silver_snapshot_id), (DELETED, begun.deleted_snapshot_id)):
            table = self.lake.find(namespace, self.contract.lake_name) if snapshot_id is not None else None
            if table is not None and snapshot_id is not None:
                expired = table.snapshot_by_id(snapshot_id) is None
                current = _current(table) if expired else snapshot_id
                found += [(table, current)] if current is not None else []
        return found

    def _captured_at(self) -> datetime:
        """Return a time that is not before the newest object in Silver: no reader lists names older than that."""
        now = self.now()
        newest = read_position(self.lake.find(SILVER, self.contract.lake_name)).newest
        return max(now, ObjectName.parse(newest).captured_at) if newest is not None else now

    def _conclude(self, record: FileRecord, *, write: bool = True) -> TakenFile:
        """Record what was done, then move the file."""
        path = self.file.moved_path("rejected" if record.state == "rejected" else "taken", self.hash)
        record = replace(record, moved_to=self.inbox.uri(path))
        if write:
            record.write(self.lake)
        self.inbox.move(self.file, path)
        return TakenFile(record)

    def _record(self, state: State, checked: Checked | None) -> FileRecord:
        return FileRecord(
            file=file_key(self.contract.lake_name, self.hash, self.file),
            table_name=self.contract.lake_name,
            name=self.file.name,
            hash=self.hash,
            bytes=self.file.bytes,
            modified_at=self.file.modified_at,
            state=state,
            rows=checked.rows if checked is not None else None,
            faults=checked.faults.count if checked is not None else None,
            silver_snapshot_id=None,
            deleted_snapshot_id=None,
            moved_to=None,
            run_id=self.run_id,
            recorded_at=self.now(),
        )


def _current(table: Table | None) -> int | None:
    return table.metadata.current_snapshot_id if table is not None else None
