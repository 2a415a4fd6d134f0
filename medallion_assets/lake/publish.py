"""Publish a staged snapshot with one catalog commit, or discard it.

Belongs here: what becomes of a staged snapshot. Does not belong here: the audit that decides (silver, gold).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update import SetPropertiesUpdate, TableUpdate

from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.commit import Staged, commit, make_main
from medallion_assets.lake.file_io import delete_files
from medallion_assets.lake.outage import translate_outages

log = logging.getLogger(__name__)


@translate_outages()
def publish(lake: Lake, table: Table, staged: Staged, *, properties: Mapping[str, str] = {}) -> None:
    """Make the staged snapshot main and set table properties, in one catalog commit.

    If nothing changed, only the properties are set. Raises CommitConflict if main is no longer the snapshot that the
    change was planned on; then stage it again. The files of this attempt stay until maintenance removes them.
    """
    _refuse_other_table(table, staged)
    updates: list[TableUpdate] = []
    if staged.snapshot is not None:
        updates += make_main(staged.snapshot)
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
    """Delete the files of a staged snapshot that will not be published."""
    _refuse_other_table(table, staged)
    delete_files(table.io, staged.files)


def _landed(metadata: TableMetadata, staged: Staged, properties: Mapping[str, str]) -> bool:
    """Return whether this publication is in the table, also if others have published after it."""
    if staged.changed:
        main = metadata.current_snapshot()
        return any(snapshot.snapshot_id == staged.snapshot_id for snapshot in ancestors_of(main, metadata))
    return all(metadata.properties.get(name) == value for name, value in properties.items())


def _refuse_other_table(table: Table, staged: Staged) -> None:
    if staged.table_id != ".".join(table.name()):
        raise ValueError(f"{staged.table_id} was staged, but {'.'.join(table.name())} was passed to be published")
