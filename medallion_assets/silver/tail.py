"""The tail of a Silver table: what Bronze has and Silver has not merged yet, decoded and kept in memory.

Belongs here: following Bronze as Silver's position passes, and the SQL of the table with its tail. Does not belong
here: merging (batch), who may see rows that were not audited (serving).

A tail is read with the state of the table that its position is of, so no change is missing between the two. A change
that both have is the same change: versions decide, as in a merge.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import NotCaughtUp
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier
from medallion_assets.lake.outage import translate_outages
from medallion_assets.silver.changes import read_changes
from medallion_assets.silver.enrich import enrich, read_referenced
from medallion_assets.silver.fill import needs_fill
from medallion_assets.silver.latest import latest
from medallion_assets.silver.table import DELETED_BY, IS_DELETION, read_position, silver_schema, version_sql
from medallion_assets.silver.tombstones import find_tombstones

MAX_BYTES: Final = 64 * 2**20
MAX_OBJECTS: Final = 5000


@dataclass(frozen=True)
class TailRows:
    """The latest pending change of each key, with the columns of the table, `_is_deletion` and `_deleted_by`.

    `listed_at`, aware UTC: every object that Bronze had then is in Silver or here.
    """

    rows: pa.Table
    listed_at: datetime


@dataclass(frozen=True)
class _Part:
    names: frozenset[str]
    rows: pa.Table


class Tail:
    """Follows the Bronze of one contract. Threads may share it: one reads, the others wait."""

    def __init__(self, lake: Lake, store: BronzeStore, contract: Contract, domain: Domain) -> None:
        self._lake = lake
        self._store = store
        self.contract = contract
        self._domain = domain
        self._lock = threading.Lock()
        self._parts: list[_Part] = []

    @translate_outages()
    def read(self, table: Table) -> TailRows:
        """Return what the table lacks. Objects that were read before and are not merged yet are not read again.

        Raises NotCaughtUp if that is more than fits in memory, or if the table has a column under its earlier name,
        which the next merge renames, or rows that it fills; CorruptObject, LakeUnavailable.
        """
        there = set(table.schema().column_names)
        columns = self.contract.by_name.items()
        if renamed := [name for name, one in columns if one.renamed_from in there and name not in there]:
            raise self._lagging(f"no merge has renamed its columns {', '.join(renamed)} yet")
        with self._lock:
            listed_at = datetime.now(UTC)
            pending = read_position(table).pending(self._store, self.contract.table)
            if len(pending) > MAX_OBJECTS:
                self._parts = []
                raise self._lagging(f"{len(pending):,} objects of Bronze wait, more than {MAX_OBJECTS:,}")
            if pending and needs_fill(table, self.contract):
                raise self._lagging("no merge has filled the columns that its contract declares since")
            waiting = frozenset(pending)
            self._parts = [part for part in self._parts if part.names & waiting]
            known = frozenset[str]().union(*(part.names for part in self._parts))
            self._follow([name for name in pending if name not in known])
            return TailRows(self._latest(table), listed_at)

    def _follow(self, names: Sequence[str]) -> None:
        """Decode further objects. A part of them that was read stays if a later one cannot be."""
        if not names:
            return
        reading = read_changes(self._lake, self._store, self.contract, self._domain, names, whole=False)
        with closing(reading) as batches:
            for changes in batches:
                self._parts.append(_Part(frozenset(changes.objects), changes.rows))
                if sum(part.rows.nbytes for part in self._parts) > MAX_BYTES:
                    self._parts = []
                    raise self._lagging(f"more than {MAX_BYTES // 2**20} MiB of changes wait")

    def _latest(self, table: Table) -> pa.Table:
        schema = silver_schema(self.contract, self._domain)
        with self._lake.duckdb() as connection:
            if not self._parts:
                return schema.append(pa.field(IS_DELETION, pa.bool_())).empty_table()
            newest = latest(connection, pa.concat_tables([part.rows for part in self._parts]), self.contract.key_names)
            tombstones = find_tombstones(self._lake, self.contract, connection, newest)
            if tombstones.num_rows:
                connection.register("newest", newest)
                connection.register("tombstones", tombstones)
                newest = connection.execute(
                    f"FROM newest c ANTI JOIN tombstones t ON {_same_key(self.contract, 'c', 't')} "
                    f"AND {version_sql('t')} > {version_sql('c')}"
                ).to_arrow_table()
            referenced = read_referenced(self._lake, table, self.contract, self._domain)
            enriched = enrich(connection, self._lake, newest.drop_columns([DELETED_BY]), referenced)
            return enriched.select([*schema.names, IS_DELETION])

    def _lagging(self, seen: str) -> NotCaughtUp:
        return NotCaughtUp(
            f"silver.{self.contract.lake_name} is behind: {seen}. Ask for what is published, or try again when it has "
            "caught up."
        )


def fresh_sql(contract: Contract, scan: str, tail: str) -> str:
    """Return the SELECT (DuckDB's) of a table with its tail: `scan` reads the table, `tail` is a table of TailRows."""
    same = _same_key(contract, "s", "t")
    return f"""
        SELECT s.* FROM {scan} s ANTI JOIN {tail} t ON {same} AND {version_sql("t")} > {version_sql("s")}
        UNION ALL BY NAME
        SELECT t.* EXCLUDE ({IS_DELETION}) FROM (FROM {tail} WHERE NOT {IS_DELETION}) t
        ANTI JOIN {scan} s ON {same} AND {version_sql("s")} >= {version_sql("t")}"""


def _same_key(contract: Contract, one: str, other: str) -> str:
    return " AND ".join(f"{one}.{identifier(name)} = {other}.{identifier(name)}" for name in contract.key_names)
