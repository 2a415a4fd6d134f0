"""What `medallion cost` takes as measured: sizes of Bronze and Silver, requests of runs, time of a change in capture.

Writes them to `medallion_assets/cost/measured.yaml`. What is made of them is `medallion_assets.cost`.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from medallion_assets.capture.envelope import envelope, to_parquet
from medallion_assets.capture.store import open_store
from medallion_assets.capture.write_bronze import write_bronze
from medallion_assets.cost.data import MEASURED
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.silver.batches import merge_pending
from medallion_assets_tests.bench.capture import BATCH_SIZE, _measured, _records
from medallion_assets_tests.gold.shop import DOMAIN
from medallion_assets_tests.round_trips.acts import count_acts, open_shop

MEANT_BYTES = 326
"""The image of `_records`, as DynamoDB counts it: names and values, without the marks of types."""

BATCHES = 50


def run() -> list[dict[str, Any]]:
    """Measure, write the file and give the figures."""
    found: dict[str, Any] = {"item_bytes": MEANT_BYTES, **_bronze(), **_lake(), **_requests()}
    found["capture_ms"] = f"{1000 / _measured('ours')['records_s']:.4f}"
    MEASURED.write_text(
        '# Written by `make bench ARGS="--only cost"`; what each means is said in data.py.\n'
        + yaml.safe_dump({"measured_on": datetime.now(UTC).date(), **found}, sort_keys=False),
        encoding="utf-8",
    )
    return [
        {
            "work": f"cost: {name.replace('_', ' ')}",
            "ours": value,
            "other": None,
            "unit": name.rsplit("_", 1)[-1],
            "ratio": None,
            "peak_mb": None,
            "what_other_is": "an input of medallion cost",
        }
        for name, value in found.items()
    ]


def _bronze() -> dict[str, int]:
    """Bytes of an object without changes and of each change in it, from an object of one and one of a thousand."""
    rows = [envelope(record) for record in _records()]
    now = datetime.now(UTC)
    one, many = len(to_parquet(rows[:1], captured_at=now)), len(to_parquet(rows, captured_at=now))
    each = (many - one) / (BATCH_SIZE - 1)
    return {"bronze_object_bytes": round(one - each), "bronze_change_bytes": round(each)}


def _lake() -> dict[str, int]:
    """Bytes of a Silver row after a bulk load of captured orders."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Lake.open(LakeSettings(warehouse=f"{folder}/lake", catalog="sqlite", region="us-east-1")) as lake,
    ):
        store, now = open_store(f"{folder}/bronze"), datetime.now(UTC)
        for batch in range(BATCHES):
            left = write_bronze(_orders(batch), store=store, captured_at=now + timedelta(milliseconds=batch))
            assert left == []
        contract = DOMAIN.by_name["orders"]
        list(merge_pending(lake, store, contract, DOMAIN, day=now.date(), run_id="bench", now=now))
        table = lake.table("silver", "orders")
        data_bytes = sum(task.file.file_size_in_bytes for task in table.scan().plan_files())
    return {"silver_row_bytes": round(data_bytes / (BATCHES * BATCH_SIZE))}


def _requests() -> dict[str, dict[str, int]]:
    """The requests of a run and of the observers, without those that read Bronze."""
    with open_shop() as shop:
        found = count_acts(shop)
    acts = {"run": "run of six assets, 9 new objects", "observe": "run of `observe` with nothing new"}
    return {name: _by_kind(found[act]) for name, act in acts.items()}


def _by_kind(counts: Counter[str]) -> dict[str, int]:
    kinds = {"put": ("s3 PUT",), "read": ("s3 GET", "s3 HEAD"), "list": ("s3 LIST",), "catalog": ("glue ",)}
    without_bronze = {asked: number for asked, number in counts.items() if asked != "s3 GET bronze"}
    return {
        kind: sum(number for asked, number in without_bronze.items() if asked.startswith(starts))
        for kind, starts in kinds.items()
    }


def _orders(batch: int) -> list[dict[str, Any]]:
    """A batch of capture's records as orders of their own, nothing in them that another batch has, too."""
    dice = random.Random(batch)
    records = _records()
    for number, record in enumerate(records, start=batch * BATCH_SIZE):
        image = {
            **record["dynamodb"]["NewImage"],
            "OrderID": {"S": f"o-{number:08d}"},
            "Note": {"S": f"{dice.getrandbits(124):031x}"},
            "TotalAmount": {"N": f"{dice.randrange(10_000, 99_999) / 100:.2f}"},
        }
        record["eventID"] = f"{dice.getrandbits(128):032x}"
        record["dynamodb"] |= {
            "Keys": {"OrderID": image["OrderID"]},
            "NewImage": image,
            "SequenceNumber": str(4421584500000000017450439091 + number),
        }
    return records
