"""Repair a Silver table: write an amendment for every confirmed difference; the normal merge does the rest.

A drifted row, a table whose stream lost history and a table that is older than its capture are one case: Silver lacks
what the source has. Belongs here: the steps of a repair and their order. Does not belong here: what differs
(reconciliation), merging (silver): amendments are Bronze objects like any other.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from medallion_assets.capture.envelope import Row, content_hash, to_parquet
from medallion_assets.capture.kinesis import NO_KINESIS, KinesisTables
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.sequence import parse_sequence
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import SettingsError
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import translate_read_outages
from medallion_assets.ledger.backfill import close_repaired_gaps
from medallion_assets.ledger.gap import Gap
from medallion_assets.ops.tables import REPAIRS
from medallion_assets.ops.upsert import upsert
from medallion_assets.reconciliation.catch_up import CatchUp, position_now
from medallion_assets.reconciliation.comparison import Comparison
from medallion_assets.reconciliation.reconcile import Difference, reconcile
from medallion_assets.reconciliation.scan import Description, SourceTable
from medallion_assets.repair.amendment import EVENT_PREFIX, amended_sequence, amendment
from medallion_assets.repair.newest import with_newest_changes
from medallion_assets.repair.record import describe_difference

log = logging.getLogger(__name__)

# About the size of one delivery of a stream, which is the size that the merge is made for.
_MAX_OBJECT_ROWS: Final = 5_000
_MAX_OBJECT_BYTES: Final = 4 * 1024 * 1024
# A commit to `ops.repairs` takes as long as writing some objects.
_OBJECTS_PER_COMMIT: Final = 8
_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Repair:
    """What a repair did: `comparison` is what it found, `objects` are the Bronze objects with its amendments.

    `merged` says whether Silver has published them. `gaps` are the table's gaps that are still open.
    """

    table: str
    run_id: str
    comparison: Comparison
    objects: tuple[str, ...]
    merged: bool
    gaps: tuple[Gap, ...]

    @property
    def complete(self) -> bool:
        """Whether the table is as the source was when the repair began, or newer."""
        return self.merged and self.comparison.behind is None and not self.gaps


@translate_read_outages()
def repair(
    lake: Lake,
    domain: Domain,
    contract: Contract,
    *,
    source: SourceTable,
    store: BronzeStore,
    reason: str,
    run_id: str,
    catch_up: CatchUp,
    merge_seconds: float,
    kinesis: KinesisTables = NO_KINESIS,
    dry_run: bool = False,
) -> Repair:
    """Reconcile the contract's table, amend what differs, and wait up to `merge_seconds` until it is merged.

    Every amendment has a row in `ops.repairs`, written before the amendment. After a crash the next repair finds what
    is left. When all is merged, gaps of the table that were known before this began are closed. `dry_run` compares and
    writes nothing. `kinesis` says which tables come by Kinesis. Raises botocore's errors, LakeUnavailable,
    SettingsError, CommitConflict.
    """
    about = source.describe()
    stream = kinesis.latest_stream(contract.table, table_arn=about.arn, own=about.stream_arn)
    if stream is None:
        raise SettingsError(
            f"{contract.table} has no stream, so changes after this repair would be lost. Switch on its stream with "
            "the view type NEW_AND_OLD_IMAGES, start its capture, and repair it then."
        )
    began = catch_up.now()
    with tempfile.TemporaryDirectory(prefix="medallion-repair-") as name:
        folder = Path(name)
        found = reconcile(
            lake,
            domain,
            contract,
            source=source,
            store=store,
            folder=folder / "compared",
            catch_up=catch_up,
            after_catching_up=not dry_run,
        )
        if dry_run:
            return Repair(contract.lake_name, run_id, found.comparison, (), merged=False, gaps=())
        known = with_newest_changes(lake, store, found, folder / "known")
        amending = _Amending(lake, store, contract, about, stream, reason=reason, run_id=run_id, catch_up=catch_up)
        objects = list(amending.write(known.differences()))
    log.info("silver.%s: %d objects of amendments", contract.lake_name, len(objects))
    merged = _wait(lake, store, contract, objects, catch_up=catch_up, seconds=merge_seconds)
    gaps: Sequence[Gap] = ()
    if merged and found.comparison.behind is None:
        gaps = close_repaired_gaps(lake, store, contract, at=began, run_id=run_id)
    return Repair(contract.lake_name, run_id, found.comparison, tuple(objects), merged, tuple(gaps))


@dataclass(frozen=True)
class _Object:
    """A Bronze object before it is written: name, rows, time of capture, and the rows of `ops.repairs` about it."""

    name: str
    rows: Sequence[Row]
    at: datetime
    repairs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Amending:
    """Records differences and puts their amendments into Bronze: objects of bounded size, several per commit."""

    lake: Lake
    store: BronzeStore
    contract: Contract
    about: Description
    stream_arn: str
    reason: str
    run_id: str
    catch_up: CatchUp

    def write(self, differences: Iterator[Difference]) -> Iterator[str]:
        """Write all amendments. Yield the name of each object."""
        objects = self._objects(differences)
        while some := list(islice(objects, _OBJECTS_PER_COMMIT)):
            upsert(self.lake, REPAIRS, [row for one in some for row in one.repairs])
            for one in some:
                self.store.put(one.name, to_parquet(one.rows, captured_at=one.at))
                yield one.name

    def _objects(self, differences: Iterator[Difference]) -> Iterator[_Object]:
        numbers = itertools.count()
        while True:
            at = self._now()
            rows: list[Row] = []
            wrong: list[dict[str, Any]] = []
            size = 0
            for difference in islice(differences, _MAX_OBJECT_ROWS):
                event_id = f"{EVENT_PREFIX}{self.run_id}-{next(numbers)}"
                sequence = amended_sequence(difference.newest, at, stream_arn=self.stream_arn)
                row = amendment(
                    self.contract,
                    difference,
                    sequence=sequence,
                    event_id=event_id,
                    key_tags=self.about.key_tags,
                    stream_arn=self.stream_arn,
                )
                rows.append(row)
                wrong.append(describe_difference(self.contract, difference))
                size += len(row.new_image or "")
                if size >= _MAX_OBJECT_BYTES:
                    break
            if not rows:
                return
            lowest = min(parse_sequence(row.sequence_number) for row in rows)
            name = ObjectName(self.contract.table, at, lowest, content_hash(rows)).path
            yield _Object(name, rows, at, [self._repair_row(name, at, *one) for one in zip(rows, wrong, strict=True)])

    def _repair_row(self, name: str, at: datetime, row: Row, wrong: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row of `ops.repairs` of one amendment; `wrong` describes the difference."""
        return {
            "event_id": row.event_id,
            "run_id": self.run_id,
            "repaired_at": at,
            "table_name": self.contract.lake_name,
            "keys": row.keys,
            "sequence_number": row.sequence_number,
            "object": name,
            "reason": self.reason,
            **wrong,
        }

    def _now(self) -> datetime:
        """Return a time that is not before the newest object in Silver: no reader lists names older than that."""
        now, newest = self.catch_up.now(), position_now(self.lake, self.contract).newest
        return max(now, ObjectName.parse(newest).captured_at) if newest is not None else now


def _wait(
    lake: Lake, store: BronzeStore, contract: Contract, objects: Sequence[str], *, catch_up: CatchUp, seconds: float
) -> bool:
    """Wait until Silver contains the objects. Return whether it does."""
    until = catch_up.now() + timedelta(seconds=seconds)
    while pending := set(objects).intersection(position_now(lake, contract).pending(store, contract.table)):
        if catch_up.now() >= until:
            log.warning("silver.%s: %d objects of amendments are not merged yet", contract.lake_name, len(pending))
            return False
        catch_up.wait(_POLL_SECONDS)
    return True
