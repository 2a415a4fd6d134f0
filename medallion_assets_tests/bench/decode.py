"""Records a second from Bronze files to typed Arrow columns, beside boto3's TypeDeserializer on the same files.

Both read the files from a directory and give the same columns of the shipped `orders` contract. Each side runs in a
process of its own, so that the peak is its own, and reads one file before the clock starts: imports and connections are
made once in a process, not for every file.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medallion_assets.bronze.chunks import read_chunks
from medallion_assets.capture.envelope import envelope, to_parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.lake import duck
from medallion_assets.silver.decode import decode

# Ours is timed over chunks as a batch has them; the other over fewer rows, as its rate does not depend on how many.
OBJECTS, ROWS_EACH, OTHER_OBJECTS = 40, 10_000, 4
IMAGE_BYTES = 326
REPEATS = 3
Decoder = Callable[[list[str]], int]
"""Decodes the objects of these names and returns how many rows they had."""

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run() -> list[dict[str, Any]]:
    """Decode 400,000 changes with new images of 326 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        _write(open_store(folder))
        ours = sorted((_run("ours", folder) for _ in range(REPEATS)), key=lambda one: float(one["rate"]))[REPEATS // 2]
        other = _run("other", folder)
    return [
        {
            "work": "decode",
            "ours": round(ours["rate"]),
            "other": round(other["rate"]),
            "unit": "records/s",
            "ratio": round(ours["rate"] / other["rate"], 1),
            "peak_mb": ours["peak_mb"],
            "what_other_is": "boto3 TypeDeserializer + pa.Table.from_pylist, images parsed by json",
        }
    ]


def _write(store: BronzeStore) -> None:
    for number in range(OBJECTS):
        rows = [envelope(_record(number * ROWS_EACH + at)) for at in range(ROWS_EACH)]
        at = NOON + timedelta(seconds=number)
        name = ObjectName("Orders", at, number * ROWS_EACH + 1, f"{number:016x}")
        store.put(name.path, to_parquet(rows, captured_at=at))


def _record(number: int) -> dict[str, Any]:
    """An order as the demo's traffic writes it, with four products."""
    keys = {"OrderID": {"S": f"O{number:07}"}}
    image: dict[str, Any] = {
        **keys,
        "CustomerID": {"S": f"C{number % 5000:06}"},
        "ProductID": {"L": [{"S": f"P{number % prime:05}"} for prime in (83, 89, 97, 101)]},
        "OrderDate": {"S": f"2026-02-{number % 28 + 1:02}T10:{number % 60:02}:00Z"},
        "TotalAmount": {"N": f"{number % 900 + 100}.99"},
        "Status": {"S": "delivered"},
        "Customer": {"M": {"Name": {"S": "Ada "}, "Tier": {"S": "gold"}}},
    }
    image["Customer"]["M"]["Name"]["S"] += "A" * (IMAGE_BYTES - len(json.dumps(image, separators=(",", ":"))))
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT",
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/Orders/stream/2026-03-01T00:00:00.000",
        "dynamodb": {
            "Keys": keys,
            "NewImage": image,
            "SequenceNumber": str(10**20 + number),
            "ApproximateCreationDateTime": NOON.timestamp(),
        },
    }


def _run(side: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.decode", side, folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _ours(store: BronzeStore) -> Decoder:
    orders, connection = load_domain("ecommerce").by_name["orders"], duck.connect()

    def decode_all(names: list[str]) -> int:
        rows = 0
        for chunk in read_chunks(store, names):
            decoded = decode(connection, chunk.rows, orders)
            if decoded.rejected.num_rows:
                raise RuntimeError(f"{decoded.rejected.num_rows} rows were rejected")
            rows += decoded.rows.num_rows
        return rows

    return decode_all


def _other(store: BronzeStore) -> Decoder:
    from boto3.dynamodb.types import TypeDeserializer

    schema = pa.schema(
        [
            ("OrderID", pa.string()),
            ("CustomerID", pa.string()),
            ("ProductID", pa.list_(pa.string())),
            ("OrderDate", pa.timestamp("us", tz="UTC")),
            ("TotalAmount", pa.decimal128(12, 2)),
            ("Status", pa.string()),
        ]
    )
    deserialize = TypeDeserializer().deserialize

    def decode_all(names: list[str]) -> int:
        rows = 0
        for name in names:
            images = pq.read_table(pa.BufferReader(store.read(name)))["new_image"].to_pylist()
            items = [{key: deserialize(value) for key, value in json.loads(image).items()} for image in images]
            for item in items:
                item["OrderDate"] = datetime.fromisoformat(item["OrderDate"])
            rows += pa.Table.from_pylist(items, schema=schema).num_rows
        return rows

    return decode_all


def _side(side: str, folder: str) -> dict[str, Any]:
    store = open_store(folder)
    names = list(store.list("Orders", day=date(2026, 3, 1)))
    work, names = (_ours(store), names) if side == "ours" else (_other(store), names[:OTHER_OBJECTS])
    work(names[:1])
    start = time.perf_counter()
    rows = work(names)
    seconds = time.perf_counter() - start
    return {"rate": rows / seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


if __name__ == "__main__":
    json.dump(_side(sys.argv[1], sys.argv[2]), sys.stdout)
