"""What runs because time passed, not because something arrived: marts that use the current date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import dagster as dg

from medallion_assets.defs.names import Names
from medallion_assets.gold.spec import Mart

SENSOR: Final = "new_day"

RETRY_CRON: Final = "*/10 * * * *"


def at_new_day() -> dg.AutomationCondition[dg.AssetKey]:
    """Return the condition: once after midnight UTC, unless something upstream runs or is blocked.

    After a failure: again every ten minutes.
    """
    condition = dg.AutomationCondition
    new_day = condition.cron_tick_passed("0 0 * * *", "UTC").since(condition.newly_requested())
    # A request is not repeated when its run fails, so failures need a branch of their own.
    again = condition.execution_failed() & condition.cron_tick_passed(RETRY_CRON, "UTC")
    # Not `all_deps_blocking_checks_passed`: it needs a result for every day of a table, also for days without a change.
    blocked = condition.any_deps_match(condition.any_checks_match(condition.check_failed(), blocking_only=True))
    idle = ~condition.in_progress() & ~condition.any_deps_in_progress()
    # A partitioned mart is requested once, for its latest day: its refresh finds the days that a new date affects.
    return (new_day | again) & condition.in_latest_time_window() & idle & ~blocked


def new_day_sensor(marts: Sequence[Mart], names: Names) -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that evaluates the conditions. Dagster's default one is slow and starts switched off."""
    return dg.AutomationConditionSensorDefinition(
        names.definition(SENSOR),
        target=dg.AssetSelection.assets(*(names.asset_key("gold", mart.name) for mart in marts)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description="Refreshes the marts that use the current date when a new day has begun.",
    )
