"""`build_defs` in other people's code locations: prefixes, their own assets, their own settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from medallion_assets import MedallionResource, build_defs
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.defs.dagster_private import RUN_KEY_TAG, SENSOR_NAME_TAG
from medallion_assets.defs.health import read_run_events
from medallion_assets.defs.names import Names
from medallion_assets.lake.catalog import Lake
from medallion_assets_tests.defs.runs import checks, observe, page_run, today
from medallion_assets_tests.defs.shop import capture, customer, order, product, record

SALES = dg.AssetKey(["gold", "daily_sales_by_region"])


@dg.asset(deps=[SALES])
def report() -> None:
    """An asset of the user's own, downstream of a mart."""


@dg.asset_check(asset=SALES)
def has_sales() -> dg.AssetCheckResult:
    """A check of the user's own, on a mart."""
    return dg.AssetCheckResult(passed=True)


LAB_ORDERS = dg.AssetKey(["lab", "gold", "daily_orders"])

# A mart by day has days without an order, which `eager` alone would wait for.
FOLLOW = dg.AutomationCondition.eager().without(~dg.AutomationCondition.any_deps_missing())


@dg.asset(deps=[LAB_ORDERS], automation_condition=FOLLOW)
def lab_report(lab_medallion: MedallionResource) -> None:
    """An asset that runs after each refresh of a mart, and reads it with the domain's resource."""
    with lab_medallion.lake() as lake:
        assert "daily_orders" in lake.tables("gold")


@dg.asset_check(asset=LAB_ORDERS, automation_condition=FOLLOW)
def has_lab_orders() -> dg.AssetCheckResult:
    """A check that runs after each refresh of a mart."""
    return dg.AssetCheckResult(passed=True)


def names(definitions: dg.Definitions) -> set[str]:
    """Return every name that has to be unique in a code location, or that keeps two domains apart."""
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    keys = graph.get_all_asset_keys()
    return {
        *(key.to_user_string() for key in keys),
        *(f"pool {pool}" for key in keys for pool in graph.get(key).pools or ()),
        *(f"group {graph.get(key).group_name}" for key in keys),
        *(f"sensor {one.name}" for one in repository.sensor_defs),
        *(f"schedule {one.name}" for one in repository.schedule_defs),
        *(f"job {one.name}" for one in repository.get_all_jobs() if not one.name.startswith("__")),
        *(f"resource {key}" for key in repository.get_top_level_resources() if key != "io_manager"),
    }


def test_two_domains_in_one_code_location_share_no_name() -> None:
    first, second = build_defs("ecommerce"), build_defs("ecommerce", key_prefix=["lab", "eu"])
    both = dg.Definitions.merge(first, second, dg.Definitions(assets=[report], asset_checks=[has_sales]))
    dg.Definitions.validate_loadable(both)
    assert names(first).isdisjoint(names(second))
    assert names(both) == names(first) | names(second) | {"report", "group default"}
    prefixed = {re.sub(r"lab([/_])eu\1", "", name) for name in names(second)}
    assert prefixed == names(first), "the prefix is the only difference"


def test_a_group_contains_all_assets_of_its_domain() -> None:
    groups = {spec.group_name for spec in build_defs("example", group_name="shop").resolve_all_asset_specs()}
    assert groups == {"shop"}


@pytest.mark.parametrize("wrong", [{"key_prefix": "shop/eu"}, {"key_prefix": ["a", ""]}, {"group_name": "my shop"}])
def test_a_prefix_that_cannot_be_part_of_a_name_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="letters, digits and _"):
        build_defs("example", **wrong)  # type: ignore[arg-type] # the values of each key are right


def test_names_are_read_back_only_from_assets_of_their_domain() -> None:
    plain, lab = Names(), Names(("lab",))
    for domain in (plain, lab):
        key = domain.asset_key("silver", "orders")
        assert domain.node_key("silver/orders") == key
        assert domain.layer_and_table(key) == ("silver", "orders")
        assert domain.step_node(key.to_python_identifier()) == "silver/orders"
    for other in (["lab", "silver", "orders"], ["report"], ["raw", "orders"], ["silver"]):
        assert plain.layer_and_table(dg.AssetKey(other)) is None
    for step in ("report", "maintain_silver_orders", "silver", "lab__silver__orders"):
        assert plain.step_node(step) is None
    assert lab.layer_and_table(dg.AssetKey(["silver", "orders"])) is None
    assert lab.step_node("silver__orders") is None


