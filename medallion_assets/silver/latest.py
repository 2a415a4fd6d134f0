"""Of several changes to one key, the latest by sequence number. Clocks, file order and arrival decide nothing."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from medallion_assets.lake.duck import identifier


def latest(connection: duckdb.DuckDBPyConnection, rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows with the greatest `_sequence_number` of their key.

    One change captured twice has equal numbers: of those the one captured first stays, so that a day read again in
    whole keeps the same one.
    """
    connection.register(
        "changes", rows.select([*key, "_sequence_number", "_captured_at"]).append_column("_row", _numbers(rows))
    )
    keys = ", ".join(identifier(name) for name in key)
    try:
        kept = connection.execute(
            f"SELECT arg_max(_row, (_sequence_number, -epoch_us(_captured_at), -_row)) FROM changes GROUP BY {keys}"
        ).to_arrow_table()
    finally:
        connection.unregister("changes")
    return rows.take(kept.column(0).combine_chunks().sort())


def _numbers(rows: pa.Table) -> pa.Array:
    return pa.array(range(rows.num_rows), pa.int64())
