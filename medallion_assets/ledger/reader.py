"""Queries on `ops.ledger`.

Belongs here: the queries that an inspection needs. Does not belong here: what follows from the answers (inspect), and
writing (table).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import duckdb
import pyarrow as pa

from medallion_assets.capture.sequence import SEQUENCE_START
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.completeness import ShardEnd
from medallion_assets.ledger.gap import ShardKey
from medallion_assets.ledger.ranges import Range
from medallion_assets.ledger.row import PRESENT, Row
from medallion_assets.ops.tables import LEDGER


class LedgerReader:
    """The ledger as it was when it was opened; empty before its first row. Tables are lake names."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, rows: str, properties: Mapping[str, str]) -> None:
        self._connection = connection
        self._rows = rows
        self.properties = properties

    @classmethod
    @contextmanager
    def open(cls, lake: Lake) -> Iterator[Self]:
        """Open the ledger's newest snapshot until the context ends. Raises LakeUnavailable."""
        table = LEDGER.find(lake)
        with lake.duckdb() as connection:
            if table is None:
                connection.register("nothing", LEDGER.schema.empty_table())
                yield cls(connection, "nothing", {})
            else:
                yield cls(connection, lake.scan_sql(table, None), table.properties)

    def objects(self, table: str, ranges: Iterable[tuple[str | None, str]]) -> dict[str, Row]:
        """Return the rows of the objects whose names are after the first and up to the second of a pair, by name."""
        found: dict[str, Row] = {}
        for after, up_to in ranges:
            found |= self._select("object > ? AND object <= ?", table, [after or "", up_to])
        return found

    def named(self, table: str, names: Collection[str]) -> dict[str, Row]:
        """Return the rows of those of the objects that are recorded, by name."""
        if not names:
            return {}
        self._connection.register("asked", pa.table({"object": pa.array(list(names), pa.string())}))
        # With the bounds, DuckDB skips the files of other times.
        condition = "object >= ? AND object <= ? AND object IN (SELECT object FROM asked)"
        return self._select(condition, table, [min(names), max(names)])

    def shard_ends(self, table: str, shards: Collection[ShardKey]) -> dict[ShardKey, ShardEnd]:
        """Return the ends of the shards; shards without a recorded object are left out."""
        if not shards:
            return {}
        found = self._connection.execute(
            f"SELECT stream_arn, shard_id, max(up_to), max(newest_change) FROM {self._rows} "
            "WHERE table_name = ? AND list_contains(?, stream_arn) AND list_contains(?, shard_id) "
            "GROUP BY stream_arn, shard_id",
            [table, sorted({shard.stream_arn for shard in shards}), sorted({shard.shard_id for shard in shards})],
        ).fetchall()
        ends = {ShardKey(stream, shard): ShardEnd(up_to, newest) for stream, shard, up_to, newest in found}
        return {shard: end for shard, end in ends.items() if shard in shards}

    def covered_ranges(self, table: str, shard: ShardKey) -> list[Range]:
        """Return the ranges of one shard that the present objects cover."""
        found = self._connection.execute(
            f"SELECT after, up_to FROM {self._rows} "
            f"WHERE table_name = ? AND stream_arn = ? AND shard_id = ? AND state = '{PRESENT}'",
            [table, *shard],
        ).fetchall()
        return [Range(after or SEQUENCE_START, up_to) for after, up_to in found]

    def _select(self, condition: str, table: str, values: list[Any]) -> dict[str, Row]:
        rows = self._connection.execute(
            f"SELECT * FROM {self._rows} WHERE table_name = ? AND {condition}", [table, *values]
        ).to_arrow_table()
        return {row["object"]: row for row in rows.to_pylist()}
