"""Bring a Silver table right: amendments for every confirmed difference, through Bronze and the normal merge.

A drifted row, a table whose stream lost history and a table that is older than its capture are one case: what the
source has and Silver lacks is missing. Belongs here: the act and its order. Does not belong here: what differs
(quality.reconcile), merging (silver): amendments lie in Bronze like any change, and the pipeline takes them from there.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from medallion_assets.capture.envelope import content_hash, parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.outage import reading_lake
from medallion_assets.ledger.backfill import backfilled
from medallion_assets.ledger.gaps import Gap
from medallion_assets.quality.comparison import Comparison
from medallion_assets.quality.patience import Patience, position_now
from medallion_assets.quality.reconcile import Difference, reconcile
from medallion_assets.quality.scan import Description, Source
from medallion_assets.repair.amendment import EVENT_PREFIX, amended_sequence, amendment
from medallion_assets.repair.newest import with_newest_changes
from medallion_assets.repair.records import note_repairs, what_was_wrong

log = logging.getLogger(__name__)

# An object of this many amendments is some MB; a merge takes many of them in one commit.
_ROWS_AN_OBJECT: Final = 20_000
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Repair:
    """What a repair did. `comparison` is what it found, `objects` the Bronze objects with its amendments.

    `merged` says whether Silver has published them. `gaps` are those of the table that are still open.
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
        return self.merged and not self.comparison.unconfirmed and not self.gaps


@reading_lake()
def repair(
    lake: Lake,
    domain: Domain,
    contract: Contract,
    *,
    source: Source,
    store: BronzeStore,
    reason: str,
    run_id: str,
    patience: Patience,
    merge_seconds: float,
    dry_run: bool = False,
) -> Repair:
    """Reconcile the contract's table, amend what differs, and wait up to `merge_seconds` until the pipeline merged it.

    Every amendment has a row in `ops.repairs`, written before it. A crash leaves what the next repair finds again. When
    all is merged, the table's gaps that were noticed before this began are closed. `dry_run` only looks. Raises
    botocore's errors, LakeUnavailable, SettingsError, CommitConflict.
    """
    began = patience.now()
    with tempfile.TemporaryDirectory(prefix="medallion-repair-") as name:
        folder = Path(name)
        found = reconcile(
            lake, domain, contract, source=source, store=store, folder=folder / "compared", patience=patience
        )
        if dry_run:
            return Repair(contract.lake_name, run_id, found.comparison, (), merged=False, gaps=())
        known = with_newest_changes(lake, store, found, folder / "known")
        differences = known.differences()
        about, objects = source.describe(), list[str]()
        while some := list(islice(differences, _ROWS_AN_OBJECT)):
            first = len(objects) * _ROWS_AN_OBJECT
            objects.append(
                _amend(
                    lake,
                    store,
                    contract,
                    some,
                    about=about,
                    first=first,
                    reason=reason,
                    run_id=run_id,
                    at=patience.now(),
                )
            )
    log.info("silver.%s: %d objects of amendments", contract.lake_name, len(objects))
    merged = _wait(lake, store, contract, objects, patience=patience, seconds=merge_seconds)
    gaps: Sequence[Gap] = ()
    if merged and not found.comparison.unconfirmed:
        gaps = backfilled(lake, store, contract, at=began, run_id=run_id)
    return Repair(contract.lake_name, run_id, found.comparison, tuple(objects), merged, tuple(gaps))


def _amend(
    lake: Lake,
    store: BronzeStore,
    contract: Contract,
    differences: Sequence[Difference],
    *,
    about: Description,
    first: int,
    reason: str,
    run_id: str,
    at: datetime,
) -> str:
    """Note the differences and put their amendments into one Bronze object; return its name."""
    newest = position_now(lake, contract).newest
    if newest is not None:
        # A name long before those that Silver has seen is one that nobody looks for.
        at = max(at, ObjectName.parse(newest).captured_at)
    rows = [
        amendment(
            contract,
            difference,
            sequence=amended_sequence(difference.sequence, at),
            event_id=f"{EVENT_PREFIX}{run_id}-{first + number}",
            about=about,
        )
        for number, difference in enumerate(differences)
    ]
    lowest = min(int(row.sequence_number.partition("+")[0]) for row in rows)
    name = ObjectName(contract.table, at, lowest, content_hash(rows)).path
    noted = [
        {
            "event_id": row.event_id,
            "run_id": run_id,
            "repaired_at": at,
            "table_name": contract.lake_name,
            "keys": row.keys,
            "sequence_number": row.sequence_number,
            "object": name,
            "reason": reason,
            **what_was_wrong(difference),
        }
        for row, difference in zip(rows, differences, strict=True)
    ]
    note_repairs(lake, noted, run_id=run_id)
    store.put(name, parquet(rows, captured_at=at))
    return name


def _wait(
    lake: Lake, store: BronzeStore, contract: Contract, objects: Sequence[str], *, patience: Patience, seconds: float
) -> bool:
    """Wait until Silver contains the objects; whether it does."""
    until = patience.now() + timedelta(seconds=seconds)
    while waiting := set(objects).intersection(position_now(lake, contract).pending(store, contract.table)):
        if patience.now() >= until:
            log.warning("silver.%s: %d objects of amendments wait to be merged", contract.lake_name, len(waiting))
            return False
        patience.wait(_LOOK_SECONDS)
    return True
