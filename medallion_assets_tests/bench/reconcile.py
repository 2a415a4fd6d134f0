"""How long it takes to find one drifted row, and how much memory, beside comparing row by row in Python.

Over pages that were made up beforehand, so that DynamoDB's own pace does not count: ten million rows. And over a
million items of the emulator, whose scan takes a time per page that grows with the table. Row by row is what
`reference_decoder` does with every item; it is measured on a part of the rows and counted up.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import duckdb
import orjson
from pyiceberg.table.snapshots import Operation

from medallion_assets.capture.store import open_store
from medallion_assets.contracts.model import Contract
from medallion_assets.lake.catalog import Lake, LakeSettings
from medallion_assets.lake.commit import stage_snapshot
from medallion_assets.lake.publish import publish
from medallion_assets.lake.snapshot import Contents
from medallion_assets.lake.write import write_data
from medallion_assets.local.emulator import REGION, run_emulator
from medallion_assets.reconciliation.canonical import as_data
from medallion_assets.reconciliation.catch_up import CatchUp
from medallion_assets.reconciliation.reconcile import reconcile
from medallion_assets.reconciliation.reference_decoder import key_of, row_of
from medallion_assets.reconciliation.scan import Description, DynamoTable, Keys, SourceTable
from medallion_assets.repair.repair import repair
from medallion_assets.silver.batches import merge_pending
from medallion_assets.silver.table import ensure_silver_table, silver_schema
from medallion_assets_tests.silver.changes import contract, domain

ROWS = 10_000_000
EMULATED_ROWS = 1_000_000
BACKFILLED_ROWS = 1_000_000
BY_ROW = 100_000
PAGE_ITEMS = 3_000
FILE_ROWS = 1_000_000
DRIFTED = 12_345
SETTLE_SECONDS = 2.0

ORDERS = contract(
    "Orders",
    {
        "OrderID": "string",
        "CustomerID": "string",
        "ProductID": "list<string>",
        "OrderDate": "timestamp",
        "TotalAmount": "decimal(12,2)",
        "Status": "string",
    },
    key="OrderID",
)
COUNTERS = contract("Counters", {"Id": "string", "N": "int"}, key="Id")

_ORDERS = """
    SELECT i, md5(i::VARCHAR) AS order_id, 'C' || i % 50000 AS customer_id,
        ['P' || i % 1000, 'P' || i % 777] AS product_id,
        TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_seconds(i % 8000000) AS order_date,
        (i % 10000000 / 100)::DECIMAL(12, 2) AS total_amount, ['new', 'paid', 'sent'][1 + i % 3] AS status
"""
_ORDER_ITEM = """
    '{"OrderID":{"S":"' || order_id || '"},"CustomerID":{"S":"' || customer_id || '"},"ProductID":{"L":[{"S":"' ||
    product_id[1] || '"},{"S":"' || product_id[2] || '"}]},"OrderDate":{"S":"' ||
    strftime(order_date, '%Y-%m-%dT%H:%M:%SZ') || '"},"TotalAmount":{"N":"' || total_amount || '"},"Status":{"S":"' ||
    status || '"}}'
"""
_COUNTERS = "SELECT i, lpad(i::VARCHAR, 7, '0') AS id, (i % 977)::INTEGER AS n"
_META = """
    NULL::VARCHAR AS _extra, TIMESTAMPTZ '2025-12-31 00:00:00Z' AS _stream_created_at,
    lpad((i + 1)::VARCHAR, 40, '0') AS _sequence_number,
    'e' || i AS _event_id, TIMESTAMPTZ '2026-01-01 00:00:00Z' AS _changed_at,
    TIMESTAMPTZ '2026-01-01 00:00:00Z' AS _captured_at
"""


class Pages:
    """Pages in a file, one a line, as a table's scan would give them."""

    units = 0.0

    def __init__(self, file: Path) -> None:
        self._file = file

    def describe(self) -> Description:
        table = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"
        return Description(table, {"OrderID": "S"}, f"{table}/stream/2025-12-31T00:00:00.000")

    def scan(self) -> Iterator[bytes]:
        with self._file.open("rb") as pages:
            yield from pages

    def get(self, keys: Iterable[Keys]) -> Iterator[bytes]:
        """One key is asked for: its page is read again."""
        for key in keys:
            wanted = key["OrderID"]["S"].encode()
            yield next(page for page in self.scan() if wanted in page)


