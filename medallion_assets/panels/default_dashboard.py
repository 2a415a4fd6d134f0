"""The dashboard and the alerts that a mart gets by itself, described as a domain's `dashboards/*.yaml` would.

Belongs here: what mart.yaml and the SELECT are enough to say, and which dashboards a domain has. Does not belong here:
a panel's query (query), how it is drawn (grafana, site).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from medallion_assets.contracts.loader import Domain
from medallion_assets.gold.dashboard_file import Alert, DashboardFile, Panel, Row, SameWeekday, load_dashboards
from medallion_assets.gold.measures import adds_up, day, dimensions, has_one_row, measures
from medallion_assets.gold.spec import Mart
from medallion_assets.panels.query import titled

_MOST_MEASURES: Final = 8
_TOP: Final = 10
_WEEK: Final = 7


def all_dashboards(domain: Domain, marts: Mapping[str, Mart]) -> Mapping[str, DashboardFile]:
    """Return the domain's dashboards by name: its own files', and `mart-<name>` of each mart that no file names.

    Raises ContractError that names the file and field of every mistake.
    """
    found = dict(load_dashboards(domain, marts.values()))
    covered = {name for file in found.values() for name in file.marts}
    return found | {f"mart-{name}": default_dashboard(mart) for name, mart in marts.items() if name not in covered}


def default_dashboard(mart: Mart) -> DashboardFile:
    """Return the dashboard of a mart.

    With days: the measures that add up over the last week, and every measure by day and dimension. With one row: its
    numbers. Any other: the rows with the largest measures, and how many rows have each of a column's listed values.
    The alert is for a mart with days: the first measure that adds up is far from the same weekday.
    """
    if day(mart) is not None:
        rows = [Row(title="Of each day", panels=tuple(_daily(mart)))]
        if summed := [name for name in measures(mart) if adds_up(mart, name)]:
            week = tuple(
                Panel(number=name, days=_WEEK, mart=mart.name, title=f"{titled(name)}, {_WEEK} days")
                for name in summed[:_MOST_MEASURES]
            )
            rows.insert(0, Row(title="The last days", panels=week))
    elif has_one_row(mart) and measures(mart):
        numbers = tuple(Panel(number=name, mart=mart.name, title=titled(name)) for name in measures(mart))
        rows = [Row(title="Now", panels=numbers)]
    else:
        rows = [Row(title="Now", panels=tuple(_keyed(mart)))]
    choose = tuple(name for name in dimensions(mart) if _is_text(mart, name) and not name.endswith("_id"))
    return DashboardFile(
        title=titled(mart.name),
        description=mart.spec.description,
        choose=choose if day(mart) is not None else (),
        rows=tuple(rows),
        alerts=_alerts(mart),
    )


def _daily(mart: Mart) -> Iterator[Panel]:
    parts = dimensions(mart)
    for name in measures(mart):
        if adds_up(mart, name) and parts:
            yield Panel(
                lines=name,
                by=parts[0],
                top=_TOP,
                style="stacked bars",
                mart=mart.name,
                title=f"{titled(name)} by {titled(parts[0]).lower()}",
                description=f"{_meaning(mart, name)} The {_TOP} largest.",
            )
        elif parts:
            each = " || ' / ' || ".join(_as_text(mart, part) for part in parts)
            yield Panel(
                lines=f"MAX({name})",
                by=each,
                top=_TOP,
                mart=mart.name,
                title=titled(name),
                description=f"{_meaning(mart, name)} The {_TOP} largest.",
                unit="none" if mart.columns[name].type.kind in {"int", "bigint"} else None,
            )
        else:
            yield Panel(lines=name, mart=mart.name, title=titled(name), style="bars" if adds_up(mart, name) else "line")
    if not measures(mart):
        yield Panel(lines="COUNT(*)", mart=mart.name, title="Rows", style="bars")


def _keyed(mart: Mart) -> Iterator[Panel]:
    each = " || ' / ' || ".join(_as_text(mart, part) for part in mart.spec.grain)
    for name in measures(mart)[:4]:
        yield Panel(bars=name, by=each, top=_TOP, mart=mart.name, title=f"Most by {titled(name).lower()}")
    for name, column in mart.columns.items():
        if column.type.kind == "string" and any(rule.values is not None for rule in column.rules):
            title = f"Rows by {titled(name).lower()}"
            yield Panel(bars="COUNT(*)", by=name, mart=mart.name, title=title, description=_meaning(mart, name))
    shown = {name: titled(name) for name, column in mart.columns.items() if column.type.kind not in _NESTED}
    yield Panel(table=shown, order=next(iter(measures(mart)), None), mart=mart.name, title="Rows")


_NESTED: Final = frozenset({"list", "set", "map", "struct", "binary", "bool", "json"})


def _alerts(mart: Mart) -> dict[str, Alert]:
    first = next((name for name in measures(mart) if adds_up(mart, name)), None)
    if day(mart) is None or first is None:
        return {}
    what = f"{titled(first)} of {titled(mart.name).lower()}"
    alert = Alert(
        title=f"{what} is far from the same weekday",
        summary=f"{what}: yesterday's sum differs by more than half from the mean of this weekday in the weeks before.",
        runbook="docs/runbook.md: A number is far from the same weekday",
        weekday=SameWeekday(mart=mart.name, column=first),
    )
    return {f"{mart.name}_weekday": alert}


def _is_text(mart: Mart, name: str) -> bool:
    return mart.columns[name].type.kind == "string"


def _as_text(mart: Mart, name: str) -> str:
    return name if _is_text(mart, name) else f"CAST({name} AS VARCHAR)"


def _meaning(mart: Mart, name: str) -> str:
    return mart.columns[name].description or f"{titled(name)}."
