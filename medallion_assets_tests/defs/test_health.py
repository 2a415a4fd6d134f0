"""The collection of the pipeline's health: what it writes after real runs, and that it counts each run once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.defs.health import read_run_events
from medallion_assets.defs.names import Names
from medallion_assets.gold.spec import load_marts
from medallion_assets.health import collect
from medallion_assets.health.collect import collect_health
from medallion_assets.lake.catalog import Lake
from medallion_assets.settings import Settings
from medallion_assets_tests.defs.runs import incremental_run, observe, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product

pytestmark = pytest.mark.usefixtures("lake_on_files")

DOMAIN = load_domain("ecommerce")
MARTS = load_marts(DOMAIN)
BAD_AMOUNT = "-1"

Row = dict[str, Any]


@pytest.fixture
def lake(lake_on_files: object) -> Iterator[Lake]:
    with Lake.open(Settings.load().lake()) as opened:
        yield opened


def collect_now(lake: Lake, instance: dg.DagsterInstance, *, later: timedelta = timedelta(seconds=30)) -> datetime:
    """Collect the health as if it were a little later, because a run that has just ended is left to the next call."""
    at = datetime.now(UTC) + later
    collect_health(
        lake,
        open_store(Settings.load().bronze),
        DOMAIN,
        MARTS,
        run_events=lambda after, to: read_run_events(instance, Names(), after=after, to=to),
        now=at,
    )
    return at


def rows(lake: Lake, name: str, at: datetime) -> dict[tuple[str, ...], Row]:
    """Return the rows of one observation, by layer and table; those of checks also by check."""
    table = lake.table("ops", name)
    with lake.duckdb() as connection:
        found = (
            connection.execute(f"FROM {lake.scan_sql(table, None)} WHERE observed_at = ?", [at])
            .to_arrow_table()
            .to_pylist()
        )
    keys = ("layer", "table_name", "check_name") if name == "checks" else ("layer", "table_name")
    return {tuple(row[key] for key in keys): row for row in found}


def test_an_observation_says_what_a_run_did_and_the_state_of_every_layer(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake: Lake
) -> None:
    capture(customer("c1"), product("p1"), order("o1"), order("o2"))
    assert incremental_run(shipped, instance, today()).success
    at = collect_now(lake, instance)
    health, checks = rows(lake, "health", at), rows(lake, "checks", at)
    assert len(health) == 2 * len(DOMAIN.tables) + len(MARTS)
    orders = health["silver", "orders"]
    assert (orders["succeeded_steps"], orders["failed_steps"], orders["read_changes"], orders["merged_rows"]) == (
        1,
        0,
        2,
        2,
    )
    assert (orders["row_count"], orders["pending_objects"], orders["quarantined_rows"]) == (2, 0, 0)
    assert orders["contains_to"] == at
    assert health["bronze", "orders"]["read_changes"] == 2
    sales = health["gold", "daily_sales_by_region"]
    assert (sales["succeeded_steps"], sales["pending_tables"], sales["contains_to"]) == (1, 0, at)
    assert 0 < sales["max_latency_ms"] < 3_600_000
    grain = checks["gold", "daily_sales_by_region", "grain"]
    assert (grain["evaluations"], grain["failures"], grain["passed"], grain["blocking"]) == (1, 0, True, True)
    assert json.loads(grain["numbers"])["rows"] == 1


def test_a_run_is_counted_in_one_observation_only(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake: Lake
) -> None:
    capture(customer("c1"))
    incremental_run(shipped, instance, today())
    just_ended = collect_now(lake, instance, later=timedelta(0))
    first = collect_now(lake, instance, later=timedelta(seconds=30))
    second = collect_now(lake, instance, later=timedelta(seconds=60))
    done = [rows(lake, "health", at)["silver", "customers"]["succeeded_steps"] for at in (just_ended, first, second)]
    assert done == [0, 1, 0]


def test_a_run_without_checks_is_counted_once_too(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake: Lake
) -> None:
    """Nothing is added to `ops.checks` then, so the two tables follow the runs up to different times."""
    capture(customer("c1"))
    assert page_run(shipped, instance, "bronze/customers", days=[today()]).success
    times = [collect_now(lake, instance, later=timedelta(seconds=seconds)) for seconds in (30, 60)]
    assert [rows(lake, "health", at)["bronze", "customers"]["succeeded_steps"] for at in times] == [1, 0]


def test_after_a_crash_between_the_two_tables_the_next_call_writes_the_second_one(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(customer("c1"))
    incremental_run(shipped, instance, today())

    class Died(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Died

    with monkeypatch.context() as dying, pytest.raises(Died):
        dying.setattr(collect, "step_totals", die)
        collect_now(lake, instance)
    at = collect_now(lake, instance, later=timedelta(seconds=60))
    assert rows(lake, "health", at)["silver", "customers"]["succeeded_steps"] == 1
    assert rows(lake, "checks", at) == {}, "they were written before it died"


def test_failed_steps_pending_objects_and_blocked_tables_are_counted(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake: Lake
) -> None:
    capture(customer("c1"), product("p1"), *(order(f"o{n}") for n in range(30)))
    incremental_run(shipped, instance, today())
    capture(order("o31", amount=BAD_AMOUNT), *(order(f"o{n}", amount="5.00") for n in range(30)))
    assert incremental_run(shipped, instance, today()).success
    capture(*(order(f"o{n}", amount=BAD_AMOUNT) for n in range(10)))
    assert not incremental_run(shipped, instance, today()).success, "too many of the batch break the contract"
    at = collect_now(lake, instance)
    health, checks = rows(lake, "health", at), rows(lake, "checks", at)
    orders = health["silver", "orders"]
    assert (orders["succeeded_steps"], orders["failed_steps"], orders["pending_objects"]) == (2, 1, 1)
    assert orders["quarantined_rows"] >= 1
    assert orders["contains_to"] < at
    assert health["gold", "key_metrics"]["contains_to"] == orders["contains_to"], "a mart is no newer than its tables"
    share = checks["silver", "orders", "quarantine_rate"]
    assert (share["evaluations"], share["failures"], share["passed"]) == (3, 1, False)
    assert json.loads(share["numbers"])["quarantined"] == 10


def test_the_step_writes_and_says_how_many_rows(
    shipped: dg.Definitions, instance: dg.DagsterInstance, lake: Lake
) -> None:
    assert observe(shipped, instance, "ops/health").success
    event = instance.get_latest_materialization_event(dg.AssetKey(["ops", "health"]))
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.metadata["rows_written"].value == 2 * len(DOMAIN.tables) + len(MARTS)
    assert lake.find("ops", "health") is not None
