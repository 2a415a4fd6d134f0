"""A query's result as the frames that Athena's plugin hands Grafana; a time series in long form becomes a wide one.

Wide: https://pkg.go.dev/github.com/grafana/grafana-plugin-sdk-go/data#LongToWide, which the plugin calls.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa

from medallion_assets_tests.grafana.athena import NUMBER, TEXT, field_kind

GRAFANA_TYPE = {"time": "time", "number": "number", "text": "string", "boolean": "boolean"}


def frame(found: pa.Table, *, series: bool) -> dict[str, Any]:
    """The one frame, as `toDataFrame` takes it: times are milliseconds."""
    fields = [
        {
            "name": column.name,
            "type": GRAFANA_TYPE[field_kind(column.type)],
            "config": {},
            "values": [_value(value) for value in found[column.name].to_pylist()],
        }
        for column in found.schema
    ]
    kinds = [field_kind(column.type) for column in found.schema]
    return {"fields": _wide(fields, kinds) if series and TEXT in kinds else fields}


def _wide(fields: list[dict[str, Any]], kinds: list[str]) -> list[dict[str, Any]]:
    """One field per number and text, null where a time has no row of that text."""
    time_field, label = fields[0], fields[kinds.index(TEXT)]
    times = sorted(set(time_field["values"]))
    place = {at: number for number, at in enumerate(times)}
    wide = [{**time_field, "values": times}]
    for field, kind in zip(fields, kinds, strict=True):
        if kind != NUMBER:
            continue
        by_label: dict[str, list[Any]] = {}
        for at, text, value in zip(time_field["values"], label["values"], field["values"], strict=True):
            by_label.setdefault(text, [None] * len(times))[place[at]] = value
        wide += [
            {**field, "labels": {label["name"]: text}, "values": values} for text, values in sorted(by_label.items())
        ]
    return wide


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.astimezone(UTC).timestamp() * 1000)
    if isinstance(value, date):
        return int(datetime.combine(value, time(), UTC).timestamp() * 1000)
    return value
