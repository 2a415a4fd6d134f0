"""How old and how complete the numbers of a dashboard are: three panels every dashboard begins with.

Belongs here: reading the latest observation in `ops.health`. Does not belong here: its trends (health).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana import panels
from grafana.layout import Panel

_SINCE: Final = "observed_at >= current_date - INTERVAL '1' DAY"

LATEST_OBSERVATION: Final = f"{_SINCE} AND observed_at = (SELECT MAX(observed_at) FROM ops.health WHERE {_SINCE})"
"""The rows of the latest observation. No row if it is older than yesterday: the job `observe` does not run."""

AGE: Final[panels.Steps] = ((None, panels.GREEN), (300, panels.ORANGE), (3600, panels.RED))
"""Seconds: a change is in Gold within half a minute, so five minutes is unusual; an hour is what an alert waits for."""

BAD_IF_ANY: Final[panels.Steps] = ((None, panels.GREEN), (1, panels.RED))


def mart_freshness(marts: Sequence[str]) -> list[Panel]:
    """Of these marts."""
    names = ", ".join(f"'{name}'" for name in marts)
    return _age(f"layer = 'gold' AND table_name IN ({names})")


def overall_freshness() -> list[Panel]:
    """Of all marts."""
    return _age("layer = 'gold'")


def _age(which: str) -> list[Panel]:
    def seconds(column: str, rows: str) -> str:
        return (
            f"SELECT CASE WHEN COUNT({column}) = COUNT(*) THEN "
            f"date_diff('second', MIN({column}), current_timestamp) END AS seconds "
            f"FROM ops.health WHERE {LATEST_OBSERVATION} AND {rows}"
        )

    return [
        panels.number(
            "Age",
            "Everything captured longer ago than this is in the numbers below. Nothing here: the job `observe` does "
            "not run.",
            seconds("contains_to", which),
            unit="s",
            width=8,
            height=3,
            steps=AGE,
            unknown=True,
        ),
        panels.number(
            "Complete but for the last",
            "Every change of the source that is older than this is in Silver, as the ledger says of the stream's "
            "shards; Age says how far the numbers below are behind that. Unknown where a Lambda function captures: it "
            "sees no shards.",
            # Of Silver: a mart is never complete beyond its computation, which is long ago when nothing changes.
            seconds("complete_to", "layer = 'silver'"),
            unit="s",
            width=8,
            height=3,
            steps=AGE,
            unknown=True,
        ),
        panels.number(
            "Changes set aside or lost",
            "Changes of any table that wait in quarantine or are dead letters, and gaps in its stream: "
            "they are not in the numbers below. `medallion quarantine list` and the runbook say what to do.",
            "SELECT COALESCE(SUM(quarantined_rows + dead_letters + open_gaps), 0) AS missing FROM ops.health "
            f"WHERE {LATEST_OBSERVATION} AND layer = 'silver'",
            unit="none",
            width=8,
            height=3,
            steps=BAD_IF_ANY,
        ),
    ]
