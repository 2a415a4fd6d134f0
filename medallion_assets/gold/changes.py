"""What a mart is computed from now, what it was computed from last, and which of its days lie between the two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table
from pyiceberg.types import ListType

from medallion_assets.contracts.loader import Domain
from medallion_assets.gold.spec import Mart, Partition
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.history import changed_rows
from medallion_assets.silver.table import DELETED, SILVER

# Table properties of a mart, written in the commit that publishes it.
INPUT_SNAPSHOTS: Final = "medallion.input-snapshots"
CURRENT_DATE: Final = "medallion.current-date"
CODE_VERSION: Final = "medallion.code-version"


@dataclass(frozen=True)
class InputVersions:
    """What a mart's rows follow from: a snapshot of each Silver table, the day of `current_date`, its definition."""

    silver: Mapping[str, int | None]
    as_of: date | None
    code_version: str

    @classmethod
    def recorded(cls, table: Table) -> Self | None:
        """The basis of the published mart as a whole; None before it was first computed as a whole."""
        written = table.properties
        if INPUT_SNAPSHOTS not in written:
            return None
        as_of = written[CURRENT_DATE]
        return cls(
            json.loads(written[INPUT_SNAPSHOTS]), date.fromisoformat(as_of) if as_of else None, written[CODE_VERSION]
        )

    @property
    def properties(self) -> dict[str, str]:
        """The basis as table properties."""
        return {
            INPUT_SNAPSHOTS: json.dumps(self.silver, sort_keys=True),
            CURRENT_DATE: self.as_of.isoformat() if self.as_of else "",
            CODE_VERSION: self.code_version,
        }


def silver_tables(lake: Lake, mart: Mart) -> dict[str, Table | None]:
    """The Silver tables a mart reads, as they are now; None for one that does not exist yet."""
    return {name: lake.table(SILVER, name) if lake.exists(SILVER, name) else None for name in mart.tables}


def affected_days(
    lake: Lake,
    mart: Mart,
    domain: Domain,
    tables: Mapping[str, Table | None],
    *,
    before: InputVersions | None,
    now: InputVersions,
) -> frozenset[date] | None:
    """The days of a mart that may differ between two bases; None for all of it, an empty set for nothing.

    A mart without a partition knows only nothing and all. `tables` are the handles that `now` names snapshots of.
    """
    if before is None or (before.as_of, before.code_version) != (now.as_of, now.code_version):
        return None
    found: set[date] = set()
    for name, table in tables.items():
        since, until = before.silver.get(name), now.silver[name]
        if since == until:
            continue
        if table is None or until is None:
            return None  # the table was there and is not any more
        days = _days_of(lake, mart, domain, tables, table, since=since, until=until)
        if days is None:
            return None
        found |= days
    return frozenset(found)


def _days_of(
    lake: Lake,
    mart: Mart,
    domain: Domain,
    tables: Mapping[str, Table | None],
    changed: Table,
    *,
    since: int | None,
    until: int,
) -> set[date] | None:
    """The days touched by what happened to one table; None for all."""
    name, partition = changed.name()[-1], mart.spec.partition
    if partition is None:
        rows = changed_rows(lake, changed, since=since, until=until, columns=[DELETED])
        return set() if rows is not None and rows.num_rows == 0 else None
    if name == partition.table:
        rows = changed_rows(lake, changed, since=since, until=until, columns=[partition.day_of, DELETED])
        if rows is None:
            return None
        alive = rows.filter(pc.invert(rows[DELETED]))
        days = set(pc.unique(alive[partition.day_of].cast(pa.date32())).to_pylist())
        return None if None in days else days  # a row without a day belongs to none: let the audit see all
    (key,) = domain.by_name[name].key_names
    rows = changed_rows(lake, changed, since=since, until=until, columns=[key])
    return None if rows is None else _days_that_refer(lake, tables[partition.table], partition, name, rows[key])


def _days_that_refer(
    lake: Lake, table: Table | None, partition: Partition, to: str, keys: pa.ChunkedArray
) -> set[date] | None:
    """The days of the rows, as they are now, that refer to one of `keys`. What they were then is their own change."""
    if table is None or table.metadata.current_snapshot_id is None:
        return set()
    column, day = identifier(partition.joins[to]), identifier(partition.day_of)
    listed = isinstance(table.schema().find_field(partition.joins[to]).field_type, ListType)
    refers = (
        f"list_has_any({column}, (SELECT list(key) FROM changed))"
        if listed
        else f"{column} IN (SELECT key FROM changed)"
    )
    with lake.duckdb() as connection:
        connection.register("changed", pa.table({"key": keys}))
        days = connection.execute(
            f"SELECT DISTINCT CAST({day} AS DATE) FROM {lake.scan_sql(table, None)} WHERE NOT {DELETED} AND {refers}"
        ).fetchall()
    found = {one for (one,) in days}
    return None if None in found else found
