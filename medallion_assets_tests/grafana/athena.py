"""What Grafana and its Athena plugin make of a query before Athena sees it, and of the types that come back.

Macros and types follow the plugin's own source: pkg/athena/macros.go and pkg/athena/driver/rows.go of
grafana/athena-datasource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

TIME, NUMBER, TEXT, BOOLEAN = "time", "number", "text", "boolean"


@dataclass(frozen=True)
class Range:
    """The time range a viewer has chosen, aware UTC."""

    start: datetime
    end: datetime


def expand(sql: str, chosen: Range, variables: Mapping[str, Sequence[str]]) -> str:
    """The SQL that Athena gets. Raises ValueError for a macro or variable nobody gives a value."""

    def macro(found: re.Match[str]) -> str:
        name, column = found.groups()
        match name:
            case "dateFilter":
                return f"{column} BETWEEN date '{chosen.start:%Y-%m-%d}' AND date '{chosen.end:%Y-%m-%d}'"
            case "timeFilter":
                # The plugin writes timestamps without a zone, which Trino takes to be of the session's: UTC in Athena.
                ends = (
                    f"CAST('{at:%Y-%m-%d %H:%M:%S}+00' AS timestamp with time zone)"
                    for at in (chosen.start, chosen.end)
                )
                return f"{column} BETWEEN {' AND '.join(ends)}"
            case _:
                raise ValueError(f"{found.group(0)}: the plugin has no such macro, or nobody needed it here yet")

    def variable(found: re.Match[str]) -> str:
        values = variables[found.group(1)]
        return ",".join("'" + value.replace("'", "''") + "'" for value in values)

    expanded = re.sub(r"\$__(\w+)\(([^()]*)\)", macro, sql)
    expanded = re.sub(r"\$\{(\w+):sqlstring\}", variable, expanded)
    if "$" in expanded:
        raise ValueError(f"not expanded: {expanded[expanded.index('$') :][:40]!r}")
    return expanded


def field_kind(type_: pa.DataType) -> str:
    """What Grafana makes of a column; a decimal comes as text."""
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return NUMBER
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return TIME
    return BOOLEAN if pa.types.is_boolean(type_) else TEXT
