"""Publish a staged snapshot by moving main to it, or discard it.

Belongs here: moving and dropping branches. Does not belong here: the audit that decides (silver, gold).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update import RemoveSnapshotRefUpdate, SetPropertiesUpdate, TableUpdate

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged, commit, move_branch
from medallion_assets.lake.outage import translate_outages

log = logging.getLogger(__name__)


@translate_outages()
def publish(lake: Lake, table: Table, staged: Staged, *, properties: Mapping[str, str] = {}) -> None:
    """Move main to the staged snapshot, set table properties and drop the branch, in one catalog commit.

    If nothing changed, only the properties are set. Raises CommitConflict if main is no longer the snapshot that the
    change was planned on; then stage it again.
    """
    _refuse_other_table(table, staged)
    table.refresh()
    if staged.changed and _landed(table.metadata, staged, properties):
        return
    updates: list[TableUpdate] = []
    if staged.changed and staged.snapshot_id is not None:
        updates.append(move_branch(MAIN_BRANCH, staged.snapshot_id))
        updates += _without_branch(table, staged)
    if properties:
        updates.append(SetPropertiesUpdate(updates=dict(properties)))
    commit(
        table,
        tuple(updates),
        expected_main=staged.base_snapshot_id,
        landed=lambda now: _landed(now, staged, properties),
    )
    log.info("published %s: %d inserted, %d updated", staged.table_id, staged.inserted, staged.updated)


@translate_outages()
def discard(lake: Lake, table: Table, staged: Staged) -> None:
    """Drop the staged branch; main stays. The next expiry removes the snapshot and its files."""
    _refuse_other_table(table, staged)
    table.refresh()
    updates = _without_branch(table, staged)
    if updates:
        commit(
            table,
            tuple(updates),
            expected_main=table.metadata.current_snapshot_id,
            landed=lambda now: staged.branch not in now.refs,
        )


def _landed(metadata: TableMetadata, staged: Staged, properties: Mapping[str, str]) -> bool:
    """Return whether this publication is in the table, also if others have published after it."""
    if staged.changed:
        main = metadata.current_snapshot()
        return any(snapshot.snapshot_id == staged.snapshot_id for snapshot in ancestors_of(main, metadata))
    return all(metadata.properties.get(name) == value for name, value in properties.items())


def _without_branch(table: Table, staged: Staged) -> list[TableUpdate]:
    """Return the update that drops the branch; none if a later attempt has staged on a branch of the same name."""
    reference = table.metadata.refs.get(staged.branch)
    if reference is None or reference.snapshot_id != staged.snapshot_id:
        return []
    return [RemoveSnapshotRefUpdate(ref_name=staged.branch)]


def _refuse_other_table(table: Table, staged: Staged) -> None:
    if staged.table_id != ".".join(table.name()):
        raise ValueError(f"{staged.table_id} was staged, but {'.'.join(table.name())} was passed to be published")
