"""The dashboard *Pipeline health*: how far each layer is, how quick and how much, and what went wrong; any domain's.

Belongs here: `ops.health` and `ops.checks` as panels. Does not belong here: the rules themselves (quality).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.models import dashboard

from grafana import events, layout, panels
from grafana.environment import Environment
from grafana.freshness import AGE, BAD_IF_ANY, LATEST_OBSERVATION, overall_freshness

UID: Final = "medallion-health"

IN_RANGE: Final = "$__timeFilter(observed_at) AND table_name IN (${table:sqlstring})"


def health(assets: Sequence[str], environment: Environment) -> dashboard.Dashboard:
    """The dashboard; `assets` are Dagster's, to link to."""
    return lay_out_observations(
        environment,
        uid=UID,
        title="Pipeline health",
        description="From the change in DynamoDB to Gold: fresh, complete, quick, and what went wrong.",
        assets=assets,
        rows=[
            ("Every table now", [_held(), _now()]),
            ("Freshness and latency", _freshness()),
            ("Throughput", _throughput()),
            ("Trouble", _trouble()),
        ],
    )


def lay_out_observations(
    environment: Environment,
    *,
    uid: str,
    title: str,
    description: str,
    assets: Sequence[str],
    rows: Sequence[tuple[str, Sequence[layout.Panel]]],
) -> dashboard.Dashboard:
    """Return a dashboard over `ops.health` and `ops.checks`: the last six hours of chosen tables, failures marked."""
    return layout.lay_out(
        environment,
        uid=uid,
        title=title,
        description=description,
        since="now-6h",
        variables=[_table_choice()],
        annotations=[events.failed_checks(), events.failed_runs()],
        assets=assets,
        rows=[("How old and how complete", overall_freshness()), *rows],
    )


def _table_choice() -> layout.Variable:
    """The variable `table`: every table and mart that was observed since yesterday."""
    return layout.choice(
        "table",
        "Table",
        "SELECT DISTINCT table_name FROM ops.health WHERE observed_at >= current_date - INTERVAL '1' DAY ORDER BY 1",
    )


def _held() -> layout.Panel:
    return panels.rows(
        "Published or held",
        "Red: a blocking check failed when it was last evaluated, so readers see what was published before; which "
        "check, since when, and the run that found it. Green: the last run on it.",
        """
        WITH checked AS (
            SELECT
                layer,
                table_name,
                check_name,
                max_by(passed, observed_at) AS passed,
                max(CASE WHEN passed THEN observed_at END) AS passed_at
            FROM ops.checks
            WHERE observed_at >= current_date - INTERVAL '30' DAY AND blocking
            GROUP BY layer, table_name, check_name
        ),
        failing AS (
            SELECT
                c.layer,
                c.table_name,
                c.check_name,
                min(c.observed_at) AS since,
                max_by(c.run_id, c.observed_at) AS run_id
            FROM ops.checks c
            JOIN checked k ON c.layer = k.layer AND c.table_name = k.table_name AND c.check_name = k.check_name
            WHERE c.observed_at >= current_date - INTERVAL '30' DAY
              AND NOT k.passed
              AND (k.passed_at IS NULL OR c.observed_at > k.passed_at)
            GROUP BY c.layer, c.table_name, c.check_name
        ),
        held AS (
            SELECT
                layer,
                table_name,
                min_by(check_name, since) AS check_name,
                min(since) AS since,
                min_by(run_id, since) AS run_id
            FROM failing
            GROUP BY layer, table_name
        )
        SELECT
            h.layer || '/' || h.table_name AS asset,
            CASE WHEN held.since IS NULL THEN 'published' ELSE 'held' END AS state,
            held.check_name,
            held.since,
            COALESCE(held.run_id, h.last_run_id) AS run
        FROM ops.health h
        LEFT JOIN held ON h.layer = held.layer AND h.table_name = held.table_name
        WHERE h.observed_at >= current_date - INTERVAL '1' DAY
          AND h.observed_at = (
              SELECT MAX(observed_at) FROM ops.health WHERE observed_at >= current_date - INTERVAL '1' DAY
          )
          AND h.layer <> 'bronze'
          AND h.table_name IN (${table:sqlstring})
        ORDER BY held.since IS NULL, held.since, 1
        """,
        columns={
            "asset": panels.Column("Asset", link=f"{layout.DAGSTER}/assets/${{__value.raw}}", width=210),
            "state": panels.Column("State", texts={"published": panels.GREEN, "held": panels.RED}),
            "check_name": panels.Column("Held by"),
            "since": panels.Column("Since"),
            "run": panels.Column("Run", link=f"{layout.DAGSTER}/runs/${{__value.raw}}"),
        },
        width=24,
        height=8,
    )


