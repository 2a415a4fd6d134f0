"""The latest of several changes to one key, by sequence number. Clocks, file order and arrival decide nothing."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from medallion_assets.lake.duck import identifier


def latest(connection: duckdb.DuckDBPyConnection, rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return the rows with the greatest `_sequence_number` of their key.

    Of rows with equal numbers it keeps the one that was captured first, so that a day that is merged again keeps the
    same one.
    """
    connection.register(
        "changes",
        rows.select([*key, "_sequence_number", "_captured_at"]).append_column("_row", pa.arange(0, rows.num_rows)),
    )
    keys = ", ".join(identifier(name) for name in key)
    try:
        kept = connection.execute(
            f"SELECT arg_max(_row, (_sequence_number, -epoch_us(_captured_at), -_row)) FROM changes GROUP BY {keys}"
        ).to_arrow_table()
    finally:
        connection.unregister("changes")
    return rows.take(kept.column(0).combine_chunks().sort())
