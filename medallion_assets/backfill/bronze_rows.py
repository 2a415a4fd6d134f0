"""Items of a snapshot as Bronze rows, in bulk.

The sequence number of a row is `0+<microseconds of the snapshot's point in time>`, in the stream that the table has
now. So the row is older than every change of that stream, and newer than every change of an earlier stream.

Belongs here: the columns of the rows, and the objects that they are written to. Does not belong here: where the items
come from (snapshot), when they may be written (handover).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medallion_assets.backfill.snapshot import Page
from medallion_assets.bronze.schema import SCHEMA
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.sequence import UNLABELLED_STREAM, pad_sequence, parse_sequence
from medallion_assets.contracts.model import Contract
from medallion_assets.errors import SettingsError
from medallion_assets.lake.duck import literal

EVENT_PREFIX: Final = "backfill-"
"""How the event id of a row begins. Event ids of streams are hexadecimal."""

_MAX_OBJECT_ROWS: Final = 10_000
_MAX_OBJECT_BYTES: Final = 8 * 1024 * 1024


def to_rows(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    page: Page,
    *,
    reading: str,
    first_line: int,
    stream_arn: str,
) -> pa.Table:
    """Return the Bronze rows, without `captured_at`, of the items of a page.

    `reading` says of which part of which backfill they are, `first_line` is the number of the first one there.

    Raises SettingsError that names the first line without an item of the table.
    """
    lines = pa.table({"line": pa.array(page.lines, pa.string()), "number": pa.arange(0, len(page.lines))})
    connection.register("lines", lines)
    try:
        made = connection.execute(_sql(contract, changes=page.changes)).to_arrow_table()
    except duckdb.InvalidInputException as wrong:
        raise _bad_line(reading, page.lines, first_line, changes=page.changes) from wrong
    finally:
        connection.unregister("lines")
    attributes = [column.attribute for column in contract.key_columns]
    if made["keys"].null_count or (page.changes and made["changed_at"].null_count):
        raise _bad_line(reading, page.lines, first_line, keys=attributes, changes=page.changes)
    number = f"{pad_sequence(0)}+{as_microseconds(page.at):016d}"
    numbers = pa.chunked_array([pa.repeat(pa.scalar(number), made.num_rows)])
    return _rows(
        contract,
        made["event_name"],
        made["keys"],
        numbers,
        made["item"],
        changed_at=made["changed_at"],
        reading=reading,
        first=first_line,
        stream_arn=stream_arn,
    )


def removals(
    contract: Contract,
    keys: pa.ChunkedArray,
    numbers: pa.ChunkedArray,
    *,
    reading: str,
    first: int,
    stream_arn: str,
) -> pa.Table:
    """Return Bronze rows, without `captured_at`, that delete these keys, with these sequence numbers."""
    none = pa.chunked_array([pa.nulls(len(keys), pa.string())])
    removed = pa.chunked_array([pa.repeat(pa.scalar("REMOVE"), len(keys))])
    return _rows(contract, removed, keys, numbers, none, reading=reading, first=first, stream_arn=stream_arn)


def as_microseconds(time: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (time - UNLABELLED_STREAM) // timedelta(microseconds=1)


def _rows(
    contract: Contract,
    event_names: pa.ChunkedArray,
    keys: pa.ChunkedArray,
    numbers: pa.ChunkedArray,
    images: pa.ChunkedArray,
    *,
    changed_at: pa.ChunkedArray | None = None,
    reading: str,
    first: int,
    stream_arn: str,
) -> pa.Table:
    order = pa.array(range(first, first + len(keys)), pa.int64()).cast(pa.string())
    columns: dict[str, object] = {
        "event_id": pa.chunked_array([pc.binary_join_element_wise(f"{EVENT_PREFIX}{reading}-", order, "")]),
        "event_name": event_names,
        "table_name": contract.table,
        "sequence_number": numbers,
        "approximate_creation_time": changed_at,
        "keys": keys,
        "new_image": images,
        "old_image": None,
        "user_identity": None,
        "stream_arn": stream_arn,
    }
    schema = pa.schema([field for field in SCHEMA if field.name != "captured_at"])
    values = [(field, columns[field.name]) for field in schema]
    return pa.table(
        [
            value if isinstance(value, pa.ChunkedArray) else pa.repeat(pa.scalar(value, field.type), len(keys))
            for field, value in values
        ],
        schema=schema,
    )


def of_object_size(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of the tables in pieces of the size of an object."""
    waiting: list[pa.Table] = []
    for rows in tables:
        waiting.append(rows)
        if sum(one.num_rows for one in waiting) >= _MAX_OBJECT_ROWS or sum(map(_bytes, waiting)) >= _MAX_OBJECT_BYTES:
            yield from _split(pa.concat_tables(waiting))
            waiting = []
    if waiting:
        yield from _split(pa.concat_tables(waiting))


