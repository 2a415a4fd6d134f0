"""The component in a project that Dagster's own command line makes, with an instance of the project's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from medallion_assets import MedallionResource
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.errors import TableMissing
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.processes import Child
from medallion_assets_tests.defs.runs import today
from medallion_assets_tests.defs.shop import record

pytestmark = pytest.mark.slow

INSTALLED = Path(sys.executable).parent
PACKAGE = Path(__file__).parents[2]
PATIENCE_SECONDS = 180.0
HAS_ORDERS = dg.AssetCheckKey(dg.AssetKey(["gold", "daily_orders"]), "has_orders")

OWN = """
import dagster as dg

ORDERS = dg.AssetKey(["gold", "daily_orders"])
FOLLOW = dg.AutomationCondition.eager().without(~dg.AutomationCondition.any_deps_missing())


@dg.asset(deps=[ORDERS])
def report() -> None: ...


@dg.asset_check(asset=ORDERS, automation_condition=FOLLOW)
def has_orders() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)
"""

WEB = """
  key_prefix: [web, eu]
  group_name: web
  settings:
    bronze: {env: WEB_BRONZE}
    catalog: "{{ env.WEB_CATALOG }}"
    read_capacity: 50
"""

INSTANCE = """
telemetry: {enabled: false}
concurrency:
  pools: {default_limit: 1, granularity: op}
