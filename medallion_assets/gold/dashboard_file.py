"""`dashboards/<name>.yaml`: what a domain says of a dashboard over its marts and of its alerts, as frozen models.

Belongs here: the fields of the file, and the rules between it and the marts. Does not belong here: what Grafana needs
to draw it (grafana/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from medallion_assets.contracts.files import dashboard_files
from medallion_assets.contracts.loader import Domain, parse
from medallion_assets.contracts.mistakes import Mistake
from medallion_assets.contracts.model import Strict
from medallion_assets.contracts.names import identifier
from medallion_assets.contracts.yaml_file import read_yaml
from medallion_assets.engines.expression import read_expression
from medallion_assets.errors import ContractError, MartError
from medallion_assets.gold.measures import adds_up, day, dimensions, has_one_row, measures
from medallion_assets.gold.spec import Mart

PanelKind = Literal["number", "lines", "bars", "table"]
Place = tuple[str | int, ...]

_KINDS: Final[tuple[PanelKind, ...]] = ("number", "lines", "bars", "table")
_OPTIONS: Final[Mapping[PanelKind, frozenset[str]]] = {
    "number": frozenset({"before", "days"}),
    "lines": frozenset({"by", "top", "style"}),
    "bars": frozenset({"by", "top", "where"}),
    "table": frozenset({"top", "where", "order"}),
}
_NAME: Final = re.compile(r"(?!mart-)[a-z][a-z0-9_-]*", re.ASCII)
_TAKEN: Final = frozenset({"pipeline-health", "data-quality", "health", "quality"})
"""The dashboards that every domain has, and their short names; those that marts have by themselves are mart-…"""
_BELONG_TO_A_KIND: Final = frozenset().union(*_OPTIONS.values())


class TableColumn(Strict):
    """A column of a table: its head; a number is red or orange below a bound, else green."""

    title: str
    red_below: float | None = None
    orange_below: float | None = None


class Panel(Strict):
    """One panel over one mart: exactly one of `number`, `lines`, `bars`, `table`.

    An *aggregate* is a column, which is added up, or an SQL expression such as `SUM(paid) / NULLIF(SUM(orders), 0)`.
    """

    number: str | None = Field(
        default=None, description="A column: of the mart's one row, or with days added up over the last days."
    )
    lines: str | None = Field(default=None, description="An aggregate for each day of a mart with days.")
    bars: str | None = Field(default=None, description="A column for each row, or an SQL aggregate for each group.")
    table: dict[str, TableColumn | str] | None = Field(
        default=None, description="Columns of the mart, each with its head.", min_length=1
    )
    mart: str
    title: str = Field(min_length=1)
    description: str = Field(default="", description="What it means; the column's description where not said.")
    by: str | None = Field(default=None, description="A column or expression: one line or bar for each of its values.")
    where: str | None = Field(default=None, description="An SQL condition that rows must meet.")
    order: str | None = Field(default=None, description="A column whose largest values come first.")
    top: Annotated[int, Field(ge=1, le=500)] | None = Field(default=None, description="Show at most so many.")
    before: str | None = Field(default=None, description="With number: the column of the time before, to compare with.")
    days: Annotated[int, Field(ge=1, le=366)] | None = Field(
        default=None, description="With number: how many days it is of, and how long ago the time before was."
    )
    style: Literal["line", "bars", "stacked bars"] = "line"
    unit: str | None = Field(default=None, description="Grafana's name of a unit, such as percentunit or currencyEUR.")
    width: Annotated[int, Field(ge=1, le=24)] | None = Field(default=None, description="Of 24 columns.")
    height: Annotated[int, Field(ge=2, le=40)] | None = None

    @property
    def kind(self) -> PanelKind:
        """Which of the four it is."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @property
    def heads(self) -> Mapping[str, TableColumn]:
        """The columns of a table by name; a text is a head without bounds."""
        columns = (self.table or {}).items()
        return {name: TableColumn(title=one) if isinstance(one, str) else one for name, one in columns}

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"a panel says exactly one of {', '.join(_KINDS)}; this one says {given}")
        foreign = (self.model_fields_set & _BELONG_TO_A_KIND) - _OPTIONS[self.kind]
        if foreign:
            raise ValueError(f"{self.kind} takes {', '.join(sorted(_OPTIONS[self.kind]))}; found {sorted(foreign)}")
        if self.kind == "bars" and self.by is None:
            raise ValueError("bars need `by`, which names each bar")
        return self


