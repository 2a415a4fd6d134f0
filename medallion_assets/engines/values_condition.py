"""A condition for a column to have one of some values, in SQL that DuckDB, Trino and Athena share.

Belongs here: values as literals. Does not belong here: days as ranges (day_ranges).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

import pyarrow as pa

from medallion_assets.lake.duck import literal

# Half of what a statement of Athena may have.
_MAX_BYTES: Final = 128 * 1024


def values_condition(column: str, values: pa.Array) -> str | None:
    """Return the condition that `column` (quoted) has one of these values; null may be among them.

    The values are texts, integers, decimals, dates or binary. Returns None if it would be too long, or if a text has
    the character NUL, which DuckDB takes for the end of the statement.
    """
    conditions = [f"{column} IS NULL"] if values.null_count else []
    if listed := ", ".join(map(_literal, values.drop_null().to_pylist())):
        if len(listed.encode()) > _MAX_BYTES or "\0" in listed:
            return None
        conditions.append(f"{column} IN ({listed})")
    return f"({' OR '.join(conditions) or 'FALSE'})"


def _literal(value: object) -> str:
    match value:
        case int():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case bytes():
            return f"from_hex('{value.hex()}')"
        case date():
            return f"DATE '{value.isoformat()}'"
    return literal(str(value))
