"""The alert rules: a query that gives one number per row, a threshold on it, and the runbook's line for who is called.

Belongs here: when somebody is called. Does not belong here: whom (provisioning). Grafana makes one alert of each row,
with the row's texts as labels; no row at all is no alert, unless the rule says that silence is one.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import alerting, athena, expr
from grafana_foundation_sdk.models import athena as athena_models
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.alerting import RelativeTimeRange

from grafana.environment import Environment
from grafana.freshness import LATEST_OBSERVATION
from grafana.mart_dashboard import short_uid
from grafana.panels import PLUGIN
from medallion_assets.contracts.loader import Domain
from medallion_assets.engines.expression import read_expression
from medallion_assets.gold import dashboard_file
from medallion_assets.gold.dashboard_file import DashboardFile
from medallion_assets.gold.measures import day
from medallion_assets.gold.spec import Mart

RUNBOOK: Final = "docs/runbook.md: "
"""What a heading of our runbook stands behind."""

EXPRESSION: Final = "__expr__"
"""The data source uid of Grafana's own expressions."""

STALE_SECONDS: Final = 3600
UNVERIFIED_HOURS: Final = 26
"""The reconciliation runs every night; two hours more than a day are its own time."""

HEARTBEAT: Final = "heartbeat"
"""The table whose item is written every five minutes, if the domain has it (infra/constructs/heartbeat.py)."""

SILENT_SECONDS: Final = 900
HALF: Final = 0.5
SMALLEST_SHARE: Final = 0.001
"""Of bad changes, that an alert compares with."""


@dataclass(frozen=True)
class Alert:
    """One rule: it fires while the query's number is above `above` for as long as `pending`.

    `name` is unique among the rules; `runbook` says what to do: ours, under which heading.
    """

    name: str
    title: str
    summary: str
    runbook: str
    sql: str
    above: float
    pending: str
    severity: Literal["page", "ticket"]
    silence: Literal["OK", "Alerting"] = "OK"


def pipeline_alerts(domain: Domain, marts: Iterable[Mart]) -> list[Alert]:
    """Those of any domain."""
    return [
        Alert(
            name="stale-gold",
            title="Gold is stale",
            summary="gold.{{ .Labels.table_name }} lacks changes that were captured more than an hour ago.",
            runbook=RUNBOOK + "Gold is behind",
            sql=f"""
            SELECT table_name, date_diff('second', contains_to, current_timestamp) AS seconds
            FROM ops.health
            WHERE {LATEST_OBSERVATION} AND layer = 'gold'
            """,
            above=STALE_SECONDS,
            pending="5m",
            severity="page",
            silence="Alerting",  # no observation since yesterday
        ),
        Alert(
            name="quarantine-rate",
            title="Quarantine rate",
            summary="More than half of the share of bad changes that holds a batch of {{ .Labels.table_name }} back.",
            runbook=RUNBOOK + "Rows in quarantine",
            sql=f"""
            SELECT
                table_name,
                CAST(SUM(newly_quarantined_rows) AS DOUBLE) / SUM(read_changes) / {_allowed(domain)} AS used
            FROM ops.health
            WHERE observed_at >= current_date - INTERVAL '1' DAY
              AND observed_at >= current_timestamp - INTERVAL '1' HOUR
              AND layer = 'silver'
            GROUP BY table_name
            HAVING SUM(read_changes) > 0
            """,
            above=HALF,
            pending="0s",
            severity="ticket",
        ),
        _any_in_silver(
            "dead-letters",
            "Dead letters",
            "Capture set changes of {{ .Labels.table_name }} aside; they are not in the lake.",
            "dead_letters",
        ),
        _any_in_silver(
            "given-up",
            "Lambda gave changes up",
            "Batches of {{ .Labels.table_name }} wait for a redrive; they are not in the lake.",
            "COALESCE(parked_batches, 0) AS parked_batches",
        ),
        _any_in_silver(
            "gaps",
            "A table needs a backfill",
            "Changes of {{ .Labels.table_name }} are missing; medallion status says which.",
            "open_gaps",
        ),
        _any_in_silver(
            "differences",
            "Silver differs from its source",
            "The last verification of {{ .Labels.table_name }} found rows that differ.",
            "COALESCE(differing_rows, 0) AS differing_rows",
        ),
        Alert(
            name="not-verified",
            title="Silver was not verified",
            summary="{{ .Labels.table_name }} was not compared with its source for more than 26 hours.",
            runbook=RUNBOOK + "Silver was not verified",
            sql=f"""
            SELECT
                table_name,
                COALESCE(date_diff('hour', verified_at, current_timestamp), {UNVERIFIED_HOURS} + 1) AS hours
            FROM ops.health
            WHERE {LATEST_OBSERVATION} AND layer = 'silver'
            """,
            above=UNVERIFIED_HOURS,
            pending="0s",
            severity="page",
        ),
        *(heartbeat_alerts(marts) if HEARTBEAT in domain.by_name else ()),
        Alert(
            name="blocking-check",
            title="A blocking check failed",
            summary="{{ .Labels.check_name }} of {{ .Labels.asset }} holds its data back.",
            runbook=RUNBOOK + "A blocking check failed",
            sql="""
            SELECT
                layer || '/' || table_name AS asset,
                check_name,
                max_by(CASE WHEN passed THEN 0 ELSE 1 END, observed_at) AS failing
            FROM ops.checks
            WHERE observed_at >= current_date - INTERVAL '1' DAY AND blocking
            GROUP BY layer, table_name, check_name
            """,
            above=0,
            pending="0s",
            severity="page",
        ),
    ]