class Row(Strict):
    """A titled row of panels."""

    title: str = Field(min_length=1)
    panels: tuple[Panel, ...] = Field(min_length=1)


class CountOfRows(Strict):
    """Fires while a mart has rows that meet `where`, one alert for each value of `by`."""

    mart: str
    where: str
    by: str | None = None


class SameWeekday(Strict):
    """Fires if yesterday's sum of a column differs by more than half from this weekday's in the eight weeks before."""

    mart: str
    column: str


class Alert(Strict):
    """One alert: exactly one of `count`, `weekday`; whom it calls is the environment's."""

    title: str = Field(min_length=1)
    summary: str = Field(min_length=1, description="What has happened; {column} is the value of `by`.")
    runbook: str = Field(min_length=1, description="What to do, in a few words, or where that is written.")
    count: CountOfRows | None = None
    weekday: SameWeekday | None = None
    severity: Literal["page", "ticket"] = "ticket"
    minutes: Annotated[int, Field(ge=0, le=1440)] = Field(default=0, description="How long it must last.")

    @property
    def mart(self) -> str:
        """The mart that it is about."""
        return self.count.mart if self.count is not None else self.weekday.mart if self.weekday is not None else ""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.count is None) == (self.weekday is None):
            raise ValueError("an alert says exactly one of count, weekday")
        return self


class DashboardFile(Strict):
    """`dashboards/<name>.yaml`. The marts that it names get no dashboard and no alert by themselves."""

    title: str = Field(min_length=1)
    description: str = ""
    days: Annotated[int, Field(ge=1, le=3660)] = Field(default=30, description="How many days it shows at first.")
    choose: tuple[str, ...] = Field(
        default=(), description="Columns of marts with days by whose values a viewer chooses what the lines show."
    )
    rows: tuple[Row, ...] = Field(min_length=1)
    alerts: dict[Annotated[str, AfterValidator(identifier)], Alert] = Field(default={})

    @property
    def panels(self) -> Sequence[Panel]:
        """Its panels, row after row."""
        return [panel for row in self.rows for panel in row.panels]

    @property
    def marts(self) -> Sequence[str]:
        """The names of the marts that it is about, in order."""
        named = [*(panel.mart for panel in self.panels), *(alert.mart for alert in self.alerts.values())]
        return list(dict.fromkeys(named))


def load_dashboards(domain: Domain, marts: Iterable[Mart]) -> Mapping[str, DashboardFile]:
    """Return the domain's dashboards by name. Raises ContractError that names the file and field of every mistake."""
    by_name = {mart.name: mart for mart in marts}
    paths, mistakes = dashboard_files(domain.folder)
    found = {}
    for path in paths:
        if not _NAME.fullmatch(path.stem) or path.stem in _TAKEN:
            wanted = f"lower-case letters, digits, - and _, not mart-… and none of {', '.join(sorted(_TAKEN))}"
            mistakes.append(f"{path}: not a name for a dashboard; expected {wanted}")
        try:
            file = read_yaml(path)
            dashboard = parse(DashboardFile, file)
        except ContractError as wrong:
            mistakes.append(str(wrong))
            continue
        mistakes += [file.mistake(one.place, one.text) for one in _mistakes(dashboard, by_name)]
        found[path.stem] = dashboard
    if mistakes:
        raise ContractError("\n".join(mistakes))
    return found


def is_column(text: str, mart: Mart) -> bool:
    """Return whether the text is the name of a column of the mart, and no expression."""
    return text in mart.columns


def _mistakes(dashboard: DashboardFile, marts: Mapping[str, Mart]) -> Iterator[Mistake]:
    titles = [panel.title for panel in dashboard.panels]
    for title in {title for title in titles if titles.count(title) > 1}:
        yield Mistake(("rows",), f"several panels are called {title!r}; expected each title once")
    known = {name for mart in marts.values() if day(mart) for name in dimensions(mart)}
    for name in dashboard.choose:
        if name not in known:
            yield Mistake(("choose",), f"{name!r} is no column of a mart with days; expected some of {sorted(known)}")
    for at, row in enumerate(dashboard.rows):
        for number, panel in enumerate(row.panels):
            place: Place = ("rows", at, "panels", number)
            if panel.mart not in marts:
                yield _no_mart((*place, "mart"), panel.mart, marts)
            else:
                yield from (one.below(place) for one in _panel_mistakes(panel, marts[panel.mart]))
    for name, alert in dashboard.alerts.items():
        if alert.mart not in marts:
            yield _no_mart(("alerts", name), alert.mart, marts)
        else:
            yield from (one.below(("alerts", name)) for one in _alert_mistakes(alert, marts[alert.mart]))


