"""Histories through a simulated Kinesis and the deployed mapping: Silver becomes the table, whatever fails."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from medallion_assets.capture import handler as lambda_function
from medallion_assets.capture.dead_letter import list_dead_letters
from medallion_assets.capture.given_up import find_given_up
from medallion_assets.capture.kinesis import KinesisTables
from medallion_assets.capture.redrive import redrive
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.simulation.cloud import Cloud
from medallion_assets.simulation.delivery import EventSourceMapping, MappingSettings
from medallion_assets.simulation.harness.capture import lambda_handler
from medallion_assets.simulation.harness.histories import CAPTURE_FAULT_PROFILES
from medallion_assets.simulation.kinesis import KinesisStream
from medallion_assets.simulation.objects import MemoryStore
from medallion_assets_tests.silver.changes import DAY, NOON, Bench, contract, domain

ORDERS = contract("Orders", {"Id": "string", "Amount": "int", "Seal": "binary"}, key="Id")
TABLES = "Orders=2026-02-01T00:00:00"
AGE = {"max_record_age_s": 60.0}
"""Lambda gives up much sooner than it is deployed to, and the function fails for longer, so that some is redriven."""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MEDALLION_KINESIS_TABLES", TABLES)
    lambda_function._kinesis_tables.cache_clear()
    yield
    lambda_function._kinesis_tables.cache_clear()


@pytest.mark.parametrize(
    ("seed", "profile", "changed"),
    [
        pytest.param(1, "calm", {}, marks=pytest.mark.slow),
        pytest.param(2, "errors", {}, marks=pytest.mark.slow),
        pytest.param(3, "deaths", {}, marks=pytest.mark.slow),
        (4, "storm", {}),
        (5, "storm", AGE),
    ],
)
def test_silver_becomes_the_table(tmp_path: Path, seed: int, profile: str, changed: dict[str, Any]) -> None:
    cloud = Cloud(seed, start=NOON, rates=CAPTURE_FAULT_PROFILES[profile])
    dice, clock = cloud.dice("history"), cloud.clock
    table = cloud.create_table("Orders", {"Id": "S"})
    stream = KinesisStream(
        "arn:aws:kinesis:eu-central-1:123456789012:stream/changes",
        clock=clock,
        dice=cloud.dice("kinesis"),
        shards=3,
        share=0.3,
        delay_s=20.0,
    )
    bronze, given_up = MemoryStore(), MemoryStore()
    with Lake.open(LakeSettings(warehouse=str(tmp_path), catalog="sqlite", region="us-east-1")) as lake:
        bench = Bench(lake, bronze, domain(ORDERS))

        def rows() -> dict[str, tuple[int, bytes, str]]:
            found = bench.rows("orders")
            return {row["id"]: (row["amount"], row["seal"], row["_sequence_number"]) for row in found}

        def merge() -> None:
            before = rows()
            assert all(done.published for done in bench.merge_pending("orders", day=DAY, now=clock()))
            after = rows()
            assert all(after[key][2] >= before[key][2] for key in before.keys() & after.keys()), "a row went back"

        with lambda_handler(cloud.store(bronze), clock) as handler:

            def function(event: dict[str, Any], context: Any) -> Any:
                if changed and 10 < (clock() - NOON).total_seconds() < 100:
                    raise RuntimeError("a release that does not start")
                return handler(event, context)

            mapping = EventSourceMapping(
                cast(Any, stream),
                function,
                MappingSettings.deployed(**changed),
                clock=clock,
                faults=cloud.faults,
                dice=cloud.dice("mapping"),
                on_failure=given_up,
            )

            def run(seconds: float) -> None:
                clock.advance(min(mapping.step() or 1.0, seconds))

            for number in range(80):
                key = {"Id": {"S": f"o-{dice.randrange(9)}"}}
                item = {"Amount": {"N": str(number)}, "Seal": {"B": base64.b64encode(bytes([number])).decode()}}
                made = table.delete(key) if dice.random() < 0.2 else table.put({**key, **_as_boto3(item)})
                if made is not None:
                    stream.write(made)
                clock.advance(dice.choice([1e-6, 1e-6, 0.2, 3.0]))
                if dice.random() < 0.3:
                    run(5.0)
                if dice.random() < 0.1:
                    merge()
            while not (stream.all_arrived and mapping.idle):
                run(600.0)
        tables = KinesisTables.parse(TABLES)
        waiting = find_given_up(given_up, kinesis=tables)
        assert bool(waiting) == bool(changed) == bool(mapping.counts["given up"])
        merge()
        done = redrive(bronze, ["Orders"], given_up=given_up, now=clock, kinesis=tables)
        assert (dict(done.left), find_given_up(given_up, kinesis=tables), list_dead_letters(bronze)) == ({}, {}, {})
        merge()
        expected = {item["Id"]["S"]: (int(item["Amount"]["N"]), item["Seal"]["B"]) for item in table}
        assert {key: row[:2] for key, row in rows().items()} == expected
        assert len(expected) > 3 and mapping.counts["records"] > 80


def _as_boto3(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "Seal": {"B": base64.b64decode(item["Seal"]["B"])}}
