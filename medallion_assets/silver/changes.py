"""The changes in Bronze objects, in batches: decoded, each once, and divided by what is to be done with them.

Belongs here: how large a batch is, which rows of it are deliveries of the same change, and which changes are known
already. Does not belong here: how a row is decoded (decode), merging (batch).
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from medallion_assets.bronze import chunks
from medallion_assets.bronze.chunks import Chunk, read_chunks, require_json
from medallion_assets.capture.store import BronzeStore
from medallion_assets.contracts.loader import Domain, Source
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import CorruptObject
from medallion_assets.lake.catalog import Lake
from medallion_assets.silver.decode import Decoded, decode
from medallion_assets.silver.membership import count_of_no_entity
from medallion_assets.silver.quarantine import bronze_rows, compare_with_silver, read_statuses
from medallion_assets.silver.table import CAPTURED_AT, DROPPED, EVENT_ID, OPEN, VERSION

# A batch takes what is pending, so it grows with the backlog, up to this many bytes of decoded rows or
# chunks.MAX_OBJECTS objects. The commit, the audit and reading the keys of the table cost about the same for 1,000
# changes as for 300,000; more rows at once would only take more memory.
MAX_DECODED_BYTES: Final = 64 * 1024 * 1024

# The steps of a run share a process. Up to this size their batches are decoded and merged at the same time, which takes
# some 30 MB each; of larger ones there is one at a time, which takes up to 900 MB, while each of the others waits with
# at most two chunks of chunks.MAX_BYTES.
SMALL_BYTES: Final = 8 * 1024 * 1024
_large_batches: Final = threading.Lock()


@dataclass(frozen=True)
class Changes:
    """Changes to merge, each once, as `decode` returns them.

    - objects: the Bronze objects that they come from; none for a replay
    - rows_in: Bronze rows of these objects, repeated deliveries included
    - rows: the valid changes
    - rejected: the changes that break the contract
    - newly_rejected: those of `rejected` that count for this batch; the others were delivered and counted before
    - dropped: how many changes somebody has dropped from quarantine; they are neither valid nor rejected
    - other_entities: how many rows are changes of items that are not of the contract's entity
    - of_no_entity: how many of these are of items that are of no contract's entity
    - any_open: whether some of `rows` are open in quarantine
    """

    objects: tuple[str, ...]
    rows_in: int
    rows: pa.Table
    rejected: pa.Table
    newly_rejected: pa.Table
    dropped: int = 0
    other_entities: int = 0
    of_no_entity: int = 0
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
        return self.rows_in - int(self.rows.num_rows) - self.quarantined - self.dropped - self.other_entities


def read_changes(
    lake: Lake, store: BronzeStore, contract: Contract, domain: Domain, names: Sequence[str], *, whole: bool
) -> Generator[Changes]:
    """Decode the objects of `store`, in the given order, in batches of bounded size.

    With `whole`, all rejected changes count as quarantined, because a day that is merged again is judged as a whole.
    Otherwise those do not count that an object outside the batch has brought to quarantine, or that Silver contains.
    Raises CorruptObject for an object that cannot be read, and for an image that is not JSON, after the changes before
    it were yielded; LakeUnavailable.

    Close the iterator: in one process only one that yields large batches goes on at a time.
    """
    parts: list[_Part] = []
    source = domain.sources[contract.table]
    with lake.duckdb() as connection, ExitStack() as turn:
        waited = False
        try:
            for chunk in read_chunks(store, names):
                if chunk.rows.nbytes > SMALL_BYTES and not waited:
                    turn.enter_context(_large_batches)
                    waited = True
                parts.append(_decode(connection, store, contract, source, chunk))
                del chunk  # a merge needs the memory
                if _is_full(parts):
                    yield _changes(connection, lake, contract, parts, whole=whole)
                    parts = []
        except CorruptObject:
            if parts:
                yield _changes(connection, lake, contract, parts, whole=whole)
            raise
        if parts:
            yield _changes(connection, lake, contract, parts, whole=whole)


@dataclass(frozen=True)
class _Part:
    """One chunk, decoded: the names of its objects, the number of its rows, and each of its changes once.

    `other_entities` and `of_no_entity` are as in Changes.
    """

    names: tuple[str, ...]
    rows_in: int
    decoded: Decoded
    other_entities: int
    of_no_entity: int


def _is_full(parts: Sequence[_Part]) -> bool:
    decoded_bytes = sum(part.decoded.rows.nbytes + part.decoded.rejected.nbytes for part in parts)
    return decoded_bytes >= MAX_DECODED_BYTES or sum(len(part.names) for part in parts) >= chunks.MAX_OBJECTS


def _decode(
    connection: duckdb.DuckDBPyConnection, store: BronzeStore, contract: Contract, source: Source, chunk: Chunk
) -> _Part:
    delivered = _first_deliveries(connection, chunk.rows, ["event_id", "stream_arn", "sequence_number"], "captured_at")
    try:
        decoded = decode(connection, delivered, contract)
        others = delivered.num_rows - decoded.rows.num_rows - decoded.rejected.num_rows
        of_none = count_of_no_entity(connection, delivered, source) if others else 0
        return _Part(chunk.names, chunk.rows.num_rows, decoded, others, of_none)
    except duckdb.InvalidInputException:
        require_json(delivered, store)
        raise


def _changes(
    connection: duckdb.DuckDBPyConnection, lake: Lake, contract: Contract, parts: Sequence[_Part], *, whole: bool
) -> Changes:
    """Put the parts together and look their changes up in quarantine."""
    names = tuple(name for part in parts for name in part.names)
    rows = pa.concat_tables([part.decoded.rows for part in parts])
    rejected = pa.concat_tables([part.decoded.rejected for part in parts])
    if len(parts) > 1:
        rows = _first_deliveries(connection, rows, [EVENT_ID, *VERSION], CAPTURED_AT)
        rejected = _first_deliveries(connection, rejected, ["event_id", "stream_arn", "sequence_number"], "captured_at")
    delivered = rows.num_rows + rejected.num_rows
    event_ids = pa.chunked_array([*rows[EVENT_ID].chunks, *rejected["event_id"].chunks], pa.string())
    known = read_statuses(lake, contract, event_ids)
    dropped = known.filter(pc.equal(known["status"], DROPPED))["event_id"]
    rows, rejected = _without(rows, EVENT_ID, dropped), _without(rejected, "event_id", dropped)
    counted = rejected
    if not whole:
        elsewhere = known.filter(pc.invert(pc.is_in(known["object"], pa.array(names, pa.string()))))
        counted = _without(counted, "event_id", elsewhere["event_id"])
        in_silver = compare_with_silver(connection, lake, contract, bronze_rows(counted))
        counted = _without(counted, "event_id", in_silver.filter(pc.invert(in_silver["newer"]))["event_id"])
    still_open = known.filter(pc.equal(known["status"], OPEN))["event_id"]
    return Changes(
        names,
        sum(part.rows_in for part in parts),
        rows,
        rejected,
        newly_rejected=counted,
        dropped=delivered - rows.num_rows - rejected.num_rows,
        other_entities=sum(part.other_entities for part in parts),
        of_no_entity=sum(part.of_no_entity for part in parts),
        any_open=_with(rows, EVENT_ID, still_open).num_rows > 0,
    )


def _first_deliveries(
    connection: duckdb.DuckDBPyConnection, rows: pa.Table, change: Sequence[str], captured_at: str
) -> pa.Table:
    """Return each change once, in the row that was captured first; the columns `change` tell changes apart."""
    connection.register(
        "deliveries", rows.select([*change, captured_at]).append_column("_row", pa.arange(0, rows.num_rows))
    )
    try:
        # Nearly always every event id is there once, which its hash shows in a tenth of the time.
        ((distinct,),) = connection.execute(f"SELECT count(DISTINCT hash({change[0]})) FROM deliveries").fetchall()
        if distinct == rows.num_rows:
            return rows
        first = connection.execute(
            f"SELECT arg_min(_row, (epoch_us({captured_at}), _row)) FROM deliveries GROUP BY {', '.join(change)}"
        ).to_arrow_table()
    finally:
        connection.unregister("deliveries")
    return rows if first.num_rows == rows.num_rows else rows.take(first.column(0).combine_chunks().sort())


def _with(rows: pa.Table, column: str, event_ids: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.is_in(rows[column], event_ids.combine_chunks())) if len(event_ids) else rows.slice(0, 0)


def _without(rows: pa.Table, column: str, event_ids: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows[column], event_ids.combine_chunks()))) if len(event_ids) else rows
