"""The dashboards and alerts of the shipped domains, their own and those by themselves, over rows of their workload."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from grafana.environment import COMMITTED, Environment
from grafana.files import FOLDER, generated, plain
from grafana.lint import lint_dashboards, lint_rules
from grafana.mart_dashboard import mart_dashboard
from medallion_assets.engines.embedded import Embedded
from medallion_assets.gold.measures import day
from medallion_assets.local.generator import Generator
from medallion_assets.local.workload import Initial, load_workload
from medallion_assets.ops.tables import CHECKS, HEALTH
from medallion_assets.panels.default_dashboard import default_dashboard
from medallion_assets.testing import Pipeline, open_pipeline
from medallion_assets_tests.grafana.athena import Range, expand
from medallion_assets_tests.grafana.test_queries import require_drawable

MOST_ROWS = 150
"""Of each table: enough for every panel to have something to draw."""


@pytest.fixture(scope="module", params=["fundraiser", "laundry"])
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The pipeline of a shipped domain after a small initial load."""
    with open_pipeline(request.param, tmp_path_factory.mktemp(request.param)) as opened:
        workload = load_workload(opened.domain)
        few = {
            name: table.model_copy(
                update={
                    "initial": Initial(count=min(table.initial.count, MOST_ROWS), over_days=table.initial.over_days)
                }
            )
            for name, table in workload.tables.items()
        }
        generator = Generator(opened.domain, workload.model_copy(update={"tables": few}), seed=4, start=opened.now)
        for change in generator.initial():
            opened.put(change.table, change.attributes)
        opened.run()
        yield opened


@pytest.fixture(scope="module")
def engine(pipeline: Pipeline) -> Iterator[Embedded]:
    """The engine over what the pipeline has published."""
    with Embedded(pipeline._lake) as opened:
        opened.show_published()
        yield opened


@pytest.fixture(scope="module")
def files(pipeline: Pipeline) -> dict[Path, str]:
    return generated(replace(Environment.load(COMMITTED), domain=str(pipeline.domain.folder)))


def boards(pipeline: Pipeline, files: dict[Path, str]) -> dict[str, Any]:
    """Return the domain's own dashboards, and those that its marts would have by themselves."""
    marts = {mart.name: mart for mart in pipeline.marts}
    environment = Environment.load(COMMITTED)
    by_themselves = {
        f"by-itself-{name}": plain(mart_dashboard(f"i-{name}", default_dashboard(mart), marts, environment))
        for name, mart in marts.items()
    }
    own = {path.stem: json.loads(text) for path, text in files.items() if path.parts[0] == "dashboards"}
    return own | by_themselves


def run(engine: Embedded, pipeline: Pipeline, sql: str) -> pa.Table:
    """Return what a query gives, with every value of a dimension chosen."""
    found = set(re.findall(r"\$\{(\w+):sqlstring\}", sql))
    chosen = {name: _values(pipeline, name) for name in found}
    range_ = Range(pipeline.now - timedelta(days=100), pipeline.now)
    return engine.run(expand(sql, range_, chosen), today=pipeline.now.date())


def _values(pipeline: Pipeline, column: str) -> list[str]:
    mart = next(mart for mart in pipeline.marts if column in mart.spec.grain and day(mart))
    return [row[column] for row in pipeline.query(f"SELECT DISTINCT {column} FROM gold.{mart.name}")]


def test_every_panel_of_marts_has_what_it_draws(engine: Embedded, pipeline: Pipeline, files: dict[Path, str]) -> None:
    drawn = 0
    for board in boards(pipeline, files).values():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                if "ops." not in target["rawSQL"]:
                    require_drawable(panel, target, run(engine, pipeline, target["rawSQL"]))
                    drawn += 1
    assert drawn > 20


def test_the_files_keep_the_rules(engine: Embedded, pipeline: Pipeline, files: dict[Path, str]) -> None:
    partitions = {f"ops.{table.name}": "observed_at" for table in (HEALTH, CHECKS)}
    partitions |= {f"gold.{mart.name}": str(day(mart)) for mart in pipeline.marts if day(mart)}
    assert lint_dashboards(boards(pipeline, files), partitions) == []
    groups = yaml.safe_load(files[Path("provisioning/alerting/rules.yaml")])["groups"]
    (source,) = yaml.safe_load(files[Path("provisioning/datasources/medallion.yaml")])["datasources"]
    runbook = (FOLDER.parent / "docs/runbook.md").read_text()
    assert lint_rules(groups, [source["uid"]], runbook, partitions) == []
    for rule in next(group["rules"] for group in groups if group["name"] == "Marts"):
        run(engine, pipeline, rule["data"][0]["model"]["rawSQL"])
