"""The laundry's tables as its application writes them, proposed and run: all items in Silver, a mart in Gold."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from medallion_assets.contracts.loader import load_domain
from medallion_assets.local.generator import Generator
from medallion_assets.local.workload import load_workload
from medallion_assets.testing import open_pipeline
from medallion_assets_tests.cli.conftest import medallion

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
MART = """
description: Revenue of each day.
owner: team:laundry
grain: [day]
partition: {column: day, table: machine_transaction, day_of: created_at}
columns:
  day: {type: date, description: The day.}
  machines: {type: bigint, description: Machines that somebody paid at.}
  pennies: {type: bigint, description: What was paid.}
"""
QUERY = """
SELECT CAST(created_at AS DATE) AS day, COUNT(DISTINCT machine_id) AS machines, SUM(amount_in_pennies) AS pennies
FROM silver.machine_transaction WHERE kind IN ('wash', 'dry') AND created_at IS NOT NULL
GROUP BY CAST(created_at AS DATE)
"""


def items() -> dict[str, list[dict[str, Any]]]:
    """Return the items of each table after some traffic, as Python values."""
    domain = load_domain("laundry")
    generator = Generator(domain, load_workload(domain), seed=8, start=START)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for change in [*generator.initial(), *islice(generator.live(rate=50, start=START), 300)]:
        key = (change.table, *change.key.values())
        found[key] = {**found.get(key, {}), **change.attributes, **change.key}
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (table, *_), item in found.items():
        tables[table].append(item)
    return tables


def day_of(written: str | int) -> date:
    """Read the three ways of a time apart."""
    if isinstance(written, str):
        return datetime.fromisoformat(written).date()
    return datetime.fromtimestamp(written / 1000 if written > 10**11 else written, UTC).date()


def test_what_is_proposed_for_the_laundrys_tables_takes_every_item_to_gold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tables, domain, serialize = items(), load_domain("laundry"), TypeSerializer().serialize
    for table, written in tables.items():
        lines = [json.dumps({"Item": {name: serialize(value) for name, value in item.items()}}) for item in written]
        Path(f"{table}.jsonl").write_text("\n".join(lines))
        key = domain.sources[table].contracts[0].key.hash
        source = ("--from", f"{table}.jsonl", "--key", key)
        done = medallion("contracts", "infer", table, *source, "--owner", "team:laundry", "--into", "mine/tables")
        assert done.exit_code == 0, done.output
    mart = Path("mine/marts/daily_revenue")
    mart.mkdir(parents=True)
    (mart / "mart.yaml").write_text(MART)
    (mart / "query.sql").write_text(QUERY)
    with open_pipeline("./mine", tmp_path / "lake") as pipeline:
        for table, written in tables.items():
            for item in written:
                pipeline.put(table, item)
        pipeline.run()
        for table, written in tables.items():
            name = pipeline.domain.sources[table].contracts[0].lake_name
            assert pipeline.query(f"SELECT count(*) AS n FROM silver.{name}") == [{"n": len(written)}]
        gold = {row.pop("day"): row for row in pipeline.query("SELECT * FROM gold.daily_revenue")}
    machines: dict[date, set[str]] = defaultdict(set)
    pennies: dict[date, int] = defaultdict(int)
    for item in tables["MachineTransaction"]:
        if item["kind"] in {"wash", "dry"}:
            day = day_of(item["createdAt"])
            machines[day].add(item["machineId"])
            pennies[day] += int(Decimal(item["amountInPennies"]))
    assert {day: (row["machines"], row["pennies"]) for day, row in gold.items()} == {
        day: (len(machines[day]), pennies[day]) for day in pennies
    }
