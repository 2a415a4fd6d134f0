"""What every dashboard has: its variables, annotations, links, and how old and how complete its numbers are.

Belongs here: the frame and the order of panels on the grid. Does not belong here: any one dashboard's panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from grafana import panels
from grafana.environment import Environment

COLUMNS: Final = 24
"""The width of Grafana's grid."""

DAGSTER: Final = "${dagster}"
"""The address of Dagster's page: a constant of each dashboard."""

Panel = Builder[dashboard.Panel]
Variable = Builder[dashboard.VariableModel]


def lay_out(
    environment: Environment,
    *,
    uid: str,
    title: str,
    description: str,
    since: str,
    rows: Sequence[tuple[str, Sequence[Panel]]],
    variables: Sequence[Variable] = (),
    annotations: Sequence[dashboard.AnnotationQuery] = (),
    assets: Sequence[str] = (),
) -> dashboard.Dashboard:
    """A dashboard of titled rows; `since` is where its time range begins, `assets` are those its numbers come from."""
    made = (
        dashboards.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["medallion"])
        .timezone("utc")
        .time(since, "now")
        .refresh("1m")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(_environment())
        .with_variable(dashboards.ConstantVariable("dagster").label("Dagster").value(environment.dagster))
    )
    for variable in variables:
        made = made.with_variable(variable)
    for annotation in annotations:
        made = made.annotation(_Built(annotation))
    made = made.link(
        dashboards.DashboardLink("All dashboards")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags(["medallion"])
        .include_vars(True)
        .keep_time(True)
    )
    for asset in assets:
        made = made.link(_asset_link(asset))
    for name, inside in rows:
        made = made.with_row(dashboards.Row(name))
        for each in inside:
            made = made.with_panel(each)
    built = made.build()
    for number, box in enumerate(built.panels or [], start=1):
        box.id_val = number
    _flow([box.grid_pos for box in built.panels or [] if box.grid_pos is not None])
    return built


def _flow(boxes: Sequence[dashboard.GridPos]) -> None:
    """Put boxes beside each other, and below when the next one does not fit: the SDK lets it stick out."""
    x = y = below = 0
    for box in boxes:
        if x + box.w > COLUMNS:
            x, y = 0, below
        box.x, box.y = x, y
        x, below = x + box.w, max(below, y + box.h)


def asset_url(asset: str) -> str:
    """The page of an asset in Dagster."""
    return f"{DAGSTER}/assets/{asset}"


def choice(name: str, label: str, sql: str) -> Variable:
    """A variable whose values a query finds; several may be chosen, all are at first."""
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .datasource(panels.ENVIRONMENT)
        .query({**panels.query(sql).build().to_json(), "connectionArgs": {"database": "gold"}})
        .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
        .multi(True)
        .include_all(True)
        .current(dashboard.VariableOption(text=["All"], value=["$__all"]))
    )


def _environment() -> Variable:
    return (
        dashboards.DatasourceVariable("environment")
        .label("Environment")
        .type(panels.PLUGIN)
        .regex("/^Medallion /")
        .description("The data source of dev, stg or prod.")
    )


def _asset_link(asset: str) -> dashboards.DashboardLink:
    return (
        dashboards.DashboardLink(asset)
        .type(dashboard.DashboardLinkType.LINK)
        .url(asset_url(asset))
        .icon("external link")
        .tooltip(f"{asset} in Dagster: its runs, checks and lineage")
        .target_blank(True)
    )


class _Built(Builder[dashboard.AnnotationQuery]):
    """An annotation that is built already."""

    def __init__(self, annotation: dashboard.AnnotationQuery) -> None:
        self._annotation = annotation

    def build(self) -> dashboard.AnnotationQuery:
        """The annotation."""
        return self._annotation