def _now() -> layout.Panel:
    return panels.rows(
        "Every layer of every table",
        "As last observed: when the last change was captured, how far what is published is behind what is captured "
        "(lag), up to when Silver is complete (by the ledger), what is missing, and when it was last compared "
        "with DynamoDB.",
        f"""
        SELECT
            layer || '/' || table_name AS asset,
            date_diff('second', last_captured_at, current_timestamp) AS captured,
            date_diff('second', contains_to, observed_at) AS lag,
            CASE WHEN layer = 'silver' THEN date_diff('second', complete_to, observed_at) END AS incomplete,
            date_diff('second', published_at, current_timestamp) AS published,
            row_count,
            COALESCE(pending_objects, pending_tables) AS pending,
            quarantined_rows,
            dead_letters,
            parked_batches,
            date_diff('second', parked_since, current_timestamp) AS parked,
            open_gaps,
            date_diff('second', verified_at, current_timestamp) AS verified,
            differing_rows
        FROM ops.health
        WHERE {LATEST_OBSERVATION} AND table_name IN (${{table:sqlstring}})
        ORDER BY CASE layer WHEN 'bronze' THEN 1 WHEN 'silver' THEN 2 ELSE 3 END, table_name
        """,
        columns={
            "asset": panels.Column("Asset", link=f"{layout.DAGSTER}/assets/${{__value.raw}}", width=210),
            "captured": panels.Column("Captured", "s"),
            "lag": panels.Column("Lag", "s", AGE),
            "incomplete": panels.Column("Complete but for", "s", AGE),
            "published": panels.Column("Published", "s"),
            "row_count": panels.Column("Rows", "none"),
            "pending": panels.Column("Pending", "none"),
            "quarantined_rows": panels.Column("Quarantined", "none", BAD_IF_ANY),
            "dead_letters": panels.Column("Dead letters", "none", BAD_IF_ANY),
            "parked_batches": panels.Column("Given up", "none", BAD_IF_ANY),
            "parked": panels.Column("Set aside", "s"),
            "open_gaps": panels.Column("Gaps", "none", BAD_IF_ANY),
            "verified": panels.Column("Verified", "s"),
            "differing_rows": panels.Column("Differences", "none", BAD_IF_ANY),
        },
        width=24,
        height=12,
    )


def _freshness() -> list[layout.Panel]:
    return [
        _by_table(
            "Lag of Silver",
            "How long the oldest captured object that is not in the table had been waiting, at each observation.",
            "silver",
            "date_diff('second', contains_to, observed_at)",
            unit="s",
        ),
        _by_table(
            "Lag of Gold",
            "How long the oldest captured change that is not in the mart had been waiting, at each observation.",
            "gold",
            "date_diff('second', contains_to, observed_at)",
            unit="s",
        ),
        _by_table(
            "From change to Gold, the slowest",
            "Of the runs since the previous observation: from the oldest change's time in DynamoDB (whole seconds) to "
            "the publication of the mart that shows it. No point: no run had changes.",
            "gold",
            "max_latency_ms",
            unit="ms",
            condition="max_latency_ms IS NOT NULL",
        ),
    ]


def _throughput() -> list[layout.Panel]:
    return [
        _by_table("Captured a minute", "Changes that runs read from Bronze.", "bronze", _a_minute("read_changes")),
        _by_table("Merged a minute", "Changes that became a row of Silver.", "silver", _a_minute("merged_rows")),
        _by_table(
            "Quarantined a minute", "Changes that broke their contract.", "silver", _a_minute("newly_quarantined_rows")
        ),
    ]


def _a_minute(count: str) -> str:
    """SQL: the count since the previous observation, per minute. Null at the first observation of the range."""
    before = "lag(observed_at) OVER (PARTITION BY table_name ORDER BY observed_at)"
    return f"{count} * 6e1 / date_diff('second', {before}, observed_at)"


def _by_table(
    title: str, description: str, layer: str, value: str, *, unit: str = "none", condition: str = "TRUE"
) -> layout.Panel:
    return panels.lines(
        title,
        description,
        f"""
        SELECT observed_at AS time, table_name, {value} AS shown
        FROM ops.health
        WHERE {IN_RANGE} AND layer = '{layer}' AND {condition}
        ORDER BY 1, 2
        """,
        unit=unit,
        names="table_name",
        width=8,
        kind="line" if unit != "none" else "stacked bars",
    )


def _trouble() -> list[layout.Panel]:
    return [
        panels.lines(
            "Failed steps",
            "Steps of runs that failed since the previous observation, by asset. Dagster tries again by itself.",
            f"""
            SELECT observed_at AS time, layer || '/' || table_name AS asset, failed_steps
            FROM ops.health
            WHERE {IN_RANGE}
            ORDER BY 1, 2
            """,
            unit="none",
            names="asset",
            width=8,
            kind="stacked bars",
        ),
        panels.lines(
            "Failed checks",
            "Checks that failed since the previous observation, by asset; a blocking one stopped the publication.",
            f"""
            SELECT observed_at AS time, layer || '/' || table_name AS asset, SUM(failures) AS failures
            FROM ops.checks
            WHERE {IN_RANGE}
            GROUP BY observed_at, layer, table_name
            ORDER BY 1, 2
            """,
            unit="none",
            names="asset",
            width=8,
            kind="stacked bars",
        ),
        panels.lines(
            "Set aside or lost",
            "What is missing from Silver at each observation: changes in quarantine, dead letters that are "
            "neither redriven nor repaired, gaps in the stream.",
            f"""
            SELECT
                observed_at AS time,
                SUM(quarantined_rows) AS quarantined_rows,
                SUM(dead_letters) AS dead_letters,
                SUM(open_gaps) AS open_gaps
            FROM ops.health
            WHERE {IN_RANGE} AND layer = 'silver'
            GROUP BY observed_at
            ORDER BY 1
            """,
            unit="none",
            names={"quarantined_rows": "Quarantined", "dead_letters": "Dead letters", "open_gaps": "Gaps"},
            width=8,
        ),
    ]
