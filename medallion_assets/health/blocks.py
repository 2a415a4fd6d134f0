"""Read from `ops.checks` which check blocks the publication of a table or mart, and since when.

Belongs here: reading the table. Does not belong here: running checks (silver.audit, gold.audit), or how they get into
`ops.checks` (collect).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from medallion_assets.lake.catalog import Lake
from medallion_assets.ops.tables import CHECKS

RECENT: Final = timedelta(days=2)
"""A blocked table is tried again within minutes, so its check has a row in `ops.checks` that is not older than this."""


@dataclass(frozen=True)
class Block:
    """A check that blocks the publication of a table: its name, and since when it has failed, to the minute."""

    check: str
    since: datetime

    def __str__(self) -> str:
        return f"{self.check} since {self.since:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class _Failure:
    """A failing check: the block, and when it was last observed to fail."""

    block: Block
    last_observed_at: datetime


@dataclass(frozen=True)
class Blocks:
    """The blocking checks that failed when they were last evaluated, by layer and table; per table the oldest."""

    failures: Mapping[tuple[str, str], _Failure]

    def of(self, layer: str, table: str, *, published_at: datetime | None) -> Block | None:
        """Return the check that blocks a table; None if there is none, or if it was published after the failure."""
        failure = self.failures.get((layer, table))
        if failure is None or (published_at is not None and published_at > failure.last_observed_at):
            return None
        return failure.block


def read_blocks(lake: Lake, now: datetime) -> Blocks:
    """Return which checks block tables and marts now. Reads the rows of two days; all rows only of a failing check.

    Raises LakeUnavailable.
    """
    table = CHECKS.find(lake)
    if table is None:
        return Blocks({})
    scan = lake.scan_sql(table, None)
    failures: dict[tuple[str, str], _Failure] = {}
    with lake.duckdb() as connection:
        failing = connection.execute(
            f"""
            SELECT layer, table_name, check_name, max(observed_at) FROM {scan} WHERE observed_at >= ?
            GROUP BY ALL HAVING arg_max(blocking AND NOT passed, observed_at)
            """,
            [now - RECENT],
        ).fetchall()
        for layer, name, check, last_observed_at in failing:
            ((since,),) = connection.execute(
                f"""
                WITH found AS (FROM {scan} WHERE layer = ? AND table_name = ? AND check_name = ?)
                SELECT min(observed_at) FROM found
                WHERE observed_at > coalesce((SELECT max(observed_at) FROM found WHERE passed), '-infinity')
                """,
                [layer, name, check],
            ).fetchall()
            found = _Failure(Block(check, since), last_observed_at)
            failures[layer, name] = min(failures.get((layer, name), found), found, key=lambda one: one.block.since)
    return Blocks(failures)