def _no_mart(place: Place, name: str, marts: Mapping[str, Mart]) -> Mistake:
    return Mistake(place, f"no mart {name!r}; expected one of {', '.join(marts) or '(there is none)'}")


def _panel_mistakes(panel: Panel, mart: Mart) -> Iterator[Mistake]:
    if panel.where is not None:
        yield from _expression_mistakes("where", panel.where, mart)
    if panel.by is not None and not is_column(panel.by, mart):
        yield from _expression_mistakes("by", panel.by, mart)
    if panel.order is not None and not is_column(panel.order, mart):
        yield Mistake(("order",), f"no column {panel.order!r}; expected one of {', '.join(mart.columns)}")
    if panel.number is not None:
        yield from _number_mistakes(panel, panel.number, mart)
    if panel.lines is not None:
        if day(mart) is None:
            yield Mistake(("lines",), f"{mart.name} has no days; expected a mart with partition.day_of")
        covered = panel.by is not None and dimensions(mart) == [panel.by]
        yield from _aggregate_mistakes("lines", panel.lines, mart, covered=covered or not dimensions(mart))
    if panel.bars is not None and not is_column(panel.bars, mart):
        yield from _expression_mistakes("bars", panel.bars, mart, aggregate=True)
    for name in panel.table or ():
        if not is_column(name, mart):
            yield Mistake(("table", name), f"no such column; expected some of {', '.join(mart.columns)}")


def _number_mistakes(panel: Panel, column: str, mart: Mart) -> Iterator[Mistake]:
    for field in ("number", "before"):
        name = getattr(panel, field)
        if name is not None and name not in measures(mart):
            yield Mistake(
                (field,), f"{name!r} is no number of {mart.name}; expected one of {', '.join(measures(mart))}"
            )
    if day(mart) is not None:
        if panel.days is None or panel.before is not None:
            yield Mistake(("days",), f"{mart.name} has days; expected days, and no before")
        elif column in mart.columns and not adds_up(mart, column):
            yield _no_sum("number", column)
    elif not has_one_row(mart):
        yield Mistake(("number",), f"{mart.name} has several rows; expected a mart with one row, or with days")
    elif (panel.before is None) != (panel.days is None):
        yield Mistake(("before",), "before and days belong together")


def _aggregate_mistakes(field: str, text: str, mart: Mart, *, covered: bool) -> Iterator[Mistake]:
    """`covered`: each group is one row of the mart, so nothing is added up."""
    if not is_column(text, mart):
        yield from _expression_mistakes(field, text, mart, aggregate=True)
    elif text not in measures(mart):
        yield Mistake((field,), f"{text!r} is no number; expected one of {', '.join(measures(mart))}")
    elif not covered and not adds_up(mart, text):
        yield _no_sum(field, text)


def _no_sum(field: str, column: str) -> Mistake:
    text = f"{column} is no SUM and no COUNT in the mart's SELECT, so it cannot be added up; expected an SQL expression"
    return Mistake((field,), f"{text} of columns that can, such as SUM(a) / NULLIF(SUM(b), 0)")


def _expression_mistakes(field: str, text: str, mart: Mart, *, aggregate: bool = False) -> Iterator[Mistake]:
    try:
        read_expression(text, mart.columns, aggregate=aggregate)
    except MartError as wrong:
        yield Mistake((field,), str(wrong))


def _alert_mistakes(alert: Alert, mart: Mart) -> Iterator[Mistake]:
    if alert.count is not None:
        yield from (one.below(("count",)) for one in _expression_mistakes("where", alert.count.where, mart))
        if alert.count.by is not None and not is_column(alert.count.by, mart):
            yield Mistake(("count", "by"), f"no column {alert.count.by!r}; expected one of {', '.join(mart.columns)}")
    if alert.weekday is not None:
        if day(mart) is None:
            yield Mistake(("weekday", "mart"), f"{mart.name} has no days; expected a mart with partition.day_of")
        elif alert.weekday.column not in mart.columns or not adds_up(mart, alert.weekday.column):
            expected = ", ".join(name for name in measures(mart) if adds_up(mart, name))
            yield Mistake(("weekday", "column"), f"expected a column that can be added up: {expected or '(none)'}")
