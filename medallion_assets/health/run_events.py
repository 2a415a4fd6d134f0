"""What runs did since the previous observation, as plain values.

Belongs here: the values, and adding them up per table and per check. Does not belong here: reading them from Dagster
(defs), the rows of `ops.health` and `ops.checks` (collect).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class StepRun:
    """One step of a run, on one table of a layer. `numbers` are the counts that it reported; empty if it failed.

    `oldest_change` is the time of the oldest change that a Bronze step read.
    """

    layer: str
    table: str
    run_id: str
    at: datetime
    done: bool
    numbers: Mapping[str, int]
    oldest_change: datetime | None = None


@dataclass(frozen=True)
class CheckEvaluation:
    """One result of one check."""

    layer: str
    table: str
    check: str
    run_id: str
    at: datetime
    blocking: bool
    passed: bool
    numbers: Mapping[str, int | str]


@dataclass(frozen=True)
class RunEvents:
    """The steps and check results of the runs that ended in a period, each with the time at which its run ended."""

    steps: Sequence[tuple[datetime, StepRun]] = ()
    evaluations: Sequence[tuple[datetime, CheckEvaluation]] = ()

    def after(self, moment: datetime) -> RunEvents:
        """Return those of the runs that ended after `moment`."""
        return RunEvents(
            [pair for pair in self.steps if pair[0] > moment],
            [pair for pair in self.evaluations if pair[0] > moment],
        )


def step_totals(events: RunEvents, layer: str, table: str) -> dict[str, Any]:
    """Return the columns of `ops.health` that say what the runs did with one table."""
    steps = sorted((s for _, s in events.steps if (s.layer, s.table) == (layer, table)), key=lambda step: step.at)
    done = [step for step in steps if step.done]
    changes = {"bronze": "dagster/row_count", "silver": "rows_in", "gold": "refreshed_rows"}[layer]

    def total(name: str) -> int:
        return sum(step.numbers.get(name, 0) for step in done)

    return {
        "succeeded_steps": len(done),
        "failed_steps": len(steps) - len(done),
        "read_changes": total(changes),
        "merged_rows": total("merged"),
        "newly_quarantined_rows": total("quarantined"),
        "max_latency_ms": _max_latency_ms(events, done) if layer != "bronze" else None,
        "last_run_id": steps[-1].run_id if steps else None,
    }


def _max_latency_ms(events: RunEvents, done: Iterable[StepRun]) -> int | None:
    """Return the longest time from the oldest change of a run to the end of one of these steps in that run."""
    oldest: dict[str, datetime] = {}
    for _, step in events.steps:
        if step.oldest_change is not None:
            oldest[step.run_id] = min(step.oldest_change, oldest.get(step.run_id, step.oldest_change))
    took = [step.at - oldest[step.run_id] for step in done if step.run_id in oldest]
    return round(max(took).total_seconds() * 1000) if took else None


def check_totals(events: RunEvents) -> list[dict[str, Any]]:
    """Return the rows of `ops.checks`, one per check, without their ids and times."""
    by_check: dict[tuple[str, str, str], list[CheckEvaluation]] = defaultdict(list)
    for _, one in sorted(events.evaluations, key=lambda pair: pair[1].at):
        by_check[one.layer, one.table, one.check].append(one)
    rows = []
    for (layer, table, check), results in sorted(by_check.items()):
        failed = [one for one in results if not one.passed]
        shown = (failed or results)[-1]
        rows.append(
            {
                "layer": layer,
                "table_name": table,
                "check_name": check,
                "blocking": shown.blocking,
                "passed": results[-1].passed,
                "evaluations": len(results),
                "failures": len(failed),
                "numbers": json.dumps(dict(shown.numbers), ensure_ascii=False) if shown.numbers else None,
                "run_id": shown.run_id,
            }
        )
    return rows