def run() -> list[dict[str, Any]]:
    """One drifted row in ten million, and in a million of the emulator's; and a first load of a million rows."""
    with tempfile.TemporaryDirectory() as folder:
        _run("build", folder, ROWS)
        ours, by_row = _run("reconcile", folder, ROWS), _run("by-row", folder, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        emulated = _run("emulator", folder, EMULATED_ROWS)
    with tempfile.TemporaryDirectory() as folder:
        write_pages(Path(folder) / "pages", BACKFILLED_ROWS)
        loaded = _run("backfill", folder, BACKFILLED_ROWS)
    scaled = by_row["seconds"] * ROWS / BY_ROW
    return [
        {
            "work": "reconcile-10m",
            "ours": round(ours["seconds"], 1),
            "other": round(scaled),
            "unit": "s",
            "ratio": round(scaled / ours["seconds"], 1),
            "peak_mb": ours["peak_mb"],
            "what_other_is": f"row by row in Python, {BY_ROW:,} rows counted up; those took {by_row['peak_mb']} MB",
        },
        {
            "work": "reconcile-emulator-1m",
            "ours": round(emulated["seconds"], 1),
            "other": round(emulated["scan_seconds"], 1),
            "unit": "s",
            "ratio": round(emulated["scan_seconds"] / emulated["seconds"], 2),
            "peak_mb": emulated["peak_mb"],
            "what_other_is": "the emulator's scan alone, without looking at the items",
        },
        {
            "work": "backfill-1m",
            "ours": round(loaded["seconds"], 1),
            "other": round(by_row["seconds"] * BACKFILLED_ROWS / BY_ROW),
            "unit": "s",
            "ratio": round(by_row["seconds"] * BACKFILLED_ROWS / BY_ROW / loaded["seconds"], 2),
            "peak_mb": loaded["peak_mb"],
            "what_other_is": "decoding as many items row by row in Python, and comparing; ours also writes and merges",
        },
    ]


def _run(side: str, folder: str, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "medallion_assets_tests.bench.reconcile", side, folder, str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _side(side: str, folder: Path, rows: int) -> dict[str, Any]:
    with Lake.open(LakeSettings(warehouse=str(folder / "lake"), catalog="sqlite", region=REGION)) as lake:
        if side == "build":
            _build(lake, ORDERS, _ORDERS, "total_amount + 0.01 AS total_amount", rows)
            write_pages(folder / "pages", rows)
            return {}
        if side == "emulator":
            return _emulated(lake, folder, rows)
        start = time.perf_counter()
        if side == "reconcile":
            _find(lake, ORDERS, Pages(folder / "pages"), folder)
        elif side == "backfill":
            _backfill(lake, Pages(folder / "pages"), folder, rows)
        else:
            _by_row(lake, folder / "pages")
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mb": _peak_mb()}


def _build(lake: Lake, wanted: Contract, select: str, drift: str, rows: int) -> None:
    """Silver as it would be after all was merged, but for one row."""
    table = ensure_silver_table(lake, wanted, silver_schema(wanted, domain(wanted)))
    with duckdb.connect() as source:
        source.execute("SET TimeZone = 'UTC'")
        for first in range(0, rows, FILE_ROWS):
            some = f"{select} FROM range({first}, {min(first + FILE_ROWS, rows)}) r(i)"
            made = source.execute(f"""
                SELECT * EXCLUDE (i), {_META} FROM ({some}) WHERE i <> {DRIFTED}
                UNION ALL SELECT * EXCLUDE (i) REPLACE ({drift}), {_META} FROM ({some}) WHERE i = {DRIFTED}
            """).to_arrow_table()
            contents = Contents.of(table, table.metadata.current_snapshot_id)
            files = write_data(table, made, sort_by=wanted.key_names, prune_by=[*wanted.key_names, "_sequence_number"])
            publish(lake, table, stage_snapshot(table, contents, operation=Operation.APPEND, added=files))


def write_pages(file: Path, rows: int) -> None:
    """Write pages of a scan of so many orders, one a line."""
    with duckdb.connect() as source, file.open("w") as out:
        source.execute("SET TimeZone = 'UTC'")
        for first in range(0, rows, PAGE_ITEMS):
            numbers = f"range({first}, {min(first + PAGE_ITEMS, rows)}) r(i)"
            items = f"SELECT {_ORDER_ITEM} AS item FROM ({_ORDERS} FROM {numbers})"
            [(page,)] = source.execute(f"SELECT string_agg(item, ',') FROM ({items})").fetchall()
            out.write(f'{{"Items":[{page}]}}\n')


def _find(lake: Lake, wanted: Contract, source: SourceTable, folder: Path) -> None:
    found = reconcile(
        lake,
        domain(wanted),
        wanted,
        source=source,
        store=open_store(str(folder / "bronze")),
        folder=folder / "compared",
        catch_up=CatchUp(capture_delay_seconds=SETTLE_SECONDS),
    ).comparison
    if (found.missing, found.extra, found.different) != (0, 0, 1):
        raise RuntimeError(f"one drifted row was planted, found {found}")


def _backfill(lake: Lake, source: SourceTable, folder: Path, rows: int) -> None:
    """An empty table and all its items: repaired, and merged while the repair waits."""
    store, shop = open_store(str(folder / "bronze")), domain(ORDERS)
    runs = itertools.count()

    def merge(_seconds: float) -> None:
        now = datetime.now(UTC)
        for result in merge_pending(lake, store, ORDERS, shop, day=now.date(), run_id=f"run-{next(runs)}", now=now):
            if not result.published:
                raise RuntimeError(f"held: {result.checks}")

    done = repair(
        lake,
        shop,
        ORDERS,
        source=source,
        store=store,
        reason="bench",
        run_id="bench",
        catch_up=CatchUp(capture_delay_seconds=SETTLE_SECONDS, wait=merge),
        merge_seconds=600,
    )
    if not done.merged or done.comparison.missing != rows:
        raise RuntimeError(f"not all of {rows} rows were loaded: {done}")


def _by_row(lake: Lake, file: Path) -> None:
    """The first rows, decoded one by one and compared with Silver's as values."""
    expected: dict[Any, dict[str, Any]] = {}
    with file.open("rb") as pages:
        for page in pages:
            for item in orjson.loads(page)["Items"]:
                expected[key_of(ORDERS, item)] = row_of(ORDERS, item)
            if len(expected) >= BY_ROW:
                break
    table = lake.table("silver", "orders")
    names = ", ".join([*ORDERS.by_name, "_extra"])
    with lake.duckdb() as connection:
        rows = connection.execute(f"SELECT {names} FROM {lake.scan_sql(table, None)} LIMIT {BY_ROW}").to_arrow_table()
    types = {column.name: column.type for column in ORDERS.columns.values()}
    stored = {}
    for row in rows.to_pylist():
        data = {name: as_data(type_, row[name]) for name, type_ in types.items()}
        stored[(row["order_id"],)] = {**data, "_extra": row["_extra"]}
    differing = [key for key in expected.keys() & stored.keys() if expected[key] != stored[key]]
    print(f"{len(differing)} of {len(expected)} differ", file=sys.stderr)  # noqa: T201 - on the error stream


def _emulated(lake: Lake, folder: Path, rows: int) -> dict[str, Any]:
    _build(lake, COUNTERS, _COUNTERS, "n + 1 AS n", rows)
    with run_emulator(folder / "aws") as emulator:
        os.environ.update(emulator.client_env())
        import boto3

        client = boto3.client("dynamodb")
        client.create_table(
            TableName="Counters",
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        _load(emulator.port, rows)
        # The emulator looks at every item for each page, and hashes it for a segment: one segment is fastest there.
        table = DynamoTable(client, "Counters", segments=1)
        start = time.perf_counter()
        for _ in table.scan():
            pass
        scanned = time.perf_counter()
        _find(lake, COUNTERS, table, folder)
        return {
            "seconds": time.perf_counter() - scanned,
            "scan_seconds": scanned - start,
            "peak_mb": _peak_mb(),
        }


def _load(port: int, rows: int) -> None:
    """By hand: boto3 would take several times as long."""
    connection = HTTPConnection("127.0.0.1", port)
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/20260101/{REGION}/dynamodb/"
        "aws4_request, SignedHeaders=host, Signature=0",
    }
    for first in range(0, rows, 25):
        puts = [
            {"PutRequest": {"Item": {"Id": {"S": f"{number:07d}"}, "N": {"N": str(number % 977)}}}}
            for number in range(first, min(first + 25, rows))
        ]
        connection.request("POST", "/", orjson.dumps({"RequestItems": {"Counters": puts}}), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or orjson.loads(body)["UnprocessedItems"]:
            raise RuntimeError(f"the emulator refused a batch: {answer.status} {body[:200]!r}")


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    json.dump(_side(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])), sys.stdout)
