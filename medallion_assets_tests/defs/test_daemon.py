"""The real thing: DynamoDB, the poller, and Dagster's own daemon, code server and webserver. One stack for all tests.

The tests run in the order they stand in: each leaves the shop as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from typer.testing import CliRunner

from infra.docker import probe
from medallion_assets.cli.main import app
from medallion_assets.contracts.loader import domain_folder
from medallion_assets.defs import sensors
from medallion_assets.defs.dagster_private import SENSOR_NAME_TAG
from medallion_assets.defs.launcher import PID_TAG
from medallion_assets.errors import LocalStackError, TableMissing
from medallion_assets.local.dagster_jobs import start_job
from medallion_assets.local.stack import Stack, run_stack
from medallion_assets_tests.defs.runs import today
from medallion_assets_tests.defs.shop import customer, order, product, rows

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 90.0
OLD = today() - timedelta(days=40)

LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shipped domain as a user's own folder, so that a test can correct a contract."""
    folder = tmp_path_factory.mktemp("stack")
    shutil.copytree(domain_folder("ecommerce"), folder / "shop")
    with run_stack(str(folder / "shop"), state=folder / "state") as running:
        yield running


def put(*changes: dict[str, Any]) -> None:
    """Write the items of these changes to DynamoDB."""
    import boto3

    client = boto3.client("dynamodb")
    for change in changes:
        table = change["eventSourceARN"].split("/")[1]
        client.put_item(TableName=table, Item=change["dynamodb"]["NewImage"])


def eventually(seen: Callable[[], bool], what: str, *, pause_seconds: float = 0.5) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(TableMissing):
            if seen():
                return
        time.sleep(pause_seconds)
    raise AssertionError(f"after {PATIENCE_SECONDS:.0f} s still not: {what}")


def sales() -> dict[tuple[str, str], tuple[int, Decimal]]:
    return {
        (row["order_date"].isoformat(), row["region"]): (row["order_count"], row["total_revenue"])
        for row in rows("gold", "daily_sales_by_region")
    }


def graphql(stack: Stack, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{stack.dagster_url}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
    except urllib.error.HTTPError as refused:
        raise AssertionError(f"{refused}: {refused.read().decode()}") from refused
    return data


def launch(stack: Stack, *keys: str, day: str) -> str:
    """Materialize assets for a day as the page does; the run's final status."""
    tags = [{"key": "dagster/partition", "value": day}]
    return execute(stack, assets=[{"path": key.split("/")} for key in keys], checks=None, tags=tags)


def execute(
    stack: Stack, *, assets: list[dict[str, Any]], checks: list[dict[str, Any]] | None, tags: list[dict[str, str]]
) -> str:
    """Launch a run of assets or checks as the page does; the run's final status."""
    selector = {
        "repositoryLocationName": "medallion_assets",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": assets,
        "assetCheckSelection": checks,
    }
    params = {"mode": "default", "selector": selector, "runConfigData": "{}", "executionMetadata": {"tags": tags}}
    launched = graphql(stack, LAUNCH, params=params)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]
    status = ""

    def finished() -> bool:
        nonlocal status
        status = graphql(stack, STATUS, id=run_id)["runOrError"]["status"]
        return status in {"SUCCESS", "FAILURE", "CANCELED"}

    eventually(finished, f"run {run_id} finished, it is {status}")
    return status


def test_a_write_to_dynamodb_reaches_gold_by_the_daemons_own_ticks(stack: Stack) -> None:
    put(customer("c1", region="EU"), product("p1"), order("o1", amount="10.00"))
    eventually(lambda: sales() == {(str(today()), "EU"): (1, Decimal("10.00"))}, "the order in Gold")


def test_late_data_for_an_old_order_day_refreshes_that_day(stack: Stack) -> None:
    put(order("o2", amount="7.00", on=OLD))
    eventually(lambda: sales().get((str(OLD), "EU")) == (1, Decimal("7.00")), "the old day in Gold")
    with dg.DagsterInstance.get() as instance:
        mart, days = dg.AssetKey(["gold", "daily_sales_by_region"]), {str(OLD), str(today())}
        eventually(lambda: instance.get_materialized_partitions(mart) == days, "its partitions in Dagster")


def test_a_customer_who_moves_changes_the_region_of_all_orders(stack: Stack) -> None:
    put(customer("c1", region="US"))
    expected = {(str(today()), "US"): (1, Decimal("10.00")), (str(OLD), "US"): (1, Decimal("7.00"))}
    eventually(lambda: sales() == expected, "both orders in the new region")


