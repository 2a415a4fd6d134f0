"""A mart over a table whose shape changes: refused while its SQL does not fit, and then right in every day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medallion_assets.contracts.loader import load_domain
from medallion_assets.engines.embedded import EmbeddedEngine
from medallion_assets.errors import MartError, SchemaMismatch
from medallion_assets.gold.spec import load_marts
from medallion_assets.repair.replace_mart import replace_mart
from medallion_assets.repair.replace_silver import replace_silver
from medallion_assets.testing import Pipeline, open_pipeline

CONTRACT = """\
table: Orders
owner: team:tests
key: {hash: Id}
columns:
  Id: string
  Day: {type: date, rules: [{required: true}]}
  Price: string
"""
MART = """\
description: What was sold on each day.
owner: team:tests
grain: [day]
partition: {column: day, table: orders, day_of: day}
columns:
  day: date
  sold: {type: bigint}
  largest: string
"""
QUERY = "SELECT day, COUNT(*) AS sold, MAX(price) AS largest FROM silver.orders GROUP BY day"


def write(folder: Path, contract: str, query: str = QUERY, mart: str = MART) -> None:
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "marts" / "days").mkdir(parents=True, exist_ok=True)
    (folder / "domain.yaml").write_text("since: 2026-01-01\n")
    (folder / "tables" / "orders.yaml").write_text(contract)
    (folder / "marts" / "days" / "query.sql").write_text(query)
    (folder / "marts" / "days" / "mart.yaml").write_text(mart)


def declare(pipeline: Pipeline, folder: Path, *files: str) -> None:
    write(folder, *files)
    pipeline.domain = load_domain(str(folder))
    pipeline.marts = load_marts(pipeline.domain)


def days(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    found = pipeline.query("SELECT day, sold, largest FROM gold.days ORDER BY day")
    return [(str(row["day"]), row["sold"], row["largest"]) for row in found]


def test_renamed_and_retyped(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    write(folder, CONTRACT)
    with open_pipeline(folder, tmp_path / "lake") as pipeline:
        for number, price in enumerate(("9", "10", "11")):
            pipeline.put("Orders", {"Id": f"o{number}", "Day": f"2026-03-0{number % 2 + 1}", "Price": price})
        pipeline.run()
        assert days(pipeline) == [("2026-03-01", 2, "9"), ("2026-03-02", 1, "10")]

        renamed = CONTRACT.replace("Price: string", "Price: {type: string, rename: amount, renamed_from: price}")
        with pytest.raises(MartError, match="price"):
            declare(pipeline, folder, renamed)
        declare(pipeline, folder, renamed, QUERY.replace("price", "amount"))
        pipeline.put("Orders", {"Id": "o3", "Day": "2026-03-02", "Price": "7"})
        pipeline.run()
        assert days(pipeline) == [("2026-03-01", 2, "9"), ("2026-03-02", 2, "7")]

        retyped = CONTRACT.replace("Price: string", "Price: {type: int, from: text, rename: amount}")
        mart = MART.replace("largest: string", "largest: int")
        declare(pipeline, folder, retyped, QUERY.replace("price", "amount"), mart)
        pipeline.put("Orders", {"Id": "o4", "Day": "2026-03-03", "Price": "8"})
        with pytest.raises(SchemaMismatch, match="amount is string and cannot become int"):
            pipeline.run()
        (contract,) = pipeline.domain.tables
        done = replace_silver(
            pipeline._lake, pipeline._store, pipeline.domain, contract, run_id="again", now=pipeline.now
        )
        assert (done.changes, done.rows) == (5, 5)
        with pytest.raises(SchemaMismatch, match=r"largest is .*string and cannot become int32.*medallion rebuild"):
            pipeline.run()
        assert days(pipeline) == [("2026-03-01", 2, "9"), ("2026-03-02", 2, "7")]
        (days_mart,) = pipeline.marts
        engine = EmbeddedEngine(pipeline._lake)
        assert replace_mart(pipeline._lake, days_mart, engine=engine, run_id="again", now=pipeline.now) == 3
        pipeline.run()
        assert days(pipeline) == [("2026-03-01", 2, 11), ("2026-03-02", 2, 10), ("2026-03-03", 1, 8)]
