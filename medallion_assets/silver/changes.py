"""The changes in a chunk of Bronze objects: decoded, each once, and divided by what is to be done with them.

Belongs here: which rows of a chunk are deliveries of the same change, and which changes are known already. Does not
belong here: how a row is decoded (decode), merging (batch).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.bronze import Chunk, require_json
from medallion_assets.silver.decode import Decoded, decode
from medallion_assets.silver.quarantine import bronze_rows, compare_with_silver, read_statuses
from medallion_assets.silver.table import DROPPED, EVENT_ID, OPEN


@dataclass(frozen=True)
class Changes:
    """Changes to merge, each once, as `decode` returns them.

    - objects: the Bronze objects that they come from; none for a replay
    - rows_in: Bronze rows of these objects, repeated deliveries included
    - rows: the valid changes
    - rejected: the changes that break the contract
    - newly_rejected: those of `rejected` that count for this batch; the others were delivered and counted before
    - dropped: how many changes somebody has dropped from quarantine; they are neither valid nor rejected
    - any_open: whether some of `rows` are open in quarantine
    """

    objects: tuple[str, ...]
    rows_in: int
    rows: pa.Table
    rejected: pa.Table
    newly_rejected: pa.Table
    dropped: int = 0
    any_open: bool = False

    @classmethod
    def of_replay(cls, decoded: Decoded) -> Self:
        """Return the valid changes of a replay; the rejected ones were counted when they came to quarantine."""
        none = decoded.rejected.slice(0, 0)
        return cls((), decoded.rows.num_rows, decoded.rows, rejected=none, newly_rejected=none)

    @property
    def quarantined(self) -> int:
        """How many changes the batch brings to quarantine."""
        return int(self.newly_rejected.num_rows)

    @property
    def redelivered(self) -> int:
        """How many of `rows_in` deliver a change again: one of this batch, or a rejected one that was known before."""
        return self.rows_in - int(self.rows.num_rows) - self.quarantined - self.dropped


def read_changes(lake: Lake, store: BronzeStore, contract: Contract, chunk: Chunk, *, whole: bool) -> Changes:
    """Decode a chunk of `store` and look its changes up in quarantine.

    With `whole`, all rejected changes count as quarantined, because a day that is merged again is judged as a whole.
    Otherwise those do not count that an object outside the chunk has brought to quarantine, or that Silver contains.
    Raises CorruptObject for an image that is not JSON, LakeUnavailable.
    """
    with lake.duckdb() as connection:
        delivered = _first_deliveries(connection, chunk.rows)
        try:
            decoded = decode(connection, delivered, contract)
        except duckdb.InvalidInputException:
            require_json(delivered, store)
            raise
        known = read_statuses(lake, contract, delivered["event_id"])
        dropped = known.filter(pc.equal(known["status"], DROPPED))["event_id"]
        rows, rejected = _without(decoded.rows, EVENT_ID, dropped), _without(decoded.rejected, "event_id", dropped)
        counted = rejected
        if not whole:
            elsewhere = known.filter(pc.invert(pc.is_in(known["object"], pa.array(chunk.names, pa.string()))))
            counted = _without(counted, "event_id", elsewhere["event_id"])
            in_silver = compare_with_silver(connection, lake, contract, bronze_rows(counted))
            counted = _without(counted, "event_id", in_silver.filter(pc.invert(in_silver["newer"]))["event_id"])
    still_open = known.filter(pc.equal(known["status"], OPEN))["event_id"]
    return Changes(
        chunk.names,
        chunk.rows.num_rows,
        rows,
        rejected,
        newly_rejected=counted,
        dropped=delivered.num_rows - rows.num_rows - rejected.num_rows,
        any_open=_with(rows, EVENT_ID, still_open).num_rows > 0,
    )


def _first_deliveries(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    """Return each change once, in the row that was captured first."""
    compared = rows.select(["event_id", "stream_arn", "sequence_number", "captured_at"])
    connection.register("deliveries", compared.append_column("_row", pa.arange(0, rows.num_rows)))
    try:
        first = connection.execute(
            "SELECT arg_min(_row, (epoch_us(captured_at), _row)) FROM deliveries "
            "GROUP BY event_id, stream_arn, sequence_number"
        ).to_arrow_table()
    finally:
        connection.unregister("deliveries")
    return rows if first.num_rows == rows.num_rows else rows.take(first.column(0).combine_chunks().sort())


def _with(rows: pa.Table, column: str, event_ids: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.is_in(rows[column], event_ids.combine_chunks())) if len(event_ids) else rows.slice(0, 0)


def _without(rows: pa.Table, column: str, event_ids: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows[column], event_ids.combine_chunks()))) if len(event_ids) else rows
