"""Check a dropped file against the contract, and keep its rows on disk as Bronze needs them.

Belongs here: every row is decoded as a change is, and every key stands once. Does not belong here: reading a format
(read), the order of the rows among other changes (order), writing them (take).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medallion_assets.bronze.schema import SCHEMA
from medallion_assets.capture.sequence import UNLABELLED_STREAM
from medallion_assets.contracts.model import Contract
from medallion_assets.dropped.fault import Fault, Faults, UnreadableFile
from medallion_assets.dropped.item import Item, is_number
from medallion_assets.dropped.read import Batch, read
from medallion_assets.lake.duck import identifier, literal
from medallion_assets.silver.decode import decode

ROW, KEYS, IMAGE = "_row", "_keys", "_image"
"""Columns of the rows on disk, beside the columns of the key: number, and key and item in DynamoDB JSON."""

_SEEN: Final = {
    "S": "a text",
    "N": "a number",
    "B": "binary",
    "BOOL": "a truth value",
    "NULL": "null",
    "L": "a list",
    "M": "a map",
    "SS": "a set",
    "NS": "a set",
    "BS": "a set",
}


@dataclass(frozen=True)
class Checked:
    """A file after its check: how many rows were read, their faults, and the Parquet file with all of them.

    The file has ROW, the columns of the key, KEYS and IMAGE; it is whole only if there is no fault.
    """

    rows: int
    faults: Faults
    prepared: Path


def check(
    connection: duckdb.DuckDBPyConnection, path: Path, name: str, contract: Contract, *, prepared: Path
) -> Checked:
    """Check the file at `path`, whose name says its format; write its rows to `prepared` until a fault is found.

    The memory is that of some thousand rows; DuckDB spills what it needs to find a key that stands twice.
    """
    faults, rows = Faults(), 0
    key = [pa.field(column.name, column.type.arrow()) for column in contract.key_columns]
    schema = pa.schema([(ROW, pa.int64()), *key, (KEYS, pa.string()), (IMAGE, pa.string())])
    with pq.ParquetWriter(prepared, schema, compression="zstd", compression_level=1) as writer:
        try:
            for batch in read(path, name, contract):
                rows += len(batch.items) + len(batch.faults)
                faults.add(batch.faults)
                if batch.items:
                    good = _check_batch(connection, contract, batch, faults)
                    if not faults.count:
                        writer.write_table(good.select(schema.names).cast(schema))
        except UnreadableFile as unreadable:
            faults.add([unreadable.fault])
    if not faults.count:
        faults.add(_doubled_keys(connection, contract, prepared))
    return Checked(rows, faults, prepared)


def _check_batch(connection: duckdb.DuckDBPyConnection, contract: Contract, batch: Batch, faults: Faults) -> pa.Table:
    """Return the rows that fit, as `Checked.prepared` has them, and add the faults of the others."""
    by_row = dict(batch.items)
    texts = {row: (_keys_json(contract, item), _json(item)) for row, item in batch.items}
    decoded = decode(connection, _bronze(contract, texts), contract)
    rejected = zip(
        decoded.rejected["event_id"].to_pylist(),
        decoded.rejected["column_name"].to_pylist(),
        decoded.rejected["reason"].to_pylist(),
        strict=True,
    )
    wrong = sorted((int(row), column, reason) for row, column, reason in rejected)
    faults.add(_fault(contract, row, by_row[row], column, reason) for row, column, reason in wrong)
    numbers = decoded.rows["_event_id"].cast(pa.int64())
    rows = decoded.rows.select(contract.key_names).append_column(ROW, numbers)
    rows = rows.take(pc.sort_indices(numbers))
    kept = [texts[row] for row in rows[ROW].to_pylist()]
    for at, column in enumerate((KEYS, IMAGE)):
        rows = rows.append_column(column, pa.array([one[at] for one in kept], pa.string()))
    return rows


def _bronze(contract: Contract, texts: dict[int, tuple[str, str]]) -> pa.Table:
    """Return the rows as Bronze has them; what decoding does not judge is any value."""
    given = {
        "event_id": [str(row) for row in texts],
        "keys": [keys for keys, _ in texts.values()],
        "new_image": [image for _, image in texts.values()],
    }
    same = {
        "event_name": "MODIFY",
        "table_name": contract.table,
        "sequence_number": "0",
        "stream_arn": "file",
        "captured_at": UNLABELLED_STREAM,
    }
    return pa.table(
        [
            pa.array(given[field.name], field.type)
            if field.name in given
            else pa.repeat(pa.scalar(same.get(field.name), field.type), len(texts))
            for field in SCHEMA
        ],
        schema=SCHEMA,
    )


def _doubled_keys(connection: duckdb.DuckDBPyConnection, contract: Contract, prepared: Path) -> Iterator[Fault]:
    keys = ", ".join(map(identifier, contract.key_names))
    attribute = contract.key.hash
    found = connection.execute(
        f"SELECT min({ROW}), max({ROW}) FROM read_parquet({literal(str(prepared))}) "
        f"GROUP BY {keys} HAVING count(*) > 1 ORDER BY 1"
    )
    while some := found.fetchmany(1_000):
        for _, last in some:
            yield Fault(last, attribute, "the key stands in an earlier row, too")


def _fault(contract: Contract, row: int, item: Item, column_name: str | None, reason: str) -> Fault:
    """Return a rejected row's fault; of decoding's reason only what quotes no value."""
    if column_name is None:
        return Fault(row, None, reason)
    column = contract.by_name[column_name]
    if reason.startswith("breaks the rule "):
        return Fault(row, column.attribute, reason)
    return Fault(row, column.attribute, f"expected {column.expected}, saw {_seen(item.get(column.attribute))}")


def _seen(value: dict[str, object] | None) -> str:
    if not value:
        return "nothing"
    ((tag, inner),) = value.items()
    return "a text" if tag == "N" and not is_number(str(inner)) else _SEEN[tag]


def _keys_json(contract: Contract, item: Item) -> str:
    attributes = [column.attribute for column in contract.key_columns]
    return _json({attribute: item[attribute] for attribute in attributes if attribute in item})


def _json(item: Item) -> str:
    return orjson.dumps(item).decode()
