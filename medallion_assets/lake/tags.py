"""Tags of a table: names of snapshots, which then do not expire and which every engine reads by name.

Belongs here: setting and removing them in one commit. Does not belong here: which snapshots get one (maintenance).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.update import RemoveSnapshotRefUpdate, SetSnapshotRefUpdate, TableUpdate

from medallion_assets.lake.commit import commit
from medallion_assets.lake.outage import translate_outages


def tags_of(table: Table) -> dict[str, int]:
    """Return the snapshot id of each tag, by its name."""
    return {
        name: reference.snapshot_id
        for name, reference in table.refs().items()
        if reference.snapshot_ref_type is SnapshotRefType.TAG
    }


@translate_outages()
def change_tags(table: Table, *, add: Mapping[str, int], remove: Collection[str]) -> None:
    """Give snapshots their tags and remove others, in one commit; without any there is none.

    Raises CommitConflict if another writer was first, and LakeUnavailable.
    """
    updates: list[TableUpdate] = [RemoveSnapshotRefUpdate(ref_name=name) for name in sorted(remove)]
    for name, snapshot_id in add.items():
        updates.append(
            SetSnapshotRefUpdate(
                ref_name=name,
                type=SnapshotRefType.TAG,
                snapshot_id=snapshot_id,
                max_ref_age_ms=None,
                max_snapshot_age_ms=None,
                min_snapshots_to_keep=None,
            )
        )

    def landed(now: TableMetadata) -> bool:
        kept = {name: reference.snapshot_id for name, reference in now.refs.items()}
        return kept.keys().isdisjoint(remove) and all(kept.get(name) == wanted for name, wanted in add.items())

    if updates:
        commit(table, tuple(updates), expected_main=table.metadata.current_snapshot_id, landed=landed)