@pytest.mark.usefixtures("lake_on_files")
def test_assets_and_checks_of_the_users_own_run_with_the_marts(
    shipped: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    definitions = dg.Definitions.merge(shipped, dg.Definitions(assets=[report], asset_checks=[has_sales]))
    capture(customer("c1"), product("p1"), order("o1"))
    for layer, tables in (("bronze", ("customers", "products", "orders")), ("silver", ("customers", "orders"))):
        keys = [f"{layer}/{table}" for table in tables]
        assert page_run(definitions, instance, *keys, days=[today()]).success
    run = page_run(definitions, instance, "gold/daily_sales_by_region", days=[today()])
    assert run.success
    assert checks(instance, run, "gold/daily_sales_by_region")["has_sales"].passed
    assert page_run(definitions, instance, "report").success


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MedallionResource]:
    """The resource of a second domain, with values and a variable of its own; the shop's variables are not set."""
    for variable in ("MEDALLION_BRONZE", "MEDALLION_WAREHOUSE", "MEDALLION_CATALOG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LAB_WAREHOUSE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield MedallionResource(
        bronze=str(tmp_path / "bronze"), warehouse=dg.EnvVar("LAB_WAREHOUSE"), catalog="sqlite", read_capacity=5
    )


def tick(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    sensor: str,
    resources: dict[str, object],
    *,
    cursor: str | None = None,
) -> SensorExecutionData:
    """Evaluate one tick of a sensor with these resources."""
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources=resources, definitions=definitions
    ) as context:
        return definitions.resolve_sensor_def(sensor).evaluate_tick(context)


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # from the evaluation of automation conditions
def test_a_domain_with_a_prefix_goes_from_bronze_to_gold(
    lab: MedallionResource, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    definitions = dg.Definitions.merge(
        build_defs("example", key_prefix="lab", resource=lab),
        dg.Definitions(assets=[report, lab_report], asset_checks=[has_lab_orders]),
    )
    assert page_run(definitions, instance, "report").success, "not the domain's: its health leaves it out"
    before = dg.evaluate_automation_conditions(definitions, instance)
    item = {"CustomerID": {"S": "c1"}, "Amount": {"N": "12.50"}, "OrderedAt": {"S": f"{today()}T10:00:00Z"}}
    written = record("Orders", {"OrderID": {"S": "o1"}}, item)
    assert write_bronze([written], store=open_store(str(tmp_path / "bronze")), captured_at=datetime.now(UTC)) == []
    resources: dict[str, object] = {"lab_medallion": lab}
    arrivals = tick(definitions, instance, "lab_bronze_arrivals", resources)
    (request,) = arrivals.run_requests or ()
    assert {key.to_user_string() for key in request.asset_selection or ()} == {
        "lab/bronze/orders",
        "lab/silver/orders",
        "lab/gold/daily_orders",
    }
    assert request.asset_selection and request.asset_check_keys == [has_lab_orders.check_key], "only the user's own"
    subset = definitions.resolve_job_def("lab_refresh").get_subset(
        asset_selection=set(request.asset_selection), asset_check_selection=set(request.asset_check_keys)
    )
    run = subset.execute_in_process(
        instance=instance,
        partition_key=request.partition_key,
        run_config=request.run_config,
        tags={**request.tags, SENSOR_NAME_TAG: "lab_bronze_arrivals", RUN_KEY_TAG: request.run_key or ""},
    )
    assert run.success
    made = {(one.asset_key, one.check_name) for one in run.get_asset_check_evaluations()}
    assert (LAB_ORDERS, "has_lab_orders") in made, "a check of the user's own is part of the run"
    after = dg.evaluate_automation_conditions(definitions, instance, cursor=before.cursor)
    asked = {result.key for result in after.results if result.true_subset.size}
    assert asked == {lab_report.key}, "it follows the refresh"
    assert page_run(definitions, instance, "lab_report").success
    assert definitions.resolve_job_def("lab_observe").execute_in_process(instance=instance).success
    again = tick(definitions, instance, "lab_bronze_arrivals", resources, cursor=arrivals.cursor)
    assert again.skip_message == "Nothing new."
    with Lake.open(lab.settings().lake()) as lake, lake.duckdb() as connection:
        found = lake.scan_sql(lake.table("gold", "daily_orders"), None)
        assert connection.sql(f"SELECT order_count, revenue::text FROM {found}").fetchall() == [(1, "12.50")]
    hour = timedelta(hours=1)
    done = read_run_events(instance, Names(("lab",)), after=datetime.now(UTC) - hour, to=datetime.now(UTC) + hour)
    assert sorted((step.layer, step.table) for _, step in done.steps) == [
        ("bronze", "orders"),
        ("gold", "daily_orders"),
        ("silver", "orders"),
    ]


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """A domain without any of its variables set."""
    for variable in ("LAB_BRONZE", "MEDALLION_WAREHOUSE", "MEDALLION_CATALOG", "AWS_REGION"):
        monkeypatch.delenv(variable, raising=False)
    return build_defs("example", resource=MedallionResource(bronze=dg.EnvVar("LAB_BRONZE")))


UNSET = ("LAB_BRONZE is not set", "MEDALLION_WAREHOUSE is not set", "MEDALLION_CATALOG is not set", "AWS_REGION is not")


def test_a_tick_without_settings_names_each_variable(nowhere: dg.Definitions, instance: dg.DagsterInstance) -> None:
    resources = nowhere.get_repository_def().get_top_level_resources()
    with pytest.raises(Exception, match="not set") as failed:  # Dagster wraps what a sensor raises
        tick(nowhere, instance, "bronze_arrivals", {"medallion": resources["medallion"]})
    assert [unset for unset in UNSET if unset not in str(failed.value)] == []


def test_a_run_without_settings_names_each_variable(nowhere: dg.Definitions, instance: dg.DagsterInstance) -> None:
    silver, observed = page_run(nowhere, instance, "silver/orders", days=[today()]), observe(nowhere, instance)
    for run, step in ((silver, "silver__orders"), (observed, "ops__ledger"), (observed, "ops__health")):
        failed = run.failure_data_for_node(step)
        assert failed is not None and failed.user_failure_data is not None, step
        said = failed.user_failure_data.description or ""
        assert [unset for unset in UNSET if unset not in said] == [], step
        assert not failed.user_failure_data.label or "pydantic" not in failed.user_failure_data.label, step


def test_the_page_shows_which_variables_the_resource_reads(nowhere: dg.Definitions) -> None:
    variables = nowhere.get_repository_def().get_env_vars_by_top_level_resource()
    assert {variable for variable, resources in variables.items() if "medallion" in resources} == {
        "LAB_BRONZE",
        "MEDALLION_WAREHOUSE",
        "MEDALLION_CATALOG",
        "AWS_REGION",
        "MEDALLION_READ_CAPACITY",
        "MEDALLION_SOURCE_TABLES",
        "MEDALLION_GIVEN_UP",
        "MEDALLION_KINESIS_TABLES",
        "MEDALLION_RAW",
        "MEDALLION_EXPORTS",
        "MEDALLION_SITE",
        "MEDALLION_DAGSTER_URL",
        "MEDALLION_LIVE",
        "MEDALLION_DATABASE_PREFIX",
        "MEDALLION_FRESHNESS",
        "MEDALLION_DUCKDB_MEMORY_MB",
        "MEDALLION_SPILL_FOLDER",
        "MEDALLION_ARRIVALS_QUEUE",
        "MEDALLION_ENGINE",
        "MEDALLION_ENGINE_TIMEOUT_SECONDS",
        "MEDALLION_ENGINE_RESULT_MB",
        "MEDALLION_TRINO_URL",
        "MEDALLION_TRINO_CATALOG",
        "MEDALLION_TRINO_USER",
        "MEDALLION_TRINO_PASSWORD",
        "MEDALLION_ATHENA_WORKGROUP",
        "MEDALLION_ATHENA_OUTPUT",
        "MEDALLION_ATHENA_CATALOG",
    }
