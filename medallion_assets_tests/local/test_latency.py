"""Latency is what the layers recorded, to the millisecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.latency import Latency, measure
from medallion_assets.local.redelivery import Redelivery
from medallion_assets.testing import open_pipeline
from medallion_assets_tests.fixtures import FLEET
from medallion_assets_tests.fixtures.chain import chain_domain
from medallion_assets_tests.fixtures.fleet_lake import Fleet, stream

TRIPS = "fleet-Trips"


def measured(fleet: Fleet, since: datetime) -> Latency:
    domain = load_domain(FLEET)
    with Lake.open(fleet.settings.lake()) as lake:
        return measure(lake, open_store(fleet.settings.bronze), domain, load_marts(domain), since=since)


@pytest.mark.slow
def test_latency_runs_from_creation_to_the_first_publish_that_contains_the_change(fleet: Fleet) -> None:
    """Only `trips` counts: the one mart reads no other table."""
    always = datetime(2020, 1, 1, tzinfo=UTC)
    fleet.write()
    fleet.capture()
    fleet.publish()
    created = sorted(record["dynamodb"]["ApproximateCreationDateTime"] for record in stream(TRIPS))
    with Lake.open(fleet.settings.lake()) as lake:
        [entry] = lake.table("gold", "daily_distance").metadata.snapshot_log
    published = datetime.fromtimestamp(entry.timestamp_ms / 1000, UTC)
    first = measured(fleet, always)
    assert (first.changes, first.waiting) == (150, 0)
    assert first.longest == published - created[0]
    assert first.p50 == published - created[75]  # the 75th of 150 latencies, the longest first in `created`
    assert measured(fleet, created[-1] + timedelta(seconds=1)) == Latency(0, 0, None, None, None)

    redelivery = Redelivery(open_store(fleet.settings.bronze), [TRIPS], share=1.0, seed=1)
    redelivery.step()
    fleet.publish()
    assert measured(fleet, always) == first, "a second delivery of the same changes is no change"

    fleet.write(60)
    fleet.capture()
    waiting = len(stream(TRIPS)) - 150
    assert waiting > 10
    later = measured(fleet, always)
    assert (later.changes, later.waiting, later.longest) == (150, waiting, first.longest)
    fleet.publish()
    assert measured(fleet, always).changes == 150 + waiting


def test_a_change_has_arrived_when_the_marts_over_marts_contain_it(tmp_path: Path) -> None:
    domain = chain_domain(tmp_path)
    marts = load_marts(domain)

    def counted() -> tuple[int, int]:
        found = measure(pipeline._lake, pipeline._store, domain, marts, since=datetime(2020, 1, 1, tzinfo=UTC))
        return found.changes, found.waiting

    with open_pipeline(domain, tmp_path) as pipeline:
        item = {"CustomerID": "c1", "ProductID": ["p1"], "OrderDate": f"{pipeline.now:%Y-%m-%d}T10:00:00Z"}
        pipeline.put("Orders", {"OrderID": "o1", **item, "TotalAmount": 10, "Status": "pending"})
        pipeline.put("Products", {"ProductID": "p1", "Name": "P", "Price": 1, "StockLevel": 9})
        pipeline.run()
        assert counted() == (2, 0)
        assert [row["orders_now"] for row in pipeline.query("SELECT orders_now FROM gold.best_days")] == [1]
        pipeline.put("Orders", {"OrderID": "o2", **item, "TotalAmount": 5, "Status": "pending"})
        pipeline.marts = tuple(mart for mart in marts if mart.name != "daily_share")
        pipeline.run()
        assert counted() == (2, 1), "best_days is refreshed, from orders of now and daily_share of before"
        pipeline.marts = marts
        pipeline.run()
        assert counted() == (3, 0)
