"""What runs because time passed, not because something arrived: marts that look at the current day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import dagster as dg

from medallion_assets.defs.names import Names
from medallion_assets.gold.spec import Mart

SENSOR: Final = "new_day"

RETRY_CRON: Final = "*/10 * * * *"


def at_new_day() -> dg.AutomationCondition[dg.AssetKey]:
    """Once after midnight UTC, when nothing upstream is under way or held; again every ten minutes while it fails."""
    condition = dg.AutomationCondition
    new_day = condition.cron_tick_passed("0 0 * * *", "UTC").since(condition.newly_requested())
    # A request is not repeated when its run fails, so failures need a branch of their own.
    again = condition.execution_failed() & condition.cron_tick_passed(RETRY_CRON, "UTC")
    # Not `all_deps_blocking_checks_passed`: it wants a result for every day of a table, also those without a change.
    held = condition.any_deps_match(condition.any_checks_match(condition.check_failed(), blocking_only=True))
    idle = ~condition.in_progress() & ~condition.any_deps_in_progress()
    # A partitioned mart is asked for once, by its latest day: what a new day touches, its refresh finds out.
    return (new_day | again) & condition.in_latest_time_window() & idle & ~held


def new_day_sensor(marts: Sequence[Mart], names: Names) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions. Declared, because Dagster's own such sensor is slow and starts switched off."""
    return dg.AutomationConditionSensorDefinition(
        names.definition(SENSOR),
        target=dg.AssetSelection.assets(*(names.asset_key("gold", mart.name) for mart in marts)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        description="Refreshes the marts that look at the current day when a new one has begun.",
    )
