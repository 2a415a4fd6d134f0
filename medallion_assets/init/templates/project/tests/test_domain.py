"""The files of the domain are right, and the traffic of workload.yaml goes through all of them."""

from __future__ import annotations

from pathlib import Path

from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.local.generator import Generator
from medallion_assets.local.workload import load_workload
from medallion_assets.testing import open_pipeline

DOMAIN = Path(__file__).parents[1]


def test_every_file_of_the_domain_is_right() -> None:
    """Contracts, marts and workload load; a mistake names its file and field."""
    domain = load_domain(str(DOMAIN))
    load_marts(domain)
    load_workload(domain)


def test_the_initial_load_reaches_every_table_and_mart(tmp_path: Path) -> None:
    """Every audit passes, nothing is quarantined, and no mart is empty."""
    with open_pipeline(DOMAIN, tmp_path) as pipeline:
        traffic = Generator(pipeline.domain, load_workload(pipeline.domain), seed=1, start=pipeline.now)
        for change in traffic.initial():
            pipeline.put(change.table, change.attributes)
        pipeline.run()
        tables = [f"silver.{name}" for name in pipeline.domain.by_name]
        for name in [*tables, *(f"gold.{mart.name}" for mart in pipeline.marts)]:
            [found] = pipeline.query(f"SELECT COUNT(*) AS n FROM {name}")
            assert found["n"] > 0, name