def test_a_blocked_batch_leaves_gold_unchanged_until_the_contract_is_corrected_and_the_day_rerun(stack: Stack) -> None:
    before, old = sales(), rows("silver", "orders")
    put(*(order(f"free-{number}", amount="-0.01") for number in range(30)))
    with dg.DagsterInstance.get() as instance:
        eventually(
            lambda: bool(instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)),
            "a run that failed",
        )
    assert sales() == before
    assert rows("silver", "orders") == old
    assert launch(stack, "silver/orders", day=str(today())) == "FAILURE"
    assert sales() == before

    contract = stack.domain.folder / "tables" / "orders.yaml"
    corrected = contract.read_text().replace("{min: 0}", "{min: -1}")
    assert corrected != contract.read_text()
    contract.write_text(corrected)
    assert launch(stack, "bronze/orders", "silver/orders", day=str(today())) == "SUCCESS"
    eventually(lambda: sales()[(str(today()), "US")][0] == 31, "the blocked orders in Gold")


def test_new_data_reaches_gold_again_after_that(stack: Stack) -> None:
    put(order("o3", amount="1.00", on=OLD))
    eventually(lambda: sales().get((str(OLD), "US")) == (2, Decimal("8.00")), "the next order in Gold")


def test_a_replay_by_command_reaches_gold_by_the_daemons_own_ticks(stack: Stack) -> None:
    before = sales()[(str(OLD), "US")]
    put(order("refund", amount="-5.00", on=OLD))
    eventually(lambda: [row["status"] for row in rows("quarantine", "orders")].count("open") == 1, "it is quarantined")
    contract = stack.domain.folder / "tables" / "orders.yaml"
    contract.write_text(contract.read_text().replace("{min: -1}", "{min: -10}"))
    replayed = CliRunner().invoke(app, ["quarantine", "replay", "orders"])
    assert replayed.exit_code == 0, replayed.output
    after = (before[0] + 1, before[1] - Decimal("5.00"))
    eventually(lambda: sales()[(str(OLD), "US")] == after, "the replayed order in Gold")


def kill(stack: Stack, run: dg.DagsterRun) -> None:
    with suppress(ProcessLookupError):
        os.kill(int(run.tags[PID_TAG]), signal.SIGKILL)


def stop_from_the_page(stack: Stack, run: dg.DagsterRun) -> None:
    stopped = graphql(stack, TERMINATE, id=run.run_id)["terminateRun"]
    with dg.DagsterInstance.get() as instance:
        found = instance.get_run_by_id(run.run_id)
    through = found is not None and found.is_finished
    assert stopped["__typename"] == "TerminateRunSuccess" or through, stopped


@pytest.mark.parametrize(
    ("stop", "status", "order_id"),
    [(kill, dg.DagsterRunStatus.FAILURE, "o4"), (stop_from_the_page, dg.DagsterRunStatus.CANCELED, "o5")],
)
def test_a_run_that_is_stopped_half_way_loses_nothing(
    stack: Stack, stop: Callable[[Stack, dg.DagsterRun], None], status: dg.DagsterRunStatus, order_id: str
) -> None:
    with dg.DagsterInstance.get() as instance:
        orders = (f"{order_id}-{attempt}" for attempt in range(1, 101))
        written = set()

        def stopped() -> bool:
            """Write an order and stop the run that takes it. A run may be through before it can be stopped."""
            written.add(one := next(orders))
            put(order(one, amount="1.00"))
            found: list[dg.DagsterRun] = []

            def started() -> bool:
                under_way = dg.RunsFilter(
                    statuses=[dg.DagsterRunStatus.STARTED], tags={SENSOR_NAME_TAG: sensors.SENSOR}
                )
                found[:] = instance.get_runs(under_way, limit=1)
                return bool(found)

            eventually(started, "a run that started", pause_seconds=0.02)
            stop(stack, found[0])

            def ended() -> dg.DagsterRun | None:
                run = instance.get_run_by_id(found[0].run_id)
                return run if run is not None and run.is_finished else None

            eventually(lambda: ended() is not None, "the end of the run")
            last = ended()
            return last is not None and last.status is status

        eventually(stopped, f"a run that is {status}")
    eventually(lambda: written <= {row["order_id"] for row in rows("silver", "orders")}, "the orders in Silver")
    counted = sum(row["status"] != "cancelled" for row in rows("silver", "orders"))
    eventually(lambda: sum(count for count, _ in sales().values()) == counted, "the order in Gold")


