"""The query of a panel over published Gold, and what its numbers mean.

Belongs here: the SQL (Trino's) of each kind of panel, its unit and description. Does not belong here: running it
(document), which panels there are (gold.dashboard_file, default_dashboard).

Every query gives numbers as integers or doubles, because Athena's plugin hands Grafana a decimal as text. Sums stay
exact and are cast at the end. The columns of its rows:

- number: `shown`; with `days` also `time`, and two rows: the time before, then today
- lines: `time`, `name` where the panel has `by`, `shown`
- bars: `name`, `shown`
- table: the panel's columns
"""

from __future__ import annotations

from typing import Final

from medallion_assets.engines.expression import read_expression
from medallion_assets.gold.dashboard_file import Panel, is_column
from medallion_assets.gold.measures import day
from medallion_assets.gold.spec import Mart

NUMBERS: Final = frozenset({"int", "bigint", "decimal", "double"})
"""The kinds of columns that are shown as numbers."""

_MONEY: Final = "short"
"""Decimals; contracts name no currency."""
_TOP: Final = 50


def panel_query(panel: Panel, mart: Mart, *, in_range: str) -> str:
    """Return the panel's SELECT. `in_range` is the SQL condition on the mart's rows of the time that lines show."""
    match panel.kind:
        case "number":
            return _number(panel, mart, str(panel.number))
        case "lines":
            return _lines(panel, mart, str(panel.lines), in_range)
        case "bars":
            return _bars(panel, mart, str(panel.bars))
        case "table":
            return _table(panel, mart)


def unit(panel: Panel, mart: Mart) -> str:
    """Return the unit of the panel's number by Grafana's name; `none` is a count, `short` has decimals."""
    value = _value(panel)
    if panel.unit is not None:
        return panel.unit
    if is_column(value, mart):
        return column_unit(mart, value) or "none"
    return "none" if value.startswith("COUNT(") else _MONEY


def column_unit(mart: Mart, column: str) -> str | None:
    """Return the unit of a column by Grafana's name; None if it has no numbers."""
    kind = mart.columns[column].type.kind
    if kind not in NUMBERS:
        return None
    return "none" if kind in {"int", "bigint"} else _MONEY


def description(panel: Panel, mart: Mart) -> str:
    """Return what the panel means, in words."""
    if panel.description:
        return panel.description
    if panel.kind == "table":
        return mart.spec.description or f"The rows of gold.{mart.name}."
    value = _value(panel)
    return meaning(mart, value) if is_column(value, mart) else f"{value} of gold.{mart.name}."


def meaning(mart: Mart, column: str) -> str:
    """Return what a column means, in words."""
    return mart.columns[column].description or f"{titled(column)}, of gold.{mart.name}."


def titled(name: str) -> str:
    """Return a column's or mart's name as a person writes it."""
    return name.replace("_", " ").capitalize()


def _value(panel: Panel) -> str:
    """Return the column or expression that a panel shows."""
    return str(panel.number or panel.lines or panel.bars)


def _number(panel: Panel, mart: Mart, column: str) -> str:
    """A number and the one of the time before it, as two points in time: Grafana shows the change between them."""
    if (days := panel.days) is None:
        return f"SELECT CAST({column} AS DOUBLE) AS shown FROM gold.{mart.name}"
    if panel.before is not None:
        return (
            f"SELECT current_date - INTERVAL '{days}' DAY AS time, CAST({panel.before} AS DOUBLE) AS shown "
            f"FROM gold.{mart.name}\nUNION ALL\n"
            f"SELECT current_date AS time, CAST({column} AS DOUBLE) AS shown FROM gold.{mart.name}\nORDER BY 1"
        )
    return f"{_window(mart, column, days, ends=days)}\nUNION ALL\n{_window(mart, column, days, ends=0)}\nORDER BY 1"


def _window(mart: Mart, column: str, days: int, *, ends: int) -> str:
    """SQL: the sum over so many days, of which the last is `ends` days ago."""
    return (
        f"SELECT current_date - INTERVAL '{ends}' DAY AS time, CAST(COALESCE(SUM({column}), 0) AS DOUBLE) AS shown "
        f"FROM gold.{mart.name} WHERE {day(mart)} > current_date - INTERVAL '{ends + days}' DAY "
        f"AND {day(mart)} <= current_date - INTERVAL '{ends}' DAY"
    )


def _lines(panel: Panel, mart: Mart, value: str, in_range: str) -> str:
    summed = f"CAST({_aggregate(value, mart)} AS DOUBLE)"
    if panel.by is None:
        by, most = "", ""
    else:
        by = _text(panel.by, mart)
        most = "" if panel.top is None else f" AND {by} IN ({_largest(by, summed, mart, in_range, panel.top)})"
    return (
        f"SELECT {day(mart)} AS time, {by + ' AS name, ' if by else ''}{summed} AS shown FROM gold.{mart.name} "
        f"WHERE {in_range}{most} GROUP BY {day(mart)}{', ' + by if by else ''} ORDER BY 1{', 2' if by else ''}"
    )


def _largest(by: str, summed: str, mart: Mart, in_range: str, top: int) -> str:
    """SQL: the names of the largest in the chosen time."""
    return (
        f"SELECT name FROM (SELECT {by} AS name, {summed} AS total FROM gold.{mart.name} WHERE {in_range} "
        f"GROUP BY {by} ORDER BY 2 DESC, 1 LIMIT {top})"
    )


def _bars(panel: Panel, mart: Mart, value: str) -> str:
    by = _text(str(panel.by), mart)
    top = panel.top or _TOP
    if is_column(value, mart):
        shown = f"CAST({value} AS DOUBLE)"
        largest = f"ORDER BY {value} DESC, {', '.join(mart.spec.grain)} LIMIT {top}"
    else:
        shown = f"CAST({_expression(value, mart, aggregate=True)} AS DOUBLE)"
        largest = f"GROUP BY {by} ORDER BY {_declared_order(str(panel.by), mart) or '2 DESC, 1'} LIMIT {top}"
    return f"SELECT {by} AS name, {shown} AS shown FROM gold.{mart.name}{_where(panel, mart)} {largest}"


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


def _table(panel: Panel, mart: Mart) -> str:
    order = ", ".join([*([f"{panel.order} DESC"] if panel.order else []), *mart.spec.grain])
    selected = ", ".join(_shown(name, mart) for name in panel.heads)
    where = _where(panel, mart)
    return f"SELECT {selected} FROM gold.{mart.name}{where} ORDER BY {order} LIMIT {panel.top or _TOP}"


def _where(panel: Panel, mart: Mart) -> str:
    return f" WHERE {_expression(panel.where, mart)}" if panel.where else ""


def _shown(name: str, mart: Mart) -> str:
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