"""


@dataclass(frozen=True)
class Project:
    """A `dg` project, and the environment of its commands."""

    folder: Path
    env: dict[str, str]

    @property
    def defs(self) -> Path:
        return self.folder / "src" / "proj" / "defs"

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(INSTALLED / command[0]), *command[1:]],
            cwd=self.folder,
            env={**self.env, **variables},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def listed(self, what: str, **variables: str) -> Any:
        """What `dg list` prints as JSON."""
        found = self.run("dg", "list", what, "--json", **variables)
        assert found.returncode == 0, found.stdout + found.stderr
        return json.loads(found.stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one scaffolded domain, an asset and a check of the user's own; its instance names no launcher."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text(INSTANCE)
    folder = tmp_path_factory.mktemp("work") / "proj"
    places = {"MEDALLION_BRONZE": str(home / "bronze"), "MEDALLION_WAREHOUSE": str(home / "warehouse")}
    env = {
        "PATH": f"{INSTALLED}:{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONPATH": f"{PACKAGE}:{folder / 'src'}",
        "DAGSTER_HOME": str(home),
        "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
        "COLUMNS": "200",
        **places,
        "MEDALLION_CATALOG": "sqlite",
        "AWS_REGION": "us-east-1",
    }
    made = Project(folder.parent, env).run("create-dagster", "project", "proj", "--no-uv-sync")
    assert made.returncode == 0, made.stdout + made.stderr
    project = Project(folder, env)
    scaffolded = project.run("dg", "scaffold", "defs", "medallion_assets.DomainComponent", "shop")
    assert scaffolded.returncode == 0, scaffolded.stdout + scaffolded.stderr
    (project.defs / "own.py").write_text(OWN)
    return project


def test_the_component_is_listed(project: Project) -> None:
    """If this fails, the environment was made before the package had an entry point: `make install`."""
    assert "medallion_assets.DomainComponent" in {one["key"] for one in project.listed("components")["items"]}


def test_what_was_scaffolded_is_a_domain_that_loads(project: Project) -> None:
    written = sorted(str(path.relative_to(project.defs)) for path in (project.defs / "shop").rglob("*.*"))
    assert {"shop/defs.yaml", "shop/shop/domain.yaml", "shop/shop/tables/orders.yaml"} <= set(written)
    assert not [path for path in (project.defs / "shop").rglob("*.yaml") if "$schema" in path.read_text()]
    for check in ("yaml", "defs"):
        checked = project.run("dg", "check", check)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    assets = {one["asset_key"]: one for one in project.listed("defs")["assets"]}
    assert set(assets) == {
        *(f"{layer}/orders" for layer in ("dynamodb", "backfill", "bronze", "silver", "reconciliation")),
        "gold/daily_orders",
        "site/shop",
        "ops/ledger",
        "ops/health",
        "report",
    }
    assert assets["report"]["dependency_keys"] == ["gold/daily_orders"]


def test_for_a_domain_that_is_named_no_example_is_written(project: Project) -> None:
    scaffolded = project.run(
        "dg", "scaffold", "defs", "medallion_assets.DomainComponent", "named", "--domain", "ecommerce"
    )
    assert scaffolded.returncode == 0, scaffolded.stdout + scaffolded.stderr
    written = list((project.defs / "named").iterdir())
    assert [path.name for path in written] == ["defs.yaml"]
    assert "domain: ecommerce" in written[0].read_text()
    shutil.rmtree(project.defs / "named")


@pytest.fixture
def web(project: Project) -> Iterator[Path]:
    """A second domain in the project, for the time of one test: its `defs.yaml`."""
    file = project.defs / "web" / "defs.yaml"
    file.parent.mkdir()
    file.write_text("type: medallion_assets.DomainComponent\n\nattributes:\n  domain: ecommerce\n")
    yield file
    file.unlink()
    file.parent.rmdir()


def test_two_domains_need_two_prefixes(project: Project, web: Path) -> None:
    refused = project.run("dg", "check", "defs")
    assert refused.returncode != 0
    assert "have the same key prefix" in refused.stdout + refused.stderr
    web.write_text(web.read_text() + WEB.strip("\n"))
    unset = project.run("dg", "check", "defs")
    assert unset.returncode != 0
    assert "write {env: NAME}" in unset.stdout + unset.stderr
    found = project.listed("defs", WEB_CATALOG="glue")
    groups = {one["asset_key"]: one["group_name"] for one in found["assets"]}
    assert groups["web/eu/gold/key_metrics"] == "web" and groups["gold/daily_orders"] == "gold"
    assert {"bronze_arrivals", "web_eu_bronze_arrivals"} <= {one["name"] for one in found["sensors"]}
    assert {"refresh", "web_eu_refresh"} <= {one["name"] for one in found["jobs"]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("  domian: ./shop", "domian"),
        ("  domain: ./nowhere\n  key_prefix: web", "defs/web/nowhere': expected"),
        ("  domain: ecommerce\n  settings: {bucket: lake}", "bucket"),
        ("  domain: ecommerce\n  key_prefix: a/b", "letters, digits and _"),
    ],
)
def test_a_mistake_in_defs_yaml_is_named(project: Project, web: Path, wrong: str, message: str) -> None:
    web.write_text(f"type: medallion_assets.DomainComponent\n\nattributes:\n{wrong}\n")
    checked = project.run("dg", "check", "defs")
    assert checked.returncode != 0
    assert message in checked.stdout + checked.stderr


def test_on_an_instance_of_ones_own_a_change_reaches_gold(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default launcher, a workspace file of the user's, the sensor, and the user's check after it."""
    for name, value in project.env.items():
        if name.startswith(("MEDALLION_", "AWS_")):
            monkeypatch.setenv(name, value)
    item = {"CustomerID": {"S": "c1"}, "Amount": {"N": "12.50"}, "OrderedAt": {"S": f"{today()}T10:00:00Z"}}
    store = open_store(project.env["MEDALLION_BRONZE"])
    written = record("Orders", {"OrderID": {"S": "o1"}}, item)
    assert write_bronze([written], store=store, captured_at=datetime.now(UTC)) == []
    workspace = project.folder / "workspace.yaml"
    workspace.write_text("load_from:\n  - python_module: proj.definitions\n")
    command = [str(INSTALLED / "dagster-daemon"), "run", "-w", str(workspace)]
    log = project.folder / "daemon.log"
    with Child("the daemon", command, log=log, env=project.env, cwd=project.folder) as child:
        until = time.monotonic() + PATIENCE_SECONDS
        while (found := orders()) != [(1, "12.50")]:
            child.check()
            assert time.monotonic() < until, f"{found}: {child.output()[-5000:]}"
            time.sleep(1)
        with dg.DagsterInstance.from_config(project.env["DAGSTER_HOME"]) as instance:
            (run,) = instance.get_runs(dg.RunsFilter(job_name="refresh"), limit=1)
            assert type(instance.run_launcher) is dg.DefaultRunLauncher
            while instance.get_latest_asset_check_evaluation_record(HAS_ORDERS) is None:
                child.check()
                assert time.monotonic() < until, child.output()[-5000:]
                time.sleep(1)
            assert run.status in {dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS}


def orders() -> list[tuple[int, str]]:
    """The rows of the mart, none if it is not there yet."""
    try:
        with Lake.open(MedallionResource().settings().lake()) as lake, lake.duckdb() as connection:
            found = lake.scan_sql(lake.table("gold", "daily_orders"), None)
            return connection.sql(f"SELECT order_count, revenue::text FROM {found}").fetchall()
    except TableMissing:
        return []
