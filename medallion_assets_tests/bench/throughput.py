"""Changes a second from Bronze to audited Silver and on to Gold, beside a plain pipeline of boto3 and pyiceberg.

Belongs here: a first load, which is also what a long outage leaves behind: the shipped domain's three tables, every
change of one day, an empty lake on files. Each side runs in a process of its own, so that CPU and peak are its own, and
opens DuckDB before the clock starts, as a process that runs often has.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from medallion_assets.capture.envelope import Row, to_parquet
from medallion_assets.capture.naming import ObjectName
from medallion_assets.capture.store import BronzeStore, open_store
from medallion_assets.contracts.loader import load_domain
from medallion_assets.gold.refresh import refresh
from medallion_assets.gold.spec import load_marts
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.silver.batches import merge_pending
from medallion_assets.silver.table import silver_schema

DAY = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(days=1)
OBJECT_ROWS = 1_000
"""The most that one read of a shard gives."""
PLAIN_OBJECTS = 50
"""How many objects of orders the plain pipeline reads: a part, for one that takes as long as ours for all."""

SHARES: Final = {"Customers": 20, "Products": 10, "Orders": 70}
"""Percent of all changes. Each key changes twice; one change in fifty of the second halves is a deletion."""

_NEW_IMAGES: Final = {
    "Customers": """{{CustomerID: {{S: id}}, Name: {{S: 'Customer ' || n}}, Email: {{S: 'c' || n || '@example.com'}},
        Region: {{S: ['eu-west', 'eu-north', 'us-east', 'us-west'][1 + (n + again) % 4]}},
        JoinDate: {{S: '2025-0' || (1 + n % 9) || '-11'}}, Phone: {{S: '+49 30 ' || n}},
        Address: {{M: {{Street: {{S: 'Main street ' || n}}, City: {{S: 'Berlin'}}}}}}}}""",
    "Products": """{{ProductID: {{S: id}}, Name: {{S: 'Product ' || n}},
        Category: {{S: ['tools', 'toys', 'books'][1 + n % 3]}},
        Price: {{N: (n % 900) || '.' || (10 + again)}}, StockLevel: {{N: ((n + again) % 1000)::VARCHAR}}}}""",
    "Orders": """{{OrderID: {{S: id}}, CustomerID: {{S: 'C' || md5((n % {customers})::VARCHAR)}},
        ProductID: {{L: [{{S: 'P' || md5((n % {products})::VARCHAR)}}, {{S: 'P' || md5((n * 7 % {products})::VARCHAR)}},
            {{S: 'P' || md5((n * 13 % {products})::VARCHAR)}}]}},
        OrderDate: {{S: strftime(TIMESTAMP '2026-02-01' + to_seconds(n * 37 % 2500000), '%Y-%m-%dT%H:%M:%SZ')}},
        TotalAmount: {{N: (n % 900 + 100) || '.99'}},
        Status: {{S: ['pending', 'shipped', 'delivered'][1 + again + n % 2]}},
        Customer: {{M: {{Name: {{S: 'Customer ' || n}}, Region: {{S: 'eu-west'}}}}}}}}""",
}
_KEYS: Final = {"Customers": "CustomerID", "Products": "ProductID", "Orders": "OrderID"}


def run() -> list[dict[str, Any]]:
    """Load backlogs of 1,000 to 1,000,000 changes."""
    return [_load(1_000)[0], _load(10_000)[0], *_load(100_000), *_load(1_000_000)]


def run_10m() -> list[dict[str, Any]]:
    """Load 10,000,000 changes."""
    return _load(10_000_000)


def _load(changes: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        _run("write", folder, changes)
        ours, plain = _run("ours", folder, changes), _run("plain", folder, changes)
    rate, other = changes / ours["seconds"], plain["changes"] / plain["seconds"]
    figure = {"work": f"throughput {changes:,}", "unit": "changes/s", "peak_mb": ours["peak_mb"]}
    return [
        {
            **figure,
            "ours": round(rate),
            "other": round(other),
            "ratio": round(rate / other, 1),
            "what_other_is": f"TypeDeserializer and pyiceberg Table.upsert, without audit, of {plain['changes']:,} "
            f"changes of orders; ours with {ours['cpu_seconds']:.1f} s of CPU in {ours['seconds']:.1f} s",
        },
        {
            **figure,
            "work": f"throughput {changes:,}, decode alone",
            "ours": round(rate),
            "other": round(changes / ours["decode_seconds"]),
            "ratio": round(ours["decode_seconds"] / ours["seconds"], 2),
            "what_other_is": "the same objects read and decoded only",
        },
        {
            "work": f"throughput {changes:,}, then Gold",
            "ours": round(ours["gold_seconds"], 2),
            "other": round(ours["seconds"], 2),
            "unit": "s",
            "ratio": round(ours["seconds"] / ours["gold_seconds"], 1),
            "peak_mb": ours["peak_mb"],
            "what_other_is": "Bronze to Silver before it",
        },
    ]


def _run(side: str, folder: str, changes: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.throughput", side, folder, str(changes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _write(store: BronzeStore, changes: int) -> None:
    """Write the changes in the order of their sequence numbers: every key is inserted before any key changes again."""
    keys = {table: changes * share // 100 // 2 for table, share in SHARES.items()}
    with duckdb.connect() as source:
        for table, count in keys.items():
            for number, rows in enumerate(changes_of(source, table, count, keys, rows=OBJECT_ROWS)):
                at = MIDNIGHT + timedelta(milliseconds=2 * number)
                name = ObjectName(table, at, int(rows[0].sequence_number), f"{number:016x}")
                store.put(name.path, to_parquet(rows, captured_at=at))


def changes_of(
    source: duckdb.DuckDBPyConnection, table: str, keys: int, all_keys: dict[str, int], *, rows: int
) -> Iterator[list[Row]]:
    """Yield the changes of a table, as many at a time as an object has `rows`."""
    image = _NEW_IMAGES[table].format(customers=all_keys["Customers"], products=all_keys["Products"])
    arn = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{table}/stream/2026-02-01T00:00:00.000"
    for first in range(0, 2 * keys, rows):
        found = source.execute(f"""
            WITH numbers AS (SELECT i, i % {keys} AS n, i // {keys} AS again, '{table[0]}' || md5(n::VARCHAR) AS id
                FROM range({first}, {min(first + rows, 2 * keys)}) r(i)),
            images AS (SELECT *, again = 1 AND n % 50 = 7 AS gone, {image} AS image FROM numbers)
            SELECT md5('{table}' || i), CASE WHEN gone THEN 'REMOVE' WHEN again = 1 THEN 'MODIFY' ELSE 'INSERT' END,
                '{table}', (1000000000000000000000 + i)::HUGEINT::VARCHAR,
                epoch_us(TIMESTAMP '{MIDNIGHT:%Y-%m-%d}') + i, to_json({{{_KEYS[table]}: {{S: id}}}})::VARCHAR,
                CASE WHEN NOT gone THEN to_json(image)::VARCHAR END,
                CASE WHEN again = 1 THEN to_json(image)::VARCHAR END, NULL, '{arn}'
            FROM images ORDER BY i""")
        yield [Row(*row) for row in found.fetchall()]


def _ours(lake: Lake, store: BronzeStore, changes: int) -> dict[str, Any]:
    domain = load_domain("ecommerce")
    start, cpu = time.perf_counter(), time.process_time()
    merged = 0
    for contract in domain.tables:
        for result in merge_pending(lake, store, contract, domain, day=DAY, run_id="bench", now=NOW):
            if not result.published:
                raise RuntimeError(f"{contract.table} was not published: {result.checks}")
            merged += result.rows_in
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if merged != changes:
        raise RuntimeError(f"{merged} of {changes} changes were merged")
    peak_mb = _peak_mb()
    start = time.perf_counter()
    for mart in load_marts(domain):
        if not refresh(lake, mart, today=DAY, now=NOW, run_id="bench").published:
            raise RuntimeError(f"{mart.name} was not published")
    gold = time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mb": peak_mb,
        "gold_seconds": gold,
        "decode_seconds": _decode(lake, store),
    }


def _decode(lake: Lake, store: BronzeStore) -> float:
    from medallion_assets.bronze.chunks import read_chunks
    from medallion_assets.silver.decode import decode

    start = time.perf_counter()
    with lake.duckdb() as connection:
        for contract in load_domain("ecommerce").tables:
            for chunk in read_chunks(store, list(store.list(contract.table, day=DAY))):
                decode(connection, chunk.rows, contract)
    return time.perf_counter() - start


def _plain(lake: Lake, store: BronzeStore) -> dict[str, Any]:
    """The first objects of orders, one batch: deserialised by boto3, the last change of a key upserted by pyiceberg."""
    from boto3.dynamodb.types import TypeDeserializer

    domain = load_domain("ecommerce")
    orders, deserialize = domain.by_name["orders"], TypeDeserializer().deserialize
    schema = pa.schema([silver_schema(orders, domain).field(column.name) for column in orders.columns.values()])
    start = time.perf_counter()
    changes, items = 0, {}
    for name in list(store.list("Orders", day=DAY))[:PLAIN_OBJECTS]:
        for image in pq.read_table(pa.BufferReader(store.read(name)))["new_image"].to_pylist():
            changes += 1
            if image is not None:
                item = {key: deserialize(value) for key, value in json.loads(image).items()}
                item["OrderDate"] = datetime.fromisoformat(item["OrderDate"])
                items[item["OrderID"]] = {column.name: item.get(at) for at, column in orders.columns.items()}
    table = lake.ensure("plain", "orders", schema, key=orders.key_names)
    table.upsert(pa.Table.from_pylist(list(items.values()), schema=table.schema().as_arrow()))
    return {"seconds": time.perf_counter() - start, "changes": changes}


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _side(side: str, folder: Path, changes: int) -> dict[str, Any]:
    store = open_store(str(folder / "bronze"))
    if side == "write":
        _write(store, changes)
        return {}
    settings = LakeSettings(warehouse=str(folder / side), catalog="sqlite", region="eu-west-1")
    with Lake.open(settings) as lake, lake.duckdb():
        return _ours(lake, store, changes) if side == "ours" else _plain(lake, store)


if __name__ == "__main__":
    json.dump(_side(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])), sys.stdout)
