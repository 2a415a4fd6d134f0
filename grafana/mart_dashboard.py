"""A dashboard over marts, as a domain's `dashboards/*.yaml` or `default_dashboard` describes it.

Belongs here: Grafana's panel of each kind of description. Does not belong here: which panels a mart gets by itself and
their SQL (medallion_assets.panels), how panels look (panels), health of the pipeline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.models import dashboard

from grafana import events, layout, panels
from grafana.environment import Environment
from grafana.freshness import mart_freshness
from medallion_assets.gold.dashboard_file import DashboardFile, Panel
from medallion_assets.gold.measures import day, dimensions
from medallion_assets.gold.spec import Mart
from medallion_assets.panels.query import column_unit, description, meaning, panel_query, titled, unit

_UID_CHARS: Final = 40
"""Grafana takes no longer uid."""
_CHOICE_DAYS: Final = 365


def mart_dashboard(
    name: str, file: DashboardFile, marts: Mapping[str, Mart], environment: Environment
) -> dashboard.Dashboard:
    """The dashboard; `name` is its part of the uid, `file` is checked against `marts`, which are by name."""
    chosen = {column: next(mart for mart in marts.values() if column in _choosable(mart)) for column in file.choose}
    return layout.lay_out(
        environment,
        uid=short_uid(f"medallion-{name}"),
        title=file.title,
        description=file.description,
        since=f"now-{file.days}d",
        variables=[_choice(column, mart) for column, mart in chosen.items()],
        annotations=[events.failed_checks(), events.failed_runs()],
        assets=[f"gold/{mart}" for mart in file.marts],
        rows=[
            ("How old and how complete", mart_freshness(file.marts)),
            *((row.title, [_panel(one, marts[one.mart], file.choose) for one in row.panels]) for row in file.rows),
        ],
    )


def short_uid(wanted: str) -> str:
    """The wanted uid, or the beginning of it and a digest where Grafana would not take it."""
    if len(wanted) <= _UID_CHARS:
        return wanted
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return f"{wanted[: _UID_CHARS - len(digest) - 1]}-{digest}"


def _choosable(mart: Mart) -> Sequence[str]:
    return dimensions(mart) if day(mart) else ()


def _choice(column: str, mart: Mart) -> layout.Variable:
    return layout.choice(
        column,
        titled(column),
        f"SELECT DISTINCT {column} FROM gold.{mart.name} "
        f"WHERE {day(mart)} >= current_date - INTERVAL '{_CHOICE_DAYS}' DAY ORDER BY {column}",
    )


def _panel(panel: Panel, mart: Mart, choose: Sequence[str]) -> layout.Panel:
    sql = panel_query(panel, mart, in_range=_in_range(mart, choose))
    match panel.kind:
        case "number":
            return _number(panel, mart, sql)
        case "lines":
            return _lines(panel, mart, sql)
        case "bars":
            return _bars(panel, mart, sql)
        case "table":
            return _table(panel, mart, sql)


def _in_range(mart: Mart, choose: Sequence[str]) -> str:
    """SQL: the condition that a row is of the viewer's time and of the chosen values."""
    chosen = (f"{name} IN (${{{name}:sqlstring}})" for name in choose if name in _choosable(mart))
    return " AND ".join([f"$__dateFilter({day(mart)})", *chosen])


def _number(panel: Panel, mart: Mart, sql: str) -> layout.Panel:
    words = [description(panel, mart)]
    if panel.before is not None:
        words.append(f"The percentage is the change from: {meaning(mart, panel.before).lower()}")
    elif panel.days is not None:
        before = f"{panel.days} before those"
        words.append(f"Today and the {panel.days - 1} days before. The percentage is the change from the {before}.")
    return panels.number(
        panel.title,
        " ".join(words),
        sql,
        unit=unit(panel, mart),
        width=panel.width or 6,
        height=panel.height or 3,
        change=panel.days is not None,
        unknown=panel.days is None,
    )


def _lines(panel: Panel, mart: Mart, sql: str) -> layout.Panel:
    return panels.lines(
        panel.title,
        f"{description(panel, mart)} By day ({mart.time_zone}).",
        sql,
        unit=unit(panel, mart),
        names="name" if panel.by else {"shown": panel.title},
        width=panel.width or 12,
        height=panel.height or 8,
        kind=panel.style,
        reaching=0.1 if panel.unit == "percentunit" else 1,
    )


def _bars(panel: Panel, mart: Mart, sql: str) -> layout.Panel:
    return panels.bars(
        panel.title,
        description(panel, mart),
        sql,
        unit=unit(panel, mart),
        width=panel.width or 12,
        height=panel.height or 8,
    )


def _table(panel: Panel, mart: Mart, sql: str) -> layout.Panel:
    columns = {}
    for name, head in panel.heads.items():
        steps: list[tuple[float | None, str]] = [(None, panels.GREEN)]
        if head.orange_below is not None:
            steps = [(None, panels.ORANGE), (head.orange_below, panels.GREEN)]
        if head.red_below is not None:
            steps = [(None, panels.RED), (head.red_below, steps[0][1]), *steps[1:]]
        columns[name] = panels.Column(head.title, column_unit(mart, name), tuple(steps) if len(steps) > 1 else None)
    return panels.rows(
        panel.title,
        description(panel, mart),
        sql,
        columns=columns,
        width=panel.width or 24,
        height=panel.height or 10,
    )