def _split(rows: pa.Table) -> Iterator[pa.Table]:
    size = min(_MAX_OBJECT_ROWS, max(1, _MAX_OBJECT_BYTES * rows.num_rows // max(_bytes(rows), 1)))
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def _bytes(rows: pa.Table) -> int:
    return int(rows["new_image"].nbytes)


def to_object(contract: Contract, rows: pa.Table, *, captured_at: datetime) -> tuple[str, bytes]:
    """Return name and bytes of the Bronze object of some rows."""
    digest = hashlib.sha256()
    for name in ("event_id", "sequence_number", "keys", "new_image"):
        digest.update("\n".join(map(str, rows[name].to_pylist())).encode() + b"\n\n")
    lowest = parse_sequence(pc.min(rows["sequence_number"]).as_py())
    times = pa.repeat(pa.scalar(captured_at, SCHEMA.field("captured_at").type), rows.num_rows)
    file = io.BytesIO()
    pq.write_table(
        pa.table([*rows.columns, times], schema=SCHEMA),
        file,
        compression="zstd",
        compression_level=1,
        use_dictionary=["event_name", "table_name", "sequence_number", "stream_arn", "captured_at"],
    )
    return ObjectName(contract.table, captured_at, lowest, digest.hexdigest()[:16]).path, file.getvalue()


def _sql(contract: Contract, *, changes: bool) -> str:
    attributes = [column.attribute for column in contract.key_columns]
    item, keyed, changed_at = "/Item", "/Item", "NULL::TIMESTAMPTZ"
    if changes:
        item, keyed, written = "/NewImage", "/Keys", "/Metadata/WriteTimestampMicros"
        texts = ", ".join(f"json_extract_string(line, '{path}')" for path in (f"{written}/N", written))
        changed_at = f"make_timestamptz(TRY_CAST(coalesce({texts}) AS BIGINT))"
    found = {attribute: f"json_extract(keyed, {_pointer(attribute)})" for attribute in attributes}
    whole = " AND ".join(f"{one} IS NOT NULL" for one in found.values())
    keys = ", ".join(f"{literal(attribute)}, {one}" for attribute, one in found.items())
    return f"""
        SELECT number, item::VARCHAR AS item, CASE WHEN {whole} THEN json_object({keys})::VARCHAR END AS keys,
            CASE WHEN item IS NULL THEN 'REMOVE' ELSE 'INSERT' END AS event_name, changed_at
        FROM (
            SELECT number, json_extract(line, '{item}') AS item, json_extract(line, '{keyed}') AS keyed,
                {changed_at} AS changed_at
            FROM lines)
        ORDER BY number"""


def _pointer(attribute: str) -> str:
    """Return a JSON pointer (RFC 6901) as a SQL literal."""
    return literal("/" + attribute.replace("~", "~0").replace("/", "~1"))


def _bad_line(
    reading: str, lines: Sequence[str], first_line: int, *, keys: Sequence[str] = (), changes: bool
) -> SettingsError:
    """Return the error that names the first line without an item, or without a change."""
    for number, line in enumerate(lines, first_line):
        try:
            found = orjson.loads(line)
            item = found["Keys" if changes else "Item"]
            fits = isinstance(item, dict) and all(name in item for name in keys)
            if changes:
                fits = fits and "WriteTimestampMicros" in found["Metadata"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            fits = False
        if not fits:
            expected = '{"Metadata": ..., "Keys": {...}, "NewImage": {...}}' if changes else '{"Item": {...}}'
            return SettingsError(
                f"{reading}, line {number} is not an item of the table; expected {expected} in DynamoDB JSON with the "
                "table's key. Lines before it are in Bronze; export the table again, and run this again."
            )
    return SettingsError(f"{reading}: lines {first_line} to {first_line + len(lines) - 1} are not JSON.")
