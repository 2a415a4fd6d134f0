"""After lost changes: what Silver knows of the keys of a snapshot, and which of its keys the snapshot does not have.

Where no change was lost, a row of a snapshot needs no join: it is older than every change of the stream. Where changes
were lost, the newest known change of a key may be older than the snapshot, and then the snapshot's item must win. Let T
be the snapshot's point in time. All lost changes are older than T by more than CLOCK_TOLERANCE (handover).

- A key whose newest known change is younger than that has lost nothing after it: the stream decides, no row is written.
- Any other known key gets a row next to its newest known change, `<its number>+<T>`: newer than that change, and older
  than every change of the stream after T, because every captured change before T is merged.
- A key whose newest known change is in quarantine is left to it, as a comparison leaves it.
- A key that Silver has a row of, whose newest known change is as old, and that the snapshot does not have, is gone.
  An incremental export does not have keys that did not change, and none that was inserted and deleted in its window: of
  the keys whose newest known change is in the window, those are gone that the table does not have.

Belongs here: these cases, in bulk and in bounded memory. Does not belong here: rows of unknown keys (bronze_rows).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medallion_assets.backfill.bronze_rows import as_microseconds, removals
from medallion_assets.backfill.handover import CLOCK_TOLERANCE
from medallion_assets.capture.sequence import pad_sequence, stream_created_at
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.lake.duck import identifier, literal, timestamp_literal
from medallion_assets.reconciliation.canonical import lake_sql
from medallion_assets.reconciliation.fingerprints import of_keys, of_quarantined, silver_key_hash
from medallion_assets.silver.table import (
    CHANGED_AT,
    DELETED,
    EXPIRED_AT,
    QUARANTINE,
    SEQUENCE,
    SILVER,
    STREAM_CREATED_AT,
)

_BATCH_ROWS: Final = 50_000
_MADE: Final = "coalesce(changed_at, make_timestamptz(TRY_CAST(split_part(newest.number, '+', 2) AS BIGINT)))"
"""SQL of when a newest known change was made."""


@dataclass(frozen=True)
class KnownChanges:
    """The newest known changes of a table's keys, in Parquet files of a local folder.

    - at: T of the snapshot; stream_arn: the table's stream now
    """

    lake: Lake
    contract: Contract
    folder: Path
    at: datetime
    stream_arn: str
    key_tags: Mapping[str, str]

    def read(self) -> None:
        """Read them from Silver, the deleted keys and quarantine. Raises LakeUnavailable."""
        self.folder.mkdir()
        hashed = silver_key_hash(self.contract)
        keys = ", ".join(
            f"{literal(column.attribute)}, json_object({literal(self.key_tags[column.attribute])}, "
            f"{lake_sql(column.type, identifier(column.name))})"
            for column in self.contract.key_columns
        )
        with self.lake.duckdb() as connection:
            for namespace in (SILVER, DELETED):
                table = self.lake.find(namespace, self.contract.lake_name)
                if table is None:
                    continue
                expired = self.contract.on_expiry == "keep" and namespace == SILVER
                present = "FALSE" if namespace == DELETED else f"{EXPIRED_AT} IS NULL" if expired else "TRUE"
                select = f"""
                    SELECT {hashed} AS _key_hash, {STREAM_CREATED_AT} AS created, {SEQUENCE} AS number,
                        {CHANGED_AT} AS changed_at, {present} AS present, json_object({keys})::VARCHAR AS keys
                    FROM {self.lake.scan_sql(table, None)}"""
                self._copy(connection, select, namespace)
            if self.lake.find(QUARANTINE, self.contract.lake_name) is not None:
                waiting = of_quarantined(self.lake, self.contract, self.folder / "of_quarantine")
                select = f"""
                    SELECT _key_hash, _version.created AS created, _version.number AS number,
                        'infinity'::TIMESTAMPTZ AS changed_at, FALSE AS present, NULL::VARCHAR AS keys
                    FROM {waiting.sql}"""
                self._copy(connection, select, QUARANTINE)
            if not list(self.folder.glob("*.parquet")):
                select = """SELECT 0::UBIGINT AS _key_hash, now() AS created, '' AS number, now() AS changed_at,
                        FALSE AS present, '' AS keys WHERE FALSE"""
                self._copy(connection, select, "none")

    def numbered(self, rows: pa.Table, page_at: datetime, hashes: Path) -> pa.Table:
        """Return the rows of a page that are to be written, with their sequence numbers; `hashes` is a new file."""
        keys = rows.select(["keys"]).append_column("_row", pa.arange(0, rows.num_rows))
        of_keys(self.lake, self.contract, keys, hashes)
        with self.lake.duckdb() as connection:
            found = connection.execute(f"""
                SELECT _row, {self._base()} AS base FROM (
                    SELECT p._row, max({{'created': k.created, 'number': k.number}}) AS newest,
                        arg_max(k.changed_at, {{'created': k.created, 'number': k.number}}) AS changed_at
                    FROM read_parquet({literal(str(hashes))}) p LEFT JOIN {self._sql} k USING (_key_hash)
                    GROUP BY p._row) ORDER BY _row""").to_arrow_table()
        found = found.filter(pc.is_valid(found["base"]))
        numbers = pc.binary_join_element_wise(found["base"], f"+{as_microseconds(page_at):016d}", "")
        kept = rows.take(found["_row"])
        return kept.set_column(kept.schema.get_field_index("sequence_number"), "sequence_number", numbers)

    def gone(
        self,
        snapshot: str,
        *,
        backfill: str,
        since: datetime | None = None,
        absent: Callable[[pa.ChunkedArray], pa.ChunkedArray] | None = None,
    ) -> Iterator[pa.Table]:
        """Yield rows that remove what Silver has and the snapshot does not; `snapshot` is SQL of its `_key_hash`es.

        Only keys whose newest known change was made from `since` on, and of them only those for which `absent` (keys
        -> whether each is not in the table) says so.
        """
        window = f"AND {_MADE} >= {timestamp_literal(since - CLOCK_TOLERANCE)}" if since is not None else ""
        with self.lake.duckdb() as connection:
            batches = connection.execute(f"""
                SELECT keys, {self._base()} AS base FROM (
                    SELECT _key_hash, any_value(keys) FILTER (present) AS keys, bool_or(present) AS present,
                        max({{'created': created, 'number': number}}) AS newest,
                        arg_max(changed_at, {{'created': created, 'number': number}}) AS changed_at
                    FROM {self._sql} k ANTI JOIN {snapshot} s ON k._key_hash = s._key_hash GROUP BY _key_hash)
                WHERE present AND {self._base()} IS NOT NULL {window}""").to_arrow_reader(_BATCH_ROWS)
            first = 1
            for batch in batches:
                table = pa.Table.from_batches([batch])
                if absent is not None:
                    table = table.filter(absent(table["keys"]))
                numbers = pc.binary_join_element_wise(table["base"], f"+{as_microseconds(self.at):016d}", "")
                reading = f"{backfill}-gone"
                yield removals(
                    self.contract, table["keys"], numbers, reading=reading, first=first, stream_arn=self.stream_arn
                )
                first += table.num_rows

    @property
    def _sql(self) -> str:
        return f"read_parquet({literal(str(self.folder / '*.parquet'))})"

    def _base(self) -> str:
        """Return SQL of the number that a row of the snapshot follows; null if the stream decides.

        The time of an amendment is in its number.
        """
        created = timestamp_literal(stream_created_at(self.stream_arn))
        return f"""CASE WHEN newest.created IS NULL OR newest.created < {created} THEN {literal(pad_sequence(0))}
            WHEN coalesce({_MADE} >= {timestamp_literal(self.at - CLOCK_TOLERANCE)}, TRUE) THEN NULL
            ELSE split_part(newest.number, '+', 1) END"""

    def _copy(self, connection: duckdb.DuckDBPyConnection, select: str, name: str) -> None:
        connection.execute(f"COPY ({select}) TO {literal(str(self.folder / f'{name}.parquet'))} (FORMAT parquet)")


def store_keys(store: BronzeStore, path: str, files: list[Path]) -> None:
    """Keep the key hashes of a part beside its progress, for a run that goes on after a crash."""
    hashes = [pq.read_table(file, columns=["_key_hash"]) for file in files]
    data = io.BytesIO()
    pq.write_table(pa.concat_tables(hashes) if hashes else pa.table({"_key_hash": pa.array([], pa.uint64())}), data)
    store.put(path, data.getvalue())
