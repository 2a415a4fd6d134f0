"""A dashboard over marts, as a domain's `dashboards/*.yaml` or `default_dashboard` describes it.

Belongs here: the SQL and the panel of each kind of description. Does not belong here: which panels a mart gets by
itself (default_dashboard), how panels look (panels), health of the pipeline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.models import dashboard

from grafana import events, layout, panels
from grafana.environment import Environment
from grafana.freshness import mart_freshness
from medallion_assets.engines.expression import read_expression
from medallion_assets.gold.dashboard_file import DashboardFile, Panel, is_column
from medallion_assets.gold.measures import day, dimensions
from medallion_assets.gold.spec import Mart

_MONEY: Final = "short"
"""Decimals; contracts name no currency."""
_UID_CHARS: Final = 40
"""Grafana takes no longer uid."""
_TOP: Final = 50
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


def titled(name: str) -> str:
    """A column's or mart's name as a person writes it."""
    return name.replace("_", " ").capitalize()


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
    match panel.kind:
        case "number":
            return _number(panel, mart, str(panel.number))
        case "lines":
            return _lines(panel, mart, str(panel.lines), choose)
        case "bars":
            return _bars(panel, mart, str(panel.bars))
        case "table":
            return _table(panel, mart)


def _number(panel: Panel, mart: Mart, column: str) -> layout.Panel:
    """A number and the one of the time before it, as two points in time: Grafana shows the change between them."""
    words = [_described(panel, mart, column)]
    if (days := panel.days) is None:
        sql = f"SELECT CAST({column} AS DOUBLE) AS shown FROM gold.{mart.name}"
    elif panel.before is not None:
        words.append(f"The percentage is the change from: {_meaning(mart, panel.before).lower()}")
        sql = (
            f"SELECT current_date - INTERVAL '{days}' DAY AS time, CAST({panel.before} AS DOUBLE) AS shown "
            f"FROM gold.{mart.name}\nUNION ALL\n"
            f"SELECT current_date AS time, CAST({column} AS DOUBLE) AS shown FROM gold.{mart.name}\nORDER BY 1"
        )
    else:
        words.append(
            f"Today and the {days - 1} days before. The percentage is the change from the {days} before those."
        )
        sql = f"{_window(mart, column, days, ends=days)}\nUNION ALL\n{_window(mart, column, days, ends=0)}\nORDER BY 1"
    return panels.number(
        panel.title,
        " ".join(words),
        sql,
        unit=_unit(panel, mart, column),
        width=panel.width or 6,
        height=panel.height or 3,
        change=panel.days is not None,
        unknown=panel.days is None,
    )


def _window(mart: Mart, column: str, days: int, *, ends: int) -> str:
    """SQL: the sum over so many days, of which the last is `ends` days ago."""
    return (
        f"SELECT current_date - INTERVAL '{ends}' DAY AS time, CAST(COALESCE(SUM({column}), 0) AS DOUBLE) AS shown "
        f"FROM gold.{mart.name} WHERE {day(mart)} > current_date - INTERVAL '{ends + days}' DAY "
        f"AND {day(mart)} <= current_date - INTERVAL '{ends}' DAY"
    )


def _lines(panel: Panel, mart: Mart, value: str, choose: Sequence[str]) -> layout.Panel:
    in_range = " AND ".join(
        [
            f"$__dateFilter({day(mart)})",
            *(f"{name} IN (${{{name}:sqlstring}})" for name in choose if name in _choosable(mart)),
        ]
    )
    summed = f"CAST({_aggregate(value, mart)} AS DOUBLE)"
    if panel.by is None:
        by, most = "", ""
    else:
        by = _text(panel.by, mart)
        most = "" if panel.top is None else f" AND {by} IN ({_largest(by, summed, mart, in_range, panel.top)})"
    return panels.lines(
        panel.title,
        f"{_described(panel, mart, value)} By day ({mart.time_zone}).",
        f"SELECT {day(mart)} AS time, {by + ' AS name, ' if by else ''}{summed} AS shown FROM gold.{mart.name} "
        f"WHERE {in_range}{most} GROUP BY {day(mart)}{', ' + by if by else ''} ORDER BY 1{', 2' if by else ''}",
        unit=_unit(panel, mart, value),
        names="name" if by else {"shown": panel.title},
        width=panel.width or 12,
        height=panel.height or 8,
        kind=panel.style,
        reaching=0.1 if panel.unit == "percentunit" else 1,
    )


def _largest(by: str, summed: str, mart: Mart, in_range: str, top: int) -> str:
    """SQL: the names of the largest in the chosen time."""
    return (
        f"SELECT name FROM (SELECT {by} AS name, {summed} AS total FROM gold.{mart.name} WHERE {in_range} "
        f"GROUP BY {by} ORDER BY 2 DESC, 1 LIMIT {top})"
    )


def _bars(panel: Panel, mart: Mart, value: str) -> layout.Panel:
    by = _text(str(panel.by), mart)
    where = f" WHERE {_expression(panel.where, mart)}" if panel.where else ""
    top = panel.top or _TOP
    if is_column(value, mart):
        shown = f"CAST({value} AS DOUBLE)"
        largest = f"ORDER BY {value} DESC, {', '.join(mart.spec.grain)} LIMIT {top}"
    else:
        shown = f"CAST({_expression(value, mart, aggregate=True)} AS DOUBLE)"
        largest = f"GROUP BY {by} ORDER BY {_declared_order(str(panel.by), mart) or '2 DESC, 1'} LIMIT {top}"
    return panels.bars(
        panel.title,
        _described(panel, mart, value),
        f"SELECT {by} AS name, {shown} AS shown FROM gold.{mart.name}{where} {largest}",
        unit=_unit(panel, mart, value),
        width=panel.width or 12,
        height=panel.height or 8,
    )


def _declared_order(column: str, mart: Mart) -> str:
    """SQL: the place of a column's value in its rule `values`; empty for a column without one."""
    if column not in mart.columns:
        return ""
    listed = [rule.values for rule in mart.columns[column].rules if rule.values is not None]
    cases = " ".join(
        f"WHEN {_literal(value)} THEN {at}" for values in listed[:1] for at, value in enumerate(values, start=1)
    )
    return f"CASE {column} {cases} END" if cases and mart.columns[column].type.kind == "string" else ""


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _table(panel: Panel, mart: Mart) -> layout.Panel:
    heads = panel.heads
    where = f" WHERE {_expression(panel.where, mart)}" if panel.where else ""
    order = ", ".join([f"{panel.order} DESC"] if panel.order else [])
    order = ", ".join(filter(None, [order, *(name for name in mart.spec.grain)]))
    columns = {}
    for name, head in heads.items():
        number = mart.columns[name].type.kind in _NUMBERS
        steps: list[tuple[float | None, str]] = [(None, panels.GREEN)]
        if head.orange_below is not None:
            steps = [(None, panels.ORANGE), (head.orange_below, panels.GREEN)]
        if head.red_below is not None:
            steps = [(None, panels.RED), (head.red_below, steps[0][1]), *steps[1:]]
        unit = _column_unit(mart, name) if number else None
        columns[name] = panels.Column(head.title, unit, tuple(steps) if len(steps) > 1 else None)
    selected = ", ".join(_shown(name, mart) for name in heads)
    return panels.rows(
        panel.title,
        panel.description or mart.spec.description or f"The rows of gold.{mart.name}.",
        f"SELECT {selected} FROM gold.{mart.name}{where} ORDER BY {order} LIMIT {panel.top or _TOP}",
        columns=columns,
        width=panel.width or 24,
        height=panel.height or 10,
    )