def _any_in_silver(name: str, title: str, summary: str, count: str) -> Alert:
    """The page for a count of `ops.health` that should be 0; the runbook's heading is the title."""
    return Alert(
        name=name,
        title=title,
        summary=summary,
        runbook=RUNBOOK + title,
        sql=f"""
        SELECT table_name, {count}
        FROM ops.health
        WHERE {LATEST_OBSERVATION} AND layer = 'silver'
        """,
        above=0,
        pending="0s",
        severity="page",
    )


def heartbeat_alerts(marts: Iterable[Mart]) -> list[Alert]:
    """The page for a heartbeat that does not arrive in Silver, or in a mart that reads it."""
    over = [f"'{mart.name}'" for mart in marts if HEARTBEAT in mart.tables]
    gold = f" OR (layer = 'gold' AND table_name IN ({', '.join(over)}))" if over else ""
    return [
        Alert(
            name="heartbeat",
            title="The heartbeat does not arrive",
            summary="The item of every five minutes has not arrived in {{ .Labels.place }} for a quarter of an hour.",
            runbook=RUNBOOK + "The heartbeat does not arrive",
            sql=f"""
            SELECT
                layer || '.' || table_name AS place,
                date_diff(
                    'second', CASE WHEN layer = 'silver' THEN last_captured_at ELSE contains_to END, current_timestamp
                ) AS seconds
            FROM ops.health
            WHERE {LATEST_OBSERVATION} AND ((layer = 'silver' AND table_name = '{HEARTBEAT}'){gold})
            """,
            above=SILENT_SECONDS,
            pending="0s",
            severity="page",
            silence="Alerting",
        )
    ]


def mart_alerts(file: DashboardFile, marts: Mapping[str, Mart]) -> list[Alert]:
    """Those of a dashboard's description, which is checked against `marts`."""
    return [_described_alert(name, described, marts[described.mart]) for name, described in file.alerts.items()]


def _described_alert(name: str, described: dashboard_file.Alert, mart: Mart) -> Alert:
    above: float = 0
    summary = re.sub(r"\{(\w+)\}", r"{{ .Labels.\1 }}", described.summary)
    if (counted := described.count) is not None:
        by = counted.by
        condition = read_expression(counted.where, mart.columns, aggregate=False)
        sql = f"SELECT {by + ', ' if by else ''}COUNT(*) AS found FROM gold.{mart.name} WHERE {condition}"
        sql = f"{sql} GROUP BY {by}" if by else sql
    else:
        sql, above = _weekday_sql(mart, described.weekday.column if described.weekday else ""), HALF
    return Alert(
        name=name.replace("_", "-"),
        title=described.title,
        summary=summary,
        runbook=described.runbook,
        sql=sql,
        above=above,
        pending=f"{described.minutes}m" if described.minutes else "0s",
        severity=described.severity,
    )


