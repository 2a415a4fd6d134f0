"""How old and how complete the numbers of a dashboard are: three panels every dashboard begins with.

Belongs here: reading the newest look of `ops.health`. Does not belong here: its trends (health).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana import panels
from grafana.frame import Panel

_SINCE: Final = "looked_at >= current_date - INTERVAL '1' DAY"

NEWEST_LOOK: Final = f"{_SINCE} AND looked_at = (SELECT MAX(looked_at) FROM ops.health WHERE {_SINCE})"
"""The rows of the newest look, none that is older than yesterday: then nobody looks any more."""

AGE: Final[panels.Steps] = ((None, panels.GREEN), (300, panels.ORANGE), (3600, panels.RED))
"""Seconds: a change is in Gold within half a minute, so five minutes is unusual; an hour is what an alert waits for."""

BAD_IF_ANY: Final[panels.Steps] = ((None, panels.GREEN), (1, panels.RED))


def age_of_marts(marts: Sequence[str]) -> list[Panel]:
    """Of these marts."""
    names = ", ".join(f"'{name}'" for name in marts)
    return _age(f"layer = 'gold' AND table_name IN ({names})")


def age_of_everything() -> list[Panel]:
    """Of all marts."""
    return _age("layer = 'gold'")


def _age(which: str) -> list[Panel]:
    def seconds(column: str) -> str:
        return (
            f"SELECT CASE WHEN COUNT({column}) = COUNT(*) THEN "
            f"date_diff('second', MIN({column}), current_timestamp) END AS seconds "
            f"FROM ops.health WHERE {NEWEST_LOOK} AND {which}"
        )

    return [
        panels.number(
            "Age",
            "Everything captured longer ago than this is in the numbers below. Nothing here: the sensor `health` does "
            "not run.",
            seconds("contains_to"),
            unit="s",
            width=8,
            height=3,
            steps=AGE,
            unknown=True,
        ),
        panels.number(
            "Complete but for the last",
            "Every change of the source that is older than this is in the numbers below, by the ledger's account of "
            "the stream's shards. Unknown where a Lambda function captures: it sees no shards.",
            seconds("complete_to"),
            unit="s",
            width=8,
            height=3,
            steps=AGE,
            unknown=True,
        ),
        panels.number(
            "Changes set aside or lost",
            "Changes of any table that wait in quarantine or went to the on-failure queue, and gaps in its stream: "
            "they are not in the numbers below. `medallion quarantine list` and the runbook say what to do.",
            "SELECT COALESCE(SUM(held + dead_letters + gaps), 0) AS missing FROM ops.health "
            f"WHERE {NEWEST_LOOK} AND layer = 'silver'",
            unit="none",
            width=8,
            height=3,
            steps=BAD_IF_ANY,
        ),
    ]