_NUMBERS: Final = frozenset({"int", "bigint", "decimal", "double"})


def _shown(name: str, mart: Mart) -> str:
    """SQL: a column of a table; a decimal as a double, because the plugin hands decimals on as text."""
    return f"CAST({name} AS DOUBLE) AS {name}" if mart.columns[name].type.kind == "decimal" else name


def _aggregate(value: str, mart: Mart) -> str:
    return f"SUM({value})" if is_column(value, mart) else _expression(value, mart, aggregate=True)


def _text(by: str, mart: Mart) -> str:
    """SQL: what names a line or bar, as text."""
    if not is_column(by, mart):
        return _expression(by, mart)
    return by if mart.columns[by].type.kind == "string" else f"CAST({by} AS VARCHAR)"


def _expression(text: str, mart: Mart, *, aggregate: bool = False) -> str:
    return read_expression(text, mart.columns, aggregate=aggregate)


def _unit(panel: Panel, mart: Mart, value: str) -> str:
    if panel.unit is not None:
        return panel.unit
    return _column_unit(mart, value) if is_column(value, mart) else "none" if value.startswith("COUNT(") else _MONEY


def _column_unit(mart: Mart, column: str) -> str:
    return "none" if mart.columns[column].type.kind in {"int", "bigint"} else _MONEY


def _described(panel: Panel, mart: Mart, value: str) -> str:
    if panel.description:
        return panel.description
    return _meaning(mart, value) if is_column(value, mart) else f"{value} of gold.{mart.name}."


def _meaning(mart: Mart, column: str) -> str:
    return mart.columns[column].description or f"{titled(column)}, of gold.{mart.name}."
