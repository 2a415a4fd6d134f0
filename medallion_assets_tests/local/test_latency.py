"""Latency is what the layers recorded, to the millisecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake
from medallion_assets.local.latency import Latency, measure
from medallion_assets.local.redelivery import Redelivery
from medallion_assets_tests.fixtures import FLEET
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
