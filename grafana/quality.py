"""The dashboard *Data quality*: every rule's state and trend; any domain's.

Belongs here: `ops.checks` as panels. Does not belong here: what a rule says, which is the contract's and the mart's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.models import dashboard

from grafana import layout, panels
from grafana.environment import Environment
from grafana.freshness import BAD_IF_ANY
from grafana.health import IN_RANGE, lay_out_observations

UID: Final = "medallion-quality"

_LAST: Final = f"""
    SELECT
        layer,
        table_name,
        check_name,
        max_by(blocking, observed_at) AS blocking,
        max_by(passed, observed_at) AS passed,
        max_by(numbers, observed_at) AS numbers,
        max(observed_at) AS evaluated_at,
        sum(evaluations) AS evaluations,
        sum(failures) AS failures
    FROM ops.checks
    WHERE {IN_RANGE}
    GROUP BY layer, table_name, check_name
"""
"""Every check with its last result in the chosen time."""


def quality(assets: Sequence[str], environment: Environment) -> dashboard.Dashboard:
    """The dashboard; `assets` are Dagster's, to link to."""
    return lay_out_observations(
        environment,
        uid=UID,
        title="Data quality",
        description="Every rule of the contracts and marts: how it stands and how it has stood.",
        assets=assets,
        rows=[
            ("Rules now", [*_counts(), _state()]),
            ("Trend", _trend()),
        ],
    )


def _counts() -> list[layout.Panel]:
    return [
        panels.number(
            "Rules checked",
            "Different checks that were evaluated in the chosen time.",
            f"WITH last AS ({_LAST}) SELECT COUNT(*) AS checks FROM last",
            unit="none",
            width=8,
        ),
        panels.number(
            "Failing, blocking",
            "Checks whose last result blocks the publication: readers still see what was published before.",
            f"WITH last AS ({_LAST}) SELECT COUNT_IF(blocking AND NOT passed) AS checks FROM last",
            unit="none",
            width=8,
            steps=BAD_IF_ANY,
        ),
        panels.number(
            "Failing, warning",
            "Checks whose last result is a warning: the data is published.",
            f"WITH last AS ({_LAST}) SELECT COUNT_IF(NOT blocking AND NOT passed) AS checks FROM last",
            unit="none",
            width=8,
            steps=((None, panels.GREEN), (1, panels.ORANGE)),
        ),
    ]


def _state() -> layout.Panel:
    return panels.rows(
        "Every rule",
        "The last result of each check in the chosen time, failing ones first, and the numbers behind it.",
        f"""
        WITH last AS ({_LAST})
        SELECT
            layer || '/' || table_name AS asset,
            check_name,
            CASE WHEN passed THEN 'passed' WHEN blocking THEN 'blocks' ELSE 'warns' END AS state,
            evaluations,
            failures,
            evaluated_at,
            numbers
        FROM last
        ORDER BY passed, NOT blocking, failures DESC, 1, 2
        LIMIT 200
        """,
        columns={
            "asset": panels.Column("Asset", link=f"{layout.DAGSTER}/assets/${{__value.raw}}", width=210),
            "check_name": panels.Column("Check"),
            "state": panels.Column(
                "State", texts={"passed": panels.GREEN, "warns": panels.ORANGE, "blocks": panels.RED}
            ),
            "evaluations": panels.Column("Evaluated", "none"),
            "failures": panels.Column("Failed", "none", BAD_IF_ANY),
            "evaluated_at": panels.Column("Last"),
            "numbers": panels.Column("Numbers"),
        },
        width=24,
        height=10,
    )


def _trend() -> list[layout.Panel]:
    return [
        panels.lines(
            "Passed share",
            "Of the evaluations since the previous observation, the share that passed, by table.",
            f"""
            SELECT
                observed_at AS time,
                table_name,
                1 - CAST(SUM(failures) AS DOUBLE) / SUM(evaluations) AS passed
            FROM ops.checks
            WHERE {IN_RANGE}
            GROUP BY observed_at, table_name
            ORDER BY 1, 2
            """,
            unit="percentunit",
            names="table_name",
            width=8,
        ),
        panels.lines(
            "Quarantined share",
            "Of the changes since the previous observation, the share that broke the contract, by table.",
            f"""
            SELECT
                observed_at AS time,
                table_name,
                CAST(newly_quarantined_rows AS DOUBLE) / read_changes AS quarantined
            FROM ops.health
            WHERE {IN_RANGE} AND layer = 'silver' AND read_changes > 0
            ORDER BY 1, 2
            """,
            unit="percentunit",
            names="table_name",
            width=8,
            reaching=0.05,
        ),
        panels.bars(
            "Failures by rule",
            "How often each check failed in the chosen time; only those that did.",
            f"""
            SELECT table_name || ': ' || check_name AS rule, SUM(failures) AS failures
            FROM ops.checks
            WHERE {IN_RANGE} AND failures > 0
            GROUP BY table_name, check_name
            ORDER BY 2 DESC, 1
            LIMIT 10
            """,
            unit="none",
            width=8,
            steps=((None, panels.ORANGE),),
        ),
    ]
