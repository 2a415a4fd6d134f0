"""Panels: one query each, a title, what it means, a unit. Which ones a dashboard has is its own file's.

A number is an integer or a double in the query's result: Athena's plugin hands Grafana a decimal as text
(`athenaTypeOf` in its rows.go), which no graph can draw. What is added up stays exact; only what is shown is a double.
A column is named in lower case, as every engine gives it back; what a viewer reads is its display name.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from grafana_foundation_sdk.builders import athena, bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models import athena as athena_models
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard

PLUGIN: Final = "grafana-athena-datasource"
OLDEST_PLUGIN: Final = (2, 17, 5)
"""The first version that reads times with six digits of a second, which Iceberg's are."""
ENVIRONMENT: Final = dashboard.DataSourceRef(type_val=PLUGIN, uid="${environment}")
"""The data source that the variable `environment` chooses."""

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"

Steps = Sequence[tuple[float | None, str]]
"""Colours from a value on; the first one's value is None: from the start."""


def query(sql: str, *, series: bool = False) -> athena.Dataquery:
    """The target `A`: the SQL in Athena's database `gold`; as time series, or as a table."""
    shape = athena_models.FormatOptions.TIME_SERIES if series else athena_models.FormatOptions.TABLE
    return (
        athena.Dataquery()
        .ref_id("A")
        .datasource(ENVIRONMENT)
        .format(shape)
        .connection_args(athena.ConnectionArgs().database("gold"))
        .raw_sql(textwrap.dedent(sql).strip())
    )


def number(
    title: str,
    description: str,
    sql: str,
    *,
    unit: str,
    width: int = 4,
    height: int = 4,
    steps: Steps = ((None, BLUE),),
    change: bool = False,
    unknown: bool = False,
) -> stat.Panel:
    """The query's last number, large; with `change`, also its change from the query's first row.

    `unknown` says that it may be null, which then is shown as such.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(ENVIRONMENT)
        .with_target(query(sql))
        .unit(unit)
        .span(width)
        .height(height)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboards.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .show_percent_change(change)
    )
    if unknown:
        result = dashboard.ValueMappingResult(text="unknown", color=ORANGE)
        options = dashboard.DashboardSpecialValueMapOptions(
            match=dashboard.SpecialValueMatch.NULL_AND_NAN, result=result
        )
        panel = panel.mappings([dashboard.SpecialValueMap(options=options)])
    return panel


def lines(
    title: str,
    description: str,
    sql: str,
    *,
    unit: str,
    names: Mapping[str, str] | str,
    width: int = 12,
    height: int = 8,
    kind: Literal["line", "bars", "stacked bars"] = "line",
    reaching: float = 1,
) -> timeseries.Panel:
    """One line per number and text in the query's rows over its column `time`.

    `names` by number column, or the text column whose values are the names. The axis reaches at least up to `reaching`.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(ENVIRONMENT)
        .with_target(query(sql, series=True))
        .unit(unit)
        .span(width)
        .height(height)
        .min(0)
        .axis_soft_max(reaching)
        .line_width(1 if kind != "line" else 2)
        .draw_style(common_models.GraphDrawStyle.LINE if kind == "line" else common_models.GraphDrawStyle.BARS)
        .fill_opacity(10 if kind == "line" else 80)
        .show_points(common_models.VisibilityMode.AUTO)
        .color_scheme(dashboards.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if isinstance(names, str):
        panel = panel.display_name(f"${{__field.labels.{names}}}")
    else:
        for column, name in names.items():
            panel = panel.override_by_name(column, [_property("displayName", name)])
    if kind == "stacked bars":
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    return panel


def bars(
    title: str,
    description: str,
    sql: str,
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    steps: Steps = ((None, BLUE),),
) -> bargauge.Panel:
    """One horizontal bar per row, named by the row's text."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(ENVIRONMENT)
        .with_target(query(sql))
        .unit(unit)
        .span(width)
        .height(height)
        .min(0)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .value_mode(common_models.BarGaugeValueMode.COLOR)
        .show_unfilled(True)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboards.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .reduce_options(common.ReduceDataOptions().calcs([]).fields("").values(True).limit(25))
    )


@dataclass(frozen=True)
class Column:
    """A column: what its head says, the unit of a number, colours by value or by text, where a value leads.

    `width` is in pixels; None: a share of the table's.
    """

    name: str
    unit: str | None = None
    steps: Steps | None = None
    texts: Mapping[str, str] | None = None
    link: str | None = None
    width: int | None = None


def rows(
    title: str, description: str, sql: str, *, columns: Mapping[str, Column], width: int = 12, height: int = 8
) -> table.Panel:
    """The query's rows as they come; `columns` are the query's, in order."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(ENVIRONMENT)
        .with_target(query(sql))
        .unit("none")
        .span(width)
        .height(height)
        .show_header(True)
        .cell_height(common_models.TableCellHeight.SM)
    )
    for name, column in columns.items():
        properties = [_property("displayName", column.name)]
        if column.unit is not None:
            properties.append(_property("unit", column.unit))
        if column.steps is not None:
            properties.append(_property("thresholds", _thresholds(column.steps).build()))
        if column.texts is not None:
            shown = {text: {"text": text, "color": colour} for text, colour in column.texts.items()}
            properties.append(_property("mappings", [{"type": "value", "options": shown}]))
        if column.steps is not None or column.texts is not None:
            properties.append(_property("custom.cellOptions", {"type": "color-text"}))
        if column.width is not None:
            properties.append(_property("custom.width", column.width))
        if column.link is not None:
            properties.append(_property("links", [{"title": "In Dagster", "url": column.link, "targetBlank": True}]))
        panel = panel.override_by_name(name, properties)
    return panel


def _property(name: str, value: object) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val=name, value=value)


def _thresholds(steps: Steps) -> dashboards.ThresholdsConfig:
    return (
        dashboards.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
