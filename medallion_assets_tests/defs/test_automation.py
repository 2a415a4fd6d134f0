"""The marts that use the current date, on a clock that the test sets."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import dagster as dg
import pytest

from medallion_assets.defs.automation import at_new_day
from medallion_assets_tests.defs.runs import incremental_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product

EVENING = datetime(2026, 3, 1, 23, 58, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, 0, 0, 10, tzinfo=UTC)


class Clockwork:
    """One table with a blocking check and a mart over it, evaluated again and again as the daemon does."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.table_passes = self.mart_works = True
        self._cursor: Any = None

        @dg.asset(check_specs=[dg.AssetCheckSpec("gate", asset="table", blocking=True)])
        def table() -> dg.MaterializeResult:  # type: ignore[type-arg]
            passed = dg.AssetCheckResult(check_name="gate", passed=self.table_passes)
            return dg.MaterializeResult(check_results=[passed])

        @dg.asset(deps=[table], automation_condition=at_new_day())
        def mart() -> None:
            if not self.mart_works:
                raise dg.Failure("broken")

        self.table, self.mart = table, mart
        self.make(table)
        self.make(mart)

    def requested(self, at: datetime) -> bool:
        result = dg.evaluate_automation_conditions(
            defs=dg.Definitions([self.table, self.mart]),
            instance=self.instance,
            asset_selection=dg.AssetSelection.assets("table", "mart"),
            evaluation_time=at,
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        return result.get_num_requested(self.mart.key) == 1

    def make(self, asset: dg.AssetsDefinition) -> None:
        dg.materialize([self.table, self.mart], selection=[asset], instance=self.instance, raise_on_error=False)


def test_nothing_is_requested_while_the_day_lasts(instance: dg.DagsterInstance) -> None:
    clock = Clockwork(instance)
    assert not clock.requested(EVENING - timedelta(hours=2))
    assert not clock.requested(EVENING)


def test_a_new_day_is_requested_once(instance: dg.DagsterInstance) -> None:
    clock = Clockwork(instance)
    clock.requested(EVENING)
    assert clock.requested(MIDNIGHT)
    clock.make(clock.mart)
    assert not clock.requested(MIDNIGHT + timedelta(seconds=5))
    assert not clock.requested(MIDNIGHT + timedelta(hours=5))


def test_a_request_whose_run_failed_is_repeated_at_most_every_ten_minutes(instance: dg.DagsterInstance) -> None:
    clock = Clockwork(instance)
    clock.requested(EVENING)
    clock.mart_works = False
    assert clock.requested(MIDNIGHT)
    clock.make(clock.mart)
    assert not clock.requested(MIDNIGHT + timedelta(minutes=1))
    assert clock.requested(MIDNIGHT + timedelta(minutes=10))
    clock.mart_works = True
    clock.make(clock.mart)
    assert not clock.requested(MIDNIGHT + timedelta(minutes=20))


def test_a_blocked_table_delays_the_new_day_until_its_check_passes(instance: dg.DagsterInstance) -> None:
    clock = Clockwork(instance)
    clock.requested(EVENING)
    clock.table_passes = False
    clock.make(clock.table)
    assert not clock.requested(MIDNIGHT)
    clock.table_passes = True
    clock.make(clock.table)
    assert clock.requested(MIDNIGHT + timedelta(minutes=3))


def test_only_marts_that_use_the_current_date_have_the_condition(shipped: dg.Definitions) -> None:
    with_condition = {
        spec.key.to_user_string() for spec in shipped.resolve_all_asset_specs() if spec.automation_condition is not None
    }
    assert with_condition == {"gold/key_metrics", "gold/product_performance"}


@pytest.mark.usefixtures("lake_on_files")
@pytest.mark.parametrize(("amount", "marts"), [("79.99", 2), ("-1", 0)], ids=["passed", "blocked"])
def test_the_shipped_marts_are_requested_at_midnight_unless_a_table_is_blocked(
    shipped: dg.Definitions, instance: dg.DagsterInstance, amount: str, marts: int
) -> None:
    """The real graph: its tables have hundreds of days, and checks for those few that had changes."""
    capture(customer("c1"), product("p1"), *(order(f"o{number}", amount=amount) for number in range(30)))
    incremental_run(shipped, instance, today())
    evening = datetime.combine(today(), time(23, 58), UTC)
    cursor: Any = None
    requested = []
    for at in (evening, evening + timedelta(minutes=3)):
        result = dg.evaluate_automation_conditions(
            defs=shipped,
            instance=instance,
            asset_selection=dg.AssetSelection.groups("gold"),
            evaluation_time=at,
            cursor=cursor,
        )
        cursor = result.cursor
        requested.append(result.total_requested)
    assert requested == [0, marts]