def _weekday_sql(mart: Mart, column: str) -> str:
    """SQL: how far yesterday's sum is from the mean of its weekday in the weeks before, as a share of that."""
    return f"""
            WITH days AS (
                SELECT date_diff('day', {day(mart)}, current_date) AS age, CAST(SUM({column}) AS DOUBLE) AS summed
                FROM gold.{mart.name}
                WHERE {day(mart)} >= current_date - INTERVAL '57' DAY AND {day(mart)} < current_date
                GROUP BY {day(mart)}
            ),
            compared AS (
                SELECT
                    SUM(CASE WHEN age = 1 THEN summed ELSE 0 END) AS yesterday,
                    AVG(CASE WHEN age > 1 THEN summed END) AS usual,
                    COUNT(CASE WHEN age > 1 THEN 1 END) AS weeks
                FROM days
                WHERE age % 7 = 1
            )
            SELECT ABS(yesterday - usual) / usual AS difference
            FROM compared
            WHERE usual > 0 AND weeks >= 3
            """


def _allowed(domain: Domain) -> str:
    """SQL: the share of bad changes that a table's contract allows; a table that allows none alerts at a thousandth.

    So does a table that the domain does not have: without a number its rule would never fire.
    """
    branches = " ".join(
        f"WHEN '{contract.lake_name}' THEN {max(float(contract.rules.quarantine_share.max), SMALLEST_SHARE)}e0"
        for contract in domain.tables
    )
    return f"CASE table_name {branches} ELSE {SMALLEST_SHARE}e0 END"


def rule(alert: Alert, environment: Environment) -> dict[str, Any]:
    """The rule as Grafana's file format has it: query `A`, threshold `B` on it, condition `B`."""
    source = dashboard.DataSourceRef(type_val=PLUGIN, uid=environment.uid)
    asked = (
        athena.Dataquery()
        .ref_id("A")
        .datasource(source)
        .format(athena_models.FormatOptions.TABLE)
        .connection_args(athena.ConnectionArgs().database("gold"))
        .raw_sql(textwrap.dedent(alert.sql).strip())
    )
    above = expr.ExprTypeThresholdConditionsEvaluator().type("gt").params([alert.above])
    threshold = (
        expr.TypeThreshold()
        .ref_id("B")
        .datasource(dashboard.DataSourceRef(type_val=EXPRESSION, uid=EXPRESSION))
        .expression("A")
        .conditions([expr.ExprTypeThresholdConditions().evaluator(above)])
    )
    # A query of Athena needs a range, though none of these uses it.
    day = RelativeTimeRange(from_val=86_400, to=0)
    built = (
        alerting.Rule(alert.title)
        .uid(short_uid(f"{environment.uid}-{alert.name}"))
        .condition("B")
        .queries(
            [
                alerting.Query("A").datasource_uid(environment.uid).relative_time_range(day).model(asked),
                alerting.Query("B").datasource_uid(EXPRESSION).relative_time_range(day).model(threshold),
            ]
        )
        .for_val(alert.pending)
        .no_data_state(alert.silence)
        .exec_err_state("Error")
        .labels({"severity": alert.severity, "environment": environment.name})
        .annotations({"summary": alert.summary, "runbook": alert.runbook})
        .build()
        .to_json()
    )
    wanted = ("uid", "title", "condition", "data", "noDataState", "execErrState", "for", "annotations", "labels")
    return {name: built[name] for name in wanted}


def groups(alerts: Mapping[str, Iterable[Alert]], environment: Environment) -> list[dict[str, Any]]:
    """Rule groups by name, all in one folder, looked at every five minutes: each look is a query that costs."""
    return [
        {
            "orgId": 1,
            "name": name,
            "folder": f"Medallion {environment.name}",
            "interval": "5m",
            "rules": [rule(alert, environment) for alert in each],
        }
        for name, each in alerts.items()
    ]
