"""What changed in the inputs of a mart since it was computed, and which of the mart's days that affects.

Belongs here: the input versions that a mart records, and comparing two of them. Does not belong here: computing the
days (refresh).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import ListType

from medallion_assets.engines.names import schema_and_table
from medallion_assets.gold.local_days import day_sql, days_of
from medallion_assets.gold.mart_file import Partition
from medallion_assets.gold.spec import Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.history import changed_rows, changes_after, snapshot_summary

# Table properties of a mart, written in the commit that publishes it. The first two are properties of snapshots, too.
INPUT_SNAPSHOTS: Final = "medallion.input-snapshots"
CURRENT_DATE: Final = "medallion.current-date"
CODE_VERSION: Final = "medallion.code-version"


@dataclass(frozen=True)
class InputVersions:
    """The versions of everything that a mart's rows are computed from.

    - snapshots: snapshot id by input (Mart.inputs); None for a table that does not exist or is empty
    - current_date: the value of `current_date`; None if the mart does not use it
    - code_version: the mart's own
    """

    snapshots: Mapping[str, int | None]
    current_date: date | None
    code_version: str

    @classmethod
    def recorded(cls, table: Table) -> Self | None:
        """Return the versions that the published mart was computed from; None before its first refresh."""
        properties = table.properties
        if INPUT_SNAPSHOTS not in properties:
            return None
        day = properties[CURRENT_DATE]
        return cls(
            snapshots=json.loads(properties[INPUT_SNAPSHOTS]),
            current_date=date.fromisoformat(day) if day else None,
            code_version=properties[CODE_VERSION],
        )

    @classmethod
    def of_snapshot(cls, table: Table, snapshot_id: int | None) -> Self | None:
        """Return the versions that a snapshot of a mart was computed from; None if it is not known any more.

        Those of the published snapshot may be newer than when it was staged: later inputs gave the same rows.
        """
        recorded = cls.recorded(table)
        if recorded is None or snapshot_id == table.metadata.current_snapshot_id:
            return recorded
        snapshot = table.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
        if snapshot is None:
            return None
        properties = snapshot_summary(table, snapshot.snapshot_id)
        if not {INPUT_SNAPSHOTS, CURRENT_DATE} <= properties.keys():
            return None
        day = properties[CURRENT_DATE]
        return cls(
            snapshots=json.loads(properties[INPUT_SNAPSHOTS]),
            current_date=date.fromisoformat(day) if day else None,
            code_version=recorded.code_version,
        )

    def to_properties(self) -> dict[str, str]:
        """Return the versions as table properties."""
        return {
            INPUT_SNAPSHOTS: json.dumps(self.snapshots, sort_keys=True),
            CURRENT_DATE: self.current_date.isoformat() if self.current_date else "",
            CODE_VERSION: self.code_version,
        }


def find_inputs(lake: Lake, mart: Mart) -> dict[str, Table | None]:
    """Return the tables that a mart reads, by input; None for one that is not there yet. Raises LakeUnavailable."""
    return {name: lake.find(*schema_and_table(name)) for name in mart.inputs}


def unread_snapshots(
    versions: InputVersions | None, tables: Mapping[str, Table | None]
) -> dict[str, Sequence[Snapshot]]:
    """Return the snapshots that changed rows of the inputs after a mart was computed from `versions`, newest first.

    By table, without the tables that did not change. A mart that was never computed has read no table.
    """
    found: dict[str, Sequence[Snapshot]] = {}
    for name, table in tables.items():
        later = changes_after(table, versions.snapshots.get(name) if versions else None) if table is not None else []
        if later or versions is None:
            found[name] = later
    return found


def affected_days(
    lake: Lake, mart: Mart, tables: Mapping[str, Table | None], *, before: InputVersions | None, now: InputVersions
) -> frozenset[date] | None:
    """Return the days whose rows may differ between two input versions; None stands for the whole mart.

    Of a mart without a partition the answer is an empty set or None. `tables` are the handles that `now` names
    snapshots of. Raises LakeUnavailable.
    """
    if before is None or (before.current_date, before.code_version) != (now.current_date, now.code_version):
        return None
    affected: set[date] = set()
    for name, table in tables.items():
        since, until = before.snapshots.get(name), now.snapshots[name]
        if since == until:
            continue
        if table is None or until is None:
            return None  # the table existed, and does not any more
        days = _days_of_changes(lake, mart, tables, name, since=since, until=until)
        if days is None:
            return None
        affected |= days
    return frozenset(affected)


def _days_of_changes(
    lake: Lake, mart: Mart, tables: Mapping[str, Table | None], changed: str, *, since: int | None, until: int
) -> set[date] | None:
    """Return the days that the changes of one table between two of its snapshots affect; None for all days."""
    partition, table, key = mart.spec.partition, tables[changed], mart.sources[changed].key
    if table is None:
        return None
    if partition is None:
        rows = changed_rows(lake, table, since=since, until=until, columns=key)
        return set() if rows is not None and rows.num_rows == 0 else None
    if changed == partition.table:
        rows = changed_rows(lake, table, since=since, until=until, columns=[partition.day_of])
        if rows is None:
            return None
        days = days_of(lake, partition, rows[partition.day_of])
        return _without_none(days)  # a row without a day is in no partition: compute and audit everything
    rows = changed_rows(lake, table, since=since, until=until, columns=key)
    return None if rows is None else _referring_days(lake, tables[partition.table], partition, changed, rows[key[0]])


def _referring_days(
    lake: Lake, table: Table | None, partition: Partition, joined: str, keys: pa.ChunkedArray
) -> set[date] | None:
    """Return the days of the current rows that refer to one of `keys` of the joined table; None for all days.

    A row that referred to one of them before and no longer does has changed itself, and affects its days by that.
    """
    if table is None or table.metadata.current_snapshot_id is None:
        return set()
    column = identifier(partition.joins[joined])
    is_list = isinstance(table.schema().find_field(partition.joins[joined]).field_type, ListType)
    refers = (
        f"list_has_any({column}, (SELECT list(key) FROM changed))"
        if is_list
        else f"{column} IN (SELECT key FROM changed)"
    )
    with lake.duckdb() as connection:
        connection.register("changed", pa.table({"key": keys}))
        days = connection.execute(
            f"SELECT DISTINCT {day_sql(partition, partition.day_of)} FROM {lake.scan_sql(table, None)} WHERE {refers}"
        ).fetchall()
    return _without_none({one for (one,) in days})


def _without_none(days: set[date | None]) -> set[date] | None:
    known = {day for day in days if day is not None}
    return known if len(known) == len(days) else None
