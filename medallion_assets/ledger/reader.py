"""What `ops.ledger` holds, as the looks ask for it.

Belongs here: its queries. Does not belong here: what follows from the answers (look), writing (table).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import duckdb
import pyarrow as pa

from medallion_assets.capture.sequence import SEQUENCE_START
from medallion_assets.lake.catalog import Lake
from medallion_assets.ledger.completeness import ShardEnd
from medallion_assets.ledger.ranges import Range
from medallion_assets.ledger.table import PRESENT
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
        """The ledger's newest snapshot, until the context ends."""
        table = LEDGER.find(lake)
        with lake.duckdb() as connection:
            if table is None:
                connection.register("nothing", LEDGER.schema.empty_table())
                yield cls(connection, "nothing", {})
            else:
                yield cls(connection, lake.scan_sql(table, None), table.properties)

    def objects(self, table: str, *, after: str | None, up_to: str) -> dict[str, dict[str, Any]]:
        """The recorded objects with names after `after` up to `up_to`, by name."""
        return self._by_name("object > ? AND object <= ?", table, [after or SEQUENCE_START, up_to])

    def named(self, table: str, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """Those of the objects that are recorded, by name."""
        if not names:
            return {}
        self._connection.register("asked", pa.table({"object": pa.array(list(names), pa.string())}))
        # The bounds keep files of other times from being read.
        condition = "object >= ? AND object <= ? AND object IN (SELECT object FROM asked)"
        return self._by_name(condition, table, [min(names), max(names)])

    def reached(self, table: str, stream_arn: str, shards: Collection[str]) -> dict[str, ShardEnd]:
        """How far the recorded objects of each shard reach; shards without any are left out."""
        if not shards:
            return {}
        found = self._connection.execute(
            f"SELECT shard_id, max(up_to), max(newest_change) FROM {self._rows} "
            "WHERE table_name = ? AND stream_arn = ? AND list_contains(?, shard_id) GROUP BY shard_id",
            [table, stream_arn, sorted(shards)],
        ).fetchall()
        return {shard: ShardEnd(up_to, newest) for shard, up_to, newest in found}

    def claims(self, table: str, stream_arn: str, shard_id: str) -> list[Range]:
        """The claims on one shard of the objects that are in Bronze as they were recorded."""
        found = self._connection.execute(
            f"SELECT after, up_to FROM {self._rows} "
            f"WHERE table_name = ? AND stream_arn = ? AND shard_id = ? AND state = '{PRESENT}'",
            [table, stream_arn, shard_id],
        ).fetchall()
        return [Range(after or SEQUENCE_START, up_to) for after, up_to in found]

    def shards(self, table: str) -> list[tuple[str, str]]:
        """The stream and id of every shard that the recorded objects coverage of."""
        found = self._connection.execute(
            f"SELECT DISTINCT stream_arn, shard_id FROM {self._rows} "
            "WHERE table_name = ? AND shard_id IS NOT NULL ORDER BY ALL",
            [table],
        ).fetchall()
        return [(stream_arn, shard_id) for stream_arn, shard_id in found]

    def snapshots(self, table: str) -> dict[int | None, set[str]]:
        """The objects that each Silver snapshot was the first to contain."""
        found = self._connection.execute(
            f"SELECT snapshot_id, list(object) FROM {self._rows} WHERE table_name = ? GROUP BY snapshot_id", [table]
        ).fetchall()
        return {snapshot: set(names) for snapshot, names in found}

    def _by_name(self, condition: str, table: str, values: list[Any]) -> dict[str, dict[str, Any]]:
        rows = self._connection.execute(
            f"SELECT * FROM {self._rows} WHERE table_name = ? AND {condition}", [table, *values]
        ).to_arrow_table()
        return {row["object"]: row for row in rows.to_pylist()}