def test_a_check_is_executed_alone_from_the_page(stack: Stack) -> None:
    orders = dg.AssetKey(["silver", "orders"])
    handle = {"assetKey": {"path": list(orders.path)}, "name": "keys"}
    assert execute(stack, assets=[], checks=[handle], tags=[]) == "SUCCESS"
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs(limit=1, filters=dg.RunsFilter(job_name="__ASSET_JOB"))
        made = instance.get_records_for_run(run.run_id, of_type=set(dg.DagsterEventType)).records
    events = [record.event_log_entry.get_dagster_event() for record in made]
    (found,) = (
        event.asset_check_evaluation_data
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    )
    assert (found.asset_key, found.check_name, found.passed) == (orders, "keys", True)
    assert not [event for event in events if event.is_step_materialization], "nothing was merged for it"


def test_a_job_is_started_by_its_name(stack: Stack) -> None:
    run_id = start_job(stack.dagster_url, "reconciliation")
    with dg.DagsterInstance.get() as instance:

        def succeeded() -> bool:
            run = instance.get_run_by_id(run_id)
            assert run is not None and not run.is_failure
            return run.is_success

        eventually(succeeded, "a comparison that succeeded")
    with pytest.raises(LocalStackError, match=rf"start the job nowhere: .*nowhere.* Start it on {stack.dagster_url}"):
        start_job(stack.dagster_url, "nowhere")


def test_the_partitions_of_the_stack_begin_with_its_traffic(stack: Stack) -> None:
    query = "query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }"
    found = graphql(stack, query, key={"path": ["gold", "daily_sales_by_region"]})
    assert found["assetNodeOrError"]["partitionKeys"][0] == str(today() - timedelta(days=120))


def test_the_ledger_and_the_health_are_written_by_the_daemons_own_ticks(stack: Stack) -> None:
    with dg.DagsterInstance.get() as instance:
        observed = dg.RunsFilter(job_name="observe")
        eventually(
            lambda: any(run.is_success for run in instance.get_runs(observed)),
            "a run of observe that succeeded",
        )
        assert not [run.run_id for run in instance.get_runs(observed) if run.is_failure]
        every_day = {str(today() - timedelta(days=n)) for n in range(121)}
        for layer in ("bronze", "silver"):
            made = instance.get_materialized_partitions(dg.AssetKey([layer, "customers"]))
            assert made == every_day, "no day without changes is missing"
    assert {row["table_name"] for row in rows("ops", "ledger")} == {"customers", "products", "orders"}
    assert {row["layer"] for row in rows("ops", "health")} == {"bronze", "silver", "gold"}


def test_the_new_day_sensor_is_on_and_evaluates(stack: Stack) -> None:
    with dg.DagsterInstance.get() as instance:
        states = {state.name: state for state in instance.all_instigator_state()}
        sensor = states["new_day"]
        ticks = instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id, limit=5)
    assert ticks
    assert all(tick.error is None for tick in ticks)
    assert datetime.now(UTC).timestamp() - ticks[0].timestamp < 60


def test_the_containers_health_checks_see_the_real_code_server_and_daemon(stack: Stack) -> None:
    home = Path(os.environ["DAGSTER_HOME"])
    port = yaml.safe_load((home / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]["port"]
    with closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        deaf = closed.getsockname()[1]
        assert [probe.main("code", str(one)) for one in (port, deaf)] == [0, 1]
    (history,) = home.rglob("runs.db")
    with closing(sqlite3.connect(history)) as database:
        eventually(lambda: probe.daemon_fault(database, datetime.now(UTC)) is None, "a daemon that reports")
        later = datetime.now(UTC) + probe.LONGEST_SILENCE
        fault = probe.daemon_fault(database, later + timedelta(minutes=1))
        assert fault is not None and "SENSOR" in fault
        database.execute(
            "INSERT INTO daemon_heartbeats (daemon_type, daemon_id, timestamp) VALUES ('GONE', 'an earlier one', ?)",
            ["2026-01-01 00:00:00"],
        )
        assert probe.daemon_fault(database, datetime.now(UTC)) is None, "a loop of an earlier version does not count"
        database.rollback()
