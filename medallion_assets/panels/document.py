"""The values of every panel of a domain as one JSON document, which any renderer draws.

Belongs here: running the panels' queries over one state of published Gold, and the form of the document. Does not
belong here: the queries (query), how old and complete the numbers are (state), where a document goes (site).

A document depends on the marts' snapshots and on the day, and on nothing else: its `version` is a digest of its
content, so a document of a version never changes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
from pyiceberg.table import Table

from medallion_assets.engines.embedded import Embedded
from medallion_assets.gold.dashboard_file import DashboardFile, Panel
from medallion_assets.gold.measures import day
from medallion_assets.gold.spec import GOLD, Mart
from medallion_assets.lake.catalog import Lake
from medallion_assets.panels.query import column_unit, description, panel_query, unit

FORMAT: Final = 1
"""The page draws documents of this format."""

_CURRENCY: Final = re.compile(r"currency([A-Z]{3})")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Document:
    """The panels' values. `content` is JSON in UTF-8; `version` is 16 hex digits of its SHA-256."""

    content: bytes
    version: str


def read_document(
    lake: Lake, marts: Mapping[str, Mart], dashboards: Mapping[str, DashboardFile], *, title: str, now: datetime
) -> Document:
    """Return the values of all panels over the marts as they are published now.

    `marts` and `dashboards` are by name; `title` names the domain; `now` is aware UTC. Every panel reads the same
    snapshot of its mart. Raises MartError if a query cannot be run, LakeUnavailable.
    """
    names = dict.fromkeys(name for file in dashboards.values() for panel in file.panels for name in [panel.mart])
    tables = {name: table for name in names if (table := lake.find(GOLD, name)) is not None}
    with lake.reading(tables.values()), Embedded(lake) as engine, Embedded(lake) as day_before:
        for table in tables.values():
            engine.show(table)
        reader = _Reader(marts, tables, engine, day_before, now)
        found = {
            "format": FORMAT,
            "title": title,
            "day": now.date().isoformat(),
            "snapshots": {name: str(table.metadata.current_snapshot_id) for name, table in tables.items()},
            "dashboards": [reader.dashboard(name, file) for name, file in dashboards.items()],
        }
    content = json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Document(content, hashlib.sha256(content).hexdigest()[:16])


def in_last_days(mart: Mart, days: int) -> str:
    """SQL: the condition that a row of a mart with days is of today or of so many days before."""
    return f"{day(mart)} >= current_date - INTERVAL '{days}' DAY AND {day(mart)} <= current_date"


def shown_unit(name: str) -> dict[str, Any]:
    """Return how a number is written, in the words of JavaScript's Intl.NumberFormat, from Grafana's name of a unit."""
    if name in {"percentunit", "percent"}:
        return {"style": "percent", "scale": 1 if name == "percentunit" else 0.01}
    if found := _CURRENCY.fullmatch(name):
        return {"style": "currency", "currency": found.group(1)}
    return {"style": "count" if name == "none" else "decimal"} | ({} if name in {"none", "short"} else {"suffix": name})


class _Reader:
    """Runs panels over the shown marts; `day_before` shows them as they were 24 hours ago, as far as it is known."""

    def __init__(
        self, marts: Mapping[str, Mart], tables: Mapping[str, Table], now: Embedded, day_before: Embedded, at: datetime
    ) -> None:
        self._marts = marts
        self._tables = tables
        self._engine = now
        self._day_before = day_before
        self._today = at.date()
        self._shown_before = {name for name in tables if self._show_day_before(name, at - _DAY)}

    def dashboard(self, name: str, file: DashboardFile) -> dict[str, Any]:
        rows = [
            {"title": row.title, "panels": [self._panel(panel, file.days) for panel in row.panels]} for row in file.rows
        ]
        return {"name": name, "title": file.title, "description": file.description, "days": file.days, "rows": rows}

    def _panel(self, panel: Panel, days: int) -> dict[str, Any]:
        mart = self._marts[panel.mart]
        about = {
            "kind": panel.kind,
            "mart": panel.mart,
            "title": panel.title,
            "description": description(panel, mart),
            "width": panel.width or {"number": 6, "lines": 12, "bars": 12, "table": 24}[panel.kind],
        }
        if panel.kind != "table":
            about["unit"] = shown_unit(unit(panel, mart))
        if panel.mart not in self._tables:
            return {**about, "published": False}
        sql = panel_query(panel, mart, in_range=in_last_days(mart, days))
        found = self._engine.run(sql, today=self._today)
        match panel.kind:
            case "number":
                return {**about, **self._number(panel, mart, sql, found)}
            case "lines":
                series = _series(found, panel.title)
                return {**about, "style": panel.style, "time_zone": mart.time_zone, **series}
            case "bars":
                return {
                    **about,
                    "bars": [{"name": row["name"], "value": _plain(row["shown"])} for row in found.to_pylist()],
                }
            case "table":
                rows = [[_plain(value) for value in row.values()] for row in found.to_pylist()]
                return {**about, "columns": _columns(panel, mart), "rows": rows}

    def _number(self, panel: Panel, mart: Mart, sql: str, found: pa.Table) -> dict[str, Any]:
        values = [_plain(value) for value in found["shown"].to_pylist()]
        value = values[-1] if values else None
        if panel.days is None:
            return {"value": value}
        about = {"value": value, "days": panel.days, "before": values[0] if len(values) > 1 else None}
        if panel.days == 1 and panel.mart in self._shown_before:
            earlier = self._day_before.run(sql, today=self._today - _DAY)["shown"].to_pylist()
            about["same_part_before"] = _plain(earlier[-1]) if earlier else None
        return about

    def _show_day_before(self, name: str, at: datetime) -> bool:
        """Show a mart as it was at `at`; False if that is not known, or if it was not computed on that day."""
        table, mart = self._tables[name], self._marts[name]
        snapshot_id = _snapshot_at(table, at)
        snapshot = table.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
        if snapshot is None:
            return False
        committed = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
        if mart.follows_current_date and committed.date() != at.date():
            return False
        self._day_before.show(table, snapshot_id=snapshot.snapshot_id)
        return True


def _snapshot_at(table: Table, at: datetime) -> int | None:
    """Return the snapshot that was published at a time; None if the log does not reach so far back."""
    milliseconds = at.timestamp() * 1000
    published = [entry.snapshot_id for entry in table.history() if entry.timestamp_ms <= milliseconds]
    return published[-1] if published else None


def _series(found: pa.Table, title: str) -> dict[str, Any]:
    """Return the days in order, and a list of values for each name; null where a day has no row of it."""
    rows = found.to_pylist()
    days = sorted({row["time"] for row in rows})
    place = {at: number for number, at in enumerate(days)}
    series: dict[str, list[float | None]] = {}
    for row in rows:
        name = str(row["name"]) if "name" in row else title
        series.setdefault(name, [None] * len(days))[place[row["time"]]] = _plain(row["shown"])
    return {
        "days": [at.isoformat()[:10] for at in days],
        "series": [{"name": name, "values": values} for name, values in sorted(series.items())],
    }


def _columns(panel: Panel, mart: Mart) -> Sequence[dict[str, Any]]:
    found = []
    for name, head in panel.heads.items():
        named = column_unit(mart, name)
        column: dict[str, Any] = {"title": head.title, "unit": shown_unit(named) if named else None}
        if head.red_below is not None:
            column["red_below"] = head.red_below
        if head.orange_below is not None:
            column["orange_below"] = head.orange_below
        found.append(column)
    return found


def _plain(value: Any) -> Any:
    """Return a value of a query as JSON has it: times as ISO 8601, what is no number as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | str) else str(value)
